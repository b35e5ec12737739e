//! The one way in which text fails to be one of this crate's types.

/// A text or number that is not what it should be. Never carries the text itself: it may be
/// personal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not {noun}: {expected}")]
pub struct Malformed {
    /// What it should have been, with its article (`a unit code`).
    pub noun: &'static str,
    /// The form that was expected.
    pub expected: &'static str,
}

/// What every checked text can do: show itself as a `&str`, be printed and be turned into a
/// `String`.
macro_rules! checked_text {
    ($name:ident) => {
        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0
            }
        }
    };
}
pub(crate) use checked_text;

/// Whether a text is 1 to `chars_max` visible ASCII characters (0x21 to 0x7E).
pub(crate) fn is_visible_ascii(text: &str, chars_max: usize) -> bool {
    (1..=chars_max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a text is canonical (no white space at its ends, no control characters) and 1 to
/// `chars_max` characters.
pub(crate) fn is_name(text: &str, chars_max: usize) -> bool {
    !text.is_empty()
        && text.trim().len() == text.len()
        && !text.chars().any(char::is_control)
        && (text.len() <= chars_max || text.chars().count() <= chars_max)
}
