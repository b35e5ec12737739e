//! What an operator did, as a leaf of the log: who, what, and to what. It never says what was seen by it.
//!
//! Source of the form: docs/evidence.md.

use time::OffsetDateTime;

use super::leaf::{Leaf, NoSalt, Salt};
use crate::ledger::evidence::NewLeaf;

/// The first line of such a leaf.
pub(super) const FORM: &str = "directlink-operator-act/v1";

/// The lines after the first, in their order: a name, and whether every leaf has it.
pub(super) const LINES: [(&str, bool); 8] = [
    ("origin", true),
    ("institution", false),
    ("key", false),
    ("who", true),
    ("by", true),
    ("act", true),
    ("subject", false),
    ("heard", true),
];

/// Something that an operator did.
#[derive(Debug, Clone)]
pub struct OperatorAct<'a> {
    /// The log's name in settings.
    pub origin: &'a str,
    /// Whose case it was about.
    pub institution: Option<&'a str>,
    /// The idempotency key of the filing it was about.
    pub key: Option<&'a str>,
    /// Who, as they signed in.
    pub who: &'a str,
    /// Which way they were known: `certificate`, `proxy`, `command`.
    pub by: &'a str,
    /// What they did.
    pub act: Act,
    /// To what, where it was not the case itself: an event of a subscriber, a finding.
    pub subject: Option<&'a str>,
    /// When.
    pub at: OffsetDateTime,
}

/// What an operator can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Looked at what the pages mask (查看脱敏内容).
    Unmask,
    /// Handed in a message to see what each field came from (字段溯源).
    Lineage,
    /// Had parked notices sent again (重发通知).
    Resend,
    /// Had a subscriber told again (恢复订阅).
    Resume,
    /// Closed a finding (关闭差异).
    CloseFinding,
}

impl Act {
    /// What it is called in leaves and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unmask => "unmask",
            Self::Lineage => "lineage",
            Self::Resend => "resend",
            Self::Resume => "resume",
            Self::CloseFinding => "close-finding",
        }
    }
}

impl OperatorAct<'_> {
    /// The leaf as a ledger keeps it: with that of its case, if it was about one.
    ///
    /// # Errors
    /// The system has no randomness to give.
    pub fn to_keep(&self) -> Result<NewLeaf, NoSalt> {
        Ok(NewLeaf {
            institution: self.institution.unwrap_or_default().to_owned(),
            key: self.key.map(str::to_owned),
            text: self.leaf().text().to_owned(),
            salt: Salt::fresh()?,
            mentions: Vec::new(),
        })
    }

    /// What is kept of it.
    pub fn leaf(&self) -> Leaf {
        let lines = [
            ("origin", Some(self.origin)),
            ("institution", self.institution),
            ("key", self.key),
            ("who", Some(self.who)),
            ("by", Some(self.by)),
            ("act", Some(self.act.name())),
            ("subject", self.subject),
        ];
        let heard = super::leaf::moment(self.at);
        let lines = lines.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Leaf::written(FORM, lines.chain([("heard", heard.as_str())]))
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::evidence::leaf::{NoLeaf, Part};

    #[test]
    fn an_act_is_a_leaf_of_its_own_form() {
        let act = OperatorAct {
            origin: "log.example/one",
            institution: Some("bank"),
            key: Some("S-1"),
            who: "ops 1",
            by: "certificate",
            act: Act::Unmask,
            subject: None,
            at: datetime!(2026-03-05 08:00:00.1234 +8),
        };
        let leaf = act.leaf();
        let expected = "directlink-operator-act/v1\norigin log.example/one\ninstitution bank\nkey S-1\nwho ops 1\nby certificate\nact unmask\nheard 2026-03-05T00:00:00.123Z\n";
        assert_eq!(leaf.text(), expected);
        assert_eq!(Leaf::read(expected), Ok(leaf.clone()));
        assert!(leaf.is_act() && leaf.digest(Part::Received).is_none());
        let nobody = expected.replace("who ops 1\n", "");
        assert_eq!(Leaf::read(&nobody), Err(NoLeaf::Missing("who")));
        let other = expected.replace("act/v1", "act/v2");
        assert_eq!(Leaf::read(&other), Err(NoLeaf::Form));
    }
}
