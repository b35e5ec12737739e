//! What all pages for people share: how they are rendered and in which language, their header fields, what keeps other
//! sites from using them, and how they hear that something changed.
//!
//! A page is rendered here whole, and loads nothing but the files of `pages/` (docs/decisions/0023-pages.md). Knows no page:
//! the operators' console and the kit's registrar's desk bring their own templates.

mod guard;
mod language;
mod live;

use axum::{
    Router,
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse, Response},
    routing::get,
};
use minijinja::{Environment, Error, State, Value};
use serde::Serialize;
use time::{OffsetDateTime, macros::offset};

pub use guard::Names;
pub use language::{Language, Said};
pub use live::changes;

/// The templates of one site, and the frame around them.
#[derive(Debug)]
pub struct Pages {
    templates: Environment<'static>,
}

impl Pages {
    /// A site whose pages and files lie under `base` (`/` or `/console/`), with its templates by name (`case.html`). A
    /// template extends `frame.html`.
    ///
    /// # Errors
    /// A template that is none.
    pub fn new(
        base: &'static str,
        templates: &[(&'static str, &'static str)],
    ) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.add_global("base", base);
        environment.add_function("say", say);
        environment.add_filter("said", said);
        environment.add_filter("yuan", yuan);
        environment.add_filter("moment", moment);
        environment.add_filter("span", span);
        environment.add_filter("segment", segment);
        environment.add_template("frame.html", include_str!("pages/frame.html"))?;
        for (name, text) in templates {
            environment.add_template(name, text)?;
        }
        Ok(Self { templates: environment })
    }

    /// A page in a language. What it says of the world is in `told`; a template that fails is told to operators alone.
    pub fn show(&self, language: Language, name: &str, told: impl Serialize) -> Response {
        let said = Value::from_serialize(&told);
        let language = minijinja::context! { language => language.tag() };
        let page = self.templates.get_template(name);
        match page.and_then(|page| page.render(minijinja::context! { ..language, ..said })) {
            Ok(html) => {
                ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, name, "a page could not be rendered");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// The routes of a site under its `base`, with the files its pages load, guarded: asked for under `names` alone, changed by
/// nobody but its own pages, and shown nowhere else.
pub fn guarded(base: &str, routes: Router, names: Names) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    let routes = routes
        .route("/look.css", file("text/css; charset=utf-8", include_str!("pages/look.css")))
        .route("/live.js", file("text/javascript; charset=utf-8", include_str!("pages/live.js")))
        .route("/mark.svg", file("image/svg+xml", include_str!("pages/mark.svg")));
    let placed = match base {
        "/" => routes,
        base => Router::new().nest(base, routes),
    };
    // Outside of the base, so that it sees addresses whole.
    placed.layer(middleware::from_fn_with_state(names, guard::keep))
}

/// `say("受理", "Accept")`: what stands in the page's language.
fn say(state: &State<'_, '_>, chinese: String, english: String) -> String {
    match language_of(state) {
        Language::Chinese => chinese,
        Language::English => english,
    }
}

/// `"CaseStatus.REGISTERED"|said`: what `pages/words.toml` has for it.
fn said(state: &State<'_, '_>, name: String) -> String {
    language_of(state).word(&name)
}

fn language_of(state: &State<'_, '_>) -> Language {
    let tag = state.lookup("language");
    tag.and_then(|tag| tag.as_str().and_then(Language::of_tag)).unwrap_or_default()
}

/// Fen as 元 with its thousands apart: `1,200,000.00`.
pub(crate) fn yuan(fen: i64) -> String {
    let (sign, whole) = if fen < 0 { ("-", fen.unsigned_abs()) } else { ("", fen.unsigned_abs()) };
    let digits = (whole / 100).to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}.{:02}", whole % 100)
}

/// A text as one segment of an address, slashes included.
pub(crate) fn segment(text: String) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes().fold(String::with_capacity(text.len()), |mut address, byte| {
        match plain(byte) {
            true => address.push(char::from(byte)),
            false => address.push_str(&format!("%{byte:02X}")),
        }
        address
    })
}

/// Milliseconds as people say them: `830 ms`, `12.4 s`, `7 min`, `3 h`, `5 d`.
fn span(ms: i64) -> String {
    let whole = ms.unsigned_abs();
    match whole {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{}.{} s", ms / 1_000, whole % 1_000 / 100),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// Seconds since 1970 as a clock in Asia/Shanghai shows them: `2026-03-05 09:12:34`.
pub fn moment(seconds: i64) -> String {
    let Ok(moment) = OffsetDateTime::from_unix_timestamp(seconds) else { return String::new() };
    let moment = moment.to_offset(offset!(+8));
    let (date, (hour, minute, second)) = (moment.date(), moment.to_hms());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_moments_are_written_as_people_here_write_them() {
        for (fen, written) in
            [(0, "0.00"), (5, "0.05"), (123_456_789, "1,234,567.89"), (-100_000, "-1,000.00")]
        {
            assert_eq!(yuan(fen), written);
        }
        assert_eq!(moment(1_772_673_154), "2026-03-05 09:12:34");
        assert_eq!(segment("a/b 号".to_owned()), "a%2Fb%20%E5%8F%B7");
        let spans = [0, 830, 12_449, 420_000, 11_000_000, 432_000_000].map(span);
        assert_eq!(spans, ["0 ms", "830 ms", "12.4 s", "7 min", "3 h", "5 d"]);
    }

    #[test]
    fn a_page_is_said_in_its_language_and_escapes_what_it_is_given() {
        let text = "{{ say('受理', 'Accept') }} {{ 'CaseStatus.REGISTERED'|said }} {{ name }}";
        let pages = Pages::new("/", &[("a.html", text)]).unwrap();
        let render = |tag: &str| {
            let page = pages.templates.get_template("a.html").unwrap();
            page.render(minijinja::context! { language => tag, name => "<b>" }).unwrap()
        };
        assert_eq!(render("zh"), "受理 已登簿 &lt;b&gt;");
        assert_eq!(render("en"), "Accept Registered &lt;b&gt;");
    }
}
