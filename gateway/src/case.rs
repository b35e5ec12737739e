//! The life of a case (办件), as a pure function: what may become of it by what its registry tells.
//!
//! A registry tells where a case stands when it is asked, or by events; it may tell late, twice, or wrongly. Whatever it
//! tells is judged here against what was known: what cannot be is never applied, and told to operators. Every pair of
//! states has its answer. Source: docs/domain.md, "A case's life"; Civil Code (民法典) arts. 214 and 221.

use proto::v1::{CaseStatus, Outcome};

/// What is to be made of what a registry tells of a case that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// Nothing new.
    Same,
    /// It holds from now on.
    News,
    /// It cannot be: what was known stands, and an operator has to know.
    Impossible(Why),
}

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The case has ended; nothing moves it any more.
    Ended,
    /// What is entered in the register (登簿) stays entered.
    Entered,
    /// The case was further on already: late news, or wrong news.
    Behind,
    /// Only a gateway is ever in that state, or nobody.
    NotARegistrys,
    /// A certificate that was told is told no more.
    CertificateGone,
    /// The case has another number than was told: a registry's number is stable.
    AnotherCase,
}

impl Why {
    /// For logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Entered => "entered",
            Self::Behind => "behind",
            Self::NotARegistrys => "not_a_registrys",
            Self::CertificateGone => "certificate_gone",
            Self::AnotherCase => "another_case",
        }
    }
}

/// Judges what a registry tells of a case against what is known of it.
pub fn judge(known: &Outcome, told: &Outcome) -> Told {
    if !known.case_id.is_empty() && known.case_id != told.case_id {
        return Told::Impossible(Why::AnotherCase);
    }
    match step(known.status(), told.status()) {
        Told::Impossible(why) => Told::Impossible(why),
        Told::Same | Told::News
            if known
                .certificate_numbers
                .iter()
                .any(|it| !told.certificate_numbers.contains(it)) =>
        {
            Told::Impossible(Why::CertificateGone)
        }
        Told::Same if as_told(known) != as_told(told) => Told::News,
        step => step,
    }
}

/// What was told, whichever message it answered.
fn as_told(outcome: &Outcome) -> Outcome {
    Outcome { replayed: None, ..outcome.clone() }
}

