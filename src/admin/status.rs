//! `GET /v1/status`: the rules in force, the state of their source, and what is open.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::Admin;
use super::openapi::StatusProblems;
use crate::rules::fleet::{FleetFault, FleetLink, OwnEdge};
use crate::rules::publisher::NotKept;
use crate::rules::status::SourceStatus;
use crate::telemetry::upstream_servers::UpstreamServer;
use embedgate_policy::widget::{Access, Environment};

/// State of the edge.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Status {
    /// The version of embedgate.
    pub(super) version: &'static str,
    /// The version of the rule book in force.
    pub(super) generation: u64,
    pub(super) widgets: Widgets,
    /// The admin API can't change rules, because they come from a file.
    pub(super) read_only: bool,
    pub(super) rules: SourceStatus,
    /// The fleet that shares the rules; `null` if they are this edge's alone. `GET /v1/fleet` has the other edges.
    pub(super) fleet: Option<FleetConnection>,
    /// Changes that are in force and could not be kept yet: kill switches, which a restart loses, and in a fleet what the
    /// bucket says, which a start reads again.
    pub(super) not_kept: Vec<NotKept>,
    /// Open sessions: WebSockets, streams and long polls.
    pub(super) sessions: usize,
    /// Sessions that have left the edge, such as calls on a media server, and are remembered.
    pub(super) remembered_sessions: usize,
    /// The servers of all upstreams, as they were last found.
    pub(super) upstreams: Vec<ServerStatus>,
    /// The certificates of all listeners, by file.
    pub(super) certificates: Vec<CertificateStatus>,
    /// Lines of the decision log that were dropped because standard output was too slow, or could not be written to.
    pub(super) decisions_not_logged: u64,
}

/// Connection of this edge to the bucket of its fleet.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FleetConnection {
    /// The bucket.
    #[schema(example = "embedgate-widgets")]
    pub(super) bucket: String,
    /// The name of this edge.
    #[schema(example = "edge-1")]
    pub(super) edge: String,
    /// Whether messages of the bucket arrive.
    pub(super) connected: bool,
    /// The sequence up to which this edge enforces the bucket.
    pub(super) sequence: u64,
    /// When this edge last knew that it had everything that was published.
    pub(super) current_at: Option<Timestamp>,
    /// From when this edge denies everything but public pages, unless it has contact before (`policy.max_staleness`); `null`:
    /// never.
    pub(super) stale_at: Option<Timestamp>,
    /// What is wrong with the bucket, if something is. The rules in force stay.
    pub(super) fault: Option<FleetFault>,
}

impl FleetConnection {
    fn new(own: OwnEdge, link: FleetLink, stale_at: Option<Timestamp>) -> Self {
        let OwnEdge { bucket, name, sequence } = own;
        let FleetLink { connected, current_at, fault, .. } = link;
        Self { bucket, edge: name, connected, sequence, current_at, stale_at, fault }
    }
}

/// A server of an upstream.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ServerStatus {
    /// The upstream's name in the configuration.
    #[schema(example = "app")]
    pub(super) upstream: String,
    /// The server's address.
    #[schema(example = "127.0.0.1:7001")]
    pub(super) server: String,
    /// Requests are sent to it: neither requests nor health checks have taken it out.
    pub(super) healthy: bool,
}

/// A certificate in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CertificateStatus {
    /// The file, as the configuration names it.
    #[schema(example = "tls/site.pem")]
    pub(super) certificate: String,
    /// When it expires.
    pub(super) expires_at: Timestamp,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Widgets {
    /// The number of widgets.
    pub(super) total: usize,
    /// The number of widgets by environment, then by access in effect.
    #[schema(value_type = BTreeMap<String, BTreeMap<String, usize>>)]
    pub(super) by_environment: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    /// The number of widgets that any site may embed, by environment.
    #[schema(value_type = BTreeMap<String, usize>)]
    pub(super) unrestricted: BTreeMap<&'static str, usize>,
}

impl From<UpstreamServer> for ServerStatus {
    fn from(UpstreamServer { upstream, server, healthy }: UpstreamServer) -> Self {
        Self { upstream, server, healthy }
    }
}

impl CertificateStatus {
    fn new((certificate, at): (String, i64)) -> Self {
        // One that never expires says so with the last second of the year 9999 (RFC 5280 §4.1.2.5).
        Self { certificate, expires_at: Timestamp::from_second(at).unwrap_or(Timestamp::MAX) }
    }
}

/// Report how the edge is doing
///
/// The rules in force, whether their source has other ones, open sessions, the servers of upstreams, and when certificates
/// expire.
#[utoipa::path(
    get,
    path = "/v1/status",
    operation_id = "status",
    tag = "edge",
    responses((status = 200, description = "The state of the edge", body = Status), StatusProblems),
)]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Json<Status> {
    Json(Status::of(&admin))
}

impl Status {
    /// The state of this edge. It waits for nothing.
    pub(super) fn of(admin: &Admin) -> Self {
        let book = admin.publisher.live().load_full();
        let census = book.census();
        let of = |environment: Environment| {
            let counts = Access::ALL.map(|access| (access.as_str(), census.widgets(environment, access)));
            (environment.as_str(), counts.into_iter().collect())
        };
        let mut rules = admin.publisher.status();
        let mut connection = None;
        if let Some(fleet) = &admin.fleet {
            let link = fleet.link().borrow().clone();
            rules = rules.over(&link);
            connection = Some(FleetConnection::new(fleet.own(), link, admin.policy.load().stale_at));
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            generation: book.generation(),
            widgets: Widgets {
                total: book.len(),
                by_environment: Environment::ALL.map(of).into_iter().collect(),
                unrestricted: Environment::ALL
                    .map(|environment| (environment.as_str(), census.unrestricted(environment)))
                    .into_iter()
                    .collect(),
            },
            read_only: admin.publisher.is_read_only(),
            rules,
            fleet: connection,
            not_kept: admin.publisher.not_kept(),
            sessions: admin.sessions.count(),
            remembered_sessions: admin.remembered.count(),
            upstreams: admin.upstreams.servers().into_iter().map(ServerStatus::from).collect(),
            certificates: admin.expiries().into_iter().map(CertificateStatus::new).collect(),
            decisions_not_logged: admin.decisions.dropped(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_never_expires_has_a_time_too() {
        let expires = |at| CertificateStatus::new((String::new(), at)).expires_at.to_string();
        assert_eq!(expires(3_376_684_800), "2077-01-01T00:00:00Z");
        assert!(expires(253_402_300_799).starts_with("9999-12-30T"), "{}", expires(253_402_300_799));
    }
}
