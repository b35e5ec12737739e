//! Materials (申请材料): what banks upload ahead of a filing, known by its SHA-256 and kept apart for each institution.
//!
//! A material lies in the store as the parts in which it came, an object each, and counts only once all of them are there
//! and have the digest. A part that is there is never written again, whoever uploads the same at the same time. So none is ever held in memory, an upload that broke off goes on at any replica, and nothing is
//! copied. Here is no HTTP and no registry; what may be uploaded is the settings'. Source: docs/security.md.

use std::{collections::BTreeMap, fmt, fs::DirBuilder, os::unix::fs::DirBuilderExt, sync::Arc};

use aws_lc_rs::digest::{self, SHA256};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::{
    Certificate, ClientOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    aws::AmazonS3Builder, local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use serde::{Deserialize, Serialize};

use crate::settings::Materials as Settings;

mod old;
mod unfinished;

/// A SHA-256, by which a material is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// From 64 hexadecimal digits; `None` if it is anything else.
    pub fn parse(text: &str) -> Option<Self> {
        Self::of_bytes(&hex::decode(text).ok()?)
    }

    /// From its 32 bytes; `None` if there are more or fewer.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// That of a content.
    pub fn of(content: &[u8]) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&SHA256, content).as_ref());
        Self(digest)
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex::encode(self.0))
    }
}

/// A material that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Media type, as it was uploaded.
    pub media_type: String,
    /// Length in bytes.
    pub size_bytes: u64,
    /// Lengths of its parts, in order.
    parts: Vec<u64>,
}

/// What there is of a material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    Whole(Stored),
    /// So many bytes of it, from its beginning on.
    Part {
        /// Where the upload goes on.
        offset: u64,
    },
}

/// What is said of an upload before its bytes come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// Media type.
    pub media_type: String,
    /// The byte of the material that the first one uploaded is.
    pub offset: u64,
    /// How many bytes are uploaded now.
    pub length: u64,
    /// How long the material is.
    pub size_bytes: u64,
}

/// Why a material is not taken, or not found.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// It is longer than may be.
    #[error("longer than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// Materials of its media type are not taken.
    #[error("a media type that is not taken")]
    MediaType,
    /// It does not begin as its media type does.
    #[error("not what its media type says")]
    Content,
    /// What comes is short and does not end the material.
    #[error("a part shorter than {least} bytes")]
    PartTooSmall {
        /// As many as it has to have, in bytes.
        least: u64,
    },
    /// It is to go on elsewhere, perhaps because another upload of it is under way.
    #[error("the upload goes on at byte {offset}")]
    Offset {
        /// Where.
        offset: u64,
    },
    /// It has another digest than it is known by; what there was of it is deleted.
    #[error("another digest")]
    Digest,
    /// The bytes ended before their end; what came is kept, but for an end that is shorter than a part may be.
    #[error("the upload broke off")]
    BrokeOff,
    /// The store does not work.
    #[error("the store of materials does not work")]
    Store(#[from] object_store::Error),
}

