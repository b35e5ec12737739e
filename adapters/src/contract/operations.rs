//! What may be asked of a contract whose messages are whole HTTP requests: read from its templates, which show method,
//! path and header fields as they show everything else.

use super::{Complaint, Kind};
use crate::{
    template::{Form, Leaf, Slot, Template},
    wire::{
        Whole,
        whole::{Field, Operation, Segment},
    },
};

/// Works out the operations. `path` is what all paths begin with.
pub(super) fn operations(messages: &[Kind], path: &str, complaints: &mut Vec<Complaint>) -> Whole {
    let mut whole = Whole::default();
    for kind in messages {
        if let Some(request) = &kind.request
            && let Some(operation) = operation(request, path, complaints)
        {
            let same = |known: &&mut Operation| {
                known.method == operation.method && known.path == operation.path
            };
            match whole.operations.iter_mut().find(same) {
                Some(known) => {
                    known.has_body |= operation.has_body;
                    merge(&mut known.headers, operation.headers);
                }
                None => whole.operations.push(operation),
            }
        }
        for answer in [&kind.reply, &kind.refusal].into_iter().flatten() {
            let has_status = member(answer, "status").is_some_and(|slot| slot.leaf.is_some());
            if !has_status {
                complain(answer, "an answer says its `status`, as a text", complaints);
            }
            body_last(answer, complaints);
            merge(&mut whole.answers, headers(answer, complaints));
        }
    }
    whole
}

fn operation(
    request: &Template,
    prefix: &str,
    complaints: &mut Vec<Complaint>,
) -> Option<Operation> {
    let method = member(request, "method").and_then(literal);
    let path: Option<Vec<Segment>> = member(request, "path")
        .filter(|slot| slot.form == Form::Row)
        .map(|slot| slot.children.iter().map(segment).collect());
    let (Some(method), Some(path)) = (method, path) else {
        let told = "a request says its `method`, and its `path` as the list of its segments";
        complain(request, told, complaints);
        return None;
    };
    let begins = prefix.split('/').skip(1);
    let is_reached = begins.enumerate().all(|(number, word)| {
        matches!(path.get(number), Some(Segment::Literal(literal)) if literal == word)
    });
    if !is_reached {
        let told = format!("the `path` does not begin with `{prefix}`, the path of [wire]");
        complain(request, &told, complaints);
    }
    body_last(request, complaints);
    let headers = headers(request, complaints);
    let has_body = member(request, "body").is_some();
    Some(Operation { method: method.to_owned(), path, headers, has_body })
}

/// What is behind the body could be read as a part of it.
fn body_last(template: &Template, complaints: &mut Vec<Complaint>) {
    let body = template.root.children.iter().position(|slot| *slot.name.written == *"body");
    if body.is_some_and(|at| at.saturating_add(1) < template.root.children.len()) {
        complain(template, "`body` stands last", complaints);
    }
}

fn headers(template: &Template, complaints: &mut Vec<Complaint>) -> Vec<Field> {
    let slots = member(template, "headers").map(|slot| slot.children.iter()).into_iter().flatten();
    let fields = slots.map(|slot| {
        let name = slot.name.written.to_string();
        if name != capitals(&name) {
            let told = format!("the header field `{name}` is written `{}` here", capitals(&name));
            complain(template, &told, complaints);
        }
        Field { name, is_path: slot.form == Form::Row }
    });
    fields.collect()
}

/// A header field's name with a capital at each word. HTTP knows no difference; a document does.
fn capitals(name: &str) -> String {
    let mut capital = true;
    let letter = |letter: char| {
        let written =
            if capital { letter.to_ascii_uppercase() } else { letter.to_ascii_lowercase() };
        capital = letter == '-';
        written
    };
    name.chars().map(letter).collect()
}

fn merge(known: &mut Vec<Field>, more: Vec<Field>) {
    for field in more {
        if !known.contains(&field) {
            known.push(field);
        }
    }
}

fn segment(slot: &Slot) -> Segment {
    literal(slot).map_or(Segment::Value, |text| Segment::Literal(text.to_owned()))
}

fn literal(slot: &Slot) -> Option<&str> {
    slot.leaf.as_ref().and_then(Leaf::literal)
}

/// A member of the document that a whole HTTP message is.
pub(crate) fn member<'t>(template: &'t Template, name: &str) -> Option<&'t Slot> {
    template.root.children.iter().find(|slot| *slot.name.written == *name)
}

fn complain(template: &Template, told: &str, complaints: &mut Vec<Complaint>) {
    complaints.push(template.origins.complaint(template.root.span.range(), told));
}
