//! Security headers of answers, as data: what each class of route sets and removes, and CORS.

use http::header::{self, HeaderName, HeaderValue};

use super::decision::{Decision, EdgePolicy, Facts};
use super::origin::{Embedder, Origin};
use crate::verdict::{Class, Reason, Verdict};

mod answer;
mod caching;
mod fields;
mod list;
mod own;

pub use answer::{
    GivenTicket, Grant, OwnAnswer, PAGE_COOKIE, PLAIN_PAGE_COOKIE, SERVER_TIMING, SharedAnswer,
    TICKET_COOKIE, allow_origin, ticket_cookie, timing_of_ticket,
};
pub use caching::{CacheRule, cache_control, is_cdn_directive};
pub use fields::{Sender, is_hop_by_hop, is_persistence, is_trailer, nominated, sender};
pub use list::{members, without_embed_ticket};
pub use own::{DENIED_PAGE_POLICY, DenialShape, Destination, OwnProfile, denial_fields};

/// `Vary` of every judged answer: the request fields that a verdict depends on (RFC 9110 §12.5.5).
pub const VARY: HeaderValue = HeaderValue::from_static("Origin, Referer, Sec-Fetch-Dest");

/// `Access-Control-Max-Age` of preflights, in seconds: a browser must not remember a removed domain for
/// longer.
pub const PREFLIGHT_MAX_AGE: HeaderValue = HeaderValue::from_static("60");

/// Policy that keeps a document out of any frame (CSP Level 3, `frame-ancestors`).
pub const FRAME_ANCESTORS_NONE: HeaderValue = HeaderValue::from_static("frame-ancestors 'none'");

/// Field by which an upstream names a session that leaves the edge. It is for the edge alone.
pub static NAMED_SESSION: HeaderName = HeaderName::from_static("x-widget-session");

/// Field by which an upstream says that such a session is over. It is for the edge alone.
pub static ENDED_SESSION: HeaderName = HeaderName::from_static("x-widget-session-ended");

static POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

const NO_DEVICES: &str = "camera=(), geolocation=(), payment=(), usb=(), display-capture=(), microphone=()";
const MICROPHONE_ONLY: &str =
    "camera=(), geolocation=(), payment=(), usb=(), display-capture=(), microphone=(self), autoplay=(self)";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Fixed fields of one route's answers: those of its class, overridden by the route's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    fields: Vec<(HeaderName, HeaderValue)>,
    removed: Vec<HeaderName>,
    strict_transport_security: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
}

impl Profile {
    /// The profile of a class. `voice`: the widget may use the microphone. An override sets a field, or
    /// removes it (`None`).
    pub fn new<'o>(
        class: Class,
        voice: bool,
        overrides: impl IntoIterator<Item = (&'o HeaderName, Option<&'o HeaderValue>)>,
    ) -> Self {
        let mut profile = Self::of(class_fields(class, voice));
        for (name, value) in overrides {
            profile.replace(name, value);
        }
        profile
    }

    /// These fields, without a route's own.
    fn of(fields: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self {
            fields,
            removed: Vec::new(),
            strict_transport_security: Some(HeaderValue::from_static("max-age=31536000")),
            exposed: None,
        }
    }

    /// The same profile, but pages may read the fields with these names instead of those that the upstream
    /// exposes.
    #[must_use]
    pub fn exposing<N: AsRef<str>>(mut self, names: &[N]) -> Self {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        // Field names are tokens, so the value is valid; it is empty only without names.
        self.exposed = HeaderValue::try_from(names.join(", ")).ok().filter(|value| !value.is_empty());
        if self.exposed.is_none() {
            self.removed.push(header::ACCESS_CONTROL_EXPOSE_HEADERS);
        }
        self
    }

    fn replace(&mut self, name: &HeaderName, value: Option<&HeaderValue>) {
        if *name == header::STRICT_TRANSPORT_SECURITY {
            self.strict_transport_security = value.cloned();
            return;
        }
        self.fields.retain(|(field, _)| field != name);
        match value {
            Some(value) => self.fields.push((name.clone(), value.clone())),
            None => self.removed.push(name.clone()),
        }
    }

    /// Fields that replace the upstream's. `https`: the browser's scheme is https; only then is
    /// `Strict-Transport-Security` sent (RFC 6797 §7.2).
    pub fn fields(&self, https: bool) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let hsts = self.strict_transport_security.as_ref().filter(|_| https);
        let hsts = hsts.map(|value| (&header::STRICT_TRANSPORT_SECURITY, value));
        self.fields.iter().map(|(name, value)| (name, value)).chain(hsts)
    }

    /// Fields that the route removes, including the upstream's.
    pub fn removed(&self) -> &[HeaderName] {
        &self.removed
    }

    /// The route's `Access-Control-Expose-Headers`, which replaces the upstream's.
    pub fn exposed(&self) -> Option<&HeaderValue> {
        self.exposed.as_ref()
    }
}

