//! What a bank would notice between two versions of its contract.
//!
//! A change is *breaking* if a bank that goes on as before would be refused, understood otherwise, or answered in a form it
//! does not expect. Judged from the explained contracts ([`crate::explain`]) and the wire; code layout, names of files and
//! of messages mean nothing to a bank.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    contract::{Contract, Reply},
    explain::{Explained, Field, Holds, Mandatory, Row, explain},
};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Whether a bank that goes on as before is hurt.
    pub breaking: bool,
    /// Where: `wire`, `key`, or the message with its direction and the place in it.
    pub place: String,
    /// What changed, from what to what.
    pub told: String,
}

/// All changes from `old` to `new`: breaking ones first, then by place.
pub fn differences(old: &Contract, new: &Contract) -> Vec<Change> {
    let mut found = Found { changes: Vec::new() };
    found.wire(old, new);
    found.key(old, new);
    let (before, after) = (explain(old, &[]), explain(new, &[]));
    let (before, after) = (by_message(&before), by_message(&after));
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for message in all {
        match (before.get(message), after.get(message)) {
            (Some(old), Some(new)) => found.message(old, new),
            (Some(old), None) => found.add(true, &title(old), "is no longer there".to_owned()),
            (None, Some(new)) => {
                found.add(is_told(new.direction), &title(new), "is new".to_owned())
            }
            (None, None) => {}
        }
    }
    found.changes.sort_by(|one, other| {
        other.breaking.cmp(&one.breaking).then_with(|| one.place.cmp(&other.place))
    });
    found.changes.dedup();
    found.changes
}

/// A notice nobody expects breaks its reader; a message that may now be sent hurts nobody.
fn is_told(direction: Reply) -> bool {
    direction == Reply::Notice
}

/// Whether the bank writes it.
fn is_sent(direction: Reply) -> bool {
    matches!(direction, Reply::Request | Reply::Ack)
}

fn by_message(explained: &[Explained]) -> BTreeMap<(String, u8), &Explained> {
    let number = |direction: Reply| match direction {
        Reply::Request => 0,
        Reply::Outcome => 1,
        Reply::Refusal => 2,
        Reply::Notice => 3,
        Reply::Ack => 4,
    };
    explained.iter().map(|one| ((one.message.clone(), number(one.direction)), one)).collect()
}

fn title(explained: &Explained) -> String {
    let direction = match explained.direction {
        Reply::Request => "request",
        Reply::Outcome => "reply",
        Reply::Refusal => "refusal",
        Reply::Notice => "notice",
        Reply::Ack => "ack",
    };
    format!("{} {direction}", explained.message)
}

struct Found {
    changes: Vec<Change>,
}

impl Found {
    fn add(&mut self, breaking: bool, place: &str, told: String) {
        self.changes.push(Change { breaking, place: place.to_owned(), told });
    }

    fn wire(&mut self, old: &Contract, new: &Contract) {
        let (old, new) = (old.wire(), new.wire());
        let parts = [
            ("media", format!("{:?}", old.media), format!("{:?}", new.media)),
            ("charset", format!("{:?}", old.charset), format!("{:?}", new.charset)),
            ("length prefix", format!("{:?}", old.prefix), format!("{:?}", new.prefix)),
            ("HTTP", format!("{:?}", old.http), format!("{:?}", new.http)),
            ("XML declaration", format!("{:?}", old.declaration), format!("{:?}", new.declaration)),
        ];
        for (part, before, after) in parts.iter().filter(|(_, before, after)| before != after) {
            self.add(true, "wire", format!("{part}: was {before}, is {after}"));
        }
        // Whatever else the wire has.
        if old != new && !self.changes.iter().any(|change| change.place == "wire") {
            self.add(true, "wire", format!("was {old:?}, is {new:?}"));
        }
    }

    fn key(&mut self, old: &Contract, new: &Contract) {
        let (before, after) = (old.key_parts().concat(), new.key_parts().concat());
        if before != after {
            self.add(true, "key", format!("was built as {before}, is built as {after}"));
        }
        let (before, after): (BTreeSet<&String>, BTreeSet<&String>) =
            (old.retry_may_change().iter().collect(), new.retry_may_change().iter().collect());
        for field in before.difference(&after) {
            self.add(true, "key", format!("`{field}` may no longer change on a retry"));
        }
        for field in after.difference(&before) {
            self.add(false, "key", format!("`{field}` may now change on a retry"));
        }
    }

