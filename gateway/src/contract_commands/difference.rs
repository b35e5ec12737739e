//! `directlink contract diff`: what a bank would notice between two versions of its contract.

use std::path::Path;

use adapters::difference::differences;

use super::{End, folder::Folder, say};

pub(super) fn diff(old: &Path, new: &Path) -> End {
    // Nothing is decoded, so no keys are needed.
    let compiled = |path: &Path| Folder::read(path)?.compile().map_err(End::Wrong);
    let (old, new) = match (compiled(old), compiled(new)) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(end), _) | (_, Err(end)) => return end,
    };
    let changes = differences(&old, &new);
    for change in &changes {
        let sort = if change.breaking { "BREAKING 不兼容" } else { "harmless 兼容" };
        say(&format!("{sort}  {}: {}", change.place, change.told));
    }
    let breaking = changes.iter().filter(|change| change.breaking).count();
    say(&format!("{breaking} breaking, {} harmless", changes.len() - breaking));
    if breaking == 0 { End::Fine } else { End::Wrong(String::new()) }
}
