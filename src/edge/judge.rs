//! From a routed request to its verdict: the one place where a request meets the rule book, which is loaded
//! exactly once.

use std::sync::Arc;
use std::time::Instant;

use http::header;
use jiff::Timestamp;
use pingora::http::RequestHeader;

use super::decision_id::DecisionId;
use super::request::lines;
use super::route::Route;
use super::tickets::{Reading, Tickets};
use super::upstream::Upstream;
use super::visit::Visit;
use crate::policy::csp::widget_ancestors;
use crate::policy::decision::{Class, Decision, EdgePolicy, Facts, TicketState, decide};
use crate::policy::headers::{ticket_for, timing_of_ticket};
use crate::policy::origin::{Embedder, Origin};
use crate::rules::live::LiveRules;
use crate::rules::sessions::SessionFacts;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::{Metrics, TicketOutcome};

mod record;
mod ticket;
mod told;

pub use ticket::TicketCall;
pub use told::Told;

use record::Subject;

/// What judging takes beside the rules, borrowed for one request.
#[derive(Debug)]
pub struct Judge<'a> {
    /// What holds for all widgets.
    pub policy: &'a EdgePolicy,
    /// Who reads tickets, and gives them out.
    pub tickets: &'a Tickets,
    /// The counters.
    pub metrics: &'a Metrics,
    /// The decision log.
    pub decisions: &'a DecisionLog,
}

/// A verdict, with what the next step needs.
#[derive(Debug)]
pub enum Judged<'r> {
    /// The request goes on.
    Allowed(Box<Allowed>),
    /// It is answered with a denial.
    Denied(Denied<'r>),
}

/// An allowed request.
#[derive(Debug)]
pub struct Allowed {
    /// What a session rests on.
    pub session: Option<SessionFacts>,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// What its answer needs.
    pub visit: Visit,
}

/// A denied request.
#[derive(Debug)]
pub struct Denied<'r> {
    /// The verdict.
    pub decision: Decision,
    /// Who is denied.
    pub embedder: Embedder<'r>,
    /// The decision's id.
    pub id: DecisionId,
    subject: told::Subject,
}

impl Denied<'_> {
    /// Whom the answer speaks of.
    pub fn told(&self) -> Told<'_> {
        self.subject.told(self.embedder)
    }
}

impl Judge<'_> {
    /// Judges one request, counts and logs the verdict. `id` is what the path names as the widget.
    pub fn judge<'r>(
        &self,
        rules: &LiveRules,
        route: &Arc<Route>,
        id: &str,
        request: &'r RequestHeader,
        now: Timestamp,
    ) -> Judged<'r> {
        let started = Instant::now();
        // The widget first: while its rules are on their way from main memory, the origin is parsed.
        let book = rules.load();
        let widget = book.get(id);
        let embedder = Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER));
        let reading = self.reading(route.class, &embedder, id, request);
        let ticket = reading.as_ref().map_or(TicketState::Absent, |reading| reading.state(now));
        let facts = Facts { class: route.class, embedder, missing_denied: route.missing_denied, ticket };
        let decision = decide(&facts, widget, self.policy, now);
        self.metrics.decided(route.class, &decision, started.elapsed());
        if let Some(reading) = &reading {
            self.presented(reading, ticket, &decision);
        }
        let subject = Subject { id, facts: &facts, widget, reading: reading.as_ref(), request, now };
        let decision_id = self.record(&subject, &decision);
        match widget {
            Some(widget) if decision.is_allowed() => {
                let ancestors = widget_ancestors(route.class, widget, &embedder, self.policy, now);
                let opened_by = ticket.opened_by();
                let mut allowed = Box::new(Allowed {
                    session: None,
                    upstream: Arc::clone(route.upstream(widget)),
                    visit: Visit::new(route, decision_id, widget, &decision, &embedder, opened_by, ancestors),
                });
                if route.class == Class::Session {
                    allowed.session = SessionFacts::keep(&facts);
                }
                if let Some(embedder) = ticket_for(route.class, &decision, &embedder, self.policy) {
                    allowed.visit.ticket = self.framed(id, embedder, now);
                }
                Judged::Allowed(allowed)
            }
            _ => {
                let subject = told::Subject::of(&embedder, reading.as_ref(), self.policy);
                Judged::Denied(Denied { decision, embedder, id: decision_id, subject })
            }
        }
    }

    /// What a session of the widget's own iframe presents. Tickets of other requests are not looked at: what they
    /// rest on is their own origin.
    fn reading(
        &self,
        class: Class,
        embedder: &Embedder<'_>,
        id: &str,
        request: &RequestHeader,
    ) -> Option<Reading> {
        let rests_on_ticket = class == Class::Session
            && embedder.origin().is_some_and(|origin| self.policy.own_origins.contains(origin));
        rests_on_ticket.then(|| self.tickets.read(request, id))
    }

    /// The field with the ticket of a frame's document.
    fn framed(&self, id: &str, embedder: Origin<'_>, now: Timestamp) -> Option<http::HeaderValue> {
        let field = timing_of_ticket(&self.tickets.issue(id, embedder, now)?);
        self.metrics.ticket(TicketOutcome::Framed);
        field
    }
}
