//! Records of verdicts: the decision log, and the count of tickets.

use std::sync::Arc;

use jiff::Timestamp;

use super::Judge;
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::request::is_preflight;
use crate::edge::admission::tickets::TicketReading;
use crate::edge::http::message::RequestHead;
use crate::edge::http::trace_context::TraceId;
use crate::telemetry::decision_log::DecisionRecord;
use crate::telemetry::metrics::TicketOutcome;
use crate::telemetry::shown_decisions::{ShownDecision, ShownOutcome, ShownVerdict};
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::{Decision, Facts, TicketState};
use embedgate_policy::explain::NO_CREDENTIALS;
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::Reason;
use embedgate_policy::widget::WidgetId;

/// Judged request, with everything for the log.
pub(super) struct JudgedRequest<'s, 'r> {
    pub(super) facts: &'s Facts<'s>,
    pub(super) widget: Option<WidgetRules<'s>>,
    pub(super) reading: Option<&'s TicketReading>,
    pub(super) request: &'r RequestHead,
    /// Scripts of listed pages may not send cookies on this route.
    pub(super) refuses_cookies: bool,
    pub(super) now: Timestamp,
}

impl JudgedRequest<'_, '_> {
    /// The decision, with everything that can be told of it later.
    pub(super) fn shown(&self, id: DecisionId, decision: &Decision) -> Arc<ShownDecision> {
        let Self { facts, widget, reading, request, now, .. } = *self;
        let trace_id = TraceId::of(&request.fields);
        let verdict = ShownVerdict {
            widget: WidgetId::is_valid(facts.widget).then(|| facts.widget.into()),
            class: facts.class,
            verdict: decision.verdict,
            reason: decision.reason,
            would_deny: decision.would_deny,
            embedder: facts.embedder.into(),
            missing_denied: facts.missing_denied,
            ticket: facts.ticket.into(),
            ticket_fault: reading.and_then(TicketReading::fault).map(|fault| fault.code()),
            near_miss: named(widget, decision.near_miss).map(String::into_boxed_str),
            failure: None,
        };
        let (outcome, trace_id) = (ShownOutcome::Judged(verdict), trace_id.as_ref().map(TraceId::as_str));
        Arc::new(ShownDecision::new(id.to_bytes(), now, &request.method, trace_id, outcome))
    }
}

/// The entry at this place, in canonical text.
fn named(widget: Option<WidgetRules<'_>>, index: Option<u32>) -> Option<String> {
    Some(widget?.allowlist.entry(index?)?.to_string())
}

impl Judge<'_> {
    /// Gives the decision its id, and logs it.
    pub(super) fn record(&self, subject: &JudgedRequest<'_, '_>, decision: &Decision) -> DecisionId {
        let id = DecisionId::new(subject.now);
        if self.decisions.wants(decision) {
            self.log(&id, subject, decision);
        }
        id
    }

    fn log(&self, id: &DecisionId, subject: &JudgedRequest<'_, '_>, decision: &Decision) {
        let JudgedRequest { facts, widget, reading, request, refuses_cookies, now } = *subject;
        let entry = |index| named(widget, index);
        let trace_id = TraceId::of(&request.fields);
        let (embedder, malformed) = match &facts.embedder {
            Embedder::Known(origin) => (Some(origin.as_str()), None),
            Embedder::Opaque(origin) => (Some(origin.as_str()), None),
            Embedder::Malformed(error) => (None, Some(error.code())),
            Embedder::Absent => (None, None),
        };
        // Browsers don't say whether cookies will follow.
        let hint = refuses_cookies && decision.is_allowed() && is_preflight(request);
        let opened_by = reading.and_then(TicketReading::embedder);
        let record = DecisionRecord {
            time: now,
            decision_id: id.as_str(),
            trace_id: trace_id.as_ref().map(TraceId::as_str),
            widget: WidgetId::is_valid(facts.widget).then_some(facts.widget),
            class: facts.class.as_str(),
            verdict: decision.verdict.as_str(),
            reason: decision.reason.as_str(),
            would_deny: decision.would_deny.map(|reason| reason.as_str()),
            embedder,
            malformed,
            opened_by: opened_by.as_ref().map(|origin| origin.as_str()),
            ticket_fault: reading.and_then(TicketReading::fault).map(|fault| fault.code()),
            entry: entry(decision.entry),
            near_miss: entry(decision.near_miss),
            method: request.method.as_str(),
            hint: hint.then_some(NO_CREDENTIALS),
        };
        self.decisions.write(&record);
    }

    /// Counts the outcome of a session's or a frame's ticket.
    pub(super) fn presented(&self, reading: &TicketReading, state: TicketState<'_>, decision: &Decision) {
        let denial = decision.would_deny.or((!decision.is_allowed()).then_some(decision.reason));
        let outcome = match (reading.fault(), state) {
            (Some(fault), _) => TicketOutcome::Invalid(fault),
            (None, TicketState::Expired) => TicketOutcome::Expired,
            (None, TicketState::Valid(_)) if denial.is_none() => TicketOutcome::Accepted,
            (None, TicketState::Valid(_)) => TicketOutcome::Unwelcome,
            (None, TicketState::Absent | TicketState::Invalid) => match denial {
                Some(Reason::TicketMissing) => TicketOutcome::Missing,
                // A frame without a ticket is usual.
                _ => return,
            },
        };
        self.metrics.ticket(outcome);
    }
}
