//! Early ends of HTTP/2 connections, as the metrics count them.

use prometheus::IntCounterVec;
use prometheus::Result;

use super::registration::{Families, counters};

/// Reason for which the edge ends an HTTP/2 connection although its client goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2Ending {
    /// The client took back too many requests.
    Resets,
    /// The client sent too many frames that carry nothing of a message.
    ControlFrames,
    /// The client made too many errors, or sent far more than it may.
    Errors,
    /// The client does not speak the protocol.
    Protocol,
    /// The beginning of the connection, or the head of a request, took too long.
    SlowHead,
    /// The client took nothing of what it was sent.
    Unread,
}

impl Http2Ending {
    const ALL: [Self; 6] =
        [Self::Resets, Self::ControlFrames, Self::Errors, Self::Protocol, Self::SlowHead, Self::Unread];

    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::ControlFrames => "control_frames",
            Self::Errors => "errors",
            Self::Protocol => "protocol",
            Self::SlowHead => "slow_head",
            Self::Unread => "unread",
        }
    }
}

/// Counter of HTTP/2 connections that the edge ended, by reason.
#[derive(Debug)]
pub struct Http2EndingCounter(IntCounterVec);

impl Http2EndingCounter {
    /// The counter, with each reason from the start.
    pub(super) fn new(families: &Families) -> Result<Self> {
        let ended = counters(
            families,
            "http2_connections_ended_total",
            "HTTP/2 connections that the edge ended although their client went on, by reason.",
            &["reason"],
        )?;
        for reason in Http2Ending::ALL {
            drop(ended.with_label_values(&[reason.as_str()]));
        }
        Ok(Self(ended))
    }

    /// Counts one connection.
    pub fn count(&self, reason: Http2Ending) {
        self.0.with_label_values(&[reason.as_str()]).inc();
    }
}
