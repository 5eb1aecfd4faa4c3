//! Everything that an allowed answer gets besides what its upstream says, and what CORS grants to the page that asks:
//! for those who send it, and for those who explain what would be sent.

use http::header::{self, HeaderName, HeaderValue};

use super::{Cors, FRAME_ANCESTORS_NONE, Profile, VARY};
use crate::policy::decision::Class;

static TRUE: HeaderValue = HeaderValue::from_static("true");

/// What the answers to all visitors of a route get.
#[derive(Clone, Copy, Debug)]
pub struct SharedAnswer<'a> {
    /// The class of the route.
    pub class: Class,
    /// The fixed fields of the route.
    pub profile: &'a Profile,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

/// What the answer to one visitor gets besides, but for what CORS grants.
#[derive(Clone, Copy, Debug)]
pub struct OwnAnswer<'a> {
    /// The `Content-Security-Policy` that names the allowed ancestors of a frame.
    pub frame_ancestors: Option<&'a HeaderValue>,
    /// Whether it is to a session that rests on a ticket.
    pub on_ticket: bool,
    /// The `Server-Timing` that hands a frame's document its ticket.
    pub ticket: Option<&'a HeaderValue>,
}

/// What CORS grants, as fields.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// `Access-Control-Allow-Origin`.
    pub allow_origin: &'a HeaderValue,
    /// `Access-Control-Allow-Credentials: true`.
    pub credentials: bool,
    /// `Access-Control-Expose-Headers`, where the route sets it; otherwise the upstream's own stays.
    pub exposed: Option<&'a HeaderValue>,
}

impl<'a> Grant<'a> {
    /// Hands over each field, to be set in place of the upstream's.
    pub fn each(self, mut set: impl FnMut(HeaderName, &'a HeaderValue)) {
        set(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.allow_origin);
        if self.credentials {
            set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, &TRUE);
        }
        if let Some(names) = self.exposed {
            set(header::ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }
}

/// The field by which a document gets its ticket; its scripts can read it (Server Timing).
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Its value, with a ticket that nothing in it needs to be quoted for.
pub fn timing_of_ticket(ticket: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("embed-ticket;desc=\"{ticket}\"")).ok()?;
    // Nobody between here and the document has to remember it or to show it (RFC 7541 §7.1.3).
    value.set_sensitive(true);
    Some(value)
}

impl SharedAnswer<'_> {
    /// Fields to set in place of the upstream's.
    pub fn set(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.profile.fields(self.https)
    }

    /// Fields to add beside the upstream's: a browser enforces every policy that it gets (CSP Level 3 §3.1), and
    /// caches heed every `Vary`.
    pub fn added(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let policy = (self.class == Class::Public).then_some(FRAME_ANCESTORS_NONE);
        let policy = policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy));
        policy.into_iter().chain([(header::VARY, VARY)])
    }
}

impl OwnAnswer<'_> {
    /// The `Cache-Control` to set in place of any other: a ticket is nobody else's, and good for a short while.
    pub fn cache_control(&self) -> Option<HeaderValue> {
        self.ticket.map(|_| HeaderValue::from_static("private, no-store"))
    }

    /// Fields to add beside all others.
    pub fn added(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let policy = self.frame_ancestors.map(|policy| (header::CONTENT_SECURITY_POLICY, policy.clone()));
        // The iframes of all pages have one origin: what tells them apart is who their tickets name.
        let on_ticket = self.on_ticket.then(|| (header::VARY, HeaderValue::from_static("Authorization")));
        let ticket = self.ticket.map(|ticket| (SERVER_TIMING, ticket.clone()));
        policy.into_iter().chain(on_ticket).chain(ticket)
    }
}

impl Cors<'_> {
    /// The fields of the grant, for an answer that has none of an upstream's.
    pub fn into_fields(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let origin = allow_origin(Some(self)).map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let credentials = self.credentials && origin.is_some();
        let credentials = credentials.then(|| (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE.clone()));
        origin.into_iter().chain(credentials)
    }
}

/// A grant's origin as a header value. A parsed origin is printable ASCII, so there is one.
pub fn allow_origin(grant: Option<Cors<'_>>) -> Option<HeaderValue> {
    grant.and_then(|cors| HeaderValue::from_str(cors.allow_origin).ok())
}
