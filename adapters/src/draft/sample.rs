//! A raw sample, taken out of its skin and laid out in parts, so that samples of one kind of message can be laid over each
//! other.

use super::names::Knowledge;
use crate::{
    tree::{Kind, NodeId, Tree},
    unify::document,
    wire::{Charset, Media},
};

/// How samples travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Skin {
    pub(super) media: Media,
    pub(super) charset: Charset,
    /// Digits of the length, and whether it counts them.
    pub(super) prefix: Option<(usize, bool)>,
    pub(super) declaration: Option<String>,
}

impl Skin {
    /// Takes another sample's skin to be the same; `false` if it cannot be.
    pub(super) fn lay_over(&mut self, other: &Self) -> bool {
        // What is only ASCII is of every charset.
        if other.charset == Charset::Gb18030 {
            self.charset = other.charset;
        }
        self.declaration = self.declaration.take().or_else(|| other.declaration.clone());
        (self.media, self.prefix) == (other.media, other.prefix)
    }
}

/// A sample, read.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) wire: Skin,
    pub(super) root: Part,
}

/// What sort of part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Element,
    Attribute,
    Object,
    Array,
    /// A JSON string.
    Quoted,
    /// A JSON number, `true`, `false`.
    Bare,
}

/// An element, attribute, member or item, with all that was seen there.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) sort: Sort,
    /// Different texts seen, in order.
    pub(super) texts: Vec<String>,
    pub(super) children: Vec<Part>,
    /// What tells it from siblings of its name: a key attribute's text, a role.
    key: String,
    /// An attribute that names its element (`<field name="…">`).
    pub(super) is_key: bool,
    /// It says a party's role.
    pub(super) is_role: bool,
    /// Several of them stand beside each other.
    pub(super) repeats: bool,
    /// How often it stood, and how often it could have.
    pub(super) seen: usize,
    pub(super) chances: usize,
}

/// Attributes that name the element they stand in.
const KEYS: [&str; 4] = ["name", "key", "code", "id"];

/// Elements that only hold the value of the one around them.
const HOLDERS: [&str; 3] = ["value", "val", "v"];

pub(super) fn take(bytes: &[u8], knowledge: &Knowledge) -> Result<Taken, String> {
    let (prefix, body) = unprefixed(bytes);
    let decoded = [Charset::Utf8, Charset::Gb18030]
        .into_iter()
        .find_map(|charset| Some((charset, charset.decode(body).ok()?)));
    let (charset, text) = decoded.ok_or("is neither UTF-8 nor GB18030")?;
    let text = text.trim_start_matches('\u{FEFF}');
    let media = if text.trim_start().starts_with('<') { Media::Xml } else { Media::Json };
    let tree = document::parse(media, text).map_err(|fault| {
        format!("is no document ({} at byte {} of the text)", fault.code, fault.at)
    })?;
    let declaration = text
        .starts_with("<?xml")
        .then(|| text.split_inclusive("?>").next().map(str::to_owned))
        .flatten()
        .map(|declaration| declaration.replace('\'', "\""));
    // A single-byte sample tells nothing of the charset; its declaration does.
    let label = declaration.as_deref().and_then(|declaration| {
        declaration.split("encoding=\"").nth(1)?.split('"').next().map(str::to_owned)
    });
    let charset = match label.as_deref().and_then(Charset::named) {
        Some(named) if body.is_ascii() => named,
        _ => charset,
    };
    let root = part(&tree, tree.root(), knowledge, "");
    let declaration = declaration.filter(|_| media == Media::Xml);
    Ok(Taken { wire: Skin { media, charset, prefix, declaration }, root })
}

/// The length before the document, if there is one.
fn unprefixed(bytes: &[u8]) -> (Option<(usize, bool)>, &[u8]) {
    for digits in [4, 6, 8, 10] {
        let Some((head, body)) = bytes.split_at_checked(digits) else { continue };
        let told =
            std::str::from_utf8(head).ok().filter(|head| head.bytes().all(|b| b.is_ascii_digit()));
        let Some(told) = told.and_then(|head| head.parse::<usize>().ok()) else { continue };
        if told == body.len() {
            return (Some((digits, false)), body);
        }
        if told == bytes.len() {
            return (Some((digits, true)), body);
        }
    }
    (None, bytes)
}

fn part(tree: &Tree<'_>, id: NodeId, knowledge: &Knowledge, above: &str) -> Part {
    let mut part = Part {
        name: String::new(),
        sort: Sort::Quoted,
        texts: Vec::new(),
        children: Vec::new(),
        key: String::new(),
        is_key: false,
        is_role: false,
        repeats: false,
        seen: 1,
        chances: 1,
    };
    let Some(node) = tree.node(id) else { return part };
    part.name = node.name.to_string();
    part.sort = match node.kind {
        Kind::Element => Sort::Element,
        Kind::Attribute => Sort::Attribute,
        Kind::Object => Sort::Object,
        Kind::Array => Sort::Array,
        Kind::String | Kind::Null => Sort::Quoted,
        Kind::Number | Kind::Bool => Sort::Bare,
    };
    let declares = |name: &str| name == "xmlns" || name.starts_with("xmlns:");
    let key = tree.attributes(id).find(|(_, node)| KEYS.contains(&node.name.as_ref()));
    // A key tells elements apart that have nothing else of their own.
    let key = key.filter(|_| tree.attributes(id).count() == 1);
    if let Some((_, key)) = key {
        part.key = key.text.to_string();
    }
    let label = part.label(above).to_owned();
    for (child, node) in tree.children(id).filter(|(_, node)| !declares(&node.name)) {
        let mut inner = self::part(tree, child, knowledge, &label);
        inner.is_key = key.is_some() && node.kind == Kind::Attribute;
        if knowledge.is_mixed(&label) || knowledge.is_mixed(&part.name) {
            inner.key = inner.role(knowledge).unwrap_or_default();
        }
        part.add(inner, true);
    }
    let is_holder = HOLDERS.contains(&part.name.as_str());
    let own = if is_holder { above } else { &label };
    if part.children.iter().all(|child| child.sort == Sort::Attribute)
        && !matches!(part.sort, Sort::Object | Sort::Array)
    {
        part.texts.push(node.text.trim().to_owned());
        part.is_role = knowledge.is_role(own);
    }
    part
}

