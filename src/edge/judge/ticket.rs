//! Calls for a ticket: a page that may embed the widget gets one, and the widget's own iframe exchanges the one it has.

use std::time::Instant;

use http::header;
use jiff::Timestamp;

use super::record::Subject;
use super::{Denied, Judge, told};
use crate::edge::message::RequestHead;
use crate::edge::request::{is_preflight, lines};
use crate::policy::decision::{Class, Decision, Facts, TicketState, decide};
use crate::policy::origin::Embedder;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::TicketOutcome;

/// What becomes of one.
#[derive(Debug)]
pub enum TicketCall<'r> {
    /// It is answered.
    Granted {
        /// The verdict.
        decision: Decision,
        /// Who asks.
        embedder: Embedder<'r>,
        /// The ticket; none where the widget's rules want none and nobody is known whom it could name.
        ticket: Option<String>,
    },
    /// It is answered with a denial.
    Denied(Denied<'r>),
}

impl Judge<'_> {
    /// Judges a call as a session's, by its `Origin` alone, counts and logs it. A preflight gets no ticket. An iframe
    /// may come with one that is past its lifetime; its embedder is judged by the rules of the moment all the same.
    pub fn ticket<'r>(
        &self,
        rules: &LiveRules,
        id: &str,
        request: &'r RequestHead,
        now: Timestamp,
    ) -> TicketCall<'r> {
        let started = Instant::now();
        let book = rules.load();
        let widget = book.get(id);
        let embedder = Embedder::identify(lines(request, header::ORIGIN), std::iter::empty());
        let reading = self.reading(Class::Session, &embedder, id, request);
        let state = |reading| self.tickets.renewable_state(reading, now);
        let ticket = reading.as_ref().map_or(TicketState::Absent, state);
        let facts = Facts { class: Class::Session, embedder, missing_denied: true, ticket };
        let decision = decide(&facts, widget, self.policy, now);
        self.metrics.decided(Class::Session, &decision, started.elapsed());
        let subject = Subject { id, facts: &facts, widget, reading: reading.as_ref(), request, now };
        let decision_id = self.record(&subject, &decision);
        let is_preflight = is_preflight(request);
        if !decision.is_allowed() {
            if !is_preflight {
                self.metrics.ticket(TicketOutcome::Refused);
            }
            let subject = told::Subject::of(&embedder, reading.as_ref(), self.policy);
            return TicketCall::Denied(Denied { decision, embedder, id: decision_id, subject });
        }
        let (whose, outcome) = match &reading {
            Some(_) => (ticket.opened_by(), TicketOutcome::Renewed),
            None => (embedder.origin(), TicketOutcome::Issued),
        };
        let whose = whose.filter(|_| !is_preflight);
        let ticket = whose.and_then(|whose| self.tickets.issue(id, whose, now));
        if ticket.is_some() {
            self.metrics.ticket(outcome);
        }
        TicketCall::Granted { decision, embedder, ticket }
    }
}
