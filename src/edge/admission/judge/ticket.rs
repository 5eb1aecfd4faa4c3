//! Judging of calls for a ticket: a page that may embed the widget gets one, and the widget's own iframe
//! renews its own.

use std::cell::OnceCell;

use jiff::Timestamp;
use tokio::time::Instant;

use super::presented::PresentedTicket;
use super::record::JudgedRequest;
use super::{Denied, Judge, told};
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::fetch_metadata::FetchMetadata;
use crate::edge::admission::request::is_preflight;
use crate::edge::http::message::RequestHead;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::TicketOutcome;
use embedgate_policy::decision::{Decision, Facts, TicketState, decide};
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::Class;

/// Outcome of a call for a ticket.
#[derive(Debug)]
pub enum TicketCall<'r> {
    /// The call is allowed.
    Granted {
        /// The decision's id.
        id: DecisionId,
        /// The verdict.
        decision: Decision,
        /// The embedder that asks.
        embedder: Embedder<'r>,
        /// The ticket; `None` if the widget's rules need none, and there is no embedder that a ticket could
        /// name.
        ticket: Option<String>,
    },
    /// The call is denied.
    Denied(Denied<'r>),
    /// The page that calls is not shown yet.
    Ahead,
}

impl Judge<'_> {
    /// Judges a call like a session, by its `Origin` alone, and records it. A preflight gets no ticket, and a page
    /// that is only prerendered no verdict. An iframe may present an expired ticket; its embedder is still judged by the rules in force.
    pub fn ticket<'r>(
        &self,
        rules: &LiveRules,
        id: &str,
        request: &'r RequestHead,
        now: Timestamp,
    ) -> TicketCall<'r> {
        let fetch = FetchMetadata::read(&request.fields);
        if fetch.is_ahead() {
            return TicketCall::Ahead;
        }
        let started = Instant::now();
        let book = rules.load();
        let widget = book.get(id);
        let embedder = Embedder::identify(fetch.origins(), std::iter::empty());
        let PresentedTicket { reading, .. } = self.presented(Class::Session, &embedder, id, request, &fetch);
        let state = |reading| self.tickets.renewable_state(reading, now);
        let ticket = reading.as_ref().map_or(TicketState::Absent, state);
        let facts = Facts { widget: id, class: Class::Session, embedder, missing_denied: true, ticket };
        let decision = decide(&facts, widget, self.policy, now);
        let took = started.elapsed();
        let subject = JudgedRequest {
            facts: &facts,
            embedder: facts.counted_embedder(self.policy),
            widget,
            reading: reading.as_ref(),
            request,
            fetch: &fetch,
            is_ahead: false,
            route: None,
            trace_id: OnceCell::new(),
            now,
        };
        let decision_id = self.record(&subject, &decision, took);
        let is_preflight = is_preflight(request);
        if !decision.is_allowed() {
            if !is_preflight {
                self.verdicts.metrics.ticket(TicketOutcome::Refused);
            }
            let cookies = self.tickets.has_cookies();
            let shown = subject.shown(decision_id, &decision);
            let subject =
                told::DenialSubject::of(decision.reason, &facts, reading.as_ref(), self.policy, cookies);
            return TicketCall::Denied(Denied { decision, embedder, id: decision_id, shown, subject });
        }
        let (whose, outcome) = match &reading {
            Some(_) => (ticket.opened_by(), TicketOutcome::Renewed),
            None => (embedder.origin(), TicketOutcome::Issued),
        };
        let whose = whose.filter(|_| !is_preflight);
        let ticket = whose.and_then(|whose| self.tickets.issue(id, whose, now));
        if ticket.is_some() {
            self.verdicts.metrics.ticket(outcome);
        }
        TicketCall::Granted { id: decision_id, decision, embedder, ticket }
    }
}
