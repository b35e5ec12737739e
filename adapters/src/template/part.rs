//! Shared parts: what several messages of a bank repeat, written once in the contract's parts file
//! and compiled anew at every place of use, as if it stood there.
//!
//! A template's spans are therefore *positions*: its own text comes first, and behind it every use
//! of a part has a stretch of its own. [`Origins`] leads from a position back to file and byte, and
//! to the place of use.

use std::{ops::Range, sync::Arc};

use super::{Shared, Span};
use crate::{
    contract::{Complaint, Place},
    tree::{Kind, NodeId, SyntaxFault, Tree},
    unify::document,
    wire::Media,
};

/// A contract's parts file.
#[derive(Debug)]
pub(crate) struct Parts<'t> {
    /// Its name in the contract's folder.
    pub(crate) file: &'t str,
    /// The document; each element or member of its root is a part of that name.
    pub(crate) tree: Tree<'t>,
}

/// Items of one numbered list in one message; who has more repeats them.
const ITEMS_MAX: usize = 100;

impl<'t> Parts<'t> {
    pub(crate) fn parse(media: Media, file: &'t str, text: &'t str) -> Result<Self, SyntaxFault> {
        document::parse_template(media, text).map(|tree| Self { file, tree })
    }

    /// The part of a name.
    pub(crate) fn find(&self, name: &str) -> Option<NodeId> {
        self.all().find(|(known, _)| *known == name).map(|(_, id)| id)
    }

    /// The names of all parts, each with where it stands.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.all().map(|(name, id)| {
            let at = self.tree.node(id).map_or(0, |node| node.at);
            (name, at..at.saturating_add(name.len()).saturating_add(1))
        })
    }

    fn all(&self) -> impl Iterator<Item = (&str, NodeId)> {
        let inside = self.tree.children(self.tree.root());
        inside
            .filter(|(_, node)| node.kind != Kind::Attribute)
            .map(|(id, node)| (node.name.as_ref(), id))
    }
}

/// The words of `c:part`: `NAME`, or `NAME FROM-TO of LIST as PATTERN`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use<'w> {
    /// The part.
    pub(crate) name: &'w str,
    /// The list whose items the part stands for, one use each.
    pub(crate) numbered: Option<Numbered<'w>>,
}

/// A list whose items a bank numbers in the names of their tags.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Numbered<'w> {
    /// The bank's number of the first item.
    pub(crate) from: usize,
    /// How many items there can be.
    pub(crate) items: usize,
    /// The list.
    pub(crate) list: &'w str,
    /// How a tag is called: `#` is the number, `*` the name in the part.
    pattern: &'w str,
}

impl<'w> Use<'w> {
    pub(crate) fn parse(text: &'w str) -> Result<Self, String> {
        let wanted = || {
            format!(
                "`{}`: `c:part` is `NAME`, or `NAME FROM-TO of LIST as PATTERN` with one `#` for \
                 the number and one `*` for the name in the part",
                text.trim()
            )
        };
        let Some((name, rest)) = text.trim().split_once(char::is_whitespace) else {
            return if text.trim().is_empty() {
                Err(wanted())
            } else {
                Ok(Self { name: text.trim(), numbered: None })
            };
        };
        let (numbers, rest) = rest.split_once(" of ").ok_or_else(wanted)?;
        let (list, pattern) = rest.split_once(" as ").ok_or_else(wanted)?;
        let (from, to) = numbers.trim().split_once('-').ok_or_else(wanted)?;
        let (from, to): (usize, usize) =
            from.parse().ok().zip(to.parse().ok()).ok_or_else(wanted)?;
        let (list, pattern) = (list.trim(), pattern.trim());
        let once = |mark: char| pattern.matches(mark).count() == 1;
        let items = to.checked_sub(from).map(|more| more.saturating_add(1));
        match items.filter(|items| *items <= ITEMS_MAX && once('#') && once('*')) {
            Some(items) => {
                Ok(Self { name, numbered: Some(Numbered { from, items, list, pattern }) })
            }
            None => Err(wanted()),
        }
    }
}

impl Numbered<'_> {
    /// What the bank calls a tag of an item; items are counted from 0.
    pub(crate) fn name(&self, item: usize, in_part: &str) -> String {
        let number = self.from.saturating_add(item).to_string();
        self.pattern.replace('#', &number).replace('*', in_part)
    }
}

