//! What bytes mean: UTF-8 or GB18030, decoded strictly and written without replacements.
//!
//! Decoding ignores what a document claims about itself: the contract decides. The mapping is the
//! WHATWG one (encoding_rs), save that the byte 0x80, which WHATWG reads as a euro sign, is
//! refused: it is no GB18030. A character that cannot be written is an error, never `?` and never a
//! character reference. Source: GB 18030-2022; WHATWG Encoding Standard, section 10.2.

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
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Gb18030 => "GB18030",
        }
    }

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
                // Only a byte 0x80 that was read as a euro sign is a fault; it is a good second
                // byte.
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
                let doubtful = unmappable || text.contains(in_private_use);
                match doubtful.then(|| first_unmappable(text)).flatten() {
                    Some(unmappable) => Err(unmappable),
                    None => Ok(bytes),
                }
            }
        }
    }

    /// Where a byte of decoded text stood in the bytes it was decoded from; their end for the
    /// text's end and beyond. Inside a character, that character's first byte.
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

/// The characters of GB18030 bytes, each as its one, two or four bytes; whether they mean anything
/// is not looked at.
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

/// Whether it is of the private use area, parts of which the standard gave up for characters proper: encoders still take
/// such a one, and it is read back as another.
fn in_private_use(character: char) -> bool {
    ('\u{e000}'..='\u{f8ff}').contains(&character)
}

/// The first character that has no code, or whose code means another.
fn first_unmappable(text: &str) -> Option<Unmappable> {
    text.char_indices()
        .find(|(_, character)| {
            let mut buffer = [0; 4];
            let alone: &str = character.encode_utf8(&mut buffer);
            let (bytes, _, unmappable) = GB18030.encode(alone);
            let read = GB18030.decode_without_bom_handling_and_without_replacement(&bytes);
            unmappable || read.as_deref() != Some(alone)
        })
        .map(|(at, character)| Unmappable { character, at })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(serde::Deserialize)]
    struct Vectors {
        cases: Vec<Case>,
    }

    #[derive(serde::Deserialize)]
    struct Case {
        hex: String,
        text: Option<String>,
        error: Option<usize>,
        written: Option<String>,
        why: String,
    }

    #[test]
    fn every_character_there_is_survives_gb18030_or_is_refused_at_its_place() {
        let mut refused = Vec::new();
        let mut survived = 0_usize;
        for character in '\0'..=char::MAX {
            let text = format!("甲{character}");
            match Charset::Gb18030.encode(&text) {
                Ok(bytes) => {
                    assert_eq!(Charset::Gb18030.decode(&bytes).as_deref(), Ok(text.as_str()));
                    survived += 1;
                }
                Err(unmappable) => refused.push((character, unmappable)),
            }
        }
        // All of them are of the private use area, of which the standard has given parts to characters proper.
        assert!(refused.iter().all(|(character, _)| in_private_use(*character)));
        assert_eq!((refused.len(), survived), (19, 1_112_064 - 19));
        assert!(refused.iter().all(|(_, unmappable)| unmappable.at == '甲'.len_utf8()));
    }

    #[test]
    fn gb18030_is_read_and_written_as_the_vectors_say() {
        let vectors = include_str!("../../../contracts/standard/vectors/gb18030.json");
        let vectors: Vectors = serde_json::from_str(vectors).unwrap();
        assert!(vectors.cases.len() >= 60, "{}", vectors.cases.len());
        for case in vectors.cases {
            let bytes = hex::decode(&case.hex).unwrap();
            let decoded = Charset::Gb18030.decode(&bytes);
            match (&case.text, case.error) {
                (Some(text), None) => {
                    assert_eq!(decoded.as_deref(), Ok(text.as_str()), "{}: {}", case.why, case.hex);
                    let written = hex::encode(Charset::Gb18030.encode(text).unwrap());
                    assert_eq!(written, case.written.unwrap_or(case.hex), "{}", case.why);
                }
                (None, Some(at)) => {
                    assert_eq!(decoded, Err(BadByte { at }), "{}: {}", case.why, case.hex)
                }
                odd => panic!("{}: neither text nor error: {odd:?}", case.why),
            }
        }
    }

    #[test]
    fn a_second_byte_of_80_is_good_even_beside_a_euro_sign() {
        let bytes = [0xa2, 0xe3, 0x81, 0x80]; // € and 亐
        let text = Charset::Gb18030.decode(&bytes).unwrap();
        assert_eq!(text, "€亐");
        assert_eq!(Charset::Gb18030.decode(&[0x81, 0x80, 0x80]), Err(BadByte { at: 2 }));
    }

    #[test]
    fn labels_mean_their_charset_in_any_case() {
        for label in ["GB18030", "gb-18030", "GBK", "gb2312", "CP936"] {
            assert_eq!(Charset::named(label), Some(Charset::Gb18030), "{label}");
        }
        assert_eq!(Charset::named("utf-8"), Some(Charset::Utf8));
        for label in ["", "latin1", "big5", "utf-16", "hz-gb-2312"] {
            assert_eq!(Charset::named(label), None, "{label}");
        }
    }

    #[test]
    fn utf_8_is_strict_and_keeps_its_mark() {
        assert_eq!(Charset::Utf8.decode(b"\xef\xbb\xbf<a/>").as_deref(), Ok("\u{feff}<a/>"));
        for (bytes, at) in [
            (&b"a\xff"[..], 1),
            (b"\xed\xa0\x80", 0),      // a surrogate
            (b"ab\xc0\xaf", 2),        // an overlong slash
            (b"\xe4\xb8", 0),          // cut
            (b"a\xf4\x90\x80\x80", 1), // beyond the last character
        ] {
            assert_eq!(Charset::Utf8.decode(bytes), Err(BadByte { at }));
        }
    }

    #[test]
    fn what_cannot_be_written_is_refused_not_replaced() {
        // U+E5E5 is the one character GB18030 has no code for here.
        let refused = Charset::Gb18030.encode("甲\u{e5e5}");
        assert_eq!(refused, Err(Unmappable { character: '\u{e5e5}', at: 3 }));
        let reference = Charset::Gb18030.encode("&#58853;?").unwrap();
        assert_eq!(reference.as_ref(), b"&#58853;?");
    }

    proptest! {
        #[test]
        fn offsets_lead_back_to_the_character_s_bytes(text in "[ -~中é𠮷䶮€㛃\u{9fb4}\r\n]{0,20}") {
            let bytes = Charset::Gb18030.encode(&text).unwrap();
            for (offset, _) in text.char_indices() {
                let at = Charset::Gb18030.byte_offset(&bytes, offset);
                let before = Charset::Gb18030.encode(text.split_at(offset).0).unwrap();
                prop_assert_eq!(at, before.len());
            }
            prop_assert_eq!(Charset::Gb18030.byte_offset(&bytes, text.len()), bytes.len());
        }

        #[test]
        fn any_bytes_are_read_or_refused_at_a_character(bytes: Vec<u8>) {
            for charset in [Charset::Utf8, Charset::Gb18030] {
                match charset.decode(&bytes) {
                    Ok(text) => {
                        prop_assert_eq!(charset.byte_offset(&bytes, text.len()), bytes.len())
                    }
                    Err(bad) => {
                        // What stands before it is good, so it is the first.
                        let before = charset.decode(&bytes[..bad.at]);
                        prop_assert!(before.is_ok(), "{:?} at {}", bytes, bad.at);
                        prop_assert!(bad.at < bytes.len());
                    }
                }
            }
        }
    }
}
