//! Where faults say they stand: in the message as it was sent. Golden messages are damaged leaf by leaf, and every
//! fault's place is followed in the damaged document by a reader of its own.
//!
//! A place names one node. That of something missing goes on from the innermost thing that is there, and its offset is
//! where that begins; any other fault's offset lies within its node. Faults of bytes and syntax have no place. Of whole
//! HTTP requests the bodies are damaged, and what is told of their heads names a part that a head has.
#![expect(
    clippy::disallowed_methods,
    reason = "the samples are files; the crate under test still reads none"
)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeMap, fs, path::Path};

use adapters::{
    Contract, Fault, FaultCode, Mode,
    tree::{Kind, NodeId, Tree, json, xml},
    wire::whole::HttpMessage,
};

const BANKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/banks");

#[test]
fn every_fault_stands_where_it_says() {
    let mut all = 0;
    for bank in fs::read_dir(BANKS).unwrap() {
        let folder = bank.unwrap().path();
        if !folder.join("contract.toml").is_file() {
            continue;
        }
        let (contract, mut told) = (unsealed(&folder), 0);
        for sample in fs::read_dir(folder.join("cases/samples")).unwrap() {
            let path = sample.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if name.contains(".request.") {
                told += damaged(&contract, &fs::read(&path).unwrap(), &name);
            }
        }
        assert!(told > 20, "only {told} faults were told for {}", folder.display());
        all += told;
    }
    assert!(all > 1000, "only {all} faults were told");
}

/// Damages every leaf's text, neighbours in different ways, and follows what is told.
fn damaged(contract: &Contract, good: &[u8], name: &str) -> usize {
    let is_whole = is_whole(contract);
    let (head, text) = match is_whole {
        true => good.split_at(good.len() - body(good).len()),
        false => (&[][..], good),
    };
    let text = match is_whole {
        true => String::from_utf8(text.to_vec()).unwrap(),
        false => contract.wire().open(good).unwrap().text.into_owned(),
    };
    let sent = |text: &str| match is_whole {
        true => Some([head, text.as_bytes()].concat()),
        false => contract.wire().close(text).ok(),
    };
    if text.is_empty() {
        return 0; // A question that is nothing but a head.
    }
    assert_eq!(sent(&text).as_deref(), Some(good), "{name}");
    let tree = parse(&text).unwrap();
    let mut told = 0;
    let leaves = tree.nodes.iter().enumerate().filter(|(_, node)| !node.text.trim().is_empty());
    for ((number, node), way) in leaves.flat_map(|leaf| [(leaf, 0), (leaf, 1)]) {
        let put = ["", "?", "2026-13-45", "9"][(number + way) % 4];
        let Some(from) = text[node.value_at..].find(&*node.text) else { continue };
        let from = node.value_at + from;
        // Of a document inside a document, only some of its text.
        let length =
            if node.text.contains(['<', '{']) { 40.min(node.text.len()) } else { node.text.len() };
        let Some(after) = text.get(from + length..) else { continue };
        let Some(bytes) = sent(&format!("{}{put}{after}", &text[..from])) else { continue };
        let Err(undecoded) = contract.decode(&bytes, Mode::Test) else { continue };
        for fault in &undecoded.faults {
            if let Err(why) = stands(contract, &bytes, fault) {
                panic!("{name}, node {number} as {put:?}: {why}: {fault:?}");
            }
            told += 1;
        }
    }
    told
}

fn stands(contract: &Contract, bytes: &[u8], fault: &Fault) -> Result<(), String> {
    if fault.offset > bytes.len() {
        return Err("beyond the message".to_owned());
    }
    if fault.place.is_empty() || fault.place.ends_with('!') {
        use FaultCode::{CharsetInvalid, DoctypeRefused, JsonSyntax, LengthMismatch, XmlSyntax};
        let of_bytes = [CharsetInvalid, DoctypeRefused, JsonSyntax, LengthMismatch, XmlSyntax];
        return of_bytes.contains(&fault.code).then_some(()).ok_or("no place".to_owned());
    }
    if is_whole(contract) {
        if fault.place.starts_with('$') {
            return stands_in_head(bytes, fault);
        }
        let text = String::from_utf8_lossy(body(bytes));
        return follow(&text, &fault.place, &|at| at, fault);
    }
    let opened = contract.wire().open(bytes).map_err(|fault| format!("{fault:?}"))?;
    let outer = |at: usize| opened.sent_offset(at);
    follow(&opened.text, &fault.place, &outer, fault)
}

fn is_whole(contract: &Contract) -> bool {
    contract.wire().whole().is_some()
}

fn body(request: &[u8]) -> &[u8] {
    let length = HttpMessage::parse(request).unwrap().body.len();
    &request[request.len() - length..]
}

