//! Resolver of a route's `headers`: the response headers that a configuration may set.

use http::{HeaderName, HeaderValue};

use super::route::HeaderOverride;
use crate::config::table::{ConfigTable, Item};
use embedgate_policy::headers::{is_cdn_directive, is_computed};
use embedgate_policy::verdict::Class;

const LONGEST_VALUE: usize = 4096;

/// Headers that frame the message or belong to one connection (RFC 9110 §7.6.1 and §8.6).
const FRAMING: [&str; 15] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "content-encoding",
    "content-range",
    "date",
    "sec-websocket-accept",
    "sec-websocket-protocol",
];

/// Headers that can't be set on frames: the list decides who may embed, storing a frame depends on its
/// ticket, and timing data would show that ticket to the page around it.
const NOT_ON_FRAMES: [&str; 3] = ["x-frame-options", "timing-allow-origin", "cache-control"];

pub(super) fn read(table: &ConfigTable<'_>, class: Option<Class>, shared_cache: bool) -> Vec<HeaderOverride> {
    let mut headers: Vec<HeaderOverride> = Vec::new();
    for (key, spot, item) in table.named() {
        match name(key, class, shared_cache) {
            Err(detail) => table.fault(spot, format!("routes.headers: {detail}")),
            Ok(name) if headers.iter().any(|header| header.name == name) => {
                table.fault(
                    spot,
                    format!(
                        "routes.headers: '{name}' is there twice, in upper and lower case; leave one out"
                    ),
                );
            }
            Ok(name) => headers.extend(header(name, item, class, shared_cache)),
        }
    }
    headers
}

fn name(key: &str, class: Option<Class>, shared_cache: bool) -> Result<HeaderName, String> {
    let name = HeaderName::from_bytes(key.as_bytes()).map_err(|_| format!("'{key}' is not a header name"))?;
    let text = name.as_str();
    if name == http::header::ACCESS_CONTROL_EXPOSE_HEADERS {
        return Err("'access-control-expose-headers' has its own key; write expose = [\"X-Name\"]".to_owned());
    }
    if is_computed(&name) {
        return Err(format!("'{text}' depends on the verdict and can't be set; leave it out"));
    }
    if FRAMING.contains(&text) {
        return Err(format!("'{text}' belongs to the message or connection and can't be set; leave it out"));
    }
    if class == Some(Class::Frame) && NOT_ON_FRAMES.contains(&text) {
        return Err(format!(
            "'{text}' can't be set on class frame, because the verdict or ticket decides it; leave it out"
        ));
    }
    let kept_apart = class == Some(Class::Frame) || class == Some(Class::Session);
    if is_cdn_directive(&name) && (kept_apart || class == Some(Class::Asset) && !shared_cache) {
        let hint = if kept_apart { "leave it out" } else { "leave it out or set shared_cache = true" };
        return Err(format!("'{text}' would let shared caches answer instead of the edge; {hint}"));
    }
    Ok(name)
}

fn header(
    name: HeaderName,
    item: Item<'_>,
    class: Option<Class>,
    shared_cache: bool,
) -> Option<HeaderOverride> {
    let value = item.text(|text| {
        let value = value(text)?;
        match name.as_str() {
            "referrer-policy" if class == Some(Class::Frame) => frame_referrer(text)?,
            "cache-control" if !shared_cache => unshared(text)?,
            _ => {}
        }
        Ok(value)
    })?;
    Some(HeaderOverride { name, value })
}

fn value(text: &str) -> Result<Option<HeaderValue>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    if text.trim() != text
        || text.len() > LONGEST_VALUE
        || !text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    {
        return Err(format!(
            "must be at most {LONGEST_VALUE} visible ASCII characters without spaces at the start or end (\"\" removes \
            the header)"
        ));
    }
    HeaderValue::from_str(text).map(Some).map_err(|error| error.to_string())
}

/// Checks a frame's `Referrer-Policy`. The last policy that a browser knows counts (Referrer Policy §8.1).
/// Without a referrer, some of a frame's own calls would name no embedder.
fn frame_referrer(text: &str) -> Result<(), String> {
    match text.rsplit(',').next().map(|last| last.trim().to_ascii_lowercase()).as_deref() {
        Some("no-referrer") => {
            Err("'no-referrer' would leave the frame's sessions without an embedder; write \
                                    \"strict-origin-when-cross-origin\" or \"same-origin\""
                .into())
        }
        _ => Ok(()),
    }
}

/// Checks that a `Cache-Control` forbids shared caches, which would give an answer for one embedder to all.
fn unshared(text: &str) -> Result<(), String> {
    let is_shared = |directive: &str| {
        let name = directive.split('=').next().unwrap_or(directive).trim().to_ascii_lowercase();
        name == "public" || name == "s-maxage"
    };
    match text.split(',').find(|directive| is_shared(directive)) {
        Some(directive) => Err(format!(
            "'{}' opens the answer to shared caches; add shared_cache = true (class asset) or write private",
            directive.trim()
        )),
        None => Ok(()),
    }
}
