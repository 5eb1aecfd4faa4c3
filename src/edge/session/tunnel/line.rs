//! Line of a tunnel in the request log, written at the tunnel's end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use tokio::time::Instant;

use super::limits::Overdue;
use super::relay::TunnelEnd;
use crate::edge::admission::decision_id::DecisionId;
use crate::edge::connection::closing::Stop;
use crate::edge::http::trace_context::TraceId;
use crate::telemetry::request_log::{RequestLine, RequestLog};
use embedgate_policy::verdict::Class;

/// Line of a tunnel, as far as it is known when the tunnel opens.
#[derive(Debug)]
pub struct TunnelLine {
    log: Arc<RequestLog>,
    opening: TunnelOpening,
    client: Option<IpNet>,
}

/// Opening of a tunnel.
#[derive(Debug)]
pub struct TunnelOpening {
    /// When the handshake arrived.
    pub time: Timestamp,
    /// The same, to measure from.
    pub started: Instant,
    /// The decision that allowed it.
    pub decision_id: DecisionId,
    /// The trace that the browser says the handshake is of.
    pub trace_id: Option<TraceId>,
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// From the first try at the upstream to its 101.
    pub upstream_took: Option<Duration>,
}

impl TunnelLine {
    /// A line of this log. `browser`: the browser's address, of which no more is kept than the log may say.
    pub fn new(log: &Arc<RequestLog>, opening: TunnelOpening, browser: Option<IpAddr>) -> Self {
        let client = browser.and_then(|browser| log.address().of_client(browser));
        Self { log: Arc::clone(log), opening, client }
    }

    /// Writes the line, if the log wants it. `bytes`: the number of bytes that the browser was sent.
    pub(super) fn write(&self, widget: &str, end: TunnelEnd, bytes: u64) {
        let end = word(end);
        if !self.log.wants(end.is_some()) {
            return;
        }
        let TunnelOpening { time, started, decision_id, trace_id, upstream, upstream_took } = &self.opening;
        let line = RequestLine {
            time: *time,
            decision_id: Some(decision_id.as_str()),
            trace_id: trace_id.as_ref().map(TraceId::as_str),
            widget: Some(widget),
            class: Some(Class::Session.as_str()),
            method: "GET",
            protocol: "websocket",
            status: Some(101),
            bytes,
            took: started.elapsed(),
            upstream: Some(upstream),
            upstream_took: *upstream_took,
            failure: None,
            end,
            client: self.client.and_then(|client| self.log.address().of_network(client)),
        };
        self.log.write(&line, Timestamp::now());
    }
}

/// The word for an end that neither side has brought about.
fn word(end: TunnelEnd) -> Option<&'static str> {
    match end {
        TunnelEnd::Over => None,
        TunnelEnd::Revoked => Some("revoked"),
        TunnelEnd::Stopped(Stop::Stopping) => Some("stopping"),
        TunnelEnd::Stopped(Stop::Orphaned) => Some("orphaned"),
        TunnelEnd::Overdue(Overdue::Idle) => Some("idle"),
        TunnelEnd::Overdue(Overdue::Lifetime) => Some("lifetime"),
        TunnelEnd::Overdue(Overdue::Untaken) => Some("client_slow"),
    }
}
