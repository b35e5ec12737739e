//! Uploads of materials: `/materials/SHA256` on the HTTPS port, for every institution, whatever its contract.
//!
//! `PUT` brings a material, or with `Content-Range` the rest of one that broke off; `HEAD` tells how much of it is there.
//! Bytes go to the store as they come. Header fields are those of RFC 9110 and draft-ietf-httpbis-resumable-upload.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use serde_json::json;
use tokio::time::timeout;

use super::problem::Problem;
use crate::materials::{Announced, Found, MaterialError, Materials, Sha256};

/// What all paths of materials begin with.
pub(super) const PATH: &str = "/materials/";

/// Answers one request about a material. `patience`: how long the next bytes may take to come.
pub(super) async fn answer(
    materials: &Materials,
    institution: &str,
    head: &Parts,
    body: &mut Incoming,
    patience: Duration,
) -> Result<Response<Bytes>, Problem> {
    let name = head.uri.path().strip_prefix(PATH);
    let sha256 = name.and_then(Sha256::parse).ok_or(Problem::PathUnknown)?;
    if head.method == Method::HEAD {
        let found = materials.find(institution, sha256).await.map_err(told)?;
        return Ok(there(StatusCode::NO_CONTENT, sha256, found.ok_or(Problem::MaterialUnknown)?));
    }
    if head.method != Method::PUT {
        return Err(Problem::MethodNotAllowed { agreed: "HEAD, PUT".to_owned() });
    }
    let length = body.size_hint().exact().ok_or(Problem::LengthRequired)?;
    let announced = announced(&head.headers, length)?;
    let taking = materials.take(institution, sha256, &announced, bytes_of(body, patience));
    let whole = timeout(materials.settings().upload_max, taking).await;
    let found = whole.map_err(|_late| Problem::TooSlow)?.map_err(told)?;
    let status = match found {
        Found::Whole(_) => StatusCode::CREATED,
        Found::Part { .. } => StatusCode::ACCEPTED,
    };
    Ok(there(status, sha256, found))
}

/// What the head says of the bytes behind it.
fn announced(headers: &HeaderMap, length: u64) -> Result<Announced, Problem> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let media_type = text(header::CONTENT_TYPE).unwrap_or_default().trim().to_ascii_lowercase();
    let (offset, size_bytes) = match text(header::CONTENT_RANGE) {
        None => (0, length),
        Some(range) => {
            let (first, last, size) = range_of(range).ok_or(Problem::RangeInvalid)?;
            if last.checked_sub(first).and_then(|it| it.checked_add(1)) != Some(length) {
                return Err(Problem::RangeInvalid);
            }
            (first, size)
        }
    };
    Ok(Announced { media_type, offset, length, size_bytes })
}

/// `bytes FIRST-LAST/SIZE`. Source: RFC 9110, section 14.4.
fn range_of(text: &str) -> Option<(u64, u64, u64)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?, size.parse().ok()?))
}

/// The bytes of a body as they come; an error, and then the end, once none come any more.
fn bytes_of(
    body: &mut Incoming,
    patience: Duration,
) -> impl Stream<Item = Result<Bytes, ()>> + Send + '_ {
    stream::unfold(body, move |body| async move {
        loop {
            match timeout(patience, body.frame()).await {
                Ok(None) => return None,
                Ok(Some(Err(_))) | Err(_) => return Some((Err(()), body)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        return Some((Ok(bytes), body));
                    }
                }
            }
        }
    })
}

fn there(status: StatusCode, sha256: Sha256, found: Found) -> Response<Bytes> {
    let (offset, complete, media_type) = match found {
        Found::Whole(stored) => (stored.size_bytes, true, Some(stored.media_type)),
        Found::Part { offset } => (offset, false, None),
    };
    let body = match status {
        StatusCode::NO_CONTENT => Bytes::new(),
        _ => Bytes::from(
            json!({
                "sha256": sha256.to_string(),
                "received_bytes": offset,
                "complete": complete,
                "media_type": media_type,
            })
            .to_string(),
        ),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("upload-offset", HeaderValue::from(offset));
    let complete = if complete { "?1" } else { "?0" };
    headers.insert("upload-complete", HeaderValue::from_static(complete));
    if status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

fn told(error: MaterialError) -> Problem {
    match error {
        MaterialError::TooLarge { limit } => Problem::MaterialTooLarge { limit },
        MaterialError::MediaType => Problem::MaterialTypeUnsupported,
        MaterialError::Content => Problem::MaterialContent,
        MaterialError::PartTooSmall { least } => Problem::MaterialPartTooSmall { least },
        MaterialError::Offset { offset } => Problem::MaterialOffset { offset },
        MaterialError::Digest => Problem::MaterialDigest,
        MaterialError::BrokeOff => Problem::Truncated,
        MaterialError::Store(error) => {
            tracing::error!(%error, "the store of materials does not work");
            Problem::MaterialsUnavailable
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_as_long_as_what_comes_or_is_none() {
        assert_eq!(range_of("bytes 7-18/19"), Some((7, 18, 19)));
        for odd in ["bytes 7-18", "bytes */19", "items 0-1/2", "bytes -1-2/3", "bytes 1-x/3"] {
            assert_eq!(range_of(odd), None, "{odd}");
        }
        let headers = |range: &'static str| {
            HeaderMap::from_iter([(header::CONTENT_RANGE, HeaderValue::from_static(range))])
        };
        assert_eq!(announced(&headers("bytes 7-18/19"), 12).unwrap().offset, 7);
        assert_eq!(announced(&headers("bytes 7-18/19"), 11), Err(Problem::RangeInvalid));
        assert_eq!(announced(&headers("bytes 9-7/19"), 1), Err(Problem::RangeInvalid));
    }
}
