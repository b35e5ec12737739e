//! The log of exchanges, judged by docs/evidence.md alone: another verifier, which shares no code with the gateway's.
//!
//! Every answer that a bank heard has a leaf with the digests of the very bytes; no leaf is of what nobody said; every
//! checkpoint is signed, and is of the log's beginning.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::{
    digest::{Context, SHA256},
    signature::{ED25519, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    super::{Bytes, Filing, What},
    About,
};

/// What was said, and what the log has of it.
#[derive(Debug, Default)]
pub(super) struct Log<'h> {
    calls: BTreeMap<u64, Exchange<'h>>,
    reads: Vec<Exchange<'h>>,
    leaves: Vec<(&'h str, &'h str)>,
    checkpoints: Vec<&'h str>,
    key: Option<&'h str>,
    unwritten: BTreeMap<&'h str, u64>,
}

/// A question of a bank, and the answer; empty if none came.
#[derive(Debug)]
struct Exchange<'h> {
    bank: &'h str,
    key: Option<&'h str>,
    is_question: bool,
    sent: &'h [u8],
    heard: &'h [u8],
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Proved {
    pub(super) leaves: u64,
    pub(super) checkpoints: u64,
    /// Answers without a leaf.
    pub(super) unwritten: u64,
    pub(super) complaints: Vec<(About, String)>,
}

impl<'h> Log<'h> {
    /// A bank calls about a filing.
    pub(super) fn asked(&mut self, call: u64, filing: &'h Filing, what: What, sent: &'h Bytes) {
        let (bank, key) = (filing.bank.as_str(), Some(filing.key.as_str()));
        let is_question = what == What::Ask;
        self.calls.insert(call, Exchange { bank, key, is_question, sent: &sent.0, heard: &[] });
    }

    /// It hears an answer, or nothing.
    pub(super) fn answered(&mut self, call: u64, heard: &'h Bytes) {
        if let Some(exchange) = self.calls.get_mut(&call) {
            exchange.heard = &heard.0;
        }
    }

    /// A bank reads its feed; that is about no filing.
    pub(super) fn read(&mut self, bank: &'h str, sent: &'h Bytes, heard: &'h Bytes) {
        let (sent, heard) = (&sent.0, &heard.0);
        self.reads.push(Exchange { bank, key: None, is_question: true, sent, heard });
    }

    /// The log goes on with a leaf.
    pub(super) fn leaf(&mut self, leaf: &'h str, salt: &'h str) {
        self.leaves.push((leaf, salt));
    }

    /// A checkpoint of it.
    pub(super) fn checkpoint(&mut self, note: &'h str) {
        self.checkpoints.push(note);
    }

    /// The key it is signed with.
    pub(super) fn key(&mut self, key: &'h str) {
        self.key = Some(key);
    }

    /// Gateways said so often that an answer has no leaf.
    pub(super) fn unwritten(&mut self, bank: &'h str, times: u64) {
        *self.unwritten.entry(bank).or_default() += times;
    }

    /// Judges it. Without an end (`ended`) there is nothing that anything could be compared with.
    pub(super) fn judge(&self, ended: bool) -> Proved {
        let mut proved = Proved {
            leaves: self.leaves.len() as u64,
            checkpoints: self.checkpoints.len() as u64,
            ..Proved::default()
        };
        if ended {
            self.exchanges(&mut proved);
            self.tree(&mut proved.complaints);
        }
        proved
    }

