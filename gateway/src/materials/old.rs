//! Materials that are old: long ago they were handed to their registry, before the filing that names them, and nothing here
//! needs them any more. Whoever does, uploads again.
//!
//! What is old is said by the store: when the last object of a material was written, by the store's own clock. Any number of
//! replicas may delete at a time.

use std::{collections::HashMap, time::Duration};

use futures_util::TryStreamExt;
use object_store::{Error, ObjectStore, ObjectStoreExt, path::Path};
use time::OffsetDateTime;

use super::{MaterialError, Materials, WHOLE};

impl Materials {
    /// Deletes what was last uploaded, whole or in part, longer than `age` ago; tells of how many materials.
    ///
    /// # Errors
    /// [`MaterialError::Store`].
    pub async fn forget(&self, age: Duration) -> Result<u32, MaterialError> {
        let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let before = OffsetDateTime::now_utc().unix_timestamp().saturating_sub(age);
        let mut forgotten = 0_u32;
        for institution in self.store.list_with_delimiter(None).await?.common_prefixes {
            let mut written: HashMap<Path, i64> = HashMap::new();
            let mut listed = self.store.list(Some(&institution));
            while let Some(object) = listed.try_next().await? {
                let material = Path::from_iter(object.location.parts().take(2));
                let at = object.last_modified.timestamp();
                written.entry(material).and_modify(|last| *last = at.max(*last)).or_insert(at);
            }
            for (material, _) in written.iter().filter(|(_, last)| **last < before) {
                // The list was long, and it may have been uploaded again since.
                if last_written(&*self.store, material).await?.is_some_and(|last| last < before) {
                    delete(&*self.store, material).await?;
                    forgotten = forgotten.saturating_add(1);
                }
            }
        }
        Ok(forgotten)
    }
}

/// When the last object of a material was written, in seconds since 1970; `None` if there is none.
async fn last_written(
    store: &dyn ObjectStore,
    material: &Path,
) -> Result<Option<i64>, MaterialError> {
    let mut last = None;
    let mut listed = store.list(Some(material));
    while let Some(object) = listed.try_next().await? {
        last = last.max(Some(object.last_modified.timestamp()));
    }
    Ok(last)
}

/// Deletes what there is of a material. That it is whole is the first to go: cut off in the middle, this leaves an upload that
/// broke off.
pub(super) async fn delete(store: &dyn ObjectStore, material: &Path) -> Result<(), MaterialError> {
    delete_one(store, &material.clone().join(WHOLE)).await?;
    let mut listed = store.list(Some(material));
    while let Some(object) = listed.try_next().await? {
        delete_one(store, &object.location).await?;
    }
    Ok(())
}

/// Deletes an object, which another may have deleted meanwhile.
pub(super) async fn delete_one(
    store: &dyn ObjectStore,
    object: &Path,
) -> Result<(), MaterialError> {
    match store.delete(object).await {
        Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use bytes::Bytes;
    use futures_util::stream;

    use super::{
        super::{Announced, Found, Sha256},
        *,
    };
    use crate::settings;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    async fn take(materials: &Materials, bank: &str, content: &'static [u8]) -> Found {
        let size_bytes = u64::try_from(content.len()).unwrap();
        let announced = Announced {
            media_type: "application/pdf".into(),
            offset: 0,
            length: size_bytes,
            size_bytes,
        };
        let bytes = stream::iter([Ok::<_, ()>(Bytes::from_static(content))]);
        materials.take(bank, Sha256::of(content), &announced, bytes).await.unwrap()
    }

    /// Makes every object of a material so many days old.
    fn age(folder: &std::path::Path, bank: &str, content: &[u8], days: u32) {
        let material = folder.join(bank).join(Sha256::of(content).to_string());
        for object in fs::read_dir(material).unwrap() {
            let object = fs::File::options().write(true).open(object.unwrap().path()).unwrap();
            object.set_modified(SystemTime::now() - DAY * days).unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_not_uploaded_lately_is_deleted_and_what_was_uploaded_again_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("materials");
        let settings = settings::Materials { folder: place.clone(), ..Default::default() };
        let materials = Materials::open(&settings).unwrap();
        let (old, young) = (b"%PDF-1 old".as_slice(), b"%PDF-1 young".as_slice());
        for bank in ["one", "other"] {
            take(&materials, bank, old).await;
            age(&place, bank, old, 31);
        }
        take(&materials, "one", young).await;
        age(&place, "one", young, 29);
        take(&materials, "other", old).await;
        assert_eq!(materials.forget(DAY * 30).await.unwrap(), 1);
        let find = async |bank, content| {
            let found = materials.find(bank, Sha256::of(content)).await.unwrap();
            matches!(found, Some(Found::Whole(_)))
        };
        assert!(!find("one", old).await, "it is old");
        let part = place.join("other").join(Sha256::of(old).to_string()).join(format!("{:020}", 0));
        fs::remove_file(&part).unwrap();
        assert!(
            !find("other", old).await,
            "what lacks a part is not whole, and can be uploaded again"
        );
        take(&materials, "other", old).await;
        assert!(find("one", young).await && find("other", old).await);
        assert_eq!(materials.forget(DAY * 30).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_a_filing_names_is_kept_as_if_it_had_been_uploaded_then() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("materials");
        let settings = settings::Materials { folder: place.clone(), ..Default::default() };
        let materials = Materials::open(&settings).unwrap();
        let (named, other) = (b"%PDF-1 named".as_slice(), b"%PDF-1 other".as_slice());
        for content in [named, other] {
            take(&materials, "one", content).await;
            age(&place, "one", content, 31);
        }
        let sha256 = Sha256::of(named);
        let Some(Found::Whole(stored)) = materials.find("one", sha256).await.unwrap() else {
            panic!("it was uploaded");
        };
        materials.renew("one", sha256, &stored).await.unwrap();
        assert_eq!(materials.forget(DAY * 30).await.unwrap(), 1);
        let found = materials.find("one", sha256).await.unwrap();
        assert!(matches!(found, Some(Found::Whole(whole)) if whole == stored));
    }
}
