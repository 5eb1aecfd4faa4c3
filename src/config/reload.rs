//! What a changed configuration means for a running edge.

use super::settings::{LogSettings, PolicySettings, Settings};

/// Which parts differ between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// In force at once.
    pub live: Vec<&'static str>,
    /// In force after a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// Is everything as it was?
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

/// What changed from `old` to `new`.
pub fn compare(old: &Settings, new: &Settings) -> Changes {
    let live = [
        ("log.level", old.log.level != new.log.level),
        ("log.decisions", old.log.decisions != new.log.decisions),
        ("policy.empty_allowlist", old.policy.empty_allowlist != new.policy.empty_allowlist),
        ("policy.system_origins", old.policy.system_origins != new.policy.system_origins),
        ("policy.max_staleness", old.policy.max_staleness != new.policy.max_staleness),
    ];
    let restart = [
        ("edge.listen", old.edge.listen != new.edge.listen),
        ("edge.tls", old.edge.tls != new.edge.tls),
        ("edge.public_origins", old.edge.public_origins != new.edge.public_origins),
        ("edge.trusted_proxies", old.edge.trusted_proxies != new.edge.trusted_proxies),
        ("edge.redirect_http", old.edge.redirect_http != new.edge.redirect_http),
        ("edge.workers", old.edge.workers != new.edge.workers),
        ("edge.header_timeout", old.edge.header_timeout != new.edge.header_timeout),
        ("edge.grace_period", old.edge.grace_period != new.edge.grace_period),
        ("edge.tunnel_idle_timeout", old.edge.tunnel_idle_timeout != new.edge.tunnel_idle_timeout),
        ("edge.tunnel_lifetime", old.edge.tunnel_lifetime != new.edge.tunnel_lifetime),
        ("admin", old.admin != new.admin),
        ("rules", old.rules != new.rules),
        ("policy.public_suffix_list", old.policy.public_suffix_list != new.policy.public_suffix_list),
        ("tickets", old.tickets != new.tickets),
        ("log.audit", old.log.audit != new.log.audit),
        ("cache", old.cache != new.cache),
        ("upstreams", old.upstreams != new.upstreams),
        ("routes", old.routes != new.routes),
    ];
    Changes { live: changed(&live), restart: changed(&restart) }
}

fn changed(parts: &[(&'static str, bool)]) -> Vec<&'static str> {
    parts.iter().filter(|(_, differs)| *differs).map(|(name, _)| *name).collect()
}

/// What is in force after `new` was read while `running` ran: its live parts, and what runs for the rest. The
/// next comparison starts from this, so that what waits for a restart is said again.
pub fn in_force(running: &Settings, new: &Settings) -> Settings {
    let mut settings = running.clone();
    settings.log = LogSettings { audit: running.log.audit.clone(), ..new.log.clone() };
    settings.policy = PolicySettings {
        public_suffix_list: running.policy.public_suffix_list.clone(),
        ..new.policy.clone()
    };
    settings
}
