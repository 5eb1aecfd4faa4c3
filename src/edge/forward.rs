//! An allowed request on its way: what its upstream is told, and what the browser is told of the answer.

use std::borrow::Cow;

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use super::visit::Visit;
use crate::edge::fields::Fields;
use crate::edge::message::ResponseHead;
use crate::policy::decision::Class;
use crate::policy::headers::{
    Answer, Grant, SERVER_TIMING, cache_control, is_cdn_directive, is_hop_by_hop, is_stripped, is_trailer,
    nominated, without_embed_ticket,
};

const WIDGET_ID: HeaderName = HeaderName::from_static("x-widget-id");
const WIDGET_ENVIRONMENT: HeaderName = HeaderName::from_static("x-widget-environment");
const EMBEDDER_ORIGIN: HeaderName = HeaderName::from_static("x-embedder-origin");
const DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");

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
pub fn to_browser(response: &mut ResponseHead, visit: &Visit, https: bool) {
    to_everyone(response, visit, https);
    let grant = visit.grant().filter(|_| !response.status.is_informational());
    grant_to(&mut response.fields, grant);
}

/// Says what CORS grants to the page that asks, in an answer that is prepared for everyone. Which fields may be read is
/// of no meaning where none may.
pub fn grant_to(fields: &mut Fields, grant: Option<Grant<'_>>) {
    match grant {
        Some(grant) => grant.each(|name, value| {
            fields.insert(name, value.clone());
        }),
        None => {
            fields.remove(&header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
    }
}

/// Prepares it but for what CORS grants.
pub fn to_everyone(response: &mut ResponseHead, visit: &Visit, https: bool) {
    let class = visit.route.class;
    let (status, fields) = (response.status, &mut response.fields);
    let profile = visit.route.profile(visit.voice);
    let cdn =
        matches!(class, Class::Asset | Class::Frame | Class::Session) && !visit.route.cache.shared_cache;
    let is_final = !status.is_informational();
    let nominated: Vec<HeaderName> = nominated(fields.get_all(header::CONNECTION)).collect();
    fields.retain(|name, _| {
        !(is_stripped(class, name)
            || cdn && is_cdn_directive(name)
            || is_of_upstream(status, name)
            || is_nominated(&nominated, name)
            || is_final && profile.removed().contains(name))
    });
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
        fields.insert(name.clone(), value.clone());
    });
    answer.added().for_each(|(name, value)| {
        fields.append(name, value);
    });
}

/// Whether the upstream says it of its own connection to the edge. `Transfer-Encoding` is left to the cache and to the
/// writer of the answer, who sets it anew.
fn is_of_upstream(status: StatusCode, name: &HeaderName) -> bool {
    match *name {
        // 426 (Upgrade Required) says by it what would be right (RFC 9110 §15.5.22).
        header::UPGRADE => status != StatusCode::UPGRADE_REQUIRED,
        header::TRANSFER_ENCODING => false,
        _ => is_hop_by_hop(name),
    }
}

/// Whether `Connection` names it, and may.
fn is_nominated(nominated: &[HeaderName], name: &HeaderName) -> bool {
    let framing = *name == header::TRANSFER_ENCODING || *name == header::CONTENT_LENGTH;
    !framing && *name != header::UPGRADE && nominated.contains(name)
}

/// Trailers of a request as they go on to the upstream.
pub fn trailers_upward(mut fields: Fields) -> Fields {
    fields.retain(|name, _| is_trailer(name));
    fields
}

/// Trailers of an answer as they go on to the browser.
pub fn trailers_downward(mut fields: Fields, visit: &Visit) -> Fields {
    let (class, removed) = (visit.route.class, visit.route.profile(visit.voice).removed());
    fields.retain(|name, _| is_trailer(name) && !is_stripped(class, name) && !removed.contains(name));
    strip_server_timing(&mut fields);
    fields
}

fn strip_server_timing(fields: &mut Fields) {
    if !fields.contains(&SERVER_TIMING) {
        return;
    }
    let kept: Vec<HeaderValue> = fields
        .get_all(SERVER_TIMING)
        .filter_map(|value| without_embed_ticket(value.to_str().ok()?))
        .filter_map(|value| HeaderValue::try_from(value).ok())
        .collect();
    fields.remove(&SERVER_TIMING);
    for value in kept {
        fields.append(SERVER_TIMING, value);
    }
}

fn set_caching(fields: &mut Fields, visit: &Visit) {
    let upstream = fields.get_all(header::CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    let value = match cache_control(visit.route.cache, visit.ticket.is_some(), upstream) {
        None => return,
        Some(Cow::Borrowed(value)) => HeaderValue::from_static(value),
        Some(Cow::Owned(value)) => HeaderValue::try_from(value).unwrap_or(PRIVATE_NO_CACHE),
    };
    fields.insert(header::CACHE_CONTROL, value);
}

const PRIVATE_NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
