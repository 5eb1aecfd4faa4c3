//! Outcomes of TLS handshakes, as the metrics count them.

use prometheus::IntCounterVec;

/// Outcome of one handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeOutcome {
    /// There is a connection.
    Done,
    /// The client took too long.
    TimedOut,
    /// The client left, as probes do that only look whether the port is open.
    Left,
    /// The client speaks something else, such as plain HTTP.
    NotTls,
    /// The two did not agree.
    Refused,
}

impl HandshakeOutcome {
    const ALL: [Self; 5] = [Self::Done, Self::TimedOut, Self::Left, Self::NotTls, Self::Refused];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TimedOut => "timed_out",
            Self::Left => "left",
            Self::NotTls => "not_tls",
            Self::Refused => "refused",
        }
    }
}

/// Counter of handshakes, by outcome.
#[derive(Debug)]
pub struct HandshakeCounter(IntCounterVec);

impl HandshakeCounter {
    /// The counter, with each outcome from the start.
    pub(super) fn new(handshakes: IntCounterVec) -> Self {
        for outcome in HandshakeOutcome::ALL {
            drop(handshakes.with_label_values(&[outcome.as_str()]));
        }
        Self(handshakes)
    }

    /// Counts one handshake.
    pub fn count(&self, outcome: HandshakeOutcome) {
        self.0.with_label_values(&[outcome.as_str()]).inc();
    }
}
