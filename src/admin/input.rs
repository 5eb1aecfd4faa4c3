//! Input of calls: body, query and preconditions, each parsed strictly, so that a typing error is an error
//! and not ignored.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::messages::BodyTooSlow;
use super::problem::{ErrorPart, Problem};
use crate::rules::change::Precondition;
use embedgate_policy::widget::WidgetId;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";

/// Query of a call; an unknown or repeated parameter is an error.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Query::try_from_uri(&parts.uri).map(|Query(query)| Self(query)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            match (text.split_once(": "), text.split('`').nth(1)) {
                (Some((name, detail)), _) => Problem::invalid_parameter(name, detail),
                // "duplicate field `limit`" has no path.
                (None, Some(name)) => Problem::invalid_parameter(name, text),
                (None, None) => Problem::invalid_parameter("query", text),
            }
        })
    }
}

/// Widget id in a path, for calls on existing widgets. A text that is not an id is an unknown widget.
pub(super) struct KnownId(pub(super) WidgetId);

impl<S: Send + Sync> FromRequestParts<S> for KnownId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = path(parts, state).await?;
        WidgetId::parse(&text).map(Self).map_err(|_| Problem::unknown_widget())
    }
}

/// Widget id in a path, for calls that may create the widget.
pub(super) struct NewId(pub(super) WidgetId);

impl<S: Send + Sync> FromRequestParts<S> for NewId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = path(parts, state).await?;
        WidgetId::parse(&text).map(Self).map_err(|error| {
            let detail = format!("{error}; `{}` in the path is not one", text.escape_debug());
            Problem::invalid_document(vec![ErrorPart {
                pointer: "/id".to_owned(),
                code: "invalid_id",
                detail,
                ..ErrorPart::default()
            }])
        })
    }
}

async fn path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<Path<String>, Problem> {
    Path::from_request_parts(parts, state).await.map_err(|rejection| {
        // The path is not UTF-8, so it is not an id.
        Problem::new(StatusCode::NOT_FOUND, "unknown_widget", rejection.body_text())
    })
}

/// The body of a request with this media type, up to a limit.
pub(super) async fn body(request: Request, media: &str, limit: usize) -> Result<Bytes, Problem> {
    let mut body = checked(request, media, limit)?.into_data_stream();
    let mut bytes = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| torn(&error))?;
        if bytes.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit, "the body"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// The body of a request with this media type and no larger stated length than the limit.
pub(super) fn checked(request: Request, media: &str, limit: usize) -> Result<Body, Problem> {
    let headers = request.headers();
    let unsupported = |detail: String| {
        Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
    };
    let given = single(headers, header::CONTENT_TYPE).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(media) {
        return unsupported(format!("this call needs a body of type {media}"));
    }
    if headers.get(header::CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return unsupported("this call does not accept a Content-Encoding".to_owned());
    }
    if stated_length(headers).is_some_and(|length| length > limit) {
        return Err(Problem::too_large(limit, "the body"));
    }
    Ok(request.into_body())
}

/// The length that a body is said to have.
pub(super) fn stated_length(headers: &HeaderMap) -> Option<usize> {
    single(headers, header::CONTENT_LENGTH)?.parse().ok()
}

/// The problem of a body that ended early, or came too slowly.
pub(super) fn torn(error: &axum::Error) -> Problem {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    if causes.into_iter().any(|error| error.is::<BodyTooSlow>()) {
        return Problem::body_timeout();
    }
    Problem::new(StatusCode::BAD_REQUEST, "incomplete_body", format!("can't read the body: {error}"))
}

