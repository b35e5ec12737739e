//! A document of a registry, gathered piece by piece and believed only when it is whole: as long as was said, and with the
//! digest that was said. It goes to nobody before that, because a document that has begun can only break off.
//!
//! Source: registry.proto, "FetchCertificateResponse".

use aws_lc_rs::digest::{self, SHA256};
use proto::v1::{Document, FetchCertificateResponse};

/// Why a document is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// The registry has no such document.
    #[error("there is no such document")]
    Absent,
    /// Its bytes are not those of the digest that came with it.
    #[error("the document's digest is another")]
    Digest,
    /// It is shorter or longer than was said.
    #[error("the document's length is another")]
    Length,
    /// It is longer than may be.
    #[error("the document is longer than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

/// A document that came whole.
///
/// # Errors
/// What is wrong with it.
pub(super) fn checked(document: Option<Document>, bytes_max: usize) -> Result<Document, Unsound> {
    let document = document.ok_or(Unsound::Absent)?;
    let mut gathering = Gathering::new(bytes_max);
    gathering.take(FetchCertificateResponse {
        media_type: document.media_type,
        sha256: document.sha256,
        size_bytes: document.size_bytes,
        chunk: document.content,
    })?;
    gathering.whole()
}

/// A document of which pieces have come.
pub(super) struct Gathering {
    bytes_max: usize,
    document: Option<Document>,
    digest: digest::Context,
}

impl Gathering {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, document: None, digest: digest::Context::new(&SHA256) }
    }

    /// One more piece.
    ///
    /// # Errors
    /// It is, or will be, more than may be or than was said.
    pub(super) fn take(&mut self, piece: FetchCertificateResponse) -> Result<(), Unsound> {
        let FetchCertificateResponse { media_type, sha256, size_bytes, chunk } = piece;
        let document = self.document.get_or_insert(Document {
            media_type,
            sha256,
            size_bytes,
            content: Vec::new(),
        });
        let said = usize::try_from(document.size_bytes).map_err(|_negative| Unsound::Length)?;
        if said > self.bytes_max {
            return Err(Unsound::TooLarge { bytes_max: self.bytes_max });
        }
        if document.content.len().saturating_add(chunk.len()) > said {
            return Err(Unsound::Length);
        }
        self.digest.update(&chunk);
        document.content.extend_from_slice(&chunk);
        Ok(())
    }

    /// The document, now that all pieces have come.
    ///
    /// # Errors
    /// None has come, or it is not what was said.
    pub(super) fn whole(self) -> Result<Document, Unsound> {
        let document = self.document.ok_or(Unsound::Absent)?;
        if i64::try_from(document.content.len()).ok() != Some(document.size_bytes) {
            return Err(Unsound::Length);
        }
        if self.digest.finish().as_ref() != document.sha256 {
            return Err(Unsound::Digest);
        }
        Ok(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(
        content: &[u8],
        change: impl FnOnce(&mut FetchCertificateResponse),
    ) -> Vec<FetchCertificateResponse> {
        let mut first = FetchCertificateResponse {
            media_type: "application/pdf".into(),
            sha256: digest::digest(&SHA256, content).as_ref().to_vec(),
            size_bytes: i64::try_from(content.len()).unwrap(),
            chunk: content[..2].to_vec(),
        };
        change(&mut first);
        let rest = FetchCertificateResponse { chunk: content[2..].to_vec(), ..Default::default() };
        vec![first, rest]
    }

    fn gathered(pieces: Vec<FetchCertificateResponse>) -> Result<Document, Unsound> {
        let mut gathering = Gathering::new(8);
        for piece in pieces {
            gathering.take(piece)?;
        }
        gathering.whole()
    }

    #[test]
    fn a_document_is_whole_when_its_length_and_digest_are_those_that_were_said() {
        let whole = gathered(pieces(b"paper", |_| {})).unwrap();
        assert_eq!((whole.content.as_slice(), whole.size_bytes), (&b"paper"[..], 5));
        let with = |change: fn(&mut FetchCertificateResponse)| gathered(pieces(b"paper", change));
        assert_eq!(with(|first| first.sha256[0] ^= 1), Err(Unsound::Digest));
        assert_eq!(with(|first| first.size_bytes = 6), Err(Unsound::Length));
        assert_eq!(with(|first| first.size_bytes = 4), Err(Unsound::Length));
        assert_eq!(with(|first| first.size_bytes = -1), Err(Unsound::Length));
        assert_eq!(with(|first| first.size_bytes = 9), Err(Unsound::TooLarge { bytes_max: 8 }));
        assert_eq!(gathered(Vec::new()), Err(Unsound::Absent));
        let cut_short = pieces(b"paper", |_| {}).into_iter().take(1).collect();
        assert_eq!(gathered(cut_short), Err(Unsound::Length));
    }
}
