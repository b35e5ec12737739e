//! Cutting a mixed leaf into the pieces of its holes. Where a cut could fall in two places the
//! checker has refused the contract, so cutting here never chooses.

use std::ops::Range;

use crate::{
    codec::Codec,
    template::{Hole, Leaf, Piece},
};

/// How a hole's piece ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End<'l> {
    /// Before this literal, which the piece cannot hold.
    Before(&'l str),
    /// After so many characters.
    Width(usize),
    /// With the text.
    Text,
    /// Nothing tells.
    Uncertain,
}

/// How the piece of the hole at `number` ends.
pub(crate) fn end_of<'l>(leaf: &'l Leaf, number: usize) -> End<'l> {
    let Some(Piece::Hole(hole)) = leaf.pieces.get(number) else { return End::Uncertain };
    match leaf.pieces.get(number.saturating_add(1)) {
        None => End::Text,
        Some(Piece::Literal(text)) if keeps_off(hole, text) => End::Before(text),
        Some(_) => hole.codec().width().map_or(End::Uncertain, End::Width),
    }
}

/// Whether a written value never holds the literal: by its form, or because free text with a
/// separator inside is refused.
fn keeps_off(hole: &Hole, literal: &str) -> bool {
    let codec = match hole.codec() {
        Codec::List { item, .. } => item,
        codec => codec,
    };
    matches!(codec, Codec::Text | Codec::Id) || !hole.codec().may_contain(literal)
}

/// Whether a separator of the leaf inside this piece would move a cut. Free text may then not hold
/// it.
pub(crate) fn forbids(leaf: &Leaf, piece: &str) -> bool {
    leaf.separators().any(|separator| piece.contains(separator))
}

/// The pieces of a text, one range of bytes for each hole; `None` if the text is not made as the
/// leaf says.
pub(crate) fn cut(leaf: &Leaf, text: &str) -> Option<Vec<Range<usize>>> {
    let (mut pieces, mut at) = (Vec::new(), 0_usize);
    for (number, piece) in leaf.pieces.iter().enumerate() {
        let rest = text.get(at..)?;
        match piece {
            Piece::Literal(literal) => {
                rest.strip_prefix(&**literal)?;
                at = at.saturating_add(literal.len());
            }
            Piece::Hole(_) => {
                let length = match end_of(leaf, number) {
                    End::Before(literal) => rest.find(literal)?,
                    End::Width(width) => {
                        rest.char_indices().nth(width).map_or(rest.len(), |(at, _)| at)
                    }
                    End::Text => rest.len(),
                    End::Uncertain => return None,
                };
                let end = at.saturating_add(length);
                pieces.push(at..end);
                at = end;
            }
        }
    }
    // One separator too many ends up in the last piece: then the text has more pieces than the
    // leaf.
    let last = pieces.last().and_then(|range| text.get(range.clone()))?;
    let last_is_free = matches!(leaf.pieces.last(), Some(Piece::Hole(hole)) if free(hole));
    (at == text.len() && !(last_is_free && forbids(leaf, last))).then_some(pieces)
}

/// Whether a hole takes any text.
pub(crate) fn free(hole: &Hole) -> bool {
    matches!(hole.codec(), Codec::Text | Codec::Id)
}
