//! What a registry hands out on paper or as a file: the codes printed on it, its electronic form, and the registration
//! record certificates (查询证明) issued so far.
//!
//! A file is a small PDF made from the number alone, so that the same certificate is always the same bytes.

use std::collections::HashMap;

use aws_lc_rs::digest::{SHA256, digest};
use proto::v1::{Document, FetchCertificateResponse, RecordAnswer, RecordQuery};

/// Registration record certificates, by their number.
#[derive(Debug, Default)]
pub(super) struct Records(HashMap<String, RecordAnswer>);

impl Records {
    /// Issues one.
    pub(super) fn issue(
        &mut self,
        query: &RecordQuery,
        as_of: prost_types::Timestamp,
    ) -> RecordAnswer {
        let number = format!("CX{:012}", self.0.len().saturating_add(1));
        let answer = RecordAnswer {
            verification_code: code_of(&number),
            as_of: Some(as_of),
            unit_codes: query.properties.iter().map(|it| it.unit_code.clone()).collect(),
            document: Some(document(&number)),
            certificate_number: number.clone(),
        };
        self.0.insert(number, answer.clone());
        answer
    }

    pub(super) fn get(&self, number: &str) -> Option<&RecordAnswer> {
        self.0.get(number)
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// The code printed on a certificate: nobody guesses it from the number.
pub(super) fn code_of(number: &str) -> String {
    let code = digest(&SHA256, format!("printed on {number}").as_bytes());
    hex::encode_upper(code.as_ref().get(..8).unwrap_or_default())
}

/// The electronic form of a certificate.
pub(super) fn document(number: &str) -> Document {
    let title: String = number.encode_utf16().map(|unit| format!("{unit:04X}")).collect();
    // Padded, so that it comes in more than one piece.
    let padding = "% 示例 示例 示例 示例\n".repeat(4_000);
    let content = format!(
        "%PDF-1.4\n1 0 obj << /Type /Catalog /Pages 2 0 R >> endobj\n\
         2 0 obj << /Type /Pages /Kids [] /Count 0 >> endobj\n\
         3 0 obj << /Title <FEFF{title}> >> endobj\n{padding}\
         trailer << /Root 1 0 R /Info 3 0 R >>\n%%EOF\n"
    );
    let content = content.into_bytes();
    Document {
        media_type: "application/pdf".to_owned(),
        sha256: digest(&SHA256, &content).as_ref().to_vec(),
        size_bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
        content,
    }
}

/// A document as it is streamed: what it is with the first piece.
pub(super) fn pieces(document: Document) -> Vec<FetchCertificateResponse> {
    const PIECE_BYTES: usize = 16 * 1024;
    let Document { media_type, sha256, size_bytes, content } = document;
    let mut pieces: Vec<_> = content
        .chunks(PIECE_BYTES)
        .map(|chunk| FetchCertificateResponse { chunk: chunk.to_vec(), ..Default::default() })
        .collect();
    if let Some(first) = pieces.first_mut() {
        (first.media_type, first.sha256, first.size_bytes) = (media_type, sha256, size_bytes);
    }
    pieces
}
