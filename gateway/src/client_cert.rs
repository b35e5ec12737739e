//! A certificate as one HTTP hop tells another of it: the field `Client-Cert`, and `Client-Cert-Chain` for those between it
//! and its authority. Source: RFC 9440, section 2; byte sequences are those of structured fields (RFC 9651, section 3.3.5).
//!
//! Registries are told so of banks. A proxy at which a bank's TLS ends tells the gateway so; nobody else is believed.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, header::InvalidHeaderValue};
use rustls::pki_types::CertificateDer;
use sfv::{BareItem, Item, List, ListEntry, Parser};

/// The certificate itself.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// Those between it and its authority.
pub const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// Certificates between one and its authority that are looked at.
const BETWEEN_MAX: usize = 8;

/// A certificate, in DER, as it is told.
///
/// # Errors
/// None that Base64 could give rise to.
pub fn written(der: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
    HeaderValue::try_from(format!(":{}:", STANDARD.encode(der)))
}

/// Why fields tell of no certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untold {
    /// There is no `Client-Cert`.
    #[error("the proxy tells of no certificate")]
    Missing,
    /// There are several: one of them may be the bank's own invention.
    #[error("the proxy tells of several certificates")]
    Several,
    /// A field is not as RFC 9440 has it.
    #[error("the proxy tells of a certificate in no way that can be read")]
    Unreadable,
}

/// The certificate that fields tell of, then those between it and its authority.
///
/// # Errors
/// They tell of none, of several, or in another form.
pub fn told(headers: &HeaderMap) -> Result<Vec<CertificateDer<'static>>, Untold> {
    let mut own = headers.get_all(CLIENT_CERT).iter();
    let first = own.next().ok_or(Untold::Missing)?;
    if own.next().is_some() {
        return Err(Untold::Several);
    }
    let item: Item =
        Parser::new(first.as_bytes()).parse().map_err(|_malformed| Untold::Unreadable)?;
    let mut chain = vec![certificate(item.bare_item)?];
    for line in headers.get_all(CLIENT_CERT_CHAIN) {
        let between: List =
            Parser::new(line.as_bytes()).parse().map_err(|_malformed| Untold::Unreadable)?;
        for entry in between {
            match entry {
                ListEntry::Item(item) if chain.len() <= BETWEEN_MAX => {
                    chain.push(certificate(item.bare_item)?);
                }
                ListEntry::Item(_) | ListEntry::InnerList(_) => return Err(Untold::Unreadable),
            }
        }
    }
    Ok(chain)
}

fn certificate(item: BareItem) -> Result<CertificateDer<'static>, Untold> {
    match item {
        BareItem::ByteSequence(der) => Ok(CertificateDer::from(der)),
        _ => Err(Untold::Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(HeaderName, &str)]) -> Result<Vec<Vec<u8>>, Untold> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        told(&headers).map(|chain| chain.iter().map(|it| it.to_vec()).collect())
    }

    #[test]
    fn what_is_written_is_read() {
        let value = written(&[0, 1, 250]).unwrap();
        assert_eq!(read(&[(CLIENT_CERT, value.to_str().unwrap())]), Ok(vec![vec![0, 1, 250]]));
    }

    #[test]
    fn those_between_follow_in_their_order_on_one_line_or_several() {
        let own = (CLIENT_CERT, ":AQ==:");
        let chain = |line| (CLIENT_CERT_CHAIN, line);
        let all = Ok(vec![vec![1], vec![2], vec![3]]);
        assert_eq!(read(&[own.clone(), chain(":Ag==:, :Aw==:")]), all);
        assert_eq!(read(&[own, chain(":Ag==:"), chain(":Aw==:")]), all);
    }

    #[test]
    fn what_is_no_certificate_or_more_than_one_is_not_believed() {
        let own = |value| (CLIENT_CERT, value);
        assert_eq!(read(&[]), Err(Untold::Missing));
        assert_eq!(read(&[own(":AQ==:"), own(":AQ==:")]), Err(Untold::Several));
        for value in ["", "AQ==", ":AQ==", "\"AQ==\"", ":AQ==:, :AQ==:", "(:AQ==:)", "?1"] {
            assert_eq!(read(&[own(value)]), Err(Untold::Unreadable), "{value}");
        }
        let many = [":AQ==:"; BETWEEN_MAX + 1].join(", ");
        for chain in ["AQ==", "(:AQ==:)", &many] {
            let fields = [own(":AQ==:"), (CLIENT_CERT_CHAIN, chain)];
            assert_eq!(read(&fields), Err(Untold::Unreadable), "{chain}");
        }
    }
}