/// What may follow on what.
fn step(known: CaseStatus, told: CaseStatus) -> Told {
    use CaseStatus::{
        Accepted, Completed, CorrectionRequested, InReview, Lapsed, NotAccepted, OutcomeUnknown,
        QueuedOutOfHours, Received, Refused, Registered, RejectedValidation, Submitted, Terminated,
        Unspecified, Validating, Withdrawn,
    };
    match (known, told) {
        (_, Unspecified | QueuedOutOfHours | OutcomeUnknown | RejectedValidation) => {
            Told::Impossible(Why::NotARegistrys)
        }
        (known, told) if known == told => Told::Same,
        (
            Completed | RejectedValidation | NotAccepted | Refused | Withdrawn | Terminated
            | Lapsed,
            _,
        ) => Told::Impossible(Why::Ended),
        // An advance notice (预告登记) is entered, and lapses all the same.
        (Registered, Completed | Lapsed) => Told::News,
        (Registered, _) => Told::Impossible(Why::Entered),
        (Unspecified | OutcomeUnknown | QueuedOutOfHours, _) => Told::News,
        (
            Received | Validating | Submitted | Accepted | InReview | CorrectionRequested,
            Registered | Completed | CorrectionRequested | NotAccepted | Refused | Withdrawn
            | Terminated | Lapsed,
        ) => Told::News,
        // What was missing has come.
        (CorrectionRequested, Accepted | InReview) => Told::News,
        (CorrectionRequested, Received | Validating | Submitted) => Told::Impossible(Why::Behind),
        (
            Received | Validating | Submitted | Accepted | InReview,
            Received | Validating | Submitted | Accepted | InReview,
        ) if known < told => Told::News,
        (
            Received | Validating | Submitted | Accepted | InReview,
            Received | Validating | Submitted | Accepted | InReview,
        ) => Told::Impossible(Why::Behind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matter::{came_to_nothing, is_entered, is_final};

    fn all() -> Vec<CaseStatus> {
        (0..64).filter_map(|number| CaseStatus::try_from(number).ok()).collect()
    }

    fn at(status: CaseStatus) -> Outcome {
        Outcome { case_id: "c".into(), status: status.into(), ..Outcome::default() }
    }

    #[test]
    fn what_is_entered_or_ended_stays_so_whatever_is_told() {
        for known in all() {
            for told in all() {
                let step = step(known, told);
                if is_final(known) && known != told {
                    assert!(matches!(step, Told::Impossible(_)), "{known:?} {told:?}");
                }
                if is_entered(known) && !is_entered(told) && told != CaseStatus::Lapsed {
                    assert!(matches!(step, Told::Impossible(_)), "{known:?} {told:?}");
                }
                if is_entered(known) && step == Told::News {
                    assert!(is_final(told), "{known:?} {told:?}");
                }
            }
        }
    }

    /// Whatever a registry tells, and in whatever order, a case moves a few times and then never again.
    #[test]
    fn no_row_of_news_goes_round() {
        let news = |known: CaseStatus| {
            all().into_iter().filter(move |told| step(known, *told) == Told::News)
        };
        let asked_again =
            [CaseStatus::Accepted, CaseStatus::InReview, CaseStatus::CorrectionRequested];
        for first in all() {
            let (mut reached, mut open) = (vec![], vec![first]);
            while let Some(known) = open.pop() {
                for told in news(known).filter(|told| !asked_again.contains(told)) {
                    assert_ne!(told, first, "{first:?} comes back by {known:?}");
                    if !reached.contains(&told) {
                        reached.push(told);
                        open.push(told);
                    }
                }
            }
        }
    }

    #[test]
    fn every_state_a_registry_can_be_in_leads_to_an_end() {
        for known in all().into_iter().filter(|known| !is_final(*known)) {
            assert_eq!(step(known, CaseStatus::Completed), Told::News, "{known:?}");
            if !is_entered(known) {
                assert_eq!(step(known, CaseStatus::Refused), Told::News, "{known:?}");
            }
        }
        assert!(all().into_iter().filter(|it| came_to_nothing(*it)).count() > 5);
    }

    #[test]
    fn late_news_is_told_from_news() {
        use CaseStatus::{Accepted, InReview, Registered};
        assert_eq!(judge(&at(Accepted), &at(InReview)), Told::News);
        assert_eq!(judge(&at(InReview), &at(Accepted)), Told::Impossible(Why::Behind));
        assert_eq!(judge(&at(Registered), &at(InReview)), Told::Impossible(Why::Entered));
        assert_eq!(judge(&at(Registered), &at(Registered)), Told::Same);
    }

    #[test]
    fn a_case_keeps_its_number() {
        use CaseStatus::{Accepted, Registered};
        let other = Outcome { case_id: "d".into(), ..at(Registered) };
        assert_eq!(judge(&at(Accepted), &other), Told::Impossible(Why::AnotherCase));
        // A registry that refuses at the door may give none.
        let unnumbered = Outcome { case_id: String::new(), ..at(Accepted) };
        assert_eq!(judge(&unnumbered, &at(Registered)), Told::News);
    }

    #[test]
    fn a_certificate_comes_and_stays() {
        use CaseStatus::{Completed, Registered};
        let with = |status, numbers: &[&str]| Outcome {
            certificate_numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            ..at(status)
        };
        let one = with(Registered, &["1"]);
        assert_eq!(judge(&at(Registered), &one), Told::News);
        assert_eq!(judge(&one, &with(Completed, &["1", "2"])), Told::News);
        for gone in [with(Completed, &["2"]), at(Completed), at(Registered)] {
            assert_eq!(judge(&one, &gone), Told::Impossible(Why::CertificateGone));
        }
    }
}
