//! Files of the page: its style, its ES modules, its icon. All of them are in the binary.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use ring::digest::{SHA256, digest};

use crate::admin::problem::Problem;

/// File in the binary.
struct PageFile {
    name: &'static str,
    media: &'static str,
    text: &'static str,
}

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const FILES: [PageFile; 4] = [
    PageFile { name: "page.css", media: STYLE, text: include_str!("assets/page.css") },
    PageFile { name: "page.js", media: SCRIPT, text: include_str!("assets/page.js") },
    PageFile { name: "checklist.js", media: SCRIPT, text: include_str!("assets/checklist.js") },
    PageFile { name: "icon.svg", media: "image/svg+xml", text: include_str!("assets/icon.svg") },
];

/// `GET /assets/{file}`. A browser keeps what it gets, and asks each time whether it is still the same.
pub(super) async fn file(Path(name): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.name == name).ok_or_else(Problem::not_found)?;
    let tag = tag(file.text);
    let known = headers.get_all(header::IF_NONE_MATCH).iter().any(|given| given.as_bytes() == tag.as_bytes());
    let mut answer = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, file.media)], file.text).into_response()
    };
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    Ok(answer)
}

/// The strong entity tag of a file: the beginning of its SHA-256.
fn tag(text: &str) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let digits: String = digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}
