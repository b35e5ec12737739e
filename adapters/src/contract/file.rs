//! `contract.toml` as it is written.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use super::Complaint;
use crate::{
    codec::CodeTable,
    wire::{Charset, HttpRoute, Media, Prefix, Wire},
};

/// The file's name in a contract's folder.
pub(super) const NAME: &str = "contract.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) bank: String,
    pub(super) version: String,
    /// From, and, once it has ended, to.
    pub(super) in_force: Spanned<Vec<String>>,
    /// The file of shared parts.
    pub(super) parts: Option<Spanned<String>>,
    wire: Spanned<WireTable>,
    pub(super) key: Option<KeyTable>,
    #[serde(default)]
    codes: BTreeMap<String, Spanned<toml::Table>>,
    pub(super) messages: BTreeMap<String, Spanned<Message>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyTable {
    pub(super) build: Spanned<String>,
    #[serde(default)]
    pub(super) retry_may_change: Vec<Spanned<String>>,
}

/// One line of `[messages]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message {
    pub(super) subject: Option<String>,
    pub(super) request: Option<String>,
    pub(super) reply: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) notice: Option<String>,
    pub(super) ack: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireTable {
    media: String,
    charset: String,
    prefix: Option<PrefixTable>,
    http: Option<HttpTable>,
    declaration: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixTable {
    digits: u8,
    #[serde(default)]
    counts_itself: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HttpTable {
    path: String,
    content_type: String,
}

impl File {
    pub(super) fn read(text: &str) -> Result<Self, Complaint> {
        toml::from_str(text)
            .map_err(|error| complaint(error.span().unwrap_or(0..0), error.message().to_owned()))
    }

    pub(super) fn wire(&self) -> Result<Wire, Vec<Complaint>> {
        let mut complaints = Vec::new();
        let mut complain = |message: String| {
            complaints.push(complaint(self.wire.span(), message));
        };
        let table = self.wire.get_ref();
        let media = match table.media.as_str() {
            "xml" => Some(Media::Xml),
            "json" => Some(Media::Json),
            other => {
                complain(format!("media `{other}`: `xml` or `json`"));
                None
            }
        };
        let charset = Charset::named(&table.charset);
        if charset.is_none() {
            complain(format!("charset `{}`: UTF-8 or GB18030, or a name of theirs", table.charset));
        }
        let prefix = table.prefix.as_ref().and_then(|prefix| {
            let known = Prefix::new(prefix.digits, prefix.counts_itself);
            if known.is_none() {
                complain(format!(
                    "a length prefix has 4, 6, 8 or 10 digits, not {}",
                    prefix.digits
                ));
            }
            known
        });
        if table.prefix.is_some() == table.http.is_some() {
            complain("a contract's messages come over TCP (`prefix`) or over HTTP (`http`): say one of them".to_owned());
        }
        let http = table.http.as_ref().map(|http| HttpRoute {
            path: http.path.clone(),
            content_type: http.content_type.clone(),
        });
        match (media, charset) {
            (Some(media), Some(charset)) if complaints.is_empty() => {
                Ok(Wire { media, charset, prefix, http, declaration: table.declaration.clone() })
            }
            _ => Err(complaints),
        }
    }

    pub(super) fn tables(&self) -> Result<BTreeMap<String, Arc<CodeTable>>, Vec<Complaint>> {
        let (mut tables, mut complaints) = (BTreeMap::new(), Vec::new());
        for (name, table) in &self.codes {
            match CodeTable::parse(name, table.get_ref()) {
                Ok(table) => {
                    tables.insert(name.clone(), Arc::new(table));
                }
                Err(told) => complaints
                    .extend(told.into_iter().map(|message| complaint(table.span(), message))),
            }
        }
        if complaints.is_empty() { Ok(tables) } else { Err(complaints) }
    }
}

/// A complaint about the file itself.
pub(super) fn complaint(span: std::ops::Range<usize>, message: String) -> Complaint {
    Complaint { file: NAME.to_owned(), span, message, used_at: Vec::new() }
}
