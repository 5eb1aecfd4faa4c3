//! Errors of the admin listener: problem documents (RFC 9457) with a stable `code`. Its callers are trusted, so
//! they are told all that is wrong, each fault with its place.

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::policy::widget::Fault;
use crate::rules::brake::WideChange;

/// The most faults that one answer lists; the rest is counted.
pub(super) const MOST_ERRORS: usize = 10_000;

/// One error.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<ErrorPart>,
    omitted: usize,
    wide_change: Option<WideChange>,
    field: Option<(HeaderName, HeaderValue)>,
}

/// One of the things that are wrong with a request.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct ErrorPart {
    /// The line of a batch, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// The query parameter or header field it is about, where it is not about the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<String>,
    /// Where in the body, or in the line: a JSON Pointer (RFC 6901); empty for the whole.
    pub(super) pointer: String,
    /// What kind, a stable code.
    pub(super) code: &'static str,
    /// What is wrong and what would be right.
    pub(super) detail: String,
}

impl From<Fault> for ErrorPart {
    fn from(Fault { pointer, code, detail }: Fault) -> Self {
        Self { pointer, code, detail, ..Self::default() }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// Always `about:blank`: the code says which kind it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What kind of error, a stable code.
    code: &'static str,
    /// What is wrong and what would be right.
    detail: String,
    /// Every single thing that is wrong, where there can be several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ErrorPart>,
    /// How many more there are than `errors` lists.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    errors_omitted: usize,
    /// What the change would have done, and the number that confirms it, where it is `wide_change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wide_change: Option<WideChange>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            omitted: 0,
            wide_change: None,
            field: None,
        }))
    }

    pub(super) fn with_errors(mut self, errors: Vec<ErrorPart>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Says that there are more than those listed.
    pub(super) fn with_omitted(mut self, omitted: usize) -> Self {
        self.0.omitted = omitted;
        self
    }

    pub(super) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.field = Some((name, value));
        self
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such call")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "the call takes another method")
    }

    pub(super) fn unknown_widget() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_widget", "there is no such widget")
    }

    pub(super) fn too_large(limit: usize, what: &str) -> Self {
        let detail = format!("{what} is larger than the {limit} bytes that this call takes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// A document that can't be taken, with every fault of it.
    pub(super) fn invalid_document(errors: Vec<ErrorPart>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} faults, see `errors`", several.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", detail).with_errors(errors)
    }

    /// A batch of which nothing was taken, with what is wrong with each line.
    pub(super) fn refused_batch(code: &'static str, errors: Vec<ErrorPart>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("line {}: {}", only.line.unwrap_or_default(), only.detail),
            several => format!("nothing was taken: {} faults, see `errors`", several.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_errors(errors)
    }

    /// A change of many widgets at once that has to be confirmed.
    pub(super) fn wide_change(wide: WideChange, detail: String) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wide_change", detail);
        problem.0.wide_change = Some(wide);
        problem
    }

    /// A query parameter or header field that can't be taken.
    pub(super) fn invalid_parameter(parameter: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let part = ErrorPart {
            parameter: Some(parameter.to_owned()),
            code: "invalid_parameter",
            detail: detail.clone(),
            ..ErrorPart::default()
        };
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", format!("{parameter}: {detail}"))
            .with_errors(vec![part])
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, code, detail, mut errors, omitted, wide_change, field } = *self.0;
        let errors_omitted = omitted + errors.len().saturating_sub(MOST_ERRORS);
        errors.truncate(MOST_ERRORS);
        let document = ProblemDocument {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
            errors,
            errors_omitted,
            wide_change,
        };
        // Plain strings and numbers: there is nothing that can't be written as JSON.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        if let Some((name, value)) = field {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
