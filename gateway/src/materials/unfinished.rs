//! Materials of which only a part has come. An institution has so many; what it begins besides makes the oldest go.
//!
//! Each has a mark in a folder of its institution's own, which no institution's name can be, so that counting them looks at
//! nothing that is whole. A mark is as old as the last upload that left its material unfinished, and goes by age as materials do.

use futures_util::TryStreamExt;
use object_store::{ObjectStoreExt, PutPayload, path::Path};

use super::{MaterialError, Place, Sha256, old};

impl Place<'_> {
    /// Marks the material as unfinished; of `most` in all, the oldest others make room.
    pub(super) async fn begin(&self, most: usize) -> Result<(), MaterialError> {
        let mark = self.mark();
        let marks = self.store.list(Some(&self.marks()));
        let mut others: Vec<_> =
            marks.try_filter(|it| std::future::ready(it.location != mark)).try_collect().await?;
        others.sort_by_key(|it| it.last_modified);
        let surplus = others.len().saturating_add(1).saturating_sub(most);
        for other in others.iter().take(surplus) {
            let name = other.location.parts().nth(1);
            if let Some(sha256) = name.and_then(|name| Sha256::parse(name.as_ref())) {
                let other = Place { sha256, ..*self };
                // Whoever made it whole may have died before taking its mark away.
                if other.whole().await?.is_none() {
                    other.forget().await?;
                }
            }
            old::delete_one(self.store, &other.location).await?;
        }
        self.store.put(&mark, PutPayload::new()).await?;
        Ok(())
    }

    /// Takes the mark away.
    pub(super) async fn finish(&self) -> Result<(), MaterialError> {
        old::delete_one(self.store, &self.mark()).await
    }

    fn marks(&self) -> Path {
        Path::from(format!("{}.unfinished", self.institution))
    }

    fn mark(&self) -> Path {
        self.marks().join(self.sha256.to_string()).join("begun")
    }
}
