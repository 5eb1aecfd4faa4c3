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

const FILES: &[PageFile] = &[
    PageFile { name: "page.css", media: STYLE, text: include_str!("assets/page.css") },
    PageFile { name: "page.js", media: SCRIPT, text: include_str!("assets/page.js") },
    PageFile { name: "charts.js", media: SCRIPT, text: include_str!("assets/charts.js") },
    PageFile { name: "refresh.js", media: SCRIPT, text: include_str!("assets/refresh.js") },
    PageFile { name: "overview.js", media: SCRIPT, text: include_str!("assets/overview.js") },
    PageFile { name: "overview.css", media: STYLE, text: include_str!("assets/overview.css") },
    PageFile { name: "fleet.js", media: SCRIPT, text: include_str!("assets/fleet.js") },
    PageFile { name: "uplot.js", media: SCRIPT, text: include_str!("assets/vendor/uplot/uPlot.esm.js") },
    PageFile { name: "uplot.css", media: STYLE, text: include_str!("assets/vendor/uplot/uPlot.min.css") },
    PageFile { name: "change.js", media: SCRIPT, text: include_str!("assets/change.js") },
    PageFile { name: "effects.js", media: SCRIPT, text: include_str!("assets/effects.js") },
    PageFile { name: "faults.js", media: SCRIPT, text: include_str!("assets/faults.js") },
    PageFile { name: "widget.css", media: STYLE, text: include_str!("assets/widget.css") },
    PageFile { name: "widget.js", media: SCRIPT, text: include_str!("assets/widget.js") },
    PageFile { name: "checklist.js", media: SCRIPT, text: include_str!("assets/checklist.js") },
    PageFile { name: "explain.css", media: STYLE, text: include_str!("assets/explain.css") },
    PageFile { name: "explain.js", media: SCRIPT, text: include_str!("assets/explain.js") },
    PageFile { name: "live.css", media: STYLE, text: include_str!("assets/live.css") },
    PageFile { name: "live.js", media: SCRIPT, text: include_str!("assets/live.js") },
    PageFile { name: "live-rows.js", media: SCRIPT, text: include_str!("assets/live-rows.js") },
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
    format!("\"{}\"", &checksum(text)[..16])
}

/// The SHA-256 of a file in hexadecimal.
fn checksum(text: &str) -> String {
    digest(&SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        let told = include_str!("assets/vendor/uplot/README.md");
        let files = [
            ("uPlot.esm.js", include_str!("assets/vendor/uplot/uPlot.esm.js")),
            ("uPlot.min.css", include_str!("assets/vendor/uplot/uPlot.min.css")),
            ("LICENSE", include_str!("assets/vendor/uplot/LICENSE")),
        ];
        for (name, text) in files {
            let sum = checksum(text);
            let is_told = told.lines().any(|line| line.contains(name) && line.contains(&sum));
            assert!(is_told, "{name} is {sum}, not what its README.md says");
        }
    }
}
