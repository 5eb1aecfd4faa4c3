//! Comparison of two configurations: what a changed one means for a running edge.

use serde::Serialize;
use serde_json::{Map, Value};

use super::resolve::log::LogSettings;
use super::resolve::policy::PolicySettings;
use super::settings::Settings;

/// Names of the parts that differ between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Parts that are in force at once.
    pub live: Vec<String>,
    /// Parts that are in force after a restart.
    pub restart: Vec<String>,
}

/// The keys that a running edge takes over, as [`in_force`] does. Whatever is not named here waits for a restart, so
/// that a key nobody thought of is never lost in silence.
const LIVE: [&str; 6] = [
    "log.level",
    "log.decisions",
    "log.decisions_per_second",
    "policy.empty_allowlist",
    "policy.system_origins",
    "policy.max_staleness",
];

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.restart.is_empty()
    }
}

/// Compares two configurations. Keys of `[edge]`, `[policy]` and `[log]` are told one by one, other tables as a whole.
pub fn compare(old: &Settings, new: &Settings) -> Changes {
    // Taken apart so that a new table can't be forgotten here.
    let Settings {
        edge,
        admin,
        rules,
        policy,
        tickets,
        log,
        cache,
        upstreams,
        routes,
        warnings: _,
        stated: _,
    } = old;
    let changed = changed_keys("edge", edge, &new.edge)
        .chain(whole("admin", *admin != new.admin))
        .chain(whole("rules", *rules != new.rules))
        .chain(changed_keys("policy", policy, &new.policy))
        .chain(whole("tickets", *tickets != new.tickets))
        .chain(changed_keys("log", log, &new.log))
        .chain(whole("cache", *cache != new.cache))
        .chain(whole("upstreams", *upstreams != new.upstreams))
        .chain(whole("routes", *routes != new.routes));
    let (live, restart) = changed.partition(|name| LIVE.contains(&name.as_str()));
    Changes { live, restart }
}

fn whole(name: &str, differs: bool) -> Option<String> {
    differs.then(|| name.to_owned())
}

/// The keys of a table whose values differ, in the order of the settings.
fn changed_keys<T: Serialize>(table: &str, old: &T, new: &T) -> impl Iterator<Item = String> {
    let (old, new) = (keys(old), keys(new));
    old.into_iter()
        .filter(move |(key, value)| new.get(key) != Some(value))
        .map(move |(key, _)| format!("{table}.{key}"))
}

#[expect(clippy::expect_used, reason = "a table is an object, and its texts were read from TOML")]
fn keys<T: Serialize>(table: &T) -> Map<String, Value> {
    let table = serde_json::to_value(table).ok().and_then(|table| match table {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    table.expect("settings are plain JSON")
}

/// The settings in force after `new` was read while `running` was in force: the live parts of `new`, and the
/// rest of `running`. The next comparison starts from these, so that parts that need a restart are reported
/// again.
pub fn in_force(running: &Settings, new: &Settings) -> Settings {
    // Taken apart, so that a new key has to be sorted: as long as it needs a restart, the running value counts.
    let LogSettings { level, decisions, decisions_per_second, audit: _ } = &new.log;
    let PolicySettings { empty_allowlist, system_origins, max_staleness, public_suffix_list: _ } =
        &new.policy;
    let mut settings = running.clone();
    settings.log = LogSettings {
        level: *level,
        decisions: *decisions,
        decisions_per_second: *decisions_per_second,
        audit: running.log.audit.clone(),
    };
    settings.policy = PolicySettings {
        empty_allowlist: *empty_allowlist,
        system_origins: system_origins.clone(),
        max_staleness: *max_staleness,
        public_suffix_list: running.policy.public_suffix_list.clone(),
    };
    settings
}