impl Part {
    /// What it is called: its key, if it has one; what is around it, if it only holds a value.
    pub(super) fn label<'p>(&'p self, above: &'p str) -> &'p str {
        if !self.key.is_empty()
            && self.children.iter().all(|child| child.sort != Sort::Object)
            && self.has_key()
        {
            return &self.key;
        }
        if HOLDERS.contains(&self.name.as_str()) || self.name.is_empty() {
            return above;
        }
        &self.name
    }

    fn has_key(&self) -> bool {
        self.children.is_empty() || self.children.iter().any(|child| child.is_key)
    }

    /// Its step in a place.
    pub(super) fn step(&self) -> String {
        match self.children.iter().find(|child| child.is_key) {
            Some(key) => format!("{}[@{}='{}']", self.name, key.name, self.key),
            None => self.name.clone(),
        }
    }

    /// A text that was seen.
    pub(super) fn first(&self) -> &str {
        self.texts.iter().map(String::as_str).find(|text| !text.is_empty()).unwrap_or_default()
    }

    /// The texts that are not empty.
    pub(super) fn set_texts(&self) -> Vec<&str> {
        self.texts.iter().map(String::as_str).filter(|text| !text.is_empty()).collect()
    }

    /// Whether what is inside are rows of one name that hold more.
    pub(super) fn holds_rows(&self) -> bool {
        let mut rows =
            self.children.iter().filter(|child| child.sort != Sort::Attribute).peekable();
        let Some(first) = rows.peek().map(|row| row.name.clone()) else { return false };
        let is_row = |row: &Part| {
            row.name == first
                && !row.children.is_empty()
                && !row.children.iter().any(|child| child.is_key)
        };
        rows.all(is_row)
    }

    /// The transaction code, if a leaf says one.
    pub(super) fn find_code(&self, knowledge: &Knowledge) -> Option<String> {
        self.search("", &|label, part| {
            let is_code = knowledge.fields("exchange", label).contains(&"transaction_code");
            (is_code && !part.first().is_empty()).then(|| part.first().to_owned())
        })
    }

    /// The role that a row says.
    pub(super) fn role(&self, knowledge: &Knowledge) -> Option<String> {
        self.search("", &|label, part| {
            knowledge
                .is_role(label)
                .then(|| part.first().to_owned())
                .filter(|role| !role.is_empty())
        })
    }

    /// Whether a text inside is so.
    pub(super) fn any_text(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        self.texts.iter().any(|text| wanted(text))
            || self.children.iter().any(|child| child.any_text(wanted))
    }

    /// What leaves and lists are called.
    pub(super) fn labels(&self, found: &mut Vec<String>) {
        if !self.key.is_empty() {
            found.push(self.key.clone());
        }
        found.push(self.name.clone());
        self.children.iter().for_each(|child| child.labels(found));
    }

    fn search(
        &self,
        above: &str,
        wanted: &dyn Fn(&str, &Self) -> Option<String>,
    ) -> Option<String> {
        let label = self.label(above);
        if !self.texts.is_empty() && !self.is_key {
            return wanted(label, self);
        }
        self.children.iter().find_map(|child| child.search(label, wanted))
    }

    /// Lays another sample of the same message over this one.
    pub(super) fn merge(&mut self, other: Self) {
        self.seen = self.seen.saturating_add(other.seen);
        self.repeats |= other.repeats;
        for text in other.texts {
            if !self.texts.contains(&text) {
                self.texts.push(text);
            }
        }
        if self.sort == Sort::Quoted && self.first().is_empty() {
            self.sort = other.sort;
        }
        for child in other.children {
            self.add(child, false);
        }
        for child in &mut self.children {
            child.chances = child.chances.max(self.seen);
        }
    }

    /// Takes a child in; `beside` is whether one of its name beside it means that it repeats.
    fn add(&mut self, child: Self, beside: bool) {
        let is_item = child.name.is_empty();
        let same = |known: &&mut Self| {
            known.name == child.name
                && known.key == child.key
                && (known.sort == Sort::Attribute) == (child.sort == Sort::Attribute)
        };
        match self.children.iter_mut().find(same) {
            Some(known) => {
                let chances = known.chances.saturating_add(child.chances);
                known.repeats |= beside;
                known.merge(child);
                if beside {
                    known.chances = chances;
                }
            }
            None => {
                self.children.push(Self { repeats: child.repeats || (is_item && beside), ..child })
            }
        }
    }
}
