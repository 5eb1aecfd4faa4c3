//! Header rewriting: fields for the upstream, and the upstream's answer for the browser.

use std::borrow::Cow;

use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use crate::edge::admission::route::Route;
use crate::edge::admission::terms::{Admission, SharedTerms};
use crate::edge::admission::tickets::cookie;
use crate::edge::http::fields::Fields;
use crate::edge::http::message::ResponseHead;
use embedgate_policy::headers::{
    Grant, SERVER_TIMING, SharedAnswer, cache_control, is_cdn_directive, is_hop_by_hop, is_stripped,
    is_trailer, nominated, without_embed_ticket,
};
use embedgate_policy::verdict::Class;

pub mod mapped;

const WIDGET_ID: HeaderName = HeaderName::from_static("x-widget-id");
const WIDGET_ENVIRONMENT: HeaderName = HeaderName::from_static("x-widget-environment");
const EMBEDDER_ORIGIN: HeaderName = HeaderName::from_static("x-embedder-origin");
const DECISION_ID: HeaderName = HeaderName::from_static("x-decision-id");

/// The fields about the verdict, for the upstream.
pub fn told_upstream(admission: &Admission) -> impl Iterator<Item = (HeaderName, &str)> {
    let embedder = admission.own.verified().and_then(|embedder| embedder.to_str().ok());
    [
        (WIDGET_ID, &*admission.shared.widget),
        (WIDGET_ENVIRONMENT, admission.shared.environment.as_str()),
        (DECISION_ID, admission.own.decision_id.as_str()),
    ]
    .into_iter()
    .chain(embedder.map(|embedder| (EMBEDDER_ORIGIN, embedder)))
}

/// Rewrites the head of the upstream's answer for the browser.
pub fn to_browser(response: &mut ResponseHead, admission: &Admission, https: bool) {
    to_everyone(response, &admission.shared, https);
    if response.status.is_informational() {
        return grant_to(&mut response.fields, None);
    }
    to_visitor(&mut response.fields, admission);
}

/// Adds the fields of one visitor to an answer that is prepared for everyone.
pub fn to_visitor(fields: &mut Fields, admission: &Admission) {
    grant_to(fields, admission.grant());
    let own = &admission.own.answer;
    if let Some(value) = own.cache_control() {
        fields.insert(header::CACHE_CONTROL, value);
    }
    own.each_added(|name, value| fields.append(name, value));
}

/// Adds the CORS grant to an answer that is prepared for everyone. Without a grant,
/// `Access-Control-Expose-Headers` has no meaning and is removed.
fn grant_to(fields: &mut Fields, grant: Option<Grant<'_>>) {
    match grant {
        Some(grant) => grant.each(|name, value| {
            fields.insert(name, value.clone());
        }),
        None => {
            fields.remove(&header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
    }
}

/// Rewrites the head for everyone, without the fields of one visitor.
pub fn to_everyone(response: &mut ResponseHead, shared: &SharedTerms, https: bool) {
    let class = shared.route.class;
    let (status, fields) = (response.status, &mut response.fields);
    let profile = shared.profile();
    let cdn =
        matches!(class, Class::Asset | Class::Frame | Class::Session) && !shared.route.cache.shared_cache;
    let is_final = !status.is_informational();
    let nominated: Vec<HeaderName> = nominated(fields.get_all(header::CONNECTION)).collect();
    fields.retain(|name, value| {
        !(is_stripped(class, name)
            || cdn && is_cdn_directive(name)
            || is_of_upstream(status, name, value)
            || is_nominated(&nominated, name)
            || is_final && profile.removed().contains(name))
    });
    strip_server_timing(fields);
    if !is_final {
        return;
    }
    set_caching(fields, &shared.route);
    let answer = SharedAnswer { class, profile, https };
    // `for_each` is faster on a chain than a loop.
    answer.set().for_each(|(name, value)| {
        fields.insert(name.clone(), value.clone());
    });
    answer.added().for_each(|(name, value)| {
        fields.append(name, value);
    });
}

/// Whether a field is about the upstream's connection to the edge, or not the upstream's to set. `Transfer-Encoding`
/// is not included: the cache reads it, and the writer of the answer replaces it.
fn is_of_upstream(status: StatusCode, name: &HeaderName, value: &HeaderValue) -> bool {
    match *name {
        // A 426 (Upgrade Required) names the right protocol in it (RFC 9110 §15.5.22).
        header::UPGRADE => status != StatusCode::UPGRADE_REQUIRED,
        header::TRANSFER_ENCODING => false,
        // Some cookies are the edge's alone.
        header::SET_COOKIE => cookie::is_reserved(value),
        _ => is_hop_by_hop(name),
    }
}

/// Whether `Connection` names the field, and is allowed to.
fn is_nominated(nominated: &[HeaderName], name: &HeaderName) -> bool {
    let framing = *name == header::TRANSFER_ENCODING || *name == header::CONTENT_LENGTH;
    !framing && *name != header::UPGRADE && nominated.contains(name)
}

/// The trailers of a request, for the upstream.
pub fn trailers_upward(mut fields: Fields) -> Fields {
    fields.retain(|name, _| is_trailer(name));
    fields
}

/// The trailers of an answer, for the browser.
pub fn trailers_downward(mut fields: Fields, shared: &SharedTerms) -> Fields {
    let (class, removed) = (shared.route.class, shared.profile().removed());
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

fn set_caching(fields: &mut Fields, route: &Route) {
    let upstream = fields.get_all(header::CACHE_CONTROL).filter_map(|value| value.to_str().ok());
    let value = match cache_control(route.cache, upstream) {
        None => return,
        Some(Cow::Borrowed(value)) => HeaderValue::from_static(value),
        Some(Cow::Owned(value)) => HeaderValue::try_from(value).unwrap_or(PRIVATE_NO_CACHE),
    };
    fields.insert(header::CACHE_CONTROL, value);
}

const PRIVATE_NO_CACHE: HeaderValue = HeaderValue::from_static("private, no-cache");
