//! Chinese or English: which of them a reader wants, and the words of the model in both.

use std::{collections::BTreeMap, convert::Infallible, sync::LazyLock};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// The language of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// Simplified Chinese (简体中文).
    #[default]
    Chinese,
    /// English.
    English,
}

/// Something said in both languages, for whoever does not know yet who reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Said {
    /// In Chinese.
    pub chinese: String,
    /// In English.
    pub english: String,
}

impl Said {
    /// In that language.
    pub fn within(&self, language: Language) -> &str {
        match language {
            Language::Chinese => &self.chinese,
            Language::English => &self.english,
        }
    }
}

impl Language {
    /// As HTML names it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Chinese => "zh",
            Self::English => "en",
        }
    }

    /// The other way round; `None` for any other language.
    pub fn of_tag(tag: &str) -> Option<Self> {
        match tag.get(..2)? {
            "zh" => Some(Self::Chinese),
            "en" => Some(Self::English),
            _ => None,
        }
    }

    /// What `words.toml` has for a name (`field.mortgagors`, `CaseStatus.REGISTERED`); the last part of the name where it has
    /// nothing.
    pub fn word(self, name: &str) -> String {
        match WORDS.get(name) {
            Some(said) => said.within(self).to_owned(),
            None => name.rsplit('.').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether there is a word of that name.
    pub fn knows(name: &str) -> bool {
        WORDS.contains_key(name)
    }

    fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let cookies = text(header::COOKIE).unwrap_or_default().split("; ");
        let chosen = cookies.filter_map(|cookie| cookie.strip_prefix(COOKIE)?.strip_prefix('='));
        let wanted = text(header::ACCEPT_LANGUAGE).unwrap_or_default().split(',');
        chosen.chain(wanted.map(str::trim)).find_map(Self::of_tag).unwrap_or_default()
    }
}

/// Cookies know no ports: another gateway's pages on this machine have the same, and may.
const COOKIE: &str = "directlink_language";

impl<S: Sync> FromRequestParts<S> for Language {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// Where the address itself chooses a language (`?language=en`): the same page without the choice, which is remembered.
pub(super) fn chosen(uri: &Uri) -> Option<Response> {
    let pairs = || uri.query().unwrap_or_default().split('&');
    let tag = pairs().find_map(|pair| pair.strip_prefix("language="))?;
    let language = Language::of_tag(tag)?;
    let rest: Vec<_> = pairs().filter(|pair| !pair.starts_with("language=")).collect();
    // A path that begins with two slashes would lead elsewhere.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let place = if rest.is_empty() { path } else { format!("{path}?{}", rest.join("&")) };
    let cookie =
        format!("{COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Strict; HttpOnly", language.tag());
    let fields = [(header::LOCATION, place), (header::SET_COOKIE, cookie)];
    Some((StatusCode::SEE_OTHER, fields).into_response())
}

static WORDS: LazyLock<BTreeMap<String, Said>> = LazyLock::new(|| {
    let file: BTreeMap<String, BTreeMap<String, [String; 2]>> =
        toml::from_str(include_str!("words.toml")).unwrap_or_default();
    let words = file.into_iter().flat_map(|(sort, words)| {
        words.into_iter().map(move |(name, [chinese, english])| {
            (format!("{sort}.{name}"), Said { chinese, english })
        })
    });
    words.collect()
});

#[cfg(test)]
mod tests {
    use prost_reflect::{Kind, MessageDescriptor};

    use super::*;

    #[test]
    fn the_reader_chooses_then_the_browser_then_it_is_chinese() {
        let of = |fields: &[(header::HeaderName, &'static str)]| {
            let fields = fields.iter().cloned();
            Language::of(&fields.map(|(name, it)| (name, HeaderValue::from_static(it))).collect())
        };
        assert_eq!(of(&[]), Language::Chinese);
        let german = (header::ACCEPT_LANGUAGE, "de-DE, en-GB;q=0.8, zh;q=0.5");
        assert_eq!(of(std::slice::from_ref(&german)), Language::English);
        assert_eq!(
            of(&[german, (header::COOKIE, "a=b; directlink_language=zh")]),
            Language::Chinese
        );
    }

    #[test]
    fn a_choice_leads_back_to_where_it_was_made_and_nowhere_else() {
        let place = |uri: &'static str| {
            let response = chosen(&Uri::from_static(uri))?;
            Some(response.headers()[header::LOCATION].to_str().unwrap().to_owned())
        };
        assert_eq!(place("/cases/1?language=en&show=all").unwrap(), "/cases/1?show=all");
        assert_eq!(place("/?language=zh").unwrap(), "/");
        assert_eq!(place("//elsewhere.example/?language=zh").unwrap(), "/elsewhere.example/");
        assert_eq!(place("/?language=fr"), None);
        assert_eq!(place("/?show=all"), None);
    }

    #[test]
    fn everything_an_application_may_say_has_its_word_in_both_languages() {
        fn missing(of: &MessageDescriptor, told: &mut Vec<String>) {
            for field in of.fields() {
                match field.kind() {
                    Kind::Message(inner) if inner.full_name().starts_with("directlink.") => {
                        missing(&inner, told);
                    }
                    Kind::Enum(values) => {
                        let of = values.name();
                        let names = values.values().filter(|value| value.number() != 0);
                        told.extend(names.map(|value| {
                            format!("{of}.{}", proto::golden::bare_name(&values, value.name()))
                        }));
                    }
                    _ => {}
                }
                if field.containing_oneof().is_none_or(|oneof| oneof.name() != "matter") {
                    told.push(format!("field.{}", field.name()));
                } else {
                    told.push(format!("matter.{}", field.name()));
                }
            }
        }
        let mut names = Vec::new();
        for message in ["Application", "Outcome", "Encumbrance"] {
            missing(&proto::descriptors::message(message).unwrap(), &mut names);
        }
        names.retain(|name| !Language::knows(name));
        names.sort();
        names.dedup();
        assert!(names.is_empty(), "not in words.toml: {names:#?}");
        for said in WORDS.values() {
            assert!(!said.chinese.is_empty() && !said.english.is_empty(), "{said:?}");
        }
    }
}
