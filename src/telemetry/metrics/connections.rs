//! Connections of clients, as the metrics count them.

use std::net::SocketAddr;

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec};

use super::registration::{Families, counters, gauges};

/// Reason why a connection was closed as soon as it was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// `edge.bounds.connections` are open.
    All,
    /// `edge.bounds.connections_per_address` of its address are open.
    Address,
    /// The process may not open more files.
    Descriptors,
    /// It does not begin with a header of the PROXY protocol, or not a trusted proxy's.
    ProxyProtocol,
    /// All connections of the admin listener are at calls.
    Admin,
}

impl ConnectionRefusal {
    const ALL: [Self; 5] = [Self::All, Self::Address, Self::Descriptors, Self::ProxyProtocol, Self::Admin];

    /// What is used up, if it is the process's own; the others are a client's.
    pub const fn of_process(self) -> Option<&'static str> {
        match self {
            Self::All => Some("edge.bounds.connections, or as many as the process may open, are open"),
            Self::Descriptors => {
                Some("the process may not open more files; raise LimitNOFILE or `ulimit -n`")
            }
            Self::Address | Self::ProxyProtocol | Self::Admin => None,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::All => "connections",
            Self::Address => "connections_per_address",
            Self::Descriptors => "descriptors",
            Self::ProxyProtocol => "proxy_protocol",
            Self::Admin => "admin",
        }
    }
}

/// Gauge of open connections by listener, and the counter of refused ones by reason.
#[derive(Debug)]
pub struct ConnectionMetrics {
    open: IntGaugeVec,
    refused: IntCounterVec,
}

impl ConnectionMetrics {
    /// The metrics, with each reason from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Open connections, by the address of their listener.";
        let open = gauges(families, "connections", help, &["listener"])?;
        let help = "Connections that were closed as soon as they were accepted, by reason.";
        let refused = counters(families, "connections_refused_total", help, &["reason"])?;
        for reason in ConnectionRefusal::ALL {
            drop(refused.with_label_values(&[reason.as_str()]));
        }
        Ok(Self { open, refused })
    }

    /// The gauge of a listener.
    pub fn of_listener(&self, addr: SocketAddr) -> ListenerGauge {
        ListenerGauge(self.open.with_label_values(&[&addr.to_string()]))
    }

    /// Counts a refused connection.
    pub fn refused(&self, reason: ConnectionRefusal) {
        self.refused.with_label_values(&[reason.as_str()]).inc();
    }
}

/// Gauge of one listener's open connections.
#[derive(Clone, Debug)]
pub struct ListenerGauge(IntGauge);

impl ListenerGauge {
    /// Counts a connection for as long as the result is kept.
    pub fn opened(&self) -> OpenConnection {
        self.0.inc();
        OpenConnection(self.0.clone())
    }
}

/// Connection that its listener's gauge counts.
#[derive(Debug)]
pub struct OpenConnection(IntGauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
