//! An allowed request on its way: what its upstream is told, and what the browser is told of the answer.

use std::borrow::Cow;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::response::Parts;
use http::{StatusCode, Uri};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};

use super::client::{Client, aliases, remove_where};
use super::visit::Visit;
use crate::policy::decision::Class;
use crate::policy::headers::{
    Answer, Grant, SERVER_TIMING, cache_control, is_cdn_directive, is_stripped, without_embed_ticket,
};

const WIDGET_ID: HeaderName = HeaderName::from_static("x-widget-id");
const WIDGET_ENVIRONMENT: HeaderName = HeaderName::from_static("x-widget-environment");
const EMBEDDER_ORIGIN: HeaderName = HeaderName::from_static("x-embedder-origin");
const DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");

/// Fields that only the edge may set, by prefix.
const RESERVED: [&str; 3] = ["x-widget-", "x-embedder-", "x-decision-"];

/// Prepares the request for the upstream.
pub fn to_upstream(request: &mut RequestHeader, visit: Option<&Visit>, client: &Client) -> Result<()> {
    remove_where(request, is_reserved);
    client.forward(request)?;
    // The absolute form (RFC 9112 §3.2.2) is for proxies; an origin server gets the path.
    if !request.raw_path().starts_with(b"/")
        && let Some(path) = request.uri.path_and_query()
    {
        request.set_uri(Uri::from(path.clone()));
    }
    for (name, value) in visit.into_iter().flat_map(told_upstream) {
        request.insert_header(name, value)?;
    }
    Ok(())
}

/// Whether only the edge may set this field.
pub fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.iter().any(|prefix| aliases(name, prefix))
}

/// What the upstream is told of the verdict.
pub fn told_upstream(visit: &Visit) -> impl Iterator<Item = (HeaderName, &str)> {
    let embedder = visit.verified_embedder().and_then(|embedder| embedder.to_str().ok());
    [
        (WIDGET_ID, &*visit.widget),
        (WIDGET_ENVIRONMENT, visit.environment.as_str()),
        (DECISION_ID, visit.decision_id.as_str()),
    ]
    .into_iter()
    .chain(embedder.map(|embedder| (EMBEDDER_ORIGIN, embedder)))
}

/// Prepares the upstream's answer for the browser.
pub fn to_browser(response: &mut Parts, visit: &Visit, https: bool) {
    to_everyone(response, visit, https);
    let grant = visit.grant().filter(|_| !response.status.is_informational());
    grant_to(&mut response.headers, grant);
}

/// Says what CORS grants to the page that asks, in an answer that is prepared for everyone. Which fields may be read is
/// of no meaning where none may.
pub fn grant_to(fields: &mut HeaderMap, grant: Option<Grant<'_>>) {
    match grant {
        Some(grant) => grant.each(|name, value| {
            fields.insert(name, value.clone());
        }),
        None => {
            fields.remove(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
    }
}

/// Prepares it but for what CORS grants.
pub fn to_everyone(response: &mut Parts, visit: &Visit, https: bool) {
    let class = visit.route.class;
    let (status, fields) = (response.status, &mut response.headers);
    let profile = visit.route.profile(visit.voice);
    let cdn =
        matches!(class, Class::Asset | Class::Frame | Class::Session) && !visit.route.cache.shared_cache;
    let is_final = !status.is_informational();
    let hop_by_hop = status != StatusCode::SWITCHING_PROTOCOLS;
    let nominated: Vec<HeaderName> = nominated(fields).collect();
    let unwanted = |name: &HeaderName| {
        is_stripped(class, name)
            || cdn && is_cdn_directive(name)
            || hop_by_hop && (is_hop_by_hop(status, name) || is_nominated(&nominated, name))
            || is_final && profile.removed().contains(name)
    };
    let unwanted: Vec<HeaderName> = fields.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in unwanted {
        fields.remove(name);
    }
    strip_server_timing(fields);
    if !is_final {
        return;
    }
    set_caching(fields, visit);
    let answer = Answer {
        class,
        profile,
        https,
        frame_ancestors: visit.frame_ancestors.as_ref(),
        on_ticket: visit.on_ticket,
        ticket: visit.ticket.as_ref(),
    };
    // A chain is walked faster from within.
    answer.set().for_each(|(name, value)| {
        fields.insert(name, value.clone());
    });
    answer.added().for_each(|(name, value)| {
        fields.append(name, value);
    });
}

/// Changes an answer of the proxy library's in place. Its spelling of field names is lost, which is of no meaning
/// (RFC 9110 §5.1) and costs a second map of them.
pub fn change<T>(response: &mut ResponseHeader, change: impl FnOnce(&mut Parts) -> T) -> Result<T> {
    let canonical = response.status.canonical_reason();
    let reason = response.get_reason_phrase().filter(|reason| Some(*reason) != canonical).map(str::to_owned);
    let empty = ResponseHeader::build_no_case(response.status, Some(0))?;
    let mut parts = Parts::from(std::mem::replace(response, empty));
    let result = change(&mut parts);
    *response = ResponseHeader::from(parts);
    response.set_reason_phrase(reason.as_deref())?;
    Ok(result)
}

/// Whether the upstream says it of its own connection to the edge (RFC 9110 §7.6.1). `Connection` and
/// `Transfer-Encoding` are left to the writer of the answer, who needs them and sets them anew.
fn is_hop_by_hop(status: StatusCode, name: &HeaderName) -> bool {
    match name.as_str() {
        "keep-alive" | "proxy-connection" | "te" | "trailer" => true,
        // 426 (Upgrade Required) says by it what would be right (RFC 9110 §15.5.22).
        "upgrade" => status != StatusCode::UPGRADE_REQUIRED,
        _ => false,
    }
}

/// Whether `Connection` names it, and may.
fn is_nominated(nominated: &[HeaderName], name: &HeaderName) -> bool {
    let told = *name == header::UPGRADE || *name == header::CONNECTION;
    let framing = *name == header::TRANSFER_ENCODING || *name == header::CONTENT_LENGTH;
    !told && !framing && nominated.contains(name)
}

/// The fields that `Connection` names: those of one connection only. What is no field name is passed over, as are
/// the two options that are none.
pub fn nominated(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter();
    values
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|name| !name.eq_ignore_ascii_case(b"keep-alive") && !name.eq_ignore_ascii_case(b"close"))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
}

fn strip_server_timing(fields: &mut HeaderMap) {
    if !fields.contains_key(SERVER_TIMING) {
        return;
    }
    let kept: Vec<HeaderValue> = fields
        .get_all(SERVER_TIMING)
        .iter()
        .filter_map(|value| without_embed_ticket(value.to_str().ok()?))
        .filter_map(|value| HeaderValue::try_from(value).ok())
        .collect();
    fields.remove(SERVER_TIMING);
    for value in kept {
        fields.append(SERVER_TIMING, value);
    }
}

fn set_caching(fields: &mut HeaderMap, visit: &Visit) {
    let upstream = fields.get_all(header::CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let value = match cache_control(visit.route.cache, visit.ticket.is_some(), upstream) {
        None => return,
        Some(Cow::Borrowed(value)) => HeaderValue::from_static(value),
        Some(Cow::Owned(value)) => HeaderValue::try_from(value).unwrap_or(PRIVATE_NO_CACHE),
    };
    fields.insert(header::CACHE_CONTROL, value);
}

const PRIVATE_NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
