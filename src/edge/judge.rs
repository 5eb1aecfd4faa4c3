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
use super::upstream::Upstream;
use super::visit::Visit;
use crate::policy::csp::widget_ancestors;
use crate::policy::decision::{Decision, EdgePolicy, Facts, TicketState, WidgetRules, decide};
use crate::policy::origin::Embedder;
use crate::policy::widget::WidgetId;
use crate::rules::live::LiveRules;
use crate::telemetry::decision_log::{DecisionLog, Record};
use crate::telemetry::metrics::Metrics;

/// What judging takes beside the rules, borrowed for one request.
#[derive(Debug)]
pub struct Judge<'a> {
    /// What holds for all widgets.
    pub policy: &'a EdgePolicy,
    /// The counters.
    pub metrics: &'a Metrics,
    /// The decision log.
    pub decisions: &'a DecisionLog,
}

/// A verdict, with what the next step needs.
#[derive(Debug)]
pub enum Judged<'r> {
    /// The request goes on.
    Allowed(Box<Allowed<'r>>),
    /// It is answered with a denial.
    Denied {
        /// The verdict.
        decision: Decision,
        /// Who is denied.
        embedder: Embedder<'r>,
        /// The decision's id.
        id: DecisionId,
    },
}

/// An allowed request.
#[derive(Debug)]
pub struct Allowed<'r> {
    /// What the verdict rests on.
    pub facts: Facts<'r>,
    /// Where it goes.
    pub upstream: Arc<Upstream>,
    /// What its answer needs.
    pub visit: Visit,
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
        let facts = Facts {
            class: route.class,
            embedder,
            missing_denied: route.missing_denied,
            ticket: TicketState::Absent,
        };
        let decision = decide(&facts, widget, self.policy, now);
        self.metrics.decided(route.class, &decision, started.elapsed());
        let decision_id = DecisionId::new();
        if self.decisions.wants(&decision) {
            self.log(&decision_id, id, &facts, widget, &decision, request, now);
        }
        match widget {
            Some(widget) if decision.is_allowed() => Judged::Allowed(Box::new(Allowed {
                facts,
                upstream: Arc::clone(route.upstream(widget)),
                visit: Visit::new(
                    route,
                    decision_id,
                    widget,
                    &decision,
                    &embedder,
                    widget_ancestors(route.class, widget, &embedder, self.policy, now),
                ),
            })),
            _ => Judged::Denied { decision, embedder, id: decision_id },
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a log line is made of everything that is known")]
    fn log(
        &self,
        id: &DecisionId,
        widget_id: &str,
        facts: &Facts<'_>,
        widget: Option<WidgetRules<'_>>,
        decision: &Decision,
        request: &RequestHeader,
        now: Timestamp,
    ) {
        let entry = |index: Option<u32>| Some(widget?.allowlist.entry(index?)?.to_string());
        let (embedder, malformed) = match &facts.embedder {
            Embedder::Known(origin) => (Some(origin.as_str()), None),
            Embedder::Opaque => (Some("null"), None),
            Embedder::Malformed(error) => (None, Some(error.code())),
            Embedder::Absent => (None, None),
        };
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
            entry: entry(decision.entry),
            near_miss: entry(decision.near_miss),
            method: request.method.as_str(),
        };
        if let Err(error) = self.decisions.write(&record) {
            tracing::error!(%error, "a decision could not be logged");
        }
    }
}
