//! The trace of what is done for a filing after its exchange: asking again, hearing from the registry, telling subscribers.
//!
//! Its number follows from the filing's key, so that every replica finds it, today and next year, and nothing of it has to be
//! kept anywhere. It is a digest: nobody reads the key from it. Source: docs/decisions/0031.

use aws_lc_rs::digest::{Context, SHA256};
use opentelemetry::trace::TraceId;

/// The trace of what is done later for the filing of an institution's key.
pub fn trace(institution: &str, key: &str) -> TraceId {
    let mut digest = Context::new(&SHA256);
    for part in ["directlink case trace", institution, key] {
        digest.update(part.as_bytes());
        digest.update(&[0]);
    }
    let mut number = [0; 16];
    number.iter_mut().zip(digest.finish().as_ref()).for_each(|(to, from)| *to = *from);
    TraceId::from_bytes(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filing_has_its_own_for_good() {
        assert_eq!(trace("bank", "k"), trace("bank", "k"));
        assert_ne!(trace("bank", "k"), trace("ban", "kk"));
        assert_ne!(trace("bank", "k"), trace("bank", "l"));
    }
}