/// What is told of a head is told at 0, by a name that OpenAPI has for a part of it.
fn stands_in_head(request: &[u8], fault: &Fault) -> Result<(), String> {
    let message = HttpMessage::parse(request).unwrap();
    let has =
        |name: &str| message.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
    let is_there = match fault.place.strip_prefix("$request.header.") {
        Some(name) => has(name) || is_of_missing(fault.code),
        None => {
            ["$method", "$url"].contains(&&*fault.place)
                || fault.place.starts_with("$request.query.")
        }
    };
    (is_there && fault.offset == 0).then_some(()).ok_or("no such part of the head".to_owned())
}

/// Follows a place through one document, and through those inside it. `outer` leads from its text to the bytes sent.
fn follow(
    text: &str,
    place: &str,
    outer: &dyn Fn(usize) -> usize,
    fault: &Fault,
) -> Result<(), String> {
    let (here, inside) = match place.split_once('!') {
        Some((here, inside)) => (here, Some(inside)),
        None => (place, None),
    };
    let tree = parse(text).ok_or("no document")?;
    let mut id = tree.root();
    let is_xml = tree.nodes[0].kind == Kind::Element;
    let mut steps: Vec<&str> = here.split('/').skip(1).collect();
    if is_xml {
        let root = steps.remove(0);
        if root != tree.nodes[0].name {
            return Err(format!("the root is no {root}"));
        }
    }
    for (done, step) in steps.iter().enumerate() {
        match child(&tree, id, step) {
            Some(next) => id = next,
            None if inside.is_none() && is_of_missing(fault.code) => {
                let node = tree.node(id).unwrap();
                let begins = [outer(node.at), outer(node.value_at)];
                return match begins.contains(&fault.offset) {
                    true => Ok(()),
                    false => Err(format!("what holds it begins at {begins:?}, {done} steps down")),
                };
            }
            None => return Err(format!("no {step} there")),
        }
    }
    let node = tree.node(id).unwrap();
    match inside {
        Some("") | None => {
            let next = after(&tree, id).map_or(text.len(), |next| tree.node(next).unwrap().at);
            let within = outer(node.at)..=outer(next);
            within.contains(&fault.offset).then_some(()).ok_or(format!("it lies at {within:?}"))
        }
        Some(inside) => follow(&node.text, inside, &|at| outer(tree.source_offset(id, at)), fault),
    }
}

/// Faults of what is not there, or stands somewhere else than it is meant for.
fn is_of_missing(code: FaultCode) -> bool {
    matches!(
        code,
        FaultCode::TagMissing
            | FaultCode::FieldRequired
            | FaultCode::KeyInvalid
            | FaultCode::MessageUnknown
    )
}

/// The next node that is not inside this one.
fn after(tree: &Tree<'_>, id: NodeId) -> Option<NodeId> {
    let mut inside = vec![id];
    while let Some(open) = inside.pop() {
        inside.extend(tree.children(open).map(|(child, _)| child).last());
        if inside.is_empty() {
            return Some(NodeId(open.0 + 1)).filter(|next| tree.node(*next).is_some());
        }
    }
    None
}

fn child(tree: &Tree<'_>, of: NodeId, step: &str) -> Option<NodeId> {
    let parent = tree.node(of)?;
    if parent.kind == Kind::Array {
        return tree.children(of).nth(step.parse().ok()?).map(|(id, _)| id);
    }
    if parent.kind == Kind::Object {
        let key = step.replace("~1", "/").replace("~0", "~");
        return tree.children(of).find(|(_, node)| node.name == key).map(|(id, _)| id);
    }
    if let Some(attribute) = step.strip_prefix('@') {
        return tree.attributes(of).find(|(_, node)| node.name == attribute).map(|(id, _)| id);
    }
    let (name, conditions) = step.split_once('[').unwrap_or((step, ""));
    let (mut number, mut told_by) = (1, None);
    for condition in conditions.split('[').map(|it| it.trim_end_matches(']')) {
        match condition.strip_prefix('@').and_then(|it| it.split_once('=')) {
            Some((attribute, text)) => told_by = Some((attribute, text.trim_matches('\''))),
            None => number = condition.parse().unwrap_or(1),
        }
    }
    let is_told = |id: NodeId| {
        told_by.is_none_or(|(attribute, text)| {
            tree.attributes(id).any(|(_, node)| node.name == attribute && node.text.trim() == text)
        })
    };
    let mut named = tree.elements(of).filter(|(id, node)| node.name == name && is_told(*id));
    named.nth(number - 1).map(|(id, _)| id)
}

fn parse(text: &str) -> Option<Tree<'_>> {
    if text.trim_start_matches('\u{feff}').trim_start().starts_with('<') {
        xml::parse(text).ok()
    } else {
        json::parse(text).ok()
    }
}

/// The contract in a folder, without its signature: a damaged message that is signed is refused unread.
fn unsealed(folder: &Path) -> Contract {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).unwrap();
            let kept = text.split_inclusive('\n').filter(|line| !line.starts_with("seal ="));
            files.insert(name, kept.collect());
        }
    }
    Contract::compile(&files).unwrap()
}
