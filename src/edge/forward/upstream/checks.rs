//! Active health checks: each server is asked at intervals, whether there are requests or not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pingora_core::upstreams::peer::{Peer, PeerOptions};
use pingora_load_balancing::health_check::{HealthCheck, HttpHealthCheck, TcpHealthCheck};
use pingora_load_balancing::{Backend, Extensions};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::servers::{RoundRobin, Server};
use crate::config;
use crate::edge::error::EdgeError;
use crate::edge::forward::failure;

/// Check of one server.
type Check = Arc<dyn HealthCheck + Send + Sync>;

/// Health checks of one upstream.
pub struct HealthChecks {
    settings: config::HealthCheck,
    /// By the name that a server is asked for. Each has a connector with the system's authorities, so servers share it.
    checks: BTreeMap<String, Check>,
}

impl HealthChecks {
    /// The checks by these settings. `options`: those of the upstream's connections. `names`: every name that its
    /// servers are asked for; an empty one without TLS.
    ///
    /// # Errors
    ///
    /// The path can't be used.
    pub fn new(
        servers: &config::Servers,
        settings: &config::HealthCheck,
        options: &PeerOptions,
        names: BTreeSet<String>,
    ) -> Result<Self, EdgeError> {
        let check = |name: String| prepare(servers, settings, options, &name).map(|check| (name, check));
        let checks = names.into_iter().map(check).collect::<Result<_, EdgeError>>()?;
        Ok(Self { settings: settings.clone(), checks })
    }

    /// Checks the servers of `rotation` at intervals.
    pub async fn run(&self, rotation: &RoundRobin) {
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Tasks of their own, which end with this one: a check that panics must not end the others.
            let mut checks = JoinSet::new();
            for server in rotation.servers().iter() {
                // Every server has one of the names.
                let Some(check) = self.checks.get(server.sni()) else { continue };
                checks.spawn(one(self.settings.clone(), Arc::clone(check), Arc::clone(server)));
            }
            while checks.join_next().await.is_some() {}
        }
    }
}

async fn one(settings: config::HealthCheck, check: Check, server: Arc<Server>) {
    let target = Backend { addr: server.address().clone(), weight: 1, ext: Extensions::new() };
    let health = server.health();
    match timeout(settings.timeout, check.check(&target)).await {
        Ok(Ok(())) => health.checked(None, settings.healthy_after),
        Ok(Err(error)) => health.checked(Some(&failure::cause(&error)), settings.unhealthy_after),
        Err(_) => health.checked(Some(&"it takes too long"), settings.unhealthy_after),
    }
}

fn prepare(
    servers: &config::Servers,
    check: &config::HealthCheck,
    options: &PeerOptions,
    sni: &str,
) -> Result<Check, EdgeError> {
    let mut options = options.clone();
    options.connection_timeout = Some(check.timeout);
    options.total_connection_timeout = Some(check.timeout);
    options.read_timeout = Some(check.timeout);
    let Some(path) = &check.path else {
        let mut tcp = TcpHealthCheck::default();
        sni.clone_into(&mut tcp.peer_template.sni);
        tcp.peer_template.options = options;
        return Ok(Arc::new(tcp));
    };
    let named = servers.host.as_ref().and_then(|host| host.to_str().ok()).map(str::to_owned);
    let asked_for = Some(sni).filter(|sni| !sni.is_empty()).map(str::to_owned);
    let host = named.or(asked_for).or_else(|| servers.servers.first().map(ToString::to_string));
    let mut http = HttpHealthCheck::new(&host.unwrap_or_default(), servers.tls.is_some());
    // The library takes the `Host` for it, which may be another name, and have a port.
    sni.clone_into(&mut http.peer_template.sni);
    http.req
        .set_raw_path(path.as_bytes())
        .map_err(|error| EdgeError::HealthCheckPath { path: path.clone(), detail: error.to_string() })?;
    http.peer_template.options = options;
    Ok(Arc::new(http))
}
