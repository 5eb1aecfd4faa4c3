//! Settings of the library's connector.

use pingora_core::server::configuration::ServerConf;

use crate::config::{self, Settings};

/// The settings of the library's connector.
pub(super) fn conf(settings: &Settings) -> ServerConf {
    let builtin = config::Servers::plain(Vec::new()).keepalive;
    let keepalive = settings.upstreams.values().map(|upstream| match upstream {
        config::UpstreamSettings::Servers(servers) => servers.keepalive,
        config::UpstreamSettings::Builtin => builtin,
    });
    ServerConf { upstream_keepalive_pool_size: keepalive.sum::<usize>().max(1), ..ServerConf::default() }
}
