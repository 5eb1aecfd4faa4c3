//! The loader and the frame's static files: compiled in, with an entity tag, answered 304 where the browser has them.

use std::hash::{DefaultHasher, Hasher};

use axum::extract::RawPathParams;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const LOADER: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("loader.js"));
const FRAME_SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("frame.js"));
const SESSION_SCRIPT: Asset = Asset::new("text/javascript; charset=utf-8", include_str!("session.js"));
const STYLE: Asset = Asset::new("text/css; charset=utf-8", include_str!("widget.css"));
pub(crate) const ICON: Asset = Asset::new("image/svg+xml", include_str!("icon.svg"));

/// `GET /w/{widget}/loader.js`.
pub(crate) async fn loader(headers: HeaderMap) -> Response {
    LOADER.answer(&headers)
}

/// `GET /w/{widget}/assets/{*rest}`.
pub(crate) async fn file(params: RawPathParams, headers: HeaderMap) -> Response {
    match params.iter().find(|(name, _)| *name == "rest").map(|(_, rest)| rest) {
        Some("frame.js") => FRAME_SCRIPT.answer(&headers),
        Some("session.js") => SESSION_SCRIPT.answer(&headers),
        Some("widget.css") => STYLE.answer(&headers),
        Some("icon.svg") => ICON.answer(&headers),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A file that is part of the binary.
pub(crate) struct Asset {
    content_type: &'static str,
    body: &'static str,
}

impl Asset {
    pub(crate) const fn new(content_type: &'static str, body: &'static str) -> Self {
        Asset { content_type, body }
    }

    /// The file, or 304 when a tag of `If-None-Match` is the file's (RFC 9110 §13.1.2).
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = self.tag();
        let status = if matches(headers, &tag) { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
        let mut response = match status {
            StatusCode::OK => self.body.into_response(),
            other => other.into_response(),
        };
        let fields = response.headers_mut();
        if status == StatusCode::OK {
            fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=300"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            fields.insert(header::ETAG, tag);
        }
        response
    }

    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write(self.body.as_bytes());
        format!("\"{:016x}\"", hasher.finish())
    }
}

/// The weak comparison; tags hold no commas here, so splitting at them is safe.
fn matches(headers: &HeaderMap, tag: &str) -> bool {
    let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|list| list.split(',')).map(str::trim).any(|one| {
        let opaque = one.strip_prefix("W/").unwrap_or(one);
        one == "*" || opaque == tag
    })
}
