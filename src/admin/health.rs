//! Readiness: whether the edge can take traffic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::Timestamp;

use super::Admin;
use super::problem::Problem;
use crate::rules::fleet::{FleetFault, FleetLink};
use embedgate_policy::decision::EdgePolicy;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Readiness of the data listeners. They are tried until each has accepted a connection. From then on only a
/// stop makes the edge unready, so a probe costs nothing.
#[derive(Debug)]
pub struct Readiness {
    listeners: Vec<SocketAddr>,
    accepted: AtomicBool,
    stopping: AtomicBool,
}

impl Readiness {
    /// Readiness of an edge with these listeners.
    pub fn new(listeners: Vec<SocketAddr>) -> Self {
        Self { listeners, accepted: AtomicBool::new(false), stopping: AtomicBool::new(false) }
    }

    /// Marks the edge as stopping, so that load balancers send no more requests.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// The reason why the edge is not ready; `None` when it is.
    pub async fn obstacle(&self) -> Option<String> {
        if self.stopping.load(Ordering::Relaxed) {
            return Some("the edge is stopping".to_owned());
        }
        if self.accepted.load(Ordering::Relaxed) {
            return None;
        }
        for listener in &self.listeners {
            let connect = tokio::net::TcpStream::connect(reachable(*listener));
            if !matches!(tokio::time::timeout(CONNECT_TIMEOUT, connect).await, Ok(Ok(_))) {
                return Some(format!("the listener {listener} does not accept connections yet"));
            }
        }
        self.accepted.store(true, Ordering::Relaxed);
        None
    }
}

/// The address at which a listener can be reached from here, also one on all interfaces.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

/// What is to be told of an edge that is ready, and does not follow the bucket of its fleet: it goes by the last rules, or
/// denies, if they are too old.
fn concern(bucket: &str, link: &FleetLink, policy: &EdgePolicy, now: Timestamp) -> Option<String> {
    let stale_at = policy.stale_at.filter(|at| *at <= now);
    let trouble = match &link.fault {
        Some(FleetFault { code, detail, since }) => {
            format!("the bucket {bucket} has not been followed since {since:.0} ({code}): {detail}")
        }
        None if !link.connected => format!("the bucket {bucket} can't be reached"),
        None if stale_at.is_some() => format!("the bucket {bucket} is not caught up with"),
        None => return None,
    };
    let served = match (stale_at, link.current_at) {
        (Some(at), _) => format!(
            "the rules have been too old since {at:.0} (policy.max_staleness), so all but public pages are denied"
        ),
        (None, Some(at)) => format!("the rules of {at:.0} are served"),
        (None, None) => "the rules that were kept are served".to_owned(),
    };
    Some(format!("{trouble}; {served}"))
}

/// `GET /readyz`. Rules are loaded before anything listens, so only the listeners are checked. An edge without its bucket
/// is ready, as others of its fleet would be no better; the second line of the answer says so, and whether it denies.
pub(super) async fn readyz(State(admin): State<Arc<Admin>>) -> Response {
    match admin.readiness.obstacle().await {
        None => {
            let fleet = admin.fleet.as_ref();
            let (policy, now) = (admin.policy.load(), Timestamp::now());
            let concern =
                fleet.and_then(|fleet| concern(&fleet.own().bucket, &fleet.link().borrow(), &policy, now));
            let concern = concern.map(|concern| format!("rules: {concern}\n")).unwrap_or_default();
            format!("ready\n{concern}").into_response()
        }
        Some(obstacle) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", obstacle).into_response()
        }
    }
}