/// Where the positions of one template come from.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    file: Arc<str>,
    uses: Vec<Origin>,
    end: usize,
}

/// One use of a part.
#[derive(Debug)]
struct Origin {
    from: usize,
    file: Arc<str>,
    part: Arc<str>,
    /// The words that use it.
    used: Span,
}

impl Origins {
    /// Gives back what growing has left over.
    pub(super) fn settle(&mut self) {
        self.uses.shrink_to_fit();
    }

    /// Those of a template that uses no part yet.
    pub(crate) fn new(file: &str, text: &str) -> Self {
        Self { file: file.into(), uses: Vec::new(), end: text.len().saturating_add(1) }
    }

    /// The template's own file.
    pub(crate) fn file(&self) -> &str {
        &self.file
    }

    /// Adds a use of a part; gives the position where its file begins.
    pub(crate) fn add(
        &mut self,
        parts: &Parts<'_>,
        part: &str,
        used: Range<usize>,
        shared: &Shared,
    ) -> usize {
        let from = self.end;
        let (file, part, used) = (shared.text(parts.file), shared.text(part), used.into());
        self.end = from.saturating_add(parts.tree.source.len()).saturating_add(1);
        self.uses.push(Origin { from, file, part, used });
        from
    }

    /// Whether a part is used.
    pub(crate) fn uses(&self, part: &str) -> bool {
        self.uses.iter().any(|origin| *origin.part == *part)
    }

    /// A complaint about a position.
    pub(crate) fn complaint(&self, span: Range<usize>, message: impl Into<String>) -> Complaint {
        let mut places = self.places(span).into_iter();
        let Place { file, span } = places.next().unwrap_or_default();
        Complaint { file, span, message: message.into(), used_at: places.collect() }
    }

    /// Where a position stands, then where the part is used that it stands in, and so on outwards.
    pub(crate) fn places(&self, span: Range<usize>) -> Vec<Place> {
        let (mut span, mut places) = (span, Vec::new());
        // A part is used before what stands in it has a position, so this leads to the front.
        while let Some(origin) = self.uses.iter().rfind(|origin| origin.from <= span.start) {
            let inside = |at: usize| at.saturating_sub(origin.from);
            let file = origin.file.to_string();
            places.push(Place { file, span: inside(span.start)..inside(span.end) });
            span = origin.used.range();
        }
        places.push(Place { file: self.file.to_string(), span });
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numbered_use_names_the_tags_of_each_item() {
        let used = Use::parse("party 1-3 of matter.mortgagors as 抵押人#*").unwrap();
        let numbered = used.numbered.unwrap();
        assert_eq!((used.name, numbered.list, numbered.items), ("party", "matter.mortgagors", 3));
        assert_eq!(numbered.name(0, "名称"), "抵押人1名称");
        assert_eq!(Use::parse("a 0-1 of x as *_#").unwrap().numbered.unwrap().name(1, "b"), "b_1");
    }

    #[test]
    fn words_that_say_something_else_are_refused() {
        for words in [
            "",
            "a b",
            "a 1-2",
            "a 1-2 of x",
            "a 2-1 of x as #*",
            "a 1-2 of x as *",
            "a 1-2 of x as ##*",
            "a 1-101 of x as #*",
            "a 1 of x as #*",
        ] {
            assert!(Use::parse(words).is_err(), "{words}");
        }
    }

    #[test]
    fn a_position_leads_to_its_file_and_to_every_place_of_use() {
        let parts = Parts::parse(Media::Xml, "p", "<p><a/><b/></p>").unwrap();
        let mut origins = Origins::new("t", "<t/>");
        let shared = Shared::default();
        let outer = origins.add(&parts, "a", 1..2, &shared);
        let inner = origins.add(&parts, "b", outer + 3..outer + 6, &shared);
        let place = |file: &str, span: Range<usize>| Place { file: file.to_owned(), span };
        assert_eq!(
            origins.places(inner + 7..inner + 9),
            [place("p", 7..9), place("p", 3..6), place("t", 1..2)]
        );
        assert_eq!(origins.places(1..3), [place("t", 1..3)]);
    }
}