/// Fixed fields of every answer, the upstream's and the edge's own. `class`: that of the route, where there is one.
fn everywhere(_class: Option<Class>) -> Vec<(HeaderName, HeaderValue)> {
    vec![(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"))]
}

/// Fixed fields of the answers of a class that come from the upstream.
fn class_fields(class: Class, voice: bool) -> Vec<(HeaderName, HeaderValue)> {
    let corp = if class == Class::Public { "same-origin" } else { "cross-origin" };
    let mut fields = everywhere(Some(class));
    fields.extend([
        (header::REFERRER_POLICY, HeaderValue::from_static("strict-origin-when-cross-origin")),
        (CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static(corp)),
    ]);
    match class {
        Class::Frame => {
            let policy = if voice { MICROPHONE_ONLY } else { NO_DEVICES };
            fields.push((PERMISSIONS_POLICY, HeaderValue::from_static(policy)));
        }
        Class::Public => {
            fields.push((PERMISSIONS_POLICY, HeaderValue::from_static(NO_DEVICES)));
            fields.push((header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")));
        }
        Class::Asset | Class::Session => {}
    }
    fields
}

/// Whether a field of the upstream's answer is removed before it reaches a browser: fields about the software
/// behind the edge, fields for the edge, and fields that depend on the verdict. Where a page may read answers, the upstream says
/// which fields.
pub fn is_stripped(class: Class, name: &HeaderName) -> bool {
    if *name == header::SERVER || [&POWERED_BY, &NAMED_SESSION, &ENDED_SESSION].contains(&name) {
        return true;
    }
    if is_cors(name) {
        return *name != header::ACCESS_CONTROL_EXPOSE_HEADERS || !is_for_scripts(class);
    }
    class == Class::Frame && (*name == header::X_FRAME_OPTIONS || name.as_str() == "timing-allow-origin")
}

/// Whether the edge computes a field of each answer, so that a fixed value would contradict the verdict. Those that
/// replace the upstream's are in [`is_stripped`], too.
pub fn is_computed(name: &HeaderName) -> bool {
    is_cors(name)
        || [
            header::VARY,
            header::CONTENT_SECURITY_POLICY,
            header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
            SERVER_TIMING,
            header::SET_COOKIE,
        ]
        .contains(name)
}

fn is_cors(name: &HeaderName) -> bool {
    name.as_str().starts_with("access-control-")
}

/// Whether allowed pages read answers of this class by script.
fn is_for_scripts(class: Class) -> bool {
    matches!(class, Class::Asset | Class::Session)
}

/// CORS grant to the page that asks (Fetch standard, "CORS protocol").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cors<'a> {
    /// `Access-Control-Allow-Origin`: a serialised origin, or `*`.
    pub allow_origin: &'a str,
    /// `Access-Control-Allow-Credentials: true`.
    pub credentials: bool,
}

impl<'a> Cors<'a> {
    /// The grant of an answer that the edge makes itself: the page that asked may read it, allowed or not,
    /// without credentials. A malformed value is never repeated.
    pub fn of_own_answer(embedder: &Embedder<'a>) -> Option<Self> {
        let allow_origin = match embedder {
            Embedder::Known(origin) => origin.as_str(),
            // The browser compares it with its own text of the page's origin: `null` is not `file://`.
            Embedder::Opaque(origin) => origin.as_str(),
            Embedder::Absent | Embedder::Malformed(_) => return None,
        };
        Some(Self { allow_origin, credentials: false })
    }
}

/// The CORS grant of a decision, if any. Allowed frames and public pages have none, because nobody reads them
/// by script. The denied page may read its denial, without credentials, so that it can say why; with them if only a
/// limit of the widget denies it, because a page that sends credentials could not read the answer otherwise. Any page
/// may read the answers of an open widget.
pub fn cors<'a>(
    class: Class,
    decision: &Decision,
    embedder: &Embedder<'a>,
    route_credentials: bool,
) -> Option<Cors<'a>> {
    let denied = decision.verdict == Verdict::Deny;
    if !denied && !is_for_scripts(class) {
        return None;
    }
    let embedder_denial = decision.embedder_denial();
    let unrestricted = decision.reason == Reason::Unrestricted && embedder_denial.is_none();
    let named = embedder_denial.is_none() && decision.reason != Reason::Unrestricted;
    let trusted = named && (!denied || decision.reason.is_of_limits());
    let grant = Cors::of_own_answer(embedder)?;
    // An answer that any page may read is the same for all pages.
    let allow_origin = if unrestricted { "*" } else { grant.allow_origin };
    Some(Cors { allow_origin, credentials: route_credentials && trusted })
}

/// The page whose ticket an answer carries, if any: an allowed frame carries one if the embedding page is
/// known. Pages of the edge's own origins get none, or one widget's iframe could get a ticket for another
/// widget.
pub fn ticket_for<'a>(
    facts: &Facts<'_>,
    decision: &Decision,
    embedder: &Embedder<'a>,
    policy: &EdgePolicy,
) -> Option<Origin<'a>> {
    if facts.class != Class::Frame || decision.verdict != Verdict::Allow {
        return None;
    }
    embedder.origin().filter(|origin| !policy.own_origins.contains(*origin, facts.widget))
}

#[cfg(test)]
mod tests;
