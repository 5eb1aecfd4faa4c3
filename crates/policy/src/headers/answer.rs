//! Fields that the edge adds to an allowed answer, and the fields of a CORS grant. Used to send answers and
//! to explain them.

use http::header::{self, HeaderName, HeaderValue};
use jiff::{SignedDuration, Timestamp};

use super::{Cors, FRAME_ANCESTORS_NONE, Profile, VARY, ticket_for};
use crate::compiled::WidgetRules;
use crate::csp::{FramePolicy, MAX_POLICY_BYTES, widget_ancestors};
use crate::decision::{Decision, EdgePolicy, Facts};
use crate::origin::{Embedder, Origin};
use crate::report::REPORT_URI;
use crate::verdict::Class;

static TRUE: HeaderValue = HeaderValue::from_static("true");

/// Fields that the answers to all visitors of a route get.
#[derive(Clone, Copy, Debug)]
pub struct SharedAnswer<'a> {
    /// The class of the route.
    pub class: Class,
    /// The fixed fields of the route.
    pub profile: &'a Profile,
    /// Whether the browser's scheme is https.
    pub https: bool,
}

/// Fields that the answer to one visitor gets in addition, without CORS.
#[derive(Clone, Debug, Default)]
pub struct OwnAnswer {
    /// The policy that names the allowed ancestors of a frame.
    pub frame_ancestors: Option<HeaderValue>,
    /// Whether browsers only report what the policy does not admit (`Content-Security-Policy-Report-Only`).
    pub only_reported: bool,
    /// Whether the answer is to a session that was allowed by a ticket.
    pub on_ticket: bool,
    /// Whether the ticket by which the request was judged was in a cookie.
    pub by_cookie: bool,
    /// Whether browsers may not store the answer, although it gives no ticket.
    pub not_stored: bool,
    /// The ticket that the answer gives, which few do.
    pub given: Option<Box<GivenTicket>>,
}

/// Fields with the ticket that an answer gives to the embedder's frame or session.
#[derive(Clone, Debug, Default)]
pub struct GivenTicket {
    /// The `Server-Timing` of a frame's document.
    pub timing: Option<HeaderValue>,
    /// The `Set-Cookie`.
    pub cookie: Option<HeaderValue>,
}

/// CORS grant, as field values.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// `Access-Control-Allow-Origin`.
    pub allow_origin: &'a HeaderValue,
    /// `Access-Control-Allow-Credentials: true`.
    pub credentials: bool,
    /// `Access-Control-Expose-Headers`, if the route sets it; otherwise the upstream's own stays.
    pub exposed: Option<&'a HeaderValue>,
}

impl<'a> Grant<'a> {
    /// Passes each field to `set`, to replace the upstream's.
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

/// The field with a document's ticket; the document's scripts can read it (Server Timing).
pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Beginning of the names of ticket cookies; the widget's id follows.
pub const TICKET_COOKIE: &str = "__Host-embed.";

/// Cookie of a person at the operator's page, over TLS.
pub const PAGE_COOKIE: &str = "__Host-embedgate";

/// The same on loopback without TLS: browsers take a `__Host-` only over TLS.
pub const PLAIN_PAGE_COOKIE: &str = "embedgate_admin";

/// The `Set-Cookie` with a ticket for this widget, which browsers keep for each customer's site (CHIPS).
pub fn ticket_cookie(widget: &str, ticket: &str, lifetime: SignedDuration) -> Option<HeaderValue> {
    let seconds = lifetime.as_secs();
    let mut value = HeaderValue::try_from(format!(
        "{TICKET_COOKIE}{widget}={ticket}; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age={seconds}"
    ))
    .ok()?;
    // Sensitive, as in `Server-Timing`.
    value.set_sensitive(true);
    Some(value)
}

/// The `Server-Timing` value with a ticket. A ticket needs no quoting.
pub fn timing_of_ticket(ticket: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("embed-ticket;desc=\"{ticket}\"")).ok()?;
    // Sensitive: HTTP/2 must not put it into the compression table, and logs must not show it (RFC 7541
    // §7.1.3).
    value.set_sensitive(true);
    Some(value)
}

impl SharedAnswer<'_> {
    /// Fields that replace the upstream's.
    pub fn set(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.profile.fields(self.https)
    }

    /// Fields to add to the upstream's: browsers enforce every policy that they get (CSP Level 3 §3.1), and
    /// caches obey every `Vary`.
    pub fn added(&self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let policy = (self.class == Class::Public).then_some(FRAME_ANCESTORS_NONE);
        let policy = policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy));
        policy.into_iter().chain([(header::VARY, VARY)])
    }
}