/// The store in the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoStore {
    /// The folder cannot be made.
    #[error("the folder cannot be made")]
    Folder(#[source] std::io::Error),
    /// A file that is named cannot be read.
    #[error("a file cannot be read")]
    File(#[source] std::io::Error),
    /// What is said of the store does not hold.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

/// The materials of all institutions. Cheap to copy.
#[derive(Debug, Clone)]
pub struct Materials {
    store: Arc<dyn ObjectStore>,
    settings: Arc<Settings>,
}

/// How long a part is at most; so much of an upload is in memory.
const PART_BYTES: usize = 2 * 1024 * 1024;

impl Materials {
    /// Opens the store, making its folder if it is one and not there yet. What lies in it is for nobody else on the machine.
    ///
    /// # Errors
    /// [`NoStore`].
    pub fn open(settings: &Settings) -> Result<Self, NoStore> {
        let store: Arc<dyn ObjectStore> = match &settings.s3 {
            None => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&settings.folder);
                made.map_err(NoStore::Folder)?;
                let folder = LocalFileSystem::new_with_prefix(&settings.folder)?;
                Arc::new(folder.with_automatic_cleanup(true))
            }
            Some(url) => s3(settings, url)?,
        };
        Ok(Self { store, settings: Arc::new(settings.clone()) })
    }

    /// Whether the store could be opened, as far as files tell. Makes nothing and asks nobody.
    ///
    /// # Errors
    /// [`NoStore`].
    pub fn examine(settings: &Settings) -> Result<(), NoStore> {
        match &settings.s3 {
            Some(url) => s3(settings, url).map(drop),
            None if settings.folder.exists() && !settings.folder.is_dir() => {
                Err(NoStore::Folder(std::io::ErrorKind::NotADirectory.into()))
            }
            None => Ok(()),
        }
    }

    /// What is taken, and how much.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What there is of an institution's material; `None` if there is nothing.
    ///
    /// # Errors
    /// [`MaterialError::Store`].
    pub async fn find(
        &self,
        institution: &str,
        sha256: Sha256,
    ) -> Result<Option<Found>, MaterialError> {
        let place = Place { store: &*self.store, institution, sha256 };
        if let Some(stored) = place.whole().await? {
            return Ok(Some(Found::Whole(stored)));
        }
        let offset = place.length().await?;
        Ok((offset > 0).then_some(Found::Part { offset }))
    }

    /// Takes what comes of a material, from its beginning or from where it broke off. One that is whole already counts as
    /// uploaded now, and its bytes are not read; of one that is not, an upload from the beginning forgets what there is. If the
    /// future is dropped, what came is kept but for the last part.
    ///
    /// # Errors
    /// [`MaterialError`].
    pub async fn take<E>(
        &self,
        institution: &str,
        sha256: Sha256,
        announced: &Announced,
        bytes: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<Found, MaterialError> {
        let place = Place { store: &*self.store, institution, sha256 };
        if let Some(stored) = place.whole().await? {
            place.conclude(&stored).await?;
            return Ok(Found::Whole(stored));
        }
        self.check(announced)?;
        let is_fresh = announced.offset == 0;
        if is_fresh {
            place.forget().await?;
        } else {
            let offset = place.length().await?;
            if offset != announced.offset {
                return Err(MaterialError::Offset { offset });
            }
        }
        let mut writing = Writing {
            place,
            settings: &self.settings,
            size_bytes: announced.size_bytes,
            at: announced.offset,
            part: BytesMut::new(),
            written: Vec::new(),
            is_marked: false,
        };
        let mut digest = digest::Context::new(&SHA256);
        let (mut left, mut bytes) = (announced.length, std::pin::pin!(bytes));
        let mut beginning = is_fresh.then(|| beginning_of(&announced.media_type)).flatten();
        while let Some(piece) = bytes.next().await {
            let Ok(piece) = piece else {
                return Err(writing.break_off().await?);
            };
            left = left
                .checked_sub(u64::try_from(piece.len()).unwrap_or(u64::MAX))
                .ok_or(MaterialError::TooLarge { limit: announced.length })?;
            digest.update(&piece);
            if let Some(expected) = beginning.filter(|_| writing.at == 0) {
                let so_far = writing.part.iter().chain(&piece).take(expected.len());
                if !so_far.zip(expected).all(|(found, expected)| found == expected) {
                    return Err(MaterialError::Content);
                }
                if writing.part.len().saturating_add(piece.len()) >= expected.len() {
                    beginning = None;
                }
            }
            writing.add(piece).await?;
        }
        if left > 0 || beginning.is_some() {
            return Err(writing.break_off().await?);
        }
        writing.flush().await?;
        let Writing { place, at, written, is_marked, .. } = writing;
        if at < announced.size_bytes {
            return Ok(Found::Part { offset: at });
        }
        let there = place.listed().await?;
        let parts: Vec<u64> = there.iter().map(|part| part.length).collect();
        // Some were deleted meanwhile, as too old or by an upload from the beginning.
        if parts.iter().sum::<u64>() != announced.size_bytes {
            place.forget().await?;
            return Err(MaterialError::BrokeOff);
        }
        // What counts is what lies there. That is what came here only if it was all written here, and nothing of it since.
        let is_what_came = there == written && there.iter().all(|part| part.e_tag.is_some());
        let found = if is_what_came { digest.finish() } else { place.digest(&parts).await? };
        if found.as_ref() != sha256.as_bytes() {
            place.forget().await?;
            return Err(MaterialError::Digest);
        }
        let media_type = announced.media_type.clone();
        let stored = Stored { media_type, size_bytes: announced.size_bytes, parts };
        place.conclude(&stored).await?;
        if is_marked || !is_fresh {
            place.finish().await?;
        }
        Ok(Found::Whole(stored))
    }

    /// Has a material that is whole count as uploaded now: a filing names it.
    ///
    /// # Errors
    /// [`MaterialError::Store`].
    pub async fn renew(
        &self,
        institution: &str,
        sha256: Sha256,
        stored: &Stored,
    ) -> Result<(), MaterialError> {
        Place { store: &*self.store, institution, sha256 }.conclude(stored).await
    }

    /// The bytes of a material that is whole, in order, in pieces of 64 KiB at most.
    pub fn bytes(
        &self,
        institution: &str,
        sha256: Sha256,
        stored: &Stored,
    ) -> impl Stream<Item = Result<Bytes, MaterialError>> + Send + 'static + use<> {
        let store = Arc::clone(&self.store);
        let paths = part_paths(institution, sha256, &stored.parts);
        let parts = stream::iter(paths).then(move |path| {
            let store = Arc::clone(&store);
            async move { Ok::<_, MaterialError>(store.get(&path).await?.into_stream()) }
        });
        let bytes = parts.map_ok(|part| part.map_err(MaterialError::from)).try_flatten();
        bytes.map_ok(|bytes| stream::iter(slices(bytes).map(Ok))).try_flatten()
    }

    fn check(&self, announced: &Announced) -> Result<(), MaterialError> {
        let Settings { bytes_max, part_bytes_min, media_types, .. } = &*self.settings;
        if announced.size_bytes > *bytes_max {
            return Err(MaterialError::TooLarge { limit: *bytes_max });
        }
        if !media_types.contains(&announced.media_type) {
            return Err(MaterialError::MediaType);
        }
        let end = announced.offset.checked_add(announced.length);
        if announced.length == 0 || end.is_none_or(|end| end > announced.size_bytes) {
            return Err(MaterialError::BrokeOff);
        }
        if announced.length < *part_bytes_min && end != Some(announced.size_bytes) {
            return Err(MaterialError::PartTooSmall { least: *part_bytes_min });
        }
        Ok(())
    }
}

