//! An allowed request between its verdict and its answer: what the later steps need of the rules, copied out, so
//! that no request keeps a rule book alive.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::decision_id::DecisionId;
use super::route::Route;
use crate::policy::decision::{Class, Decision, Reason, WidgetRules};
use crate::policy::headers::{Cors, Grant, Profile, cors};
use crate::policy::origin::{Embedder, Origin};
use crate::policy::widget::Environment;

/// How long a server may be silent while its answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// As long as its upstream's `read_timeout` says.
    OfUpstream,
    /// As long as a WebSocket may be, for a stream; `None` is without end.
    OfStream(Option<Duration>),
}

impl ReadLimit {
    /// The limit, with that of the upstream.
    pub fn or(self, read_timeout: Option<Duration>) -> Option<Duration> {
        match self {
            Self::OfUpstream => read_timeout,
            Self::OfStream(idle) => idle,
        }
    }
}

/// One allowed request: what all visitors share, and what is its own.
#[derive(Clone, Debug)]
pub struct Visit {
    /// What the answers to all visitors rest on: all that the cache is given.
    pub shared: SharedTerms,
    /// What is this visitor's.
    pub own: OwnTerms,
}

/// What every visitor of a widget gets on a route.
#[derive(Clone, Debug)]
pub struct SharedTerms {
    /// The route.
    pub route: Arc<Route>,
    /// The widget's id.
    pub widget: Box<str>,
    /// The widget's environment.
    pub environment: Environment,
    /// Whether the widget may use the microphone.
    pub voice: bool,
}

/// What one visitor gets besides.
#[derive(Clone, Debug)]
pub struct OwnTerms {
    /// The decision that allowed the request.
    pub decision_id: DecisionId,
    /// `Access-Control-Allow-Origin`, where the class has CORS.
    pub allow_origin: Option<HeaderValue>,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// The `Content-Security-Policy` that names the allowed ancestors, on frames.
    pub frame_ancestors: Option<HeaderValue>,
    /// Whether it is a session that rests on a ticket.
    pub on_ticket: bool,
    /// The `Server-Timing` with the ticket of whoever embeds this frame.
    pub ticket: Option<HeaderValue>,
    /// How long its server may be silent.
    pub read_limit: ReadLimit,
    /// The embedder, where the rules vouch for it.
    pub verified: Option<HeaderValue>,
}

impl Visit {
    /// Copies what is needed out of the rules. `opened_by`: whom the ticket names by which the iframe was judged. `said`: the
    /// request's `Origin`, to be said again without a copy.
    pub fn new(
        route: &Arc<Route>,
        decision_id: DecisionId,
        widget: WidgetRules<'_>,
        decision: &Decision,
        embedder: &Embedder<'_>,
        opened_by: Option<Origin<'_>>,
        said: Option<&HeaderValue>,
    ) -> Self {
        let grant = cors(route.class, decision, embedder, route.credentials);
        let value = |origin: &str| match said {
            Some(said) if said.as_bytes() == origin.as_bytes() => Some(said.clone()),
            // A parsed origin is printable ASCII, so it makes a value.
            _ => HeaderValue::from_str(origin).ok(),
        };
        let shared = SharedTerms {
            route: Arc::clone(route),
            widget: widget.id.into(),
            environment: widget.environment,
            voice: widget.voice,
        };
        let own = OwnTerms {
            decision_id,
            allow_origin: grant.and_then(|grant| value(grant.allow_origin)),
            credentials: grant.is_some_and(|cors| cors.credentials),
            frame_ancestors: None,
            on_ticket: opened_by.is_some() && route.class == Class::Session,
            ticket: None,
            read_limit: ReadLimit::OfUpstream,
            verified: verified(decision, opened_by.or(embedder.origin()))
                .and_then(|origin| value(origin.as_str())),
        };
        Self { shared, own }
    }

    /// The CORS grant, as fields.
    pub fn grant(&self) -> Option<Grant<'_>> {
        let allow_origin = self.own.allow_origin.as_ref()?;
        let exposed = self.shared.profile().exposed();
        Some(Grant { allow_origin, credentials: self.own.credentials, exposed })
    }

    /// The CORS grant, again.
    pub fn cors(&self) -> Option<Cors<'_>> {
        let allow_origin = self.own.allow_origin.as_ref()?.to_str().ok()?;
        Some(Cors { allow_origin, credentials: self.own.credentials })
    }
}

impl SharedTerms {
    /// The fixed fields of the answers.
    pub fn profile(&self) -> &Profile {
        self.route.profile(self.voice)
    }
}

/// An embedder that a list, a system origin or a ticket stands for. One that was let through, or that anybody
/// could have named, is not told to the upstream as a fact.
fn verified<'o>(decision: &Decision, origin: Option<Origin<'o>>) -> Option<Origin<'o>> {
    let vouched = matches!(
        decision.reason,
        Reason::Exact | Reason::Wildcard | Reason::Glob | Reason::SystemOrigin | Reason::Ticket
    );
    origin.filter(|_| vouched && decision.would_deny.is_none())
}
