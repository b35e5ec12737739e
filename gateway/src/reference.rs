//! Pages of docs/ that are made of the code: every setting, and every code that a bank may be told.
//!
//! What they say of a key or a code is what stands beside it in the code. `make reference` writes them anew, and a test holds
//! those in docs/ to it.

use strum::EnumMessage;

mod errors;
mod settings;

/// The pages: the name of the file in docs/, and its text.
pub fn pages() -> [(&'static str, String); 2] {
    [("settings-reference.md", settings::page()), ("errors.md", errors::page())]
}

/// What is said of a code beside it.
pub(crate) fn said(code: &impl EnumMessage) -> String {
    line(code.get_documentation().unwrap_or_default()).trim_end_matches('.').to_owned()
}

/// A doc comment as one line of a table.
fn line(docs: &str) -> String {
    docs.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', r"\|")
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    #[test]
    fn the_pages_in_docs_are_those_that_the_code_makes() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        for (name, page) in super::pages() {
            let kept = fs::read_to_string(docs.join(name)).unwrap_or_default();
            let differing = page.lines().zip(kept.lines()).find(|(made, kept)| made != kept);
            assert!(page == kept, "docs/{name} is another: `make reference`. {differing:?}");
        }
    }
}
