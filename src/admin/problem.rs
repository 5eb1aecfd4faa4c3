//! Errors of the admin listener: problem documents (RFC 9457) with a stable `code`. Callers are trusted, so
//! they get every error with its place.

use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderName, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::messages::BodyTooSlow;
use crate::rules::error::WideChange;
use embedgate_policy::widget::DocumentFault;

/// Maximum number of errors listed in one answer; the rest is counted.
pub(super) const MOST_ERRORS: usize = 10_000;

/// Error answer of the admin listener.
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
    confirm: Option<usize>,
    field: Option<(HeaderName, HeaderValue)>,
}

/// One error of a request.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(super) struct ErrorPart {
    /// The line of a batch, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    /// The query parameter or header field with the error, if it is not in the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter: Option<String>,
    /// The place in the body, or in the line: a JSON Pointer (RFC 6901); empty for the whole.
    pub(super) pointer: String,
    /// The kind of error, a stable code.
    pub(super) code: &'static str,
    /// What is wrong and what would be right.
    pub(super) detail: String,
}

impl From<DocumentFault> for ErrorPart {
    fn from(DocumentFault { pointer, code, detail }: DocumentFault) -> Self {
        Self { pointer, code, detail, ..Self::default() }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// Always `about:blank`: the code names the kind of error.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The kind of error: a stable code.
    code: &'static str,
    /// What is wrong and what would be right.
    detail: String,
    /// Every error, for calls that can have several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<ErrorPart>,
    /// The number of errors that are not listed in `errors`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    errors_omitted: usize,
    /// The effect of the change and the number that confirms it, for the code `wide_change`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    wide_change: Option<WideChange>,
    /// For `POST /v1/fleet/accept` and the code `wide_change`: the number of widgets that it would touch, which confirms it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    confirm: Option<usize>,
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
            confirm: None,
            field: None,
        }))
    }

    pub(super) fn with_errors(mut self, errors: Vec<ErrorPart>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds the number of errors that are not listed.
    pub(super) fn with_omitted(mut self, omitted: usize) -> Self {
        self.0.omitted = omitted;
        self
    }

    pub(super) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.field = Some((name, value));
        self
    }

    /// The same with one more sentence.
    pub(super) fn with_more(mut self, sentence: &str) -> Self {
        self.0.detail = format!("{}; {sentence}", self.0.detail);
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The kind of error.
    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }

    /// What is wrong and what would be right.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    #[cfg(test)]
    pub(super) fn errors(&self) -> &[ErrorPart] {
        &self.0.errors
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such call")
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "this call does not accept this method",
        )
    }

    pub(super) fn unknown_widget() -> Self {
        Self::new(StatusCode::NOT_FOUND, "unknown_widget", "there is no such widget")
    }

    pub(super) fn body_timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", BodyTooSlow.to_string())
    }

    pub(super) fn too_large(limit: usize, what: &str) -> Self {
        let detail = format!("{what} is larger than {limit} bytes, the limit of this call");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// An invalid document, with every error.
    pub(super) fn invalid_document(errors: Vec<ErrorPart>) -> Self {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => only.detail.clone(),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} errors, see `errors`", several.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", detail).with_errors(errors)
    }

    /// A refused batch, with the errors of each line.
    pub(super) fn refused_batch(code: &'static str, errors: Vec<ErrorPart>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("line {}: {}", only.line.unwrap_or_default(), only.detail),
            several => format!("nothing was changed: {} errors, see `errors`", several.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_errors(errors)
    }

    /// A change of many widgets at once that has to be confirmed.
    pub(super) fn wide_change(wide: WideChange, detail: String) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wide_change", detail);
        problem.0.wide_change = Some(wide);
        problem
    }

    /// A bucket that touches so many widgets, which has to be confirmed.
    pub(super) fn to_confirm(touched: usize, detail: String) -> Self {
        let mut problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "wide_change", detail);
        problem.0.confirm = Some(touched);
        problem
    }

    /// An invalid query parameter or header field.
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

    /// Query parameters that the call does not know.
    pub(super) fn unknown_parameters(errors: Vec<ErrorPart>) -> Self {
        let detail = match errors.as_slice() {
            [only] => only.detail.clone(),
            several => format!("{} unknown query parameters, see `errors`", several.len()),
        };
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", detail).with_errors(errors)
    }

    /// A body where the call takes none.
    pub(super) fn unexpected_body() -> Self {
        let detail =
            "this call takes no body, only what is in its path and query; send none, or an empty object";
        Self::new(StatusCode::BAD_REQUEST, "unexpected_body", detail)
    }

    pub(super) fn internal(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }
}

/// What an answer says went wrong, beside its problem document, for whoever shows it in another form.
#[derive(Clone, Debug)]
pub(super) struct ToldProblem {
    /// The kind of error.
    pub(super) code: &'static str,
    /// What is wrong and what would be right.
    pub(super) detail: Box<str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Parts { status, code, detail, mut errors, omitted, wide_change, confirm, field } = *self.0;
        let errors_omitted = omitted + errors.len().saturating_sub(MOST_ERRORS);
        errors.truncate(MOST_ERRORS);
        let told = ToldProblem { code, detail: detail.as_str().into() };
        let document = ProblemDocument {
            r#type: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail,
            errors,
            errors_omitted,
            wide_change,
            confirm,
        };
        // Plain strings and numbers can always be written as JSON.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        response.extensions_mut().insert(told);
        if let Some((name, value)) = field {
            response.headers_mut().insert(name, value);
        }
        response
    }
}
