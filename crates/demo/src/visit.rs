//! What the edge says about a request.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::HeaderMap;
use axum::http::request::Parts;

/// The widget, its environment and its embedder, as the edge names them to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub(crate) widget: String,
    pub(crate) environment: String,
    /// The verified origin of the embedding page; none where the request carried none.
    pub(crate) embedder: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let named = header(&parts.headers, "x-widget-id");
        let widget = match named {
            Some(widget) => widget,
            // Without an edge in front, as in tests, the path is all there is.
            None => match RawPathParams::from_request_parts(parts, state).await {
                Ok(params) => params.iter().find(|(name, _)| *name == "widget").map(|(_, id)| id.to_owned()),
                Err(_) => None,
            }
            .unwrap_or_default(),
        };
        Ok(Visit {
            widget,
            environment: header(&parts.headers, "x-widget-environment")
                .unwrap_or_else(|| "production".to_owned()),
            embedder: header(&parts.headers, "x-embedder-origin"),
        })
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()).map(str::to_owned)
}
