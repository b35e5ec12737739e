//! The text of a leaf: literals and holes, `{path: codec}`, `{path?}`, `{path?=TEXT: codec}`;
//! `{{` and `}}` are literal braces.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::{Hole, Leaf, Piece, Shared, Unset};
use crate::{
    codec::{CodeTable, Codec},
    path::{Homes, Path, Pick, Scope},
};

/// What the words of a hole refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'c> {
    /// Where paths start.
    pub(crate) homes: &'c Homes,
    /// What paths with a leading dot are relative to.
    pub(crate) scope: &'c Scope,
    /// The numbered item they are relative to instead, in a part used for it.
    pub(crate) item: Option<&'c str>,
    /// The contract's code tables.
    pub(crate) tables: &'c BTreeMap<String, Arc<CodeTable>>,
    /// What the contract's templates have in common.
    pub(crate) shared: &'c Shared,
}

impl Words<'_> {
    /// Resolves a path as it is written here.
    pub(crate) fn resolve(&self, path: &str) -> Result<Arc<Path>, String> {
        let path = match (self.item, path) {
            (Some(item), ".") => self.homes.resolve(item, self.scope),
            (Some(item), path) if path.starts_with('.') => {
                self.homes.resolve(&format!("{item}{path}"), self.scope)
            }
            _ => self.homes.resolve(path, self.scope),
        };
        path.map(|path| self.shared.path(path))
    }
}

/// A complaint about a part of a text: where in it, and what.
pub(crate) type Part = (Range<usize>, String);

/// Compiles the text of a leaf. `at` is where the text begins in its file.
pub(crate) fn parse_leaf(
    text: &str,
    bare: bool,
    at: usize,
    words: Words<'_>,
) -> Result<Leaf, Part> {
    let (mut pieces, mut literal, mut rest, mut at) = (Vec::new(), String::new(), text, at);
    while let Some((before, after)) = rest.split_once('{') {
        if let Some(behind) = after.strip_prefix('{') {
            literal += &before.replace("}}", "}");
            literal.push('{');
            (rest, at) = (behind, at.saturating_add(before.len()).saturating_add(2));
            continue;
        }
        literal += &before.replace("}}", "}");
        let start = at.saturating_add(before.len());
        let Some((inside, behind)) = after.split_once('}') else {
            let told = format!("the hole `{{{after}` lacks its `}}`");
            return Err((start..start.saturating_add(after.len()), told));
        };
        let span = start..start.saturating_add(inside.len()).saturating_add(2);
        let hole = parse_hole(inside, span.clone(), words).map_err(|told| (span.clone(), told))?;
        end(&mut literal, &mut pieces);
        pieces.push(Piece::Hole(hole));
        (rest, at) = (behind, span.end);
    }
    literal += &rest.replace("}}", "}");
    end(&mut literal, &mut pieces);
    Ok(Leaf { pieces: pieces.into(), bare })
}

/// Makes a piece of the literal text so far, if there is any.
fn end(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

fn parse_hole(inside: &str, span: Range<usize>, words: Words<'_>) -> Result<Hole, String> {
    // A path has no colon, and a codec follows one; TEXT may hold colons that no blank follows.
    let (head, codec_words) = match inside.split_once(": ") {
        Some((head, codec)) => (head.trim(), codec.trim()),
        None => (inside.trim().trim_end_matches(':'), ""),
    };
    let (path, unset) = match head.split_once('?') {
        None => (head, Unset::Refused),
        Some((path, "")) => (path, Unset::Absent),
        Some((path, rest)) => match rest.strip_prefix('=') {
            Some(text) => (path, Unset::Text(text.into())),
            None => {
                return Err(format!(
                    "after `{path}?` comes `=TEXT`, a colon or the end, not `{rest}`"
                ));
            }
        },
    };
    let path = words.resolve(path)?;
    let form = words.shared.codec(codec_words, words.tables)?;
    let codec = &form.codec;
    match (path.column_list().is_some(), codec) {
        (true, Codec::List { item, .. }) => item.fits(&path.field)?,
        (true, _) => return Err(format!("`{}` is a column: say `list SEP`", path.text)),
        (false, _) if path.pick == Pick::Column => {
            return Err(format!(
                "`{}`: name a field of the items, or use `list SEP` without `[]`",
                path.text
            ));
        }
        (false, _) if path.field.is_list() && !path.itself && path.pick == Pick::Whole => {
            if !matches!(codec, Codec::List { .. } | Codec::Count) {
                return Err(format!(
                    "`{}` is a list: say `list SEP`, `count` or use `c:each`",
                    path.text
                ));
            }
            codec.fits(&path.field)?;
        }
        (false, _) => codec.fits(&path.field)?,
    }
    let personal = proto::rules::rule_of(&path.field).personal;
    Ok(Hole { path, form, unset, personal, span: span.into() })
}
