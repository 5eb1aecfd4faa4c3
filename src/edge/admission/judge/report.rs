//! Reports of browsers about the pages around a frame. A report is no request of the widget: it gets no verdict.

use std::net::IpAddr;

use http::header;
use jiff::Timestamp;

use super::Judge;
use crate::activity::sighting::{Sighting, SightingKind};
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::fetch_metadata::SEC_FETCH_DEST;
use crate::edge::admission::request::lines;
use crate::edge::http::message::RequestHead;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::ReportOutcome;
use embedgate_policy::origin::Embedder;
use embedgate_policy::report::{ReportFacts, ReportedFrame};

impl Judge<'_> {
    /// Takes a report about a frame of this widget, counts it, and keeps the page that it tells of, which is unverified.
    /// `address`: the client's. Tells the decision by which the frame was sent, if its token does.
    pub fn report(
        &self,
        rules: &LiveRules,
        id: &str,
        request: &RequestHead,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> Option<DecisionId> {
        // A script's own call is no report, where the browser says so.
        let is_report = lines(request, SEC_FETCH_DEST).all(|destination| destination == b"report");
        let frame = if is_report { self.reports.read(id, request, now).ok() } else { None };
        let outcome = match &frame {
            Some(frame) => self.reported(rules, id, request, frame, address, now),
            None => ReportOutcome::Refused,
        };
        self.verdicts.metrics.reports.count(outcome);
        frame.map(|frame| DecisionId::of(frame.decision()))
    }

    fn reported(
        &self,
        rules: &LiveRules,
        id: &str,
        request: &RequestHead,
        frame: &ReportedFrame,
        address: Option<IpAddr>,
        now: Timestamp,
    ) -> ReportOutcome {
        let book = rules.load();
        let Some(widget) = book.get(id) else { return ReportOutcome::Refused };
        if !self.reports.counts(id, address, now) {
            return ReportOutcome::Bounded;
        }
        // The report's own origin is opaque; its referrer is the page that the policy does not admit.
        let named = Embedder::identify(std::iter::empty(), lines(request, header::REFERER)).origin();
        let facts = ReportFacts { widget: id, named, embedder: frame.embedder() };
        let Some(page) = facts.news(widget, self.policy, now) else { return ReportOutcome::NothingNew };
        let decision = DecisionId::of(frame.decision());
        tracing::debug!(
            widget = id,
            page = page.as_str(),
            decision_id = decision.as_str(),
            "a browser reports a page around the widget"
        );
        self.verdicts.activity.record(&Sighting {
            widget: id,
            embedder: page.as_str(),
            kind: SightingKind::Reported,
            client: None,
            at: now,
        });
        ReportOutcome::Kept
    }
}
