//! Records of verdicts: each is counted, leaves a sighting of who embeds, and is logged; and the count of tickets.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Judge, names_host};
use crate::activity::recorder::ActivityRecorder;
use crate::activity::sighting::Sighting;
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::fetch_metadata::FetchMetadata;
use crate::edge::admission::request::is_preflight;
use crate::edge::admission::route::Route;
use crate::edge::admission::tickets::TicketReading;
use crate::edge::http::message::RequestHead;
use crate::edge::http::trace_context::TraceId;
use crate::telemetry::decision_log::{DecisionLog, DecisionRecord, DecisionTargets};
use crate::telemetry::metrics::{Metrics, TicketOutcome};
use crate::telemetry::shown_decisions::{ShownAnswer, ShownDecision, ShownOutcome, ShownVerdict};
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::decision::{Decision, Facts, TicketState};
use embedgate_policy::explain::NO_CREDENTIALS;
use embedgate_policy::headers::cors;
use embedgate_policy::origin::Embedder;
use embedgate_policy::verdict::{Class, Reason};
use embedgate_policy::widget::WidgetId;

/// Recorder of verdicts, on every way of a request: what it is made of gets each of them.
#[derive(Clone, Debug)]
pub struct VerdictRecorder {
    pub(super) metrics: Arc<Metrics>,
    decisions: Arc<DecisionLog>,
    pub(super) activity: Arc<ActivityRecorder>,
}

impl VerdictRecorder {
    /// A recorder that counts verdicts, logs them, and notes who embeds.
    pub fn new(
        metrics: &Arc<Metrics>,
        decisions: &Arc<DecisionLog>,
        activity: &Arc<ActivityRecorder>,
    ) -> Self {
        let (metrics, decisions) = (Arc::clone(metrics), Arc::clone(decisions));
        Self { metrics, decisions, activity: Arc::clone(activity) }
    }

    /// Whether denials are in the decision log.
    pub fn logs_denials(&self) -> bool {
        self.decisions.has_denials()
    }

    /// Keeps a decision whose id its recipient is shown.
    pub fn keep_shown(&self, shown: ShownAnswer) {
        self.decisions.shown().keep(shown);
    }
}

/// Judged request, with everything for its records.
pub(super) struct JudgedRequest<'s, 'r> {
    pub(super) facts: &'s Facts<'s>,
    /// The embedder that is counted.
    pub(super) embedder: Option<&'s str>,
    pub(super) widget: Option<WidgetRules<'s>>,
    pub(super) reading: Option<&'s TicketReading>,
    pub(super) request: &'r RequestHead,
    pub(super) fetch: &'s FetchMetadata<'r>,
    /// The answer is fetched ahead.
    pub(super) is_ahead: bool,
    /// The route; `None` for a call for a ticket.
    pub(super) route: Option<&'s Route>,
    /// The trace that the request is of, read at most once.
    pub(super) trace_id: OnceCell<Option<TraceId>>,
    pub(super) now: Timestamp,
}

impl JudgedRequest<'_, '_> {
    fn trace_id(&self) -> Option<&str> {
        self.trace_id.get_or_init(|| TraceId::of(&self.request.fields)).as_ref().map(TraceId::as_str)
    }

    /// The denial, with everything that can be told of it later; `None` if its id is not shown, because it is that of a
    /// preflight, which passes.
    pub(super) fn shown(&self, id: DecisionId, decision: &Decision) -> Option<Arc<ShownDecision>> {
        let &Self { facts, widget, reading, request, now, .. } = self;
        if is_preflight(request) && cors(facts.class, decision, &facts.embedder, false).is_some() {
            return None;
        }
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
        let (outcome, trace_id) = (ShownOutcome::Judged(verdict), self.trace_id());
        Some(Arc::new(ShownDecision::new(id.to_bytes(), now, &request.method, trace_id, outcome)))
    }

    /// Whether no request follows this preflight, as far as can be known. A page whose preflight passes makes its request
    /// next, allowed or denied, and would be counted twice. It always passes, so that the page can read a denial; but
    /// without a right to send cookies. On a route whose pages send them, the browser ends it here, and nothing else would
    /// tell of that page.
    fn is_last(&self, decision: &Decision) -> bool {
        let grant = || cors(self.facts.class, decision, &self.facts.embedder, true);
        self.route.is_some_and(|route| route.credentials) && !grant().is_some_and(|grant| grant.credentials)
    }
}

/// The entry at this place, in canonical text.
fn named(widget: Option<WidgetRules<'_>>, index: Option<u32>) -> Option<String> {
    Some(widget?.allowlist.entry(index?)?.to_string())
}

impl Judge<'_> {
    /// Gives the decision its id, and records it. `took`: how long it took to decide.
    pub(super) fn record(
        &self,
        subject: &JudgedRequest<'_, '_>,
        decision: &Decision,
        took: Duration,
    ) -> DecisionId {
        let VerdictRecorder { metrics, decisions, activity } = self.verdicts;
        metrics.decided(subject.facts.class, decision, took);
        if let Some(sighting) = self.sighting(subject, decision) {
            activity.record(&sighting);
        }
        let id = DecisionId::new(subject.now);
        if let Some(targets) = decisions.targets(decision, subject.facts, subject.now) {
            self.log(&id, subject, decision, targets);
        }
        id
    }

    /// The sighting that a verdict leaves, if any. What is fetched ahead leaves none, because nobody may ever see it.
    #[inline]
    fn sighting<'s>(&self, subject: &JudgedRequest<'s, '_>, decision: &Decision) -> Option<Sighting<'s>> {
        let &JudgedRequest { facts, embedder, request, fetch, is_ahead, now, .. } = subject;
        if is_ahead || is_preflight(request) && !subject.is_last(decision) {
            return None;
        }
        let is_foreign = || {
            let origin = facts.embedder.origin();
            origin
                .is_some_and(|origin| !facts.is_from_own_origin(self.policy) && !names_host(origin, request))
        };
        Sighting::of_verdict(facts, embedder, decision, fetch.client(is_foreign), now)
    }

    fn log(
        &self,
        id: &DecisionId,
        subject: &JudgedRequest<'_, '_>,
        decision: &Decision,
        targets: DecisionTargets,
    ) {
        let &JudgedRequest { facts, widget, reading, request, route, now, .. } = subject;
        let entry = |index| named(widget, index);
        let (embedder, malformed) = match &facts.embedder {
            Embedder::Known(origin) => (Some(origin.as_str()), None),
            Embedder::Opaque(origin) => (Some(origin.as_str()), None),
            Embedder::Malformed(error) => (None, Some(error.code())),
            Embedder::Absent => (None, None),
        };
        // Browsers don't say whether cookies will follow. Calls for tickets need none.
        let refuses_cookies = route
            .is_some_and(|route| !route.credentials && matches!(route.class, Class::Asset | Class::Session));
        let hint = refuses_cookies && decision.is_allowed() && is_preflight(request);
        let opened_by = reading.and_then(TicketReading::embedder);
        let record = DecisionRecord {
            time: now,
            decision_id: id.as_str(),
            trace_id: subject.trace_id(),
            widget: WidgetId::is_valid(facts.widget).then_some(facts.widget),
            class: facts.class.as_str(),
            verdict: decision.verdict,
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
        self.verdicts.decisions.write(&record, targets);
    }

    /// Counts the outcome of a session's or a frame's ticket.
    pub(super) fn count_ticket(&self, reading: &TicketReading, state: TicketState<'_>, decision: &Decision) {
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
        self.verdicts.metrics.ticket(outcome);
    }
}
