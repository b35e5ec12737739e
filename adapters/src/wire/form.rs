//! The body of an HTTP form (`application/x-www-form-urlencoded`): fields with their values, and
//! where the bytes of a value stood.
//!
//! Knows no charset: what the bytes of a value mean is for the layers above. Source: WHATWG URL
//! Standard, section 5.

use std::borrow::Cow;

/// One field as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'b> {
    /// Its name, still escaped.
    pub(super) name: &'b [u8],
    /// Where the name begins in the body.
    pub(super) at: usize,
    /// Its value, still escaped.
    pub(super) value: &'b [u8],
    /// Where the value begins in the body.
    pub(super) value_at: usize,
}

/// The fields of a body, in order.
pub(super) fn fields(body: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0_usize;
    let pairs = body.split(|byte| *byte == b'&').map(move |pair| {
        let from = at;
        at = at.saturating_add(pair.len()).saturating_add(1);
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(cut) => pair.split_at_checked(cut).unwrap_or((pair, &[])),
            None => (pair, &[][..]),
        };
        let value = value.strip_prefix(b"=").unwrap_or(value);
        let value_at = from.saturating_add(pair.len().saturating_sub(value.len()));
        Field { name, at: from, value, value_at }
    });
    pairs.filter(|field| !field.name.is_empty() || !field.value.is_empty())
}

/// The bytes that an escaped text means.
///
/// # Errors
/// Where a `%` is not followed by two hexadecimal digits.
pub(super) fn unescape(text: &[u8]) -> Result<Cow<'_, [u8]>, usize> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Ok(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut at = 0_usize;
    while let Some((byte, length)) = byte_at(text, at) {
        bytes.push(byte.ok_or(at)?);
        at = at.saturating_add(length);
    }
    Ok(Cow::Owned(bytes))
}

/// Where a byte of the unescaped text stands in the escaped one; its end for the end and beyond.
pub(super) fn escaped_offset(text: &[u8], offset: usize) -> usize {
    let mut at = 0_usize;
    for _ in 0..offset {
        let Some((_, length)) = byte_at(text, at) else { return at };
        at = at.saturating_add(length);
    }
    at
}

/// The byte that stands somewhere, if the escape is whole, and how many bytes it takes there.
fn byte_at(text: &[u8], at: usize) -> Option<(Option<u8>, usize)> {
    let (first, rest) = text.get(at..)?.split_first()?;
    match first {
        b'+' => Some((Some(b' '), 1)),
        b'%' => {
            let digits = rest.get(..2).and_then(|digits| hex::decode(digits).ok());
            Some((digits.and_then(|bytes| bytes.first().copied()), 3))
        }
        byte => Some((Some(*byte), 1)),
    }
}

/// Writes bytes as a form holds them.
pub(super) fn escape(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(*byte),
            b' ' => out.push(b'+'),
            byte => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_are_told_with_their_places() {
        let found: Vec<_> = fields(b"a=1&&b=x%3D=y&c")
            .map(|field| (field.name, field.at, field.value, field.value_at))
            .collect();
        let (a, b, c) = ((&b"a"[..], 0, &b"1"[..], 2), (&b"b"[..], 5, &b"x%3D=y"[..], 7), b"c");
        assert_eq!(found, [a, b, (&c[..], 14, &b""[..], 15)]);
    }

    #[test]
    fn a_broken_escape_is_told_where_it_stands() {
        assert_eq!(unescape(b"ab+%41").as_deref(), Ok(&b"ab A"[..]));
        for (text, at) in [(&b"a%4"[..], 1), (b"%", 0), (b"ab%zz", 2), (b"%4%1", 0)] {
            assert_eq!(unescape(text), Err(at));
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_means_the_same(bytes: Vec<u8>) {
            let mut escaped = Vec::new();
            escape(&bytes, &mut escaped);
            let meant = unescape(&escaped).unwrap();
            prop_assert_eq!(meant.as_ref(), &bytes[..]);
            prop_assert_eq!(escaped_offset(&escaped, bytes.len()), escaped.len());
        }
    }
}
