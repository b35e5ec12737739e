//! What may become of a case, as banks were promised: docs/domain.md, "A case's life". Written apart from the gateway's own
//! state machine, which is held to it.

/// Whether a case that was told to stand here can stand there later, or still.
pub(super) fn may_become(told: &str, now: &str) -> bool {
    if told == now {
        return true;
    }
    match (stage(told), stage(now)) {
        (Some(told), Some(now)) => told < now,
        (Some(told), None) if told >= REGISTERED => now == "LAPSED",
        (Some(_), None) => OPEN_ENDED.contains(&now) || now == CORRECTION,
        (None, Some(now)) => told == CORRECTION && now >= ACCEPTED,
        (None, None) => told == CORRECTION && OPEN_ENDED.contains(&now),
    }
}

/// In order. What is under way may leave it by a refusal or the like at any time; what is entered may not.
const WAY: [&str; 7] =
    ["RECEIVED", "VALIDATING", "SUBMITTED", "ACCEPTED", "IN_REVIEW", "REGISTERED", "COMPLETED"];
const ACCEPTED: usize = 3;
const REGISTERED: usize = 5;
const CORRECTION: &str = "CORRECTION_REQUESTED";
/// Where a case ends that was not entered.
const OPEN_ENDED: [&str; 5] = ["NOT_ACCEPTED", "REFUSED", "WITHDRAWN", "TERMINATED", "LAPSED"];

fn stage(status: &str) -> Option<usize> {
    WAY.iter().position(|step| *step == status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_goes_forward_and_ends_once() {
        for (told, now) in [
            ("ACCEPTED", "REGISTERED"),
            ("IN_REVIEW", "REFUSED"),
            ("IN_REVIEW", "CORRECTION_REQUESTED"),
            ("CORRECTION_REQUESTED", "IN_REVIEW"),
            ("CORRECTION_REQUESTED", "LAPSED"),
            ("REGISTERED", "COMPLETED"),
            ("REGISTERED", "LAPSED"),
        ] {
            assert!(may_become(told, now) && may_become(told, told), "{told} {now}");
            let is_round = [told, now].contains(&CORRECTION);
            assert!(is_round || !may_become(now, told), "{now} {told}");
        }
        for (told, now) in [
            ("REGISTERED", "REFUSED"),
            ("REGISTERED", "IN_REVIEW"),
            ("COMPLETED", "REGISTERED"),
            ("COMPLETED", "REFUSED"),
            ("REFUSED", "REGISTERED"),
            ("CORRECTION_REQUESTED", "SUBMITTED"),
            ("REGISTERED", "CORRECTION_REQUESTED"),
        ] {
            assert!(!may_become(told, now), "{told} {now}");
        }
    }
}