    /// Gives each leaf an exchange, so that each has one at most.
    fn exchanges(&self, proved: &mut Proved) {
        let mut said = Vec::new();
        let mut places: HashMap<(String, Option<String>), Vec<usize>> = HashMap::new();
        for exchange in self.calls.values().chain(&self.reads) {
            let bank = || exchange.bank.to_owned();
            let mut put = |key| places.entry((bank(), key)).or_default().push(said.len());
            exchange.key.into_iter().for_each(|key| put(Some(key.to_owned())));
            // What is asked after may be unknown: then it was about no filing.
            if exchange.is_question {
                put(None);
            }
            said.push(Said { exchange, has_leaf: false });
        }
        for (place, (text, salt)) in self.leaves.iter().enumerate() {
            let mut wrong =
                |how: &str| proved.complaints.push((About::Log, format!("leaf {place} {how}")));
            // Of what is no exchange there are leaves of other forms.
            if text.starts_with("directlink-") && !text.starts_with(FORM) {
                continue;
            }
            let Some(leaf) = Leaf::read(text, salt) else {
                wrong("is none");
                continue;
            };
            let of = places.get(&(leaf.institution.clone(), leaf.key.clone()));
            let of = of.map(Vec::as_slice).unwrap_or_default();
            match taken(of, &said, &leaf) {
                Some(at) => said.iter_mut().skip(at).take(1).for_each(|it| it.has_leaf = true),
                None => {
                    let mut asked = of.iter().filter_map(|at| said.get(*at));
                    wrong(match asked.any(|it| leaf.received(it.exchange.sent)) {
                        true => "is of an answer that nobody heard, or one too many",
                        false => "is of what nobody said",
                    });
                }
            }
        }
        let mut without: BTreeMap<&str, u64> = BTreeMap::new();
        for said in &said {
            if !said.has_leaf && !said.exchange.heard.is_empty() {
                *without.entry(said.exchange.bank).or_default() += 1;
            }
        }
        for (bank, count) in without {
            let told = self.unwritten.get(bank).copied().unwrap_or_default();
            proved.unwritten += count.min(told);
            if count > told {
                let how = format!("{count} answers have no leaf, of which gateways said {told}");
                proved.complaints.push((About::Bank(bank.to_owned()), how));
            }
        }
    }

    /// RFC 6962, section 2.1, and C2SP's tlog-checkpoint and signed-note.
    fn tree(&self, complaints: &mut Vec<(About, String)>) {
        if self.leaves.is_empty() && self.checkpoints.is_empty() {
            return;
        }
        let mut wrong = |how: String| complaints.push((About::Log, how));
        if self.checkpoints.is_empty() {
            wrong("it was never signed".to_owned());
        }
        let Some(key) = self.key.and_then(Key::read) else {
            return wrong("it has no key".to_owned());
        };
        let mut checkpoints: Vec<_> = Vec::new();
        for note in &self.checkpoints {
            match Checkpoint::read(note, &key) {
                Some(checkpoint) => checkpoints.push(checkpoint),
                None => wrong(format!("no checkpoint, or not signed: {note:?}")),
            }
        }
        checkpoints.sort_by_key(|it| it.size);
        let mut tree = Tree::default();
        let mut leaves = self.leaves.iter();
        for Checkpoint { size, root } in checkpoints {
            while tree.size < size
                && let Some((leaf, _)) = leaves.next()
            {
                tree.grow(leaf);
            }
            if tree.size != size || tree.root() != root {
                wrong(format!("the checkpoint of {size} leaves is not of its beginning"));
            }
        }
    }
}

/// Which of the exchanges that have no leaf yet it is of. What was answered may not have been heard: then nobody but the
/// log knows the answer.
fn taken(of: &[usize], said: &[Said<'_>], leaf: &Leaf) -> Option<usize> {
    let mut unheard = None;
    for (place, Said { exchange, has_leaf }) in
        of.iter().filter_map(|at| Some((*at, said.get(*at)?)))
    {
        if *has_leaf || !leaf.received(exchange.sent) {
            continue;
        }
        if exchange.heard.is_empty() {
            unheard = unheard.or(Some(place));
        } else if leaf.replied(exchange.heard) {
            return Some(place);
        }
    }
    unheard
}

#[derive(Debug)]
struct Said<'h> {
    exchange: &'h Exchange<'h>,
    has_leaf: bool,
}

/// The first line of an exchange's leaf.
const FORM: &str = "directlink-evidence-leaf/v1";

/// What is needed of a leaf.
#[derive(Debug, Default)]
struct Leaf {
    institution: String,
    key: Option<String>,
    salt: Vec<u8>,
    received: Vec<u8>,
    replied: Vec<u8>,
}