impl OwnAnswer {
    /// The fields of an allowed answer, by the verdict. `give` makes the fields of the ticket for the page that opens
    /// the widget, if it gets one. `report_to` makes the address for reports about a frame around which this page is
    /// known, if it fits into so many bytes; `None`: they are not asked for.
    pub fn of(
        facts: &Facts<'_>,
        widget: WidgetRules<'_>,
        decision: &Decision,
        policy: &EdgePolicy,
        now: Timestamp,
        give: impl FnOnce(Origin<'_>) -> Option<GivenTicket>,
        report_to: Option<impl FnOnce(Option<Origin<'_>>, usize) -> Option<String>>,
    ) -> Self {
        let opened_by = facts.by_ticket(policy);
        let page = opened_by.map_or(facts.embedder, Embedder::Known);
        let ancestors = widget_ancestors(facts, widget, decision, policy, report_to.is_some(), now);
        Self {
            only_reported: ancestors.as_ref().is_some_and(|ancestors| !ancestors.enforced),
            frame_ancestors: ancestors.and_then(|ancestors| {
                let known = page.origin().filter(|page| !policy.own_origins.contains(*page, facts.widget));
                with_reports(ancestors, |room| report_to.and_then(|report_to| report_to(known, room)))
            }),
            on_ticket: opened_by.is_some() && facts.class == Class::Session,
            by_cookie: false,
            not_stored: false,
            given: ticket_for(facts, decision, &page, policy).and_then(give).map(Box::new),
        }
    }

    /// The `Cache-Control` that replaces any other if the answer has a ticket, which is for one visitor and
    /// short-lived, or may not be stored for another reason.
    pub fn cache_control(&self) -> Option<HeaderValue> {
        let is_stored = self.given.is_none() && !self.not_stored;
        (!is_stored).then(|| HeaderValue::from_static("private, no-store"))
    }

    /// Passes each field to `add`, to add it to all others.
    pub fn each_added(&self, mut add: impl FnMut(HeaderName, HeaderValue)) {
        let Self { frame_ancestors, only_reported, on_ticket, by_cookie, not_stored: _, given } = self;
        if let Some(policy) = frame_ancestors {
            let name = match only_reported {
                true => header::CONTENT_SECURITY_POLICY_REPORT_ONLY,
                false => header::CONTENT_SECURITY_POLICY,
            };
            add(name, policy.clone());
        }
        // The iframes of all pages have the same origin, so answers differ by the ticket in `Authorization`, or in the
        // cookie.
        if *on_ticket {
            add(header::VARY, HeaderValue::from_static("Authorization"));
        }
        if *by_cookie {
            add(header::VARY, HeaderValue::from_static("Cookie"));
        }
        let Some(GivenTicket { timing, cookie }) = given.as_deref() else { return };
        if let Some(timing) = timing {
            add(SERVER_TIMING, timing.clone());
        }
        if let Some(cookie) = cookie {
            add(header::SET_COOKIE, cookie.clone());
        }
    }
}

/// A frame's policy as a field value, with the address that browsers report to, unless their reports would be false. A
/// policy that is not enforced is of no use without.
fn with_reports(policy: FramePolicy, report_to: impl FnOnce(usize) -> Option<String>) -> Option<HeaderValue> {
    let FramePolicy { ancestors: mut text, enforced, is_whole } = policy;
    let room = MAX_POLICY_BYTES.checked_sub(text.len() + REPORT_URI.len()).filter(|_| is_whole);
    let address = room.and_then(report_to);
    let is_reported = address.is_some();
    if let Some(address) = address {
        text.push_str(REPORT_URI);
        text.push_str(&address);
    }
    let mut value = HeaderValue::try_from(text).ok()?;
    // Another one each time, so HTTP/2 must not put it into the compression table.
    value.set_sensitive(is_reported);
    (enforced || is_reported).then_some(value)
}

impl Cors<'_> {
    /// The fields of the grant, for an answer of the edge's own.
    pub fn into_fields(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let origin = allow_origin(Some(self)).map(|origin| (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin));
        let credentials = self.credentials && origin.is_some();
        let credentials = credentials.then(|| (header::ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE.clone()));
        origin.into_iter().chain(credentials)
    }
}

/// The origin of a grant as a header value, which always exists, because a parsed origin is printable ASCII.
pub fn allow_origin(grant: Option<Cors<'_>>) -> Option<HeaderValue> {
    grant.and_then(|cors| HeaderValue::from_str(cors.allow_origin).ok())
}
