//! Call of the admin API, before it is sent.

use std::time::Duration;

use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use serde_json::Value;

/// Time for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Call of the admin API.
pub(in crate::cli) struct RemoteCall {
    method: Method,
    pub(super) path: String,
    body: Option<(&'static str, Vec<u8>)>,
    if_match: Option<u64>,
    /// It changes something if it succeeds.
    pub(super) changes: bool,
    /// Time until the answer is read; of one that is downloaded, until each piece of it is.
    pub(super) patience: Duration,
    /// Its answer is large, and read piece by piece.
    pub(super) downloaded: bool,
}

impl RemoteCall {
    pub(in crate::cli) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path, false)
    }

    /// A `POST` that changes nothing.
    pub(in crate::cli) fn question(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path, false)
    }

    pub(in crate::cli) fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path, true)
    }

    pub(in crate::cli) fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path, true)
    }

    pub(in crate::cli) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path, true)
    }

    fn new(method: Method, path: impl Into<String>, changes: bool) -> Self {
        Self {
            method,
            path: path.into(),
            body: None,
            if_match: None,
            changes,
            patience: PATIENCE,
            downloaded: false,
        }
    }

    pub(in crate::cli) fn json(self, value: &Value) -> Self {
        self.document(value.to_string().into_bytes())
    }

    /// With a JSON text as its body.
    pub(in crate::cli) fn document(mut self, json: Vec<u8>) -> Self {
        self.body = Some(("application/json", json));
        self
    }

    /// Only if the widget is at this revision.
    pub(in crate::cli) fn if_match(mut self, revision: Option<u64>) -> Self {
        self.if_match = revision;
        self
    }

    /// With more time for the answer.
    pub(in crate::cli) fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// With so much more time for the answer, for which the edge waits for others.
    pub(in crate::cli) fn waiting(mut self, within: Duration) -> Self {
        self.patience += within;
        self
    }

    /// With more parameters.
    pub(in crate::cli) fn with_query(mut self, parameters: &str) -> Self {
        let sign = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{sign}{parameters}", self.path);
        self
    }

    /// With an answer that is large.
    pub(super) fn downloaded(mut self) -> Self {
        self.downloaded = true;
        self
    }

    pub(super) fn request(&self, base: &str, token: &str) -> Result<http::Request<&[u8]>, http::Error> {
        let Self { method, path, body, if_match, .. } = self;
        let mut request = http::Request::builder().method(method).uri(format!("{base}{path}"));
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        if let Some(revision) = if_match {
            request = request.header(IF_MATCH, format!("\"{revision}\""));
        }
        let body = match body {
            Some((media, body)) => {
                request = request.header(CONTENT_TYPE, *media);
                body.as_slice()
            }
            None => &[],
        };
        request.body(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_added_to_those_that_are_there() {
        let call = RemoteCall::post("/v1/x").with_query("a=1").with_query("b=2").waiting(PATIENCE);
        assert_eq!((call.path.as_str(), call.patience), ("/v1/x?a=1&b=2", PATIENCE * 2));
    }
}
