//! What is written down of a verdict: in the decision log, and in the count of tickets.

use jiff::Timestamp;

use super::Judge;
use crate::edge::decision_id::DecisionId;
use crate::edge::message::RequestHead;
use crate::edge::tickets::Reading;
use crate::policy::decision::{Decision, Facts, Reason, TicketState, WidgetRules};
use crate::policy::origin::Embedder;
use crate::policy::widget::WidgetId;
use crate::telemetry::decision_log::Record;
use crate::telemetry::metrics::TicketOutcome;

/// Everything that is known of a judged request.
pub(super) struct Subject<'s, 'r> {
    /// What the path names as the widget.
    pub(super) id: &'s str,
    pub(super) facts: &'s Facts<'s>,
    pub(super) widget: Option<WidgetRules<'s>>,
    pub(super) reading: Option<&'s Reading>,
    pub(super) request: &'r RequestHead,
    pub(super) now: Timestamp,
}

impl Judge<'_> {
    /// Gives the decision its id, and logs it.
    pub(super) fn record(&self, subject: &Subject<'_, '_>, decision: &Decision) -> DecisionId {
        let id = DecisionId::new(subject.now);
        if self.decisions.wants(decision) {
            self.log(&id, subject, decision);
        }
        id
    }

    fn log(&self, id: &DecisionId, subject: &Subject<'_, '_>, decision: &Decision) {
        let Subject { id: widget_id, facts, widget, reading, request, now } = *subject;
        let entry = |index: Option<u32>| Some(widget?.allowlist.entry(index?)?.to_string());
        let (embedder, malformed) = match &facts.embedder {
            Embedder::Known(origin) => (Some(origin.as_str()), None),
            Embedder::Opaque(origin) => (Some(origin.as_str()), None),
            Embedder::Malformed(error) => (None, Some(error.code())),
            Embedder::Absent => (None, None),
        };
        let opened_by = reading.and_then(Reading::embedder);
        let record = Record {
            time: now,
            decision_id: id.as_str(),
            widget: WidgetId::is_valid(widget_id).then_some(widget_id),
            class: facts.class.as_str(),
            verdict: decision.verdict.as_str(),
            reason: decision.reason.as_str(),
            would_deny: decision.would_deny.map(|reason| reason.as_str()),
            embedder,
            malformed,
            opened_by: opened_by.as_ref().map(|origin| origin.as_str()),
            ticket_fault: reading.and_then(Reading::fault).map(|fault| fault.code()),
            entry: entry(decision.entry),
            near_miss: entry(decision.near_miss),
            method: request.method.as_str(),
        };
        if let Err(error) = self.decisions.write(&record) {
            tracing::error!(%error, "a decision could not be logged");
        }
    }

    /// Counts what became of the ticket that a session needs, or that a frame has.
    pub(super) fn presented(&self, reading: &Reading, state: TicketState<'_>, decision: &Decision) {
        let denial = decision.would_deny.or((!decision.is_allowed()).then_some(decision.reason));
        let outcome = match (reading.fault(), state) {
            (Some(fault), _) => TicketOutcome::Invalid(fault),
            (None, TicketState::Expired) => TicketOutcome::Expired,
            (None, TicketState::Valid(_)) if denial.is_none() => TicketOutcome::Accepted,
            (None, TicketState::Valid(_)) => TicketOutcome::Unwelcome,
            (None, TicketState::Absent | TicketState::Invalid) => match denial {
                Some(Reason::TicketMissing) => TicketOutcome::Missing,
                // Nobody asked for one.
                _ => return,
            },
        };
        self.metrics.ticket(outcome);
    }
}
