//! Record of a request: what is known of it when it is over, for the metrics and the request log.

use std::sync::Arc;
use std::time::Duration;

use http::Version;
use jiff::Timestamp;
use pingora_core::{Error, ErrorSource, ErrorType};
use tokio::time::Instant;

use super::admit::Received;
use super::downstream::Downstream;
use super::{PeerInfo, Pipeline};
use crate::edge::admission::client::ClientInfo;
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::admission::judge::Allowed;
use crate::edge::admission::terms::Admission;
use crate::edge::forward::exchange::AnswerReport;
use crate::edge::forward::upstream::Upstream;
use crate::edge::http::message::RequestHead;
use crate::edge::http::trace_context::TraceId;
use crate::edge::session::tunnel::{TunnelLine, TunnelOpening};
use crate::telemetry::request_log::RequestLine;
use crate::telemetry::shown_decisions::{ShownDecision, ShownVerdict};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::WidgetId;

/// Longest method that is logged whole.
const METHOD_BYTES: usize = 32;

/// Record of one request.
#[derive(Debug)]
pub(super) struct RequestRecord {
    started: Instant,
    pub(super) class: Option<Class>,
    pub(super) report: AnswerReport,
    /// The kind of the upstream's failure.
    pub(super) failure: Option<&'static str>,
    end: Option<AnswerEnd>,
    /// What allowed the request, once it is answered.
    pub(super) allowed: Option<Box<Allowed>>,
    /// The decision whose id the client was shown.
    pub(super) shown: Option<Arc<ShownDecision>>,
    /// The decision on a request that is neither forwarded nor shown it.
    pub(super) decided: Option<DecisionId>,
    /// It is a denial that the decision log tells of.
    pub(super) is_told: bool,
    /// A tunnel has taken the connection, and has the line of the log.
    pub(super) is_tunnel: bool,
}

/// Reason why an answer is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerEnd {
    /// The client has left.
    ClientLeft,
    /// The client took the answer too slowly, or sent its body too slowly.
    ClientSlow,
    /// The client's body is longer than the route takes.
    BodyTooLarge,
    /// The upstream has broken off.
    UpstreamFailed,
    /// The edge could not go on.
    EdgeFailed,
    /// The rules deny the session now.
    Revoked,
}

impl AnswerEnd {
    /// The end that this error is.
    pub(super) fn of(error: &Error) -> Self {
        match (error.esource(), error.etype()) {
            (ErrorSource::Upstream, _) => Self::UpstreamFailed,
            (ErrorSource::Downstream, ErrorType::HTTPStatus(413)) => Self::BodyTooLarge,
            (ErrorSource::Downstream, ErrorType::WriteTimedout | ErrorType::HTTPStatus(408)) => {
                Self::ClientSlow
            }
            (ErrorSource::Downstream, _) => Self::ClientLeft,
            (ErrorSource::Internal | ErrorSource::Unset, _) => Self::EdgeFailed,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::ClientLeft => "client_left",
            Self::ClientSlow => "client_slow",
            Self::BodyTooLarge => "body_too_large",
            Self::UpstreamFailed => "upstream_failed",
            Self::EdgeFailed => "edge_failed",
            Self::Revoked => "revoked",
        }
    }
}

impl RequestRecord {
    /// The record of a request that begins now.
    pub(super) fn begin() -> Self {
        Self {
            started: Instant::now(),
            class: None,
            report: AnswerReport::default(),
            failure: None,
            end: None,
            allowed: None,
            shown: None,
            decided: None,
            is_told: false,
            is_tunnel: false,
        }
    }

    /// When the request arrived.
    pub(super) fn arrived(&self) -> Timestamp {
        arrived(Timestamp::now(), self.started.elapsed())
    }

    /// Notes why the answer is not complete. The first reason is the cause of the others.
    pub(super) fn ended(&mut self, end: AnswerEnd) {
        self.end.get_or_insert(end);
    }

    /// Cuts the answer off. What the client's connection has not taken does not count as sent.
    pub(super) fn cut(&mut self, client: &mut impl Downstream, at_once: bool) {
        self.report.bytes = self.report.bytes.saturating_sub(client.waiting() as u64);
        client.abort(at_once);
    }

    /// Whether the request was refused, has failed, or its answer broke off, and no other log tells of that. A client that
    /// leaves before its answer, or that leaves a stream of events, breaks nothing off.
    fn is_error(&self, status: Option<u16>) -> bool {
        let broke_off = match self.end {
            None => false,
            Some(AnswerEnd::ClientLeft) => status.is_some() && !self.report.is_stream,
            Some(_) => true,
        };
        let has_failed =
            || self.shown.is_some() || self.failure.is_some() || status.is_some_and(|status| status >= 400);
        broke_off || !self.is_told && has_failed()
    }
}

impl Pipeline {
    /// Counts a request that is over, and logs it. `is_answered`: the client got an answer, whole or not.
    pub(super) fn record(
        &self,
        record: &RequestRecord,
        is_answered: bool,
        request: &RequestHead,
        peer: PeerInfo,
    ) {
        let status = record.report.status.filter(|_| is_answered);
        let took = record.started.elapsed();
        if let Some(status) = status {
            self.metrics.answered(record.class, status, took);
        }
        if !record.is_tunnel && self.requests.wants(record.is_error(status)) {
            self.log(record, status, took, request, peer);
        }
    }