/// The S3 store that settings name.
fn s3(settings: &Settings, url: &str) -> Result<Arc<dyn ObjectStore>, NoStore> {
    let mut options = ClientOptions::new().with_allow_http(true);
    if let Some(file) = &settings.s3_ca {
        let pem = std::fs::read(file).map_err(NoStore::File)?;
        for certificate in Certificate::from_pem_bundle(&pem)? {
            options = options.with_root_certificate(certificate);
        }
    }
    let mut builder = AmazonS3Builder::new().with_url(url).with_client_options(options);
    if let Some(endpoint) = &settings.s3_endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.s3_region {
        builder = builder.with_region(region);
    }
    if let (Some(id), Some(file)) = (&settings.s3_access_key, &settings.s3_secret_file) {
        let secret = std::fs::read_to_string(file).map_err(NoStore::File)?;
        builder = builder.with_access_key_id(id).with_secret_access_key(secret.trim());
    }
    let prefix = url.splitn(4, '/').nth(3).unwrap_or_default();
    Ok(Arc::new(PrefixStore::new(builder.build()?, prefix)))
}

/// Where one institution's material lies in the store.
struct Place<'p> {
    store: &'p dyn ObjectStore,
    institution: &'p str,
    sha256: Sha256,
}

/// The object that says that a material is whole.
const WHOLE: &str = "whole";

