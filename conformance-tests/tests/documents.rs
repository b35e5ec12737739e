//! What the documents show works as they show it. Reads them from the tree; changes nothing.

use std::fs;
use std::path::Path;

use gateway::settings::Settings;

#[test]
fn the_settings_that_are_shown_are_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = fs::read_to_string(root.join("docs/settings.md")).unwrap();
    let example =
        document.split("```toml").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let problems = Settings::parse(example, Path::new("directlink.toml")).err().unwrap_or_default();
    assert!(problems.is_empty(), "{problems:#?}");
}
