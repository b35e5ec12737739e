//! `contract.toml` as it is written.

use std::{collections::BTreeMap, sync::Arc};

use serde::Deserialize;
use toml::Spanned;

use super::Complaint;
use crate::{
    codec::CodeTable,
    wire::{
        Charset, HttpRoute, Media, Method, Packing, Prefix, Seal, Whole, Wire,
        seal::{Algorithm, Over},
    },
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
    #[serde(default)]
    pack: PackTable,
    seal: Option<SealTable>,
    #[serde(default)]
    exact: bool,
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
    content_type: Option<String>,
    method: Option<String>,
    #[serde(default)]
    whole: bool,
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackTable {
    form: Option<String>,
    #[serde(default)]
    ignored: Vec<String>,
    #[serde(default)]
    base64: bool,
    #[serde(default)]
    gzip: bool,
    answers: Option<AnswersTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswersTable {
    form: Option<String>,
    #[serde(default)]
    base64: bool,
    #[serde(default)]
    gzip: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealTable {
    algorithm: String,
    over: String,
    field: String,
    #[serde(default = "yes")]
    answers: bool,
}

fn yes() -> bool {
    true
}

impl PackTable {
    fn packings(&self) -> (Packing, Packing) {
        let Self { form, ignored, base64, gzip, answers } = self;
        let (form, ignored) = (form.clone(), ignored.clone());
        let requests = Packing { form, ignored, base64: *base64, gzip: *gzip };
        let answers = match answers {
            Some(AnswersTable { form, base64, gzip }) => {
                Packing { form: form.clone(), ignored: Vec::new(), base64: *base64, gzip: *gzip }
            }
            // An answer is no form, unless the contract says so.
            None => Packing { form: None, ignored: Vec::new(), ..requests.clone() },
        };
        (requests, answers)
    }
}

impl SealTable {
    fn seal(&self, answers: &Packing) -> Result<Seal, String> {
        let algorithm = match self.algorithm.as_str() {
            "RSA-SHA256" => Algorithm::RsaSha256,
            "SM2-SM3" => Algorithm::Sm2Sm3,
            other => {
                return Err(format!("seal: algorithm `{other}`: `RSA-SHA256` or `SM2-SM3`"));
            }
        };
        let over = match self.over.as_str() {
            "bytes" => Over::Bytes,
            "sorted fields" => Over::SortedFields,
            other => return Err(format!("seal: over `{other}`: `bytes` or `sorted fields`")),
        };
        if over == Over::Bytes && self.answers && answers.form.is_none() {
            return Err(
                "seal: answers are no form, so a signature of their bytes has no place: say \
                        `answers = false`, or pack answers in a form"
                    .to_owned(),
            );
        }
        Ok(Seal { algorithm, over, field: self.field.clone(), answers: self.answers })
    }
}

impl HttpTable {
    fn route(&self, form: bool) -> Result<HttpRoute, String> {
        let method = match self.method.as_deref() {
            None | Some("POST") => Method::Post,
            Some("PUT") => Method::Put,
            Some(other) => return Err(format!("http: method `{other}`: `POST` or `PUT`")),
        };
        if self.whole {
            return self.whole_route(form);
        }
        let Some(content_type) = self.content_type.as_deref() else {
            return Err("http: say the `content_type` of messages".to_owned());
        };
        let plain = HttpRoute::new(&self.path, content_type);
        let request_type = if form { "application/x-www-form-urlencoded" } else { content_type };
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
        Ok(HttpRoute {
            request_type: request_type.to_owned(),
            method,
            headers: headers.collect(),
            ..plain
        })
    }

    /// What may be asked is known once the templates are.
    fn whole_route(&self, form: bool) -> Result<HttpRoute, String> {
        if form || self.method.is_some() || self.content_type.is_some() || !self.headers.is_empty()
        {
            return Err("http: with `whole`, method, media types and header fields stand in the \
                        templates, and nothing is packed"
                .to_owned());
        }
        let plain = HttpRoute::new(&self.path, "application/json");
        Ok(HttpRoute { whole: Some(Whole::default()), ..plain })
    }
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
        let (packing, answer_packing) = table.pack.packings();
        let seal = table.seal.as_ref().map(|seal| seal.seal(&answer_packing));
        let seal = seal.transpose().unwrap_or_else(|told| {
            complain(told);
            None
        });
        if seal.as_ref().is_some_and(|seal| seal.over == Over::Bytes) && packing.form.is_none() {
            complain(
                "seal: a signature of the bytes stands in a form: say `pack = { form = … }`"
                    .to_owned(),
            );
        }
        let http = table.http.as_ref().map(|http| http.route(packing.form.is_some()));
        let http = http.transpose().unwrap_or_else(|told| {
            complain(told);
            None
        });
        let whole = http.as_ref().is_some_and(|route| route.whole.is_some());
        let plain = packing == Packing::default() && answer_packing == Packing::default();
        if whole && (media != Some(Media::Json) || !plain || seal.is_some()) {
            complain("http: `whole` messages are of JSON, neither packed nor signed".to_owned());
        }
        if table.exact && media != Some(Media::Json) {
            complain("exact: only values of JSON are of different kinds".to_owned());
        }
        let declaration = table.declaration.clone();
        match (media, charset) {
            (Some(media), Some(charset)) if complaints.is_empty() => Ok(Wire {
                prefix,
                http,
                declaration,
                packing,
                answer_packing,
                seal,
                exact: table.exact,
                ..Wire::new(media, charset)
            }),
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