/// A part as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    length: u64,
    /// Another one each time the object is written.
    e_tag: Option<String>,
}

impl Place<'_> {
    fn folder(&self) -> Path {
        Path::from_iter([self.institution, &self.sha256.to_string()])
    }

    async fn whole(&self) -> Result<Option<Stored>, MaterialError> {
        let found = match self.store.get(&self.folder().join(WHOLE)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // One that cannot be read, or lacks parts, is as good as none: the upload begins anew.
        let Ok(stored) = serde_json::from_slice::<Stored>(&found) else { return Ok(None) };
        Ok((self.parts().await? == stored.parts).then_some(stored))
    }

    async fn conclude(&self, stored: &Stored) -> Result<(), MaterialError> {
        // A structure of texts and numbers always becomes JSON.
        let told = serde_json::to_vec(stored).unwrap_or_default();
        self.store.put(&self.folder().join(WHOLE), PutPayload::from(told)).await?;
        Ok(())
    }

    /// The parts that are there from the beginning on without a gap.
    async fn listed(&self) -> Result<Vec<Part>, MaterialError> {
        let folder = self.folder();
        let mut there = BTreeMap::new();
        let mut listed = self.store.list(Some(&folder));
        while let Some(object) = listed.try_next().await? {
            let offset = object.location.filename().and_then(|name| name.parse::<u64>().ok());
            let part = Part { length: object.size, e_tag: object.e_tag };
            there.extend(offset.map(|offset| (offset, part)));
        }
        let (mut parts, mut at) = (Vec::new(), 0_u64);
        while let Some(part) = there.remove(&at).filter(|part| part.length > 0) {
            at = at.saturating_add(part.length);
            parts.push(part);
        }
        Ok(parts)
    }

    /// Their lengths.
    async fn parts(&self) -> Result<Vec<u64>, MaterialError> {
        Ok(self.listed().await?.into_iter().map(|part| part.length).collect())
    }

    async fn length(&self) -> Result<u64, MaterialError> {
        Ok(self.parts().await?.iter().sum())
    }

    async fn digest(&self, parts: &[u64]) -> Result<digest::Digest, MaterialError> {
        let mut digest = digest::Context::new(&SHA256);
        for path in part_paths(self.institution, self.sha256, parts) {
            let mut bytes = self.store.get(&path).await?.into_stream();
            while let Some(bytes) = bytes.try_next().await? {
                digest.update(&bytes);
            }
        }
        Ok(digest.finish())
    }

    async fn forget(&self) -> Result<(), MaterialError> {
        old::delete(self.store, &self.folder()).await?;
        self.finish().await
    }
}

fn part_paths(institution: &str, sha256: Sha256, parts: &[u64]) -> Vec<Path> {
    let folder = Path::from_iter([institution, &sha256.to_string()]);
    let mut at = 0_u64;
    let path = |length: &u64| {
        let path = folder.clone().join(part_name(at));
        at = at.saturating_add(*length);
        path
    };
    parts.iter().map(path).collect()
}

/// As many digits as the greatest number has, so that names sort as numbers do.
fn part_name(offset: u64) -> String {
    format!("{offset:020}")
}

/// Pieces that fit into a message.
fn slices(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    const SLICE_BYTES: usize = 64 * 1024;
    std::iter::from_fn(move || {
        let length = bytes.len().min(SLICE_BYTES);
        (length > 0).then(|| bytes.split_to(length))
    })
}

/// An upload that is under way.
struct Writing<'p> {
    place: Place<'p>,
    settings: &'p Settings,
    size_bytes: u64,
    /// The byte that the part begins with.
    at: u64,
    part: BytesMut,
    /// Parts before it.
    written: Vec<Part>,
    /// Whether the material is marked as unfinished.
    is_marked: bool,
}