    fn message(&mut self, old: &Explained, new: &Explained) {
        let title = title(new);
        if old.subject != new.subject {
            let told = |subject: &Option<String>| subject.clone().unwrap_or_default();
            let told = format!("is about {}, was about {}", told(&new.subject), told(&old.subject));
            self.add(true, &title, told);
        }
        if old.implied != new.implied {
            let told = format!("implies {}, implied {}", implied(new), implied(old));
            self.add(true, &title, told);
        }
        let sent = is_sent(new.direction);
        let (before, after) = (by_place(&old.rows), by_place(&new.rows));
        let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        for place in all {
            let at = format!("{title} {}", place.0);
            match (before.get(place), after.get(place)) {
                (Some(old), Some(new)) => self.row(&at, old, new, sent),
                (Some(old), None) => {
                    // In test mode a bank's leaf that nobody knows is a fault, in production it is dropped: either way
                    // the bank is not heard.
                    let ignored = old.holds == Holds::Ignored;
                    self.add(!ignored || sent, &at, format!("{} is gone", holds(&old.holds)));
                }
                (None, Some(new)) => {
                    let asked = match &new.mandatory {
                        Mandatory::Always | Mandatory::When(_) => true,
                        // Inside something that is itself new and optional, nobody is asked for it.
                        Mandatory::Within => {
                            before.keys().any(|(known, _)| beside(known, &place.0))
                        }
                        Mandatory::Optional => false,
                    };
                    // A core system may refuse an answer with something in it that was not agreed.
                    let breaking = asked || !sent;
                    let told =
                        format!("{} is new, {}", holds(&new.holds), mandatory(&new.mandatory));
                    self.add(breaking, &at, told);
                }
                (None, None) => {}
            }
        }
    }

    fn row(&mut self, at: &str, old: &Row, new: &Row, sent: bool) {
        match (&old.holds, &new.holds) {
            (Holds::Field(before), Holds::Field(after)) => self.field(at, before, after, sent),
            (before, after) if before != after => {
                let breaking = *after != Holds::Ignored || !sent;
                self.add(breaking, at, format!("is {}, was {}", holds(after), holds(before)));
            }
            _ => {}
        }
        if old.mandatory != new.mandatory {
            let breaking = if sent {
                new.mandatory != Mandatory::Optional
            } else {
                old.mandatory != Mandatory::Optional
            };
            let told =
                format!("is {}, was {}", mandatory(&new.mandatory), mandatory(&old.mandatory));
            self.add(breaking, at, told);
        }
    }

    fn field(&mut self, at: &str, old: &Field, new: &Field, sent: bool) {
        if old.path != new.path {
            self.add(true, at, format!("means {}, meant {}", new.path, old.path));
        }
        let is_table = |field: &Field| !field.codes.is_empty();
        if old.format != new.format || (old.codec != new.codec && !(is_table(old) && is_table(new)))
        {
            self.add(true, at, format!("format: is {}, was {}", format(new), format(old)));
        }
        if old.piece_of != new.piece_of {
            let told = |field: &Field| field.piece_of.clone().unwrap_or_else(|| "alone".to_owned());
            self.add(true, at, format!("stands {}, stood {}", told(new), told(old)));
        }
        // What may be empty on the way in is told by `mandatory`.
        if old.unset != new.unset && !sent {
            let told = |field: &Field| match field.unset.as_deref() {
                None => "never unset".to_owned(),
                Some("") => "left out or empty while unset".to_owned(),
                Some(text) => format!("`{text}` while unset"),
            };
            self.add(true, at, format!("is {}, was {}", told(new), told(old)));
        }
        self.codes(at, old, new, sent);
    }

    fn codes(&mut self, at: &str, old: &Field, new: &Field, sent: bool) {
        let table = |field: &Field| -> BTreeSet<(String, String)> {
            field.codes.iter().map(|(code, value, _)| (code.clone(), value.clone())).collect()
        };
        let (before, after) = (table(old), table(new));
        for (code, value) in before.difference(&after) {
            let now = after.iter().find(|(other, _)| other == code);
            match now {
                Some((_, meaning)) => {
                    self.add(true, at, format!("code {code}: means {meaning}, meant {value}"));
                }
                None => self.add(sent, at, format!("code {code} = {value} is gone")),
            }
        }
        for (code, value) in after.difference(&before) {
            if !before.iter().any(|(other, _)| other == code) {
                self.add(!sent, at, format!("code {code} = {value} is new"));
            }
        }
    }
}

/// Rows by place; pieces of one leaf, and holes of one field, by their number there.
fn by_place(rows: &[Row]) -> BTreeMap<(String, usize), &Row> {
    let mut found: BTreeMap<(String, usize), &Row> = BTreeMap::new();
    for row in rows {
        let number = found.keys().filter(|(place, _)| *place == row.place).count();
        found.insert((row.place.clone(), number), row);
    }
    found
}

/// Whether two places have the same parent.
fn beside(one: &str, other: &str) -> bool {
    let parent = |place: &str| place.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    parent(one) == parent(other)
}

fn implied(explained: &Explained) -> String {
    let told = explained.implied.iter().map(|(field, value)| format!("{field}={value}"));
    let told = told.collect::<Vec<_>>().join(" ");
    if told.is_empty() { "nothing".to_owned() } else { told }
}

fn holds(holds: &Holds) -> String {
    match holds {
        Holds::Literal(text) => format!("the literal `{text}`"),
        Holds::Ignored => "what nobody reads".to_owned(),
        Holds::Field(field) => field.path.clone(),
    }
}

fn mandatory(mandatory: &Mandatory) -> String {
    match mandatory {
        Mandatory::Always => "mandatory".to_owned(),
        Mandatory::Within => "mandatory in what holds it".to_owned(),
        Mandatory::When(condition) => format!("mandatory when {condition}"),
        Mandatory::Optional => "optional".to_owned(),
    }
}

fn format(field: &Field) -> &str {
    if field.codec.is_empty() { "text" } else { &field.codec }
}