impl Leaf {
    fn read(text: &str, salt: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        if lines.next()? != FORM {
            return None;
        }
        let mut leaf = Self { salt: hex::decode(salt).ok()?, ..Self::default() };
        for line in lines {
            let (name, value) = line.split_once(' ')?;
            match name {
                "institution" => leaf.institution = unescaped(value)?,
                "key" => leaf.key = Some(unescaped(value)?),
                "received" => leaf.received = hex::decode(value).ok()?,
                "replied" => leaf.replied = hex::decode(value).ok()?,
                _ => {}
            }
        }
        let is_whole =
            leaf.salt.len() == 32 && leaf.received.len() == 32 && leaf.replied.len() == 32;
        is_whole.then_some(leaf)
    }

    fn received(&self, bytes: &[u8]) -> bool {
        sha256(&[&self.salt, b"received\n", bytes]) == *self.received
    }

    fn replied(&self, bytes: &[u8]) -> bool {
        sha256(&[&self.salt, b"replied\n", bytes]) == *self.replied
    }
}

fn unescaped(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut text = parts.next()?.to_owned();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        text.push(char::from(u8::from_str_radix(code, 16).ok()?));
        text.push_str(rest);
    }
    Some(text)
}

type Hash = [u8; 32];

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    context.finish().as_ref().try_into().unwrap_or_default()
}

/// The whole subtrees that leaves so far make, largest first, each with its number of leaves.
#[derive(Debug, Default)]
struct Tree {
    size: u64,
    whole: Vec<(u64, Hash)>,
}

impl Tree {
    fn grow(&mut self, leaf: &str) {
        self.size += 1;
        let mut grown = (1, sha256(&[&[0], leaf.as_bytes()]));
        while let Some((leaves, left)) = self.whole.pop_if(|(leaves, _)| *leaves == grown.0) {
            grown = (leaves * 2, sha256(&[&[1], &left, &grown.1]));
        }
        self.whole.push(grown);
    }

    fn root(&self) -> Hash {
        let mut smallest_first = self.whole.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = smallest_first.next() else { return sha256(&[]) };
        smallest_first.fold(last, |right, left| sha256(&[&[1], &left, &right]))
    }
}

/// `NAME+ID+BASE64`.
#[derive(Debug)]
struct Key<'h> {
    name: &'h str,
    id: [u8; 4],
    public: Vec<u8>,
}

impl<'h> Key<'h> {
    fn read(text: &'h str) -> Option<Self> {
        let (name, rest) = text.trim_end().split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let key = STANDARD.decode(key).ok()?;
        let made = sha256(&[name.as_bytes(), b"\n", &key]);
        let id: [u8; 4] = hex::decode(id).ok()?.try_into().ok()?;
        let (kind, public) = key.split_first()?;
        (*kind == 1 && made.starts_with(&id)).then(|| Self { name, id, public: public.to_vec() })
    }
}

#[derive(Debug)]
struct Checkpoint {
    size: u64,
    root: Hash,
}

impl Checkpoint {
    fn read(note: &str, key: &Key<'_>) -> Option<Self> {
        let (text, signatures) = note.split_once("\n\n")?;
        let signed = format!("{text}\n");
        let is_signed = signatures.lines().any(|line| {
            let signature = line.strip_prefix("— ").and_then(|line| line.strip_prefix(key.name));
            let signature =
                signature.and_then(|line| STANDARD.decode(line.strip_prefix(' ')?).ok());
            signature.as_deref().and_then(|it| it.strip_prefix(&key.id)).is_some_and(|signature| {
                let public = UnparsedPublicKey::new(&ED25519, &key.public);
                public.verify(signed.as_bytes(), signature).is_ok()
            })
        });
        let mut lines = text.lines();
        if !is_signed || lines.next()? != key.name {
            return None;
        }
        let size = lines.next()?.parse().ok()?;
        let root = STANDARD.decode(lines.next()?).ok()?.try_into().ok()?;
        Some(Self { size, root })
    }
}