impl Writing<'_> {
    async fn add(&mut self, mut piece: Bytes) -> Result<(), MaterialError> {
        while !piece.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve(PART_BYTES);
            }
            let room = PART_BYTES.saturating_sub(self.part.len());
            self.part.extend_from_slice(&piece.split_to(room.min(piece.len())));
            if self.part.len() >= PART_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), MaterialError> {
        if self.part.is_empty() {
            return Ok(());
        }
        let part = std::mem::take(&mut self.part).freeze();
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        let end = self.at.saturating_add(length);
        let path = self.place.folder().join(part_name(self.at));
        let put = self.place.store.put_opts(&path, part.into(), PutMode::Create.into()).await;
        let e_tag = match put {
            Ok(put) => put.e_tag,
            Err(object_store::Error::AlreadyExists { .. }) => {
                return Err(MaterialError::Offset { offset: self.place.length().await? });
            }
            Err(error) => return Err(error.into()),
        };
        self.written.push(Part { length, e_tag });
        self.at = end;
        if end < self.size_bytes && !self.is_marked {
            self.place.begin(self.settings.unfinished_max).await?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Keeps what came, unless it is too little to be a part.
    async fn break_off(&mut self) -> Result<MaterialError, MaterialError> {
        let length = u64::try_from(self.part.len()).unwrap_or(u64::MAX);
        if length >= self.settings.part_bytes_min {
            self.flush().await?;
        }
        Ok(MaterialError::BrokeOff)
    }
}

/// What a file of that media type begins with, where that is known: PDF (ISO 32000-1, 7.5.2), JPEG (ISO 10918-1, B.1.1.3),
/// PNG (ISO 15948, 5.2), OFD (GB/T 33190), which is a ZIP file.
pub fn beginning_of(media_type: &str) -> Option<&'static [u8]> {
    match media_type {
        "application/pdf" => Some(b"%PDF-"),
        "image/jpeg" => Some(b"\xFF\xD8\xFF"),
        "image/png" => Some(b"\x89PNG\r\n\x1A\n"),
        "application/ofd" => Some(b"PK\x03\x04"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PDF: &[u8] = b"%PDF-1.4 a contract";

    struct Scene {
        materials: Materials,
        _folder: tempfile::TempDir,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            folder: folder.path().join("materials"),
            bytes_max: 64,
            part_bytes_min: 2,
            unfinished_max: 2,
            ..Settings::default()
        };
        Scene { materials: Materials::open(&settings).unwrap(), _folder: folder }
    }

    #[test]
    fn what_is_uploaded_is_for_nobody_else_on_the_machine_and_a_check_makes_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let folder = folder.path().join(name);
            Settings { folder, ..Settings::default() }
        };
        let settings = at("some/materials");
        Materials::examine(&settings).unwrap();
        assert!(!settings.folder.exists());
        Materials::open(&settings).unwrap();
        let mode = std::fs::metadata(&settings.folder).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(matches!(Materials::examine(&at("file")), Err(NoStore::Folder(_))));
    }

    fn announced(offset: usize, length: usize, size: usize) -> Announced {
        let number = |it| u64::try_from(it).unwrap();
        Announced {
            media_type: "application/pdf".into(),
            offset: number(offset),
            length: number(length),
            size_bytes: number(size),
        }
    }

    impl Scene {
        async fn take(
            &self,
            bank: &str,
            known_by: &[u8],
            announced: Announced,
            pieces: &[Result<&'static [u8], ()>],
        ) -> Result<Found, MaterialError> {
            let pieces = pieces.iter().copied().map(|it| it.map(Bytes::from_static));
            let sha256 = Sha256::of(known_by);
            self.materials.take(bank, sha256, &announced, stream::iter(pieces)).await
        }

        async fn content(&self, bank: &str) -> Option<Vec<u8>> {
            let sha256 = Sha256::of(PDF);
            match self.materials.find(bank, sha256).await.unwrap()? {
                Found::Part { .. } => None,
                Found::Whole(stored) => {
                    let bytes = self.materials.bytes(bank, sha256, &stored);
                    Some(bytes.try_concat_bytes().await)
                }
            }
        }
    }

    trait Concatenated {
        async fn try_concat_bytes(self) -> Vec<u8>;
    }

    impl<S: Stream<Item = Result<Bytes, MaterialError>>> Concatenated for S {
        async fn try_concat_bytes(self) -> Vec<u8> {
            let pieces: Vec<Bytes> = self.try_collect().await.unwrap();
            pieces.concat()
        }
    }

    #[tokio::test]
    async fn what_was_uploaded_is_there_for_its_institution_alone() {
        let scene = scene();
        let all = announced(0, PDF.len(), PDF.len());
        let found = scene.take("one", PDF, all.clone(), &[Ok(&PDF[..3]), Ok(&PDF[3..])]).await;
        assert!(matches!(found, Ok(Found::Whole(_))), "{found:?}");
        assert_eq!(scene.content("one").await.as_deref(), Some(PDF));
        assert_eq!(scene.content("other").await, None);
        let again = scene.take("one", PDF, all, &[]).await;
        assert!(matches!(again, Ok(Found::Whole(_))), "{again:?}");
    }

    #[tokio::test]
    async fn an_upload_that_broke_off_goes_on_where_it_ended_and_nowhere_else() {
        let scene = scene();
        let all = announced(0, PDF.len(), PDF.len());
        let broken = scene.take("one", PDF, all, &[Ok(&PDF[..7]), Err(())]).await;
        assert!(matches!(broken, Err(MaterialError::BrokeOff)));
        let found = scene.materials.find("one", Sha256::of(PDF)).await.unwrap();
        assert_eq!(found, Some(Found::Part { offset: 7 }));
        let rest = PDF.len() - 9;
        let elsewhere =
            scene.take("one", PDF, announced(9, rest, PDF.len()), &[Ok(&PDF[9..])]).await;
        assert!(matches!(elsewhere, Err(MaterialError::Offset { offset: 7 })));
        let part = scene.take("one", PDF, announced(7, 2, PDF.len()), &[Ok(&PDF[7..9])]).await;
        assert_eq!(part.unwrap(), Found::Part { offset: 9 });
        let found = scene.take("one", PDF, announced(9, rest, PDF.len()), &[Ok(&PDF[9..])]).await;
        assert!(matches!(found, Ok(Found::Whole(_))), "{found:?}");
        assert_eq!(scene.content("one").await.as_deref(), Some(PDF));
    }

    #[tokio::test]
    async fn an_upload_that_hung_takes_nothing_from_one_that_went_through() {
        let scene = scene();
        let sha256 = Sha256::of(PDF);
        let all = announced(0, PDF.len(), PDF.len());
        let (more, comes) = piece_by_piece();
        let hanging = scene.materials.take("one", sha256, &all, comes);
        let through = async {
            more.send(Ok(Bytes::from_static(&PDF[..7]))).await.unwrap();
            more.reserve_many(1).await.unwrap(); // It is taken.
            let found = scene.take("one", PDF, all.clone(), &[Ok(PDF)]).await;
            assert!(matches!(found, Ok(Found::Whole(_))), "{found:?}");
            more.send(Err(())).await.unwrap();
        };
        let (hung, ()) = tokio::join!(hanging, through);
        assert!(matches!(hung, Err(MaterialError::Offset { .. })), "{hung:?}");
        assert_eq!(scene.content("one").await.as_deref(), Some(PDF));
    }

    #[tokio::test]
    async fn what_lies_there_is_what_has_the_digest_whoever_wrote_it() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { folder: folder.path().to_owned(), ..Settings::default() };
        let materials = Materials::open(&settings).unwrap();
        let content = [PDF, &[7; PART_BYTES]].concat();
        let (first, rest) = content.split_at(PART_BYTES);
        let sha256 = Sha256::of(&content);
        let all = announced(0, content.len(), content.len());
        let (more, comes) = piece_by_piece();
        let honest = materials.take("one", sha256, &all, comes);
        let meddling = async {
            more.send(Ok(Bytes::copy_from_slice(first))).await.unwrap();
            more.send(Ok(Bytes::copy_from_slice(rest))).await.unwrap();
            more.reserve_many(1).await.unwrap(); // The first part is written.
            let part = folder.path().join("one").join(sha256.to_string()).join(part_name(0));
            std::fs::write(part, vec![8; PART_BYTES]).unwrap();
            drop(more);
        };
        let (told, ()) = tokio::join!(honest, meddling);
        assert!(matches!(told, Err(MaterialError::Digest)), "{told:?}");
    }

    #[tokio::test]
    async fn an_upload_from_the_beginning_begins_anew() {
        let scene = scene();
        let all = || announced(0, PDF.len(), PDF.len());
        let broken = scene.take("one", PDF, all(), &[Ok(&PDF[..7]), Err(())]).await;
        assert!(matches!(broken, Err(MaterialError::BrokeOff)));
        let found = scene.take("one", PDF, all(), &[Ok(PDF)]).await;
        assert!(matches!(found, Ok(Found::Whole(_))), "{found:?}");
        assert_eq!(scene.content("one").await.as_deref(), Some(PDF));
    }

    #[tokio::test]
    async fn parts_are_not_too_small_and_unfinished_materials_not_too_many() {
        let scene = scene();
        let size = PDF.len();
        let small = scene.take("one", PDF, announced(0, 1, size), &[Ok(&PDF[..1])]).await;
        assert!(matches!(small, Err(MaterialError::PartTooSmall { least: 2 })), "{small:?}");
        let broken = scene.take("one", PDF, announced(0, 9, size), &[Ok(&PDF[..1]), Err(())]).await;
        assert!(matches!(broken, Err(MaterialError::BrokeOff)));
        let find =
            async |bank, known_by| scene.materials.find(bank, Sha256::of(known_by)).await.unwrap();
        assert_eq!(find("one", PDF).await, None, "one byte is no part either");

        let part = Some(Found::Part { offset: 9 });
        for (bank, known_by) in
            [("other", b"first"), ("one", b"first"), ("one", b"secnd"), ("one", b"third")]
        {
            let taken = scene.take(bank, known_by, announced(0, 9, size), &[Ok(&PDF[..9])]).await;
            assert_eq!(taken.ok(), part);
        }
        assert_eq!(find("one", b"first").await, None, "the oldest made room");
        assert_eq!(find("one", b"secnd").await, part);
        assert_eq!(find("one", b"third").await, part);
        assert_eq!(find("other", b"first").await, part, "another bank's is left alone");
    }

    /// Bytes that come as they are sent, one piece at a time.
    fn piece_by_piece()
    -> (tokio::sync::mpsc::Sender<Result<Bytes, ()>>, impl Stream<Item = Result<Bytes, ()>>) {
        let (more, comes) = tokio::sync::mpsc::channel(1);
        let next = async |mut comes: tokio::sync::mpsc::Receiver<_>| {
            comes.recv().await.map(|piece| (piece, comes))
        };
        (more, stream::unfold(comes, next))
    }

    #[tokio::test]
    async fn what_is_not_as_it_is_said_to_be_is_not_taken() {
        let scene = scene();
        let all = || announced(0, PDF.len(), PDF.len());
        let other = scene.take("one", b"another", all(), &[Ok(PDF)]).await;
        assert!(matches!(other, Err(MaterialError::Digest)));
        let gone = scene.materials.find("one", Sha256::of(b"another")).await.unwrap();
        assert_eq!(gone, None, "what was wrong is not kept");
        let png = Announced { media_type: "image/png".into(), ..all() };
        let wrong = scene.take("one", PDF, png, &[Ok(&PDF[..1]), Ok(&PDF[1..])]).await;
        assert!(matches!(wrong, Err(MaterialError::Content)));
        let film = Announced { media_type: "video/mp4".into(), ..all() };
        assert!(matches!(scene.take("one", PDF, film, &[]).await, Err(MaterialError::MediaType)));
        let large = scene.take("one", PDF, announced(0, 65, 65), &[]).await;
        assert!(matches!(large, Err(MaterialError::TooLarge { limit: 64 })));
        let longer = scene.take("one", PDF, announced(0, 9, 9), &[Ok(PDF)]).await;
        assert!(matches!(longer, Err(MaterialError::TooLarge { limit: 9 })));
    }
}
