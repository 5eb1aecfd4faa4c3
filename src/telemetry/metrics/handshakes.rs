//! Outcomes of TLS handshakes, as the metrics count them.

use std::io::{self, ErrorKind};

use prometheus::IntCounterVec;

use super::registration::{Families, counters};

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
    /// It was given up, because another connection needed its place; only at the admin listener.
    MadeRoom,
}

impl HandshakeOutcome {
    /// Those at every listener.
    const USUAL: [Self; 5] = [Self::Done, Self::TimedOut, Self::Left, Self::NotTls, Self::Refused];

    /// The outcome of a handshake within a time limit, where one that took longer is an error of its own.
    pub fn of<S, T>(shaken: &Result<io::Result<S>, T>) -> Self {
        let error = match shaken {
            Ok(Ok(_)) => return Self::Done,
            Ok(Err(error)) => error,
            Err(_) => return Self::TimedOut,
        };
        let of_library = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match (error.kind(), of_library) {
            (ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe, _) => Self::Left,
            (_, Some(rustls::Error::InvalidMessage(_))) => Self::NotTls,
            _ => Self::Refused,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TimedOut => "timed_out",
            Self::Left => "left",
            Self::NotTls => "not_tls",
            Self::Refused => "refused",
            Self::MadeRoom => "made_room",
        }
    }
}

/// Counter of handshakes, by outcome.
#[derive(Debug)]
pub struct HandshakeCounter(IntCounterVec);

impl HandshakeCounter {
    /// Counter at the data listeners.
    pub(super) fn of_clients(families: &Families) -> Result<Self, prometheus::Error> {
        let help =
            "TLS handshakes of clients at the data listeners, by outcome; not those at the admin listener.";
        Self::new(families, "tls_handshakes_total", help)
    }

    /// Counter at the admin listener.
    pub(super) fn of_operators(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "TLS handshakes at the admin listener, by outcome; without a good client certificate they are refused.";
        let handshakes = Self::new(families, "admin_tls_handshakes_total", help)?;
        drop(handshakes.0.with_label_values(&[HandshakeOutcome::MadeRoom.as_str()]));
        Ok(handshakes)
    }

    /// The counter, with each usual outcome from the start.
    fn new(families: &Families, name: &str, help: &str) -> Result<Self, prometheus::Error> {
        let handshakes = counters(families, name, help, &["outcome"])?;
        for outcome in HandshakeOutcome::USUAL {
            drop(handshakes.with_label_values(&[outcome.as_str()]));
        }
        Ok(Self(handshakes))
    }

    /// Counts one handshake.
    pub fn count(&self, outcome: HandshakeOutcome) {
        self.0.with_label_values(&[outcome.as_str()]).inc();
    }
}
