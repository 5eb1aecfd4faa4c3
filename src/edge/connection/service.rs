//! Service of connections, each in the protocol that its client speaks.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::census::{CensusEntry, ConnectionCensus};
use super::closing::Closing;
use super::listeners::ListenerKind;
use super::{http1, http2, proxy_protocol};
use crate::config::BoundsSettings;
use crate::edge::admission::client::is_trusted;
use crate::edge::descriptors::DescriptorShare;
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::setup::Setup;
use crate::edge::stream::Stream;
use crate::telemetry::metrics::{ConnectionRefusal, HandshakeOutcome, ListenerGauge, OpenConnection};

/// Number of requests after which a connection is closed, so that its memory is freed from time to time.
pub(super) const REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Limits of a connection, by the setup that was in force when it was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionLimits {
    /// The time limit for the head of a request.
    pub(super) header_timeout: Duration,
    /// The bounds on what the client may take.
    pub(super) bounds: BoundsSettings,
}

/// Service of connections.
pub struct EdgeService {
    pipeline: Arc<Pipeline>,
    closing: Arc<Closing>,
    connections: TaskTracker,
    census: Arc<ConnectionCensus>,
    descriptors: DescriptorShare,
}

impl EdgeService {
    /// A service with this pipeline, and with this share of the process's descriptors.
    pub fn new(pipeline: Pipeline, descriptors: DescriptorShare) -> Self {
        Self {
            pipeline: Arc::new(pipeline),
            closing: Arc::default(),
            connections: TaskTracker::new(),
            census: Arc::default(),
            descriptors,
        }
    }

    /// Tells clients to use another connection for their next request. Open sessions and unanswered requests go on.
    pub fn tell(&self) {
        self.closing.tell();
        self.connections.close();
    }

    /// Ends idle connections at once and tunnels within the period, of which the last quarter is for the last ones to
    /// say goodbye, and waits until the last connection has ended. `false`: the period is over.
    pub async fn close(&self, period: Duration) -> bool {
        self.closing.end(period / 4 * 3);
        self.ended(period).await
    }

    /// Ends tunnels at once, because no rules reach them any more.
    pub fn orphan(&self) {
        self.closing.orphan();
    }

    /// Waits until the last connection has ended, at most for this time. `false`: some are open.
    pub async fn ended(&self, within: Duration) -> bool {
        self.connections.close();
        timeout(within, self.connections.wait()).await.is_ok()
    }

    /// Number of open connections.
    pub fn open_connections(&self) -> usize {
        self.connections.len()
    }

    /// The gauge of a listener's connections.
    pub(super) fn gauge(&self, addr: SocketAddr) -> ListenerGauge {
        self.pipeline.metrics.connections.of_listener(addr)
    }

    /// Serves an accepted connection, in a task of its own.
    ///
    /// # Errors
    ///
    /// It is refused, and closed.
    pub(super) fn accepted(
        self: &Arc<Self>,
        stream: TcpStream,
        client: SocketAddr,
        kind: ListenerKind,
        open: OpenConnection,
    ) -> Result<(), ConnectionRefusal> {
        let peer = client.ip().to_canonical();
        let entered = self.enter(&stream, peer, kind, open);
        let (entry, setup) = entered.inspect_err(|reason| self.refused(*reason))?;
        self.connections.spawn(Arc::clone(self).serve(stream, peer, kind, entry, setup));
        Ok(())
    }

    /// Counts an accepted connection within the bounds.
    fn enter(
        &self,
        stream: &TcpStream,
        peer: IpAddr,
        kind: ListenerKind,
        open: OpenConnection,
    ) -> Result<(CensusEntry, Arc<Setup>), ConnectionRefusal> {
        let setup = self.pipeline.setup.load();
        if !self.descriptors.has(stream) {
            return Err(ConnectionRefusal::Descriptors);
        }
        let is_trusted = is_trusted(peer, &setup.trusted_proxies);
        if kind.proxy_protocol && !is_trusted {
            return Err(ConnectionRefusal::ProxyProtocol);
        }
        let mut entry = self.census.enter(open, setup.bounds.connections.min(self.descriptors.clients()))?;
        if !is_trusted {
            entry.claim(peer, setup.bounds.connections_per_address)?;
        }
        Ok((entry, setup))
    }

    fn refused(&self, reason: ConnectionRefusal) {
        self.pipeline.metrics.connections.refused(reason);
    }

    /// Serves an accepted connection to its end.
    async fn serve(
        self: Arc<Self>,
        mut stream: TcpStream,
        peer: IpAddr,
        kind: ListenerKind,
        mut entry: CensusEntry,
        setup: Arc<Setup>,
    ) {
        let mut peer = PeerInfo { address: Some(peer), tls: kind.tls.is_some() };
        let limits = ConnectionLimits { header_timeout: setup.header_timeout, bounds: setup.bounds };
        if kind.proxy_protocol {
            let told = tokio::select! {
                told = self.told_by_proxy(&mut stream, &mut peer, &mut entry, limits) => told,
                () = self.closing.ended() => return,
            };
            if let Err(reason) = told {
                return self.refused(reason);
            }
        }
        let stream = match kind.tls {
            None => Stream::Tcp(stream),
            // Boxed, so that its memory is freed after the handshake.
            Some(place) => {
                // Every TLS listener has its place in every setup.
                let Some(handshakes) = setup.handshakes(place) else { return };
                let limit = limits.bounds.tls_handshake_timeout;
                // A client that has not even said hello does not hold a stop up.
                let shaken = tokio::select! {
                    shaken = Box::pin(handshakes.shake_hands(stream, limit)) => shaken,
                    () = self.closing.ended() => return,
                };
                self.pipeline
                    .metrics
                    .handshakes
                    .count(shaken.as_ref().err().copied().unwrap_or(HandshakeOutcome::Done));
                match shaken {
                    Ok(stream) => stream,
                    Err(_) => return,
                }
            }
        };
        drop(setup);
        if stream.speaks_http2() {
            let served = http2::serve(stream, &self.pipeline, peer, &self.closing, limits);
            return Box::pin(served).await;
        }
        http1::serve(stream, &self.pipeline, peer, &self.closing, limits).await;
    }

    /// Learns the client from a header of the PROXY protocol, and counts the connection for its address.
    async fn told_by_proxy(
        &self,
        stream: &mut TcpStream,
        peer: &mut PeerInfo,
        entry: &mut CensusEntry,
        limits: ConnectionLimits,
    ) -> Result<(), ConnectionRefusal> {
        let read = timeout(limits.header_timeout, proxy_protocol::read(stream)).await;
        let proxied = match read {
            Ok(Ok(proxied)) => proxied,
            Ok(Err(error)) => {
                let peer = peer.address.map(|address| address.to_string());
                tracing::debug!(peer, %error, "connection refused");
                return Err(ConnectionRefusal::ProxyProtocol);
            }
            Err(_) => return Err(ConnectionRefusal::ProxyProtocol),
        };
        peer.tls |= proxied.tls;
        let Some(client) = proxied.address else { return Ok(()) };
        peer.address = Some(client);
        let is_trusted = is_trusted(client, &self.pipeline.setup.borrow().trusted_proxies);
        if is_trusted { Ok(()) } else { entry.claim(client, limits.bounds.connections_per_address) }
    }
}
