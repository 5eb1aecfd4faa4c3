//! Everything that an allowed answer gets besides what its upstream says: for those who send it, and for those
//! who explain what would be sent.

use http::header::{self, HeaderName, HeaderValue};

use super::{Cors, FRAME_ANCESTORS_NONE, Profile, VARY};
use crate::policy::decision::Class;

static TRUE: HeaderValue = HeaderValue::from_static("true");

/// The answer to one allowed request.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The class of the route.
    pub class: Class,
    /// The fixed fields of the route.
    pub profile: &'a Profile,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// `Access-Control-Allow-Origin`, where there is a grant.
    pub allow_origin: Option<&'a HeaderValue>,
    /// `Access-Control-Allow-Credentials`, beside the former.
    pub credentials: bool,
    /// The `Content-Security-Policy` that names the allowed ancestors of a frame.
    pub frame_ancestors: Option<&'a HeaderValue>,
    /// Whether it is to a session that rests on a ticket.
    pub on_ticket: bool,
    /// The `Server-Timing` that hands a frame's document its ticket.
    pub ticket: Option<&'a HeaderValue>,
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

impl Answer<'_> {
    /// Fields to set in place of the upstream's.
    pub fn set(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let origin = self.allow_origin.map(|origin| (&header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let credentials = self.allow_origin.filter(|_| self.credentials);
        let credentials = credentials.map(|_| (&header::ACCESS_CONTROL_ALLOW_CREDENTIALS, &TRUE));
        self.profile.fields(self.https).chain(origin).chain(credentials)
    }

    /// Fields to add beside the upstream's: a browser enforces every policy that it gets (CSP Level 3 §3.1), and
    /// caches heed every `Vary`.
    pub fn added(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let ancestors = self.frame_ancestors.cloned();
        let none = (self.class == Class::Public).then_some(FRAME_ANCESTORS_NONE);
        let policies =
            ancestors.into_iter().chain(none).map(|value| (header::CONTENT_SECURITY_POLICY, value));
        let ticket = self.ticket.map(|ticket| (SERVER_TIMING, ticket.clone()));
        // The iframes of all pages have one origin: what tells them apart is who their tickets name.
        let on_ticket = self.on_ticket.then(|| (header::VARY, HeaderValue::from_static("Authorization")));
        policies.chain([(header::VARY, VARY)]).chain(on_ticket).chain(ticket)
    }
}

/// A grant's origin as a header value.
pub fn allow_origin(grant: Option<Cors<'_>>) -> Option<HeaderValue> {
    grant.and_then(|cors| HeaderValue::from_str(cors.allow_origin).ok())
}