/// The precondition of a change (RFC 9110 §13.1): `If-Match` with entity tags or `*`, or `If-None-Match: *`.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, Problem> {
    let matching = joined(headers, header::IF_MATCH, "If-Match")?;
    let none_matching = joined(headers, header::IF_NONE_MATCH, "If-None-Match")?;
    let matching = match matching.as_deref() {
        None => None,
        Some("*") => Some(Precondition::Present),
        Some(tags) => Some(Precondition::Revision(revisions(tags).map(Into::into).ok_or_else(|| {
            Problem::invalid_parameter("If-Match", "write entity tags such as \"7\", or *")
        })?)),
    };
    match (matching, none_matching.as_deref()) {
        (matching, None) => Ok(matching.unwrap_or_default()),
        (None, Some("*")) => Ok(Precondition::Absent),
        // Both can't hold at once, so the precondition fails, whatever is stored.
        (Some(_), Some("*")) => Ok(Precondition::Revision([].into())),
        (_, Some(_)) => Err(Problem::invalid_parameter(
            "If-None-Match",
            "only `*` is allowed here, for a widget that must not exist yet",
        )),
    }
}

/// Whether the client already has this revision.
pub(super) fn is_known(headers: &HeaderMap, revision: u64) -> bool {
    let Ok(Some(tags)) = joined(headers, header::IF_NONE_MATCH, "If-None-Match") else { return false };
    // Weak comparison (RFC 9110 §8.8.3.2).
    tags == "*" || revisions(&tags.replace("W/", "")).is_some_and(|revisions| revisions.contains(&revision))
}

/// The revisions in a list of entity tags. A weak tag matches nothing here (RFC 9110 §13.1.1), and neither
/// does a tag that is not a revision. `None`: not a list of entity tags.
fn revisions(tags: &str) -> Option<Vec<u64>> {
    let mut revisions = Vec::new();
    for tag in tags.split(',').map(str::trim) {
        let (weak, quoted) = match tag.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, tag),
        };
        let opaque = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let canonical = opaque.parse::<u64>().ok().filter(|revision| revision.to_string() == opaque);
        revisions.extend(canonical.filter(|_| !weak));
    }
    Some(revisions)
}

fn joined(headers: &HeaderMap, field: HeaderName, name: &'static str) -> Result<Option<String>, Problem> {
    let lines: Result<Vec<&str>, _> = headers.get_all(field).iter().map(|line| line.to_str()).collect();
    match lines {
        Ok(lines) if lines.is_empty() => Ok(None),
        Ok(lines) => Ok(Some(lines.join(","))),
        Err(_) => Err(Problem::invalid_parameter(name, "not readable as text")),
    }
}

fn single(headers: &HeaderMap, field: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(field).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn asked(fields: &[(&'static str, &str)]) -> Result<Precondition, ()> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        precondition(&headers).map_err(drop)
    }

    #[test]
    fn preconditions_are_read_as_the_standard_has_them() {
        let tags = |revisions: &[u64]| Ok(Precondition::Revision(revisions.into()));
        assert_eq!(asked(&[]), Ok(Precondition::None));
        assert_eq!(asked(&[("if-match", "*")]), Ok(Precondition::Present));
        assert_eq!(asked(&[("if-match", "\"7\"")]), tags(&[7]));
        assert_eq!(asked(&[("if-match", "\"7\", \"8\"")]), tags(&[7, 8]));
        assert_eq!(asked(&[("if-match", "\"7\""), ("if-match", "\"9\"")]), tags(&[7, 9]));
        for never in ["W/\"7\"", "\"07\"", "\"x\"", "\"\"", "\"99999999999999999999\""] {
            assert_eq!(asked(&[("if-match", never)]), tags(&[]), "{never}");
        }
        for fault in ["7", "\"7", "", "*, \"7\""] {
            assert_eq!(asked(&[("if-match", fault)]), Err(()), "{fault}");
        }
        assert_eq!(asked(&[("if-none-match", "*")]), Ok(Precondition::Absent));
        assert_eq!(asked(&[("if-none-match", "\"7\"")]), Err(()));
        assert_eq!(asked(&[("if-match", "*"), ("if-none-match", "*")]), tags(&[]));
    }

    #[test]
    fn a_reader_that_has_it_need_not_get_it_again() {
        let known = |value: &str| {
            is_known(&HeaderMap::from_iter([(header::IF_NONE_MATCH, value.parse().unwrap())]), 7)
        };
        assert!(known("\"7\"") && known("W/\"7\"") && known("\"6\", \"7\"") && known("*"));
        assert!(!known("\"8\"") && !known("7") && !is_known(&HeaderMap::new(), 7));
    }
}
