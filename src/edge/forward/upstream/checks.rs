//! Active health checks: each server is asked at intervals, whether there are requests or not.

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

/// Health checks of one upstream.
pub struct HealthChecks {
    settings: config::HealthCheck,
    check: Arc<dyn HealthCheck + Send + Sync>,
}

impl HealthChecks {
    /// The checks by these settings. `options`: those of the upstream's connections.
    ///
    /// # Errors
    ///
    /// The path can't be used.
    pub fn new(
        servers: &config::Servers,
        settings: &config::HealthCheck,
        options: &PeerOptions,
    ) -> Result<Self, EdgeError> {
        Ok(Self { settings: settings.clone(), check: prepare(servers, settings, options)? })
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
                checks.spawn(one(self.settings.clone(), Arc::clone(&self.check), Arc::clone(server)));
            }
            while checks.join_next().await.is_some() {}
        }
    }
}

async fn one(settings: config::HealthCheck, check: Arc<dyn HealthCheck + Send + Sync>, server: Arc<Server>) {
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
) -> Result<Arc<dyn HealthCheck + Send + Sync>, EdgeError> {
    let sni = servers.tls.as_ref().map(|tls| {
        let first = servers.servers.first().map(|server| match server {
            config::ServerAddress::Ip(addr) => addr.ip().to_string(),
            config::ServerAddress::Name { host, .. } => host.to_string(),
        });
        tls.sni.clone().or(first).unwrap_or_default()
    });
    let named = servers.host.as_ref().and_then(|host| host.to_str().ok()).map(str::to_owned);
    let host = named.or_else(|| sni.clone()).or_else(|| servers.servers.first().map(ToString::to_string));
    let host = host.unwrap_or_default();
    let mut options = options.clone();
    options.connection_timeout = Some(check.timeout);
    options.total_connection_timeout = Some(check.timeout);
    options.read_timeout = Some(check.timeout);
    let Some(path) = &check.path else {
        let mut tcp = TcpHealthCheck::default();
        tcp.peer_template.sni = sni.unwrap_or_default();
        tcp.peer_template.options = options;
        return Ok(Arc::new(tcp));
    };
    let mut http = HttpHealthCheck::new(&host, sni.is_some());
    http.req
        .set_raw_path(path.as_bytes())
        .map_err(|error| EdgeError::HealthCheckPath { path: path.clone(), detail: error.to_string() })?;
    http.peer_template.options = options;
    Ok(Arc::new(http))
}
