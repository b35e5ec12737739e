//! What bytes mean: UTF-8 or GB18030, decoded strictly and written without replacements.
//!
//! Decoding ignores what a document claims about itself: the contract decides. The mapping is the WHATWG one
//! (encoding_rs), save that the byte 0x80, which WHATWG reads as a euro sign, is refused: it is no GB18030. A character
//! that cannot be written is an error, never `?` and never a character reference. Source: GB 18030-2022; WHATWG
//! Encoding Standard, section 10.2.

#![deny(clippy::indexing_slicing, clippy::string_slice, clippy::arithmetic_side_effects)]

use std::borrow::Cow;

use encoding_rs::GB18030;

/// A charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8; a byte order mark stays in the text, where parsers pass over it.
    Utf8,
    /// GB18030, and what is called GBK, GB2312 or cp936 but carries GB18030.
    Gb18030,
}

/// Bytes that are none of the charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at} begins no character of the charset")]
pub struct BadByte {
    /// First byte of the first character that cannot be read.
    pub at: usize,
}

/// A character the charset has no code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the charset has no code for U+{:04X}", u32::from(*character))]
pub struct Unmappable {
    /// The first such character.
    pub character: char,
    /// Where it stands, in bytes of the text.
    pub at: usize,
}

impl Charset {
    /// The charset a label means, in any case; `None` for one that no contract may use.
    pub fn named(label: &str) -> Option<Self> {
        match label.to_ascii_lowercase().as_str() {
            "utf-8" | "utf8" => Some(Self::Utf8),
            "gb18030" | "gb-18030" | "gbk" | "gb2312" | "cp936" => Some(Self::Gb18030),
            _ => None,
        }
    }

    /// Bytes to text. Borrows where the bytes already are UTF-8.
    ///
    /// # Errors
    /// The first byte of the first character that is none of the charset.
    pub fn decode(self, bytes: &[u8]) -> Result<Cow<'_, str>, BadByte> {
        match self {
            Self::Utf8 => std::str::from_utf8(bytes)
                .map(Cow::Borrowed)
                .map_err(|error| BadByte { at: error.valid_up_to() }),
            Self::Gb18030 => {
                let text = GB18030
                    .decode_without_bom_handling_and_without_replacement(bytes)
                    .ok_or_else(|| BadByte { at: first_bad(bytes).unwrap_or(bytes.len()) })?;
                // Only a byte 0x80 that was read as a euro sign is a fault; it is a good second byte.
                match first_bad_euro(bytes, &text) {
                    Some(at) => Err(BadByte { at }),
                    None => Ok(text),
                }
            }
        }
    }

    /// Text to bytes.
    ///
    /// # Errors
    /// The first character the charset has no code for.
    pub fn encode(self, text: &str) -> Result<Cow<'_, [u8]>, Unmappable> {
        match self {
            Self::Utf8 => Ok(Cow::Borrowed(text.as_bytes())),
            Self::Gb18030 => {
                let (bytes, _, unmappable) = GB18030.encode(text);
                match unmappable.then(|| first_unmappable(text)).flatten() {
                    Some(unmappable) => Err(unmappable),
                    None => Ok(bytes),
                }
            }
        }
    }

    /// Where a byte of decoded text stood in the bytes it was decoded from; their end for the text's end and beyond.
    /// Inside a character, that character's first byte.
    pub fn byte_offset(self, bytes: &[u8], text_offset: usize) -> usize {
        match self {
            Self::Utf8 => text_offset.min(bytes.len()),
            Self::Gb18030 => {
                let mut told = 0_usize;
                let mut at = 0_usize;
                for unit in Units(bytes) {
                    told = told.saturating_add(decoded_length(unit).unwrap_or(unit.len()));
                    if told > text_offset {
                        return at;
                    }
                    at = at.saturating_add(unit.len());
                }
                at
            }
        }
    }
}

/// The characters of GB18030 bytes, each as its one, two or four bytes; whether they mean anything is not looked at.
struct Units<'b>(&'b [u8]);

impl<'b> Iterator for Units<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let length = match self.0 {
            [] => return None,
            [0x81..=0xfe, b'0'..=b'9', ..] => 4,
            [0x81..=0xfe, ..] => 2,
            _ => 1,
        };
        let (unit, rest) = self.0.split_at_checked(length).unwrap_or((self.0, &[]));
        self.0 = rest;
        Some(unit)
    }
}

/// Length of a character in UTF-8; `None` if it is none.
fn decoded_length(unit: &[u8]) -> Option<usize> {
    match unit {
        [0..=0x7f] => Some(1),
        [_] => None,
        _ => GB18030
            .decode_without_bom_handling_and_without_replacement(unit)
            .map(|character| character.len()),
    }
}

fn first_bad(bytes: &[u8]) -> Option<usize> {
    let mut at = 0_usize;
    for unit in Units(bytes) {
        if decoded_length(unit).is_none() {
            return Some(at);
        }
        at = at.saturating_add(unit.len());
    }
    None
}

fn first_bad_euro(bytes: &[u8], text: &str) -> Option<usize> {
    if bytes.contains(&0x80) && text.contains('€') { first_bad(bytes) } else { None }
}

fn first_unmappable(text: &str) -> Option<Unmappable> {
    text.char_indices()
        .find(|(_, character)| GB18030.encode(character.encode_utf8(&mut [0; 4])).2)
        .map(|(at, character)| Unmappable { character, at })
}
