//! Terms of an allowed request: what the later steps need from the rules, copied, so that no request keeps a
//! rule book alive.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::decision_id::DecisionId;
use super::route::Route;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::Decision;
use embedgate_policy::headers::{Cors, Grant, OwnAnswer, Profile, cors};
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::Reason;
use embedgate_policy::widget::Environment;

/// Time limit between two reads of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// The upstream's `read_timeout`.
    OfUpstream,
    /// The idle limit of streams and WebSockets; `None`: no limit.
    OfStream(Option<Duration>),
}

impl ReadLimit {
    /// The limit, given the upstream's.
    pub fn or(self, read_timeout: Option<Duration>) -> Option<Duration> {
        match self {
            Self::OfUpstream => read_timeout,
            Self::OfStream(idle) => idle,
        }
    }
}

/// Admission of one request: the terms that all visitors share, and its own.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The terms of all visitors; the cache gets only these.
    pub shared: SharedTerms,
    /// The terms of this visitor.
    pub own: OwnTerms,
}

/// Terms that all visitors of a widget share on a route.
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

/// Terms of one visitor.
#[derive(Clone, Debug)]
pub struct OwnTerms {
    /// The decision that allowed the request.
    pub decision_id: DecisionId,
    /// The reason of the verdict.
    pub reason: Reason,
    /// The denial that `access: monitor` turned into an allow.
    pub would_deny: Option<Reason>,
    /// `Access-Control-Allow-Origin`, if the class has CORS.
    pub allow_origin: Option<HeaderValue>,
    /// `Access-Control-Allow-Credentials`.
    pub credentials: bool,
    /// The fields of the answer that follow from the verdict.
    pub answer: OwnAnswer,
    /// Time limit between two reads of the answer.
    pub read_limit: ReadLimit,
    /// The page of the ticket by which the request was judged, or else the embedder, if the rules vouch for it.
    page: Option<HeaderValue>,
    /// Whether it is the ticket's.
    is_by_ticket: bool,
    /// Whether the rules vouch for it.
    is_verified: bool,
}

impl OwnTerms {
    /// The embedder, if it is verified by the rules.
    pub fn verified(&self) -> Option<&HeaderValue> {
        self.page.as_ref().filter(|_| self.is_verified)
    }

    /// The page of the ticket by which the request was judged.
    pub fn opened_by(&self) -> Option<&HeaderValue> {
        self.page.as_ref().filter(|_| self.is_by_ticket)
    }
}

impl Admission {
    /// Copies the terms from the rules. `opened_by`: the origin in the ticket by which the iframe was judged.
    /// `said`: the request's `Origin`, to reuse without a copy.
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
            // A parsed origin is printable ASCII, so it is a valid value.
            _ => HeaderValue::from_str(origin).ok(),
        };
        let is_verified = is_verified(decision);
        let page = opened_by.or(embedder.origin().filter(|_| is_verified));
        let shared = SharedTerms {
            route: Arc::clone(route),
            widget: widget.id.into(),
            environment: widget.environment,
            voice: widget.voice,
        };
        let own = OwnTerms {
            decision_id,
            reason: decision.reason,
            would_deny: decision.would_deny,
            allow_origin: grant.and_then(|grant| value(grant.allow_origin)),
            credentials: grant.is_some_and(|cors| cors.credentials),
            answer: OwnAnswer::default(),
            read_limit: ReadLimit::OfUpstream,
            page: page.and_then(|origin| value(origin.as_str())),
            is_by_ticket: opened_by.is_some(),
            is_verified,
        };
        Self { shared, own }
    }

    /// The CORS grant, as field values.
    pub fn grant(&self) -> Option<Grant<'_>> {
        let allow_origin = self.own.allow_origin.as_ref()?;
        let exposed = self.shared.profile().exposed();
        Some(Grant { allow_origin, credentials: self.own.credentials, exposed })
    }

    /// The CORS grant, as text.
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

/// Whether the embedder was verified by a list, a system origin or a ticket. Other embedders may be false
/// claims, so the upstream does not get them.
fn is_verified(decision: &Decision) -> bool {
    let vouched = matches!(
        decision.reason,
        Reason::Exact | Reason::Wildcard | Reason::Glob | Reason::SystemOrigin | Reason::Ticket
    );
    vouched && decision.embedder_denial().is_none()
}
