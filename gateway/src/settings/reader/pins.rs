//! Certificates that callers are known by: each is one caller's alone.

use std::collections::HashMap;

use super::{Notes, Placed};
use crate::identity::DistinguishedName;

/// Whose each issuer and alternative name are.
#[derive(Default)]
pub(super) struct Pins<'s>(HashMap<(DistinguishedName, String), &'s str>);

impl<'s> Pins<'s> {
    /// Pins `owner` to a certificate, by what `certificate_issuer` and `certificate_san` of its table say.
    pub(super) fn pin<T>(
        &mut self,
        owner: &'s str,
        (issuer, san): (&str, &str),
        placed: &Placed<T>,
        notes: &mut Notes<'_>,
    ) {
        if san.trim().is_empty() {
            let expected = "expected a DNS name, a URI or an e-mail address";
            notes.add(placed.of("certificate_san"), expected);
        }
        let Some(name) = DistinguishedName::parse(issuer) else {
            let told = format!("`{issuer}`: expected a distinguished name, as `C=CN, O=…, CN=…`");
            return notes.add(placed.of("certificate_issuer"), told);
        };
        if let Some(other) = self.0.insert((name, san.to_ascii_lowercase()), owner) {
            let told = format!(
                "`{other}` is known by this issuer and name too: give each its own certificate"
            );
            notes.add(placed.of("certificate_san"), told);
        }
    }
}
