//! Input of calls: path, query and body, each parsed strictly, so that a typing error is an error and not ignored.

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

use super::messages::BodyTooSlow;
use super::problem::{ErrorPart, Problem};
use embedgate_policy::widget::WidgetId;

pub(super) const JSON: &str = "application/json";
pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// Query of a call, which [`super::declared`] has looked at: what is here is declared.
pub(super) struct Parameters<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let given = || form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        // The reader would take one for one that is left out.
        if let Some((name, _)) = given().find(|(_, value)| value.is_empty()) {
            return Err(Problem::invalid_parameter(&name, "it has no value; give it one, or leave it out"));
        }
        let query = serde_html_form::Deserializer::new(given());
        serde_path_to_error::deserialize(query).map(Self).map_err(|error| {
            let name = error.path().to_string();
            Problem::invalid_parameter(&name, error.into_inner().to_string())
        })
    }
}

/// The known name that was probably meant.
pub(super) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    // A sender may choose any length. A name far longer than any known one is close to none.
    if name.len() > 64 {
        return None;
    }
    let folded = name.to_ascii_lowercase().replace('-', "_");
    let near = known.map(|candidate| (strsim::damerau_levenshtein(&folded, candidate), candidate));
    let (distance, best) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + folded.len() / 5 && distance < best.len()).then_some(best)
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

/// Reads a small body; the error names the place that does not fit. `example`: what would fit.
pub(super) fn json<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Problem> {
    // The reader would take a list for an object with these values.
    if body.trim_ascii_start().starts_with(b"[") {
        let detail = format!("this is a list; the body is {example}");
        let part = ErrorPart { code: "invalid_body", detail, ..ErrorPart::default() };
        return Err(Problem::invalid_document(vec![part]));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut deserializer);
    let read = read.map_err(|error| (error.path().to_string(), error.into_inner()));
    let read =
        read.and_then(|read| deserializer.end().map(|()| read).map_err(|error| (String::new(), error)));
    read.map_err(|(path, error)| {
        let code = if error.is_data() { "invalid_body" } else { "invalid_json" };
        let pointer = match path.as_str() {
            "" | "." => String::new(),
            name => format!("/{name}"),
        };
        let detail = format!("{error}; the body is {example}");
        Problem::invalid_document(vec![ErrorPart { pointer, code, detail, ..ErrorPart::default() }])
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

fn single(headers: &HeaderMap, field: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(field).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok(),
        _ => None,
    }
}
