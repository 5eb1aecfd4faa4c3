//! An allowed request on its way: what its upstream is told, and what the browser is told of the answer.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::client::{Client, aliases};
use super::visit::Visit;
use crate::policy::decision::Class;
use crate::policy::headers::{Answer, cache_control, is_cdn_directive, is_stripped, without_embed_ticket};

const WIDGET_ID: HeaderName = HeaderName::from_static("x-widget-id");
const WIDGET_ENVIRONMENT: HeaderName = HeaderName::from_static("x-widget-environment");
const EMBEDDER_ORIGIN: HeaderName = HeaderName::from_static("x-embedder-origin");
const DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Fields that only the edge may set, by prefix.
const RESERVED: [&str; 3] = ["x-widget-", "x-embedder-", "x-decision-"];

/// Prepares the request for the upstream.
pub fn to_upstream(request: &mut RequestHeader, visit: Option<&Visit>, client: &Client) -> Result<()> {
    let reserved: Vec<HeaderName> = request
        .headers
        .keys()
        .filter(|name| RESERVED.iter().any(|prefix| aliases(name, prefix)))
        .cloned()
        .collect();
    for name in reserved {
        request.remove_header(&name);
    }
    client.forward(request)?;
    // The absolute form (RFC 9112 §3.2.2) is for proxies; an origin server gets the path.
    if !request.raw_path().starts_with(b"/")
        && let Some(path) = request.uri.path_and_query()
    {
        request.set_uri(Uri::from(path.clone()));
    }
    let Some(visit) = visit else { return Ok(()) };
    request.insert_header(WIDGET_ID, &*visit.widget)?;
    request.insert_header(WIDGET_ENVIRONMENT, visit.environment.as_str())?;
    request.insert_header(DECISION_ID, visit.decision_id.as_str())?;
    if let Some(embedder) = visit.verified_embedder() {
        request.insert_header(EMBEDDER_ORIGIN, embedder.clone())?;
    }
    Ok(())
}

/// Prepares the upstream's answer for the browser.
pub fn to_browser(response: &mut ResponseHeader, visit: &Visit, https: bool) -> Result<()> {
    let class = visit.route.class;
    strip(response, class, visit.route.cache.shared_cache);
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(());
    }
    strip_hop_by_hop(response);
    if response.status.is_informational() {
        return Ok(());
    }
    let profile = visit.route.profile(visit.voice);
    for name in profile.removed() {
        response.remove_header(name);
    }
    set_caching(response, visit)?;
    let answer = Answer {
        class,
        profile,
        https,
        allow_origin: visit.allow_origin.as_ref(),
        credentials: visit.credentials,
        frame_ancestors: visit.frame_ancestors.as_ref(),
    };
    for (name, value) in answer.set() {
        response.insert_header(name.clone(), value.clone())?;
    }
    for (name, value) in answer.added() {
        response.append_header(name, value)?;
    }
    Ok(())
}

/// Takes away what the upstream may not tell a browser, whoever the browser is.
pub fn strip(response: &mut ResponseHeader, class: Class, shared_cache: bool) {
    let cdn = matches!(class, Class::Asset | Class::Frame | Class::Session) && !shared_cache;
    let stripped: Vec<HeaderName> = response
        .headers
        .keys()
        .filter(|name| is_stripped(class, name) || cdn && is_cdn_directive(name))
        .cloned()
        .collect();
    for name in stripped {
        response.remove_header(&name);
    }
    strip_server_timing(response);
}

/// Takes away what the upstream said of its own connection to the edge (RFC 9110 §7.6.1). `Connection` and
/// `Transfer-Encoding` are left to the writer of the answer, who needs them and sets them anew.
fn strip_hop_by_hop(response: &mut ResponseHeader) {
    let nominated: Vec<HeaderName> = nominated(&response.headers)
        .filter(|name| *name != header::TRANSFER_ENCODING && *name != header::CONTENT_LENGTH)
        .collect();
    // 426 (Upgrade Required) says by `Upgrade` what would be right (RFC 9110 §15.5.22).
    let told = response.status == StatusCode::UPGRADE_REQUIRED;
    for name in HOP_BY_HOP.iter().chain(&nominated).filter(|name| !told || **name != header::UPGRADE) {
        response.remove_header(name);
    }
}

/// The fields that `Connection` names: those of one connection only. What is no field name is passed over.
pub fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

const HOP_BY_HOP: [HeaderName; 5] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
];

fn strip_server_timing(response: &mut ResponseHeader) {
    if !response.headers.contains_key(SERVER_TIMING) {
        return;
    }
    let kept: Vec<HeaderValue> = response
        .headers
        .get_all(SERVER_TIMING)
        .iter()
        .filter_map(|value| without_embed_ticket(value.to_str().ok()?))
        .filter_map(|value| HeaderValue::try_from(value).ok())
        .collect();
    response.remove_header(&SERVER_TIMING);
    for value in kept {
        // The name was there before, so the field is within the limits it was read with.
        let _ = response.append_header(SERVER_TIMING, value);
    }
}

fn set_caching(response: &mut ResponseHeader, visit: &Visit) -> Result<()> {
    let upstream =
        response.headers.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    if let Some(value) = cache_control(visit.route.cache, upstream) {
        let value = HeaderValue::from_str(&value).unwrap_or(PRIVATE_NO_CACHE);
        response.insert_header(header::CACHE_CONTROL, value)?;
    }
    Ok(())
}

const PRIVATE_NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