    #[cold]
    fn log(
        &self,
        record: &RequestRecord,
        status: Option<u16>,
        took: Duration,
        request: &RequestHead,
        peer: PeerInfo,
    ) {
        let now = Timestamp::now();
        let admission = record.allowed.as_ref().map(|allowed| &allowed.admission);
        let shown = record.shown.as_deref();
        let setup = self.setup.borrow();
        let client = ClientInfo::read(request, peer.address, peer.tls, &setup.trusted_proxies);
        // Of a call to the edge itself, or a preflight, nobody has kept it.
        let target = record.decided.map(|_| setup.routes.find(request));
        let trace_id = if shown.is_none() { TraceId::of(&request.fields) } else { None };
        let upstream = record.allowed.as_ref().map(|allowed| allowed.upstream.name());
        let upstream = upstream.filter(|_| record.report.upstream_took.is_some());
        let line = RequestLine {
            time: arrived(now, took),
            decision_id: shown
                .map(ShownDecision::id)
                .or_else(|| admission.map(|admission| admission.own.decision_id.as_str()))
                .or_else(|| record.decided.as_ref().map(DecisionId::as_str)),
            trace_id: match shown {
                Some(shown) => shown.trace_id.as_deref(),
                None => trace_id.as_ref().map(TraceId::as_str),
            },
            widget: admission
                .map(|admission| &*admission.shared.widget)
                .or_else(|| shown?.verdict().and_then(ShownVerdict::widget))
                .or_else(|| target.as_ref()?.widget().filter(|id| WidgetId::is_valid(id))),
            class: record.class.map(Class::as_str),
            method: request.method.as_str().get(..METHOD_BYTES).unwrap_or(request.method.as_str()),
            protocol: protocol(request.version),
            status,
            bytes: record.report.bytes,
            took,
            upstream,
            upstream_took: upstream.and(record.report.upstream_took),
            failure: record.failure,
            end: record.end.map(AnswerEnd::as_str),
            client: client
                .address(request, &setup.trusted_proxies)
                .and_then(|browser| self.requests.address().of_client(browser)),
        };
        self.requests.write(&line, now);
    }

    /// The line of a tunnel that opens now, if the log may want it.
    pub(super) fn tunnel_line(
        &self,
        request: &RequestHead,
        received: &Received,
        admission: &Admission,
        upstream: &Upstream,
        record: &RequestRecord,
    ) -> Option<Box<TunnelLine>> {
        if !self.requests.wants(true) {
            return None;
        }
        let opening = TunnelOpening {
            time: record.arrived(),
            started: record.started,
            decision_id: admission.own.decision_id,
            trace_id: TraceId::of(&request.fields),
            upstream: Arc::clone(upstream.shared_name()),
            upstream_took: record.report.upstream_took,
        };
        let browser = received.client.address(request, &self.setup.borrow().trusted_proxies);
        Some(Box::new(TunnelLine::new(&self.requests, opening, browser)))
    }
}

/// When a request arrived that is over now.
fn arrived(now: Timestamp, took: Duration) -> Timestamp {
    now.checked_sub(took).unwrap_or(now)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "HTTP/2",
        Version::HTTP_10 => "HTTP/1.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::forward::failure::check_length;
    use crate::edge::patience::{not_received, not_taken};

    #[test]
    fn failures_and_answers_that_broke_off_are_told_from_ends() {
        let failed = |status: Option<u16>, end: Option<AnswerEnd>, is_stream: bool| {
            let mut record = RequestRecord::begin();
            (record.end, record.report.is_stream) = (end, is_stream);
            record.is_error(status)
        };
        use AnswerEnd::{ClientLeft, ClientSlow, Revoked, UpstreamFailed};
        for (status, end, is_stream, expected) in [
            (Some(200), None, false, false),
            (Some(304), None, false, false),
            (Some(400), None, false, true),
            (Some(503), None, false, true),
            (Some(200), Some(ClientLeft), false, true),
            (Some(200), Some(ClientLeft), true, false),
            (None, Some(ClientLeft), false, false),
            (Some(200), Some(ClientSlow), true, true),
            (Some(200), Some(Revoked), true, true),
            (Some(200), Some(UpstreamFailed), false, true),
            (None, Some(Revoked), false, true),
        ] {
            assert_eq!(failed(status, end, is_stream), expected, "{status:?} {end:?} {is_stream}");
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_not_slow() {
        let too_long = check_length(2, 1).map_err(|error| AnswerEnd::of(&error));
        assert_eq!(too_long, Err(AnswerEnd::BodyTooLarge));
        for slow in [not_received(), not_taken()] {
            assert_eq!(AnswerEnd::of(&slow), AnswerEnd::ClientSlow);
        }
    }

    #[test]
    fn the_first_reason_stays() {
        let mut record = RequestRecord::begin();
        record.ended(AnswerEnd::UpstreamFailed);
        record.ended(AnswerEnd::ClientLeft);
        assert_eq!(record.end, Some(AnswerEnd::UpstreamFailed));
    }
}
