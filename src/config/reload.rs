//! Comparison of two configurations: what a changed one means for a running edge.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use super::resolve::edge::{EdgeSettings, TlsListenerSettings};
use super::resolve::log::LogSettings;
use super::resolve::notify::NotifySettings;
use super::resolve::policy::PolicySettings;
use super::resolve::tickets::TicketSettings;
use super::settings::Settings;

/// Names of the parts that differ between two configurations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Parts that a reload puts in force.
    pub live: Vec<String>,
    /// Parts that are in force only after an upgrade or a restart.
    pub upgrade: Vec<String>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty() && self.upgrade.is_empty()
    }
}

/// Compares the configuration in force with a new one.
pub fn compare(running: &Settings, new: &Settings) -> Changes {
    let next = in_force(running, new);
    let mut wanted = new.clone();
    // The order of listeners means nothing as long as there are no others.
    wanted.edge.tls.sort_by_key(|listener| place(&next.edge.tls, listener.listen));
    Changes { live: changed(running, &next), upgrade: changed(&next, &wanted) }
}

/// The settings in force after `new` was read while `running` was in force: `new`, but for what a running process
/// can't change. The next comparison starts from these, so that what waits for an upgrade is reported again.
pub fn in_force(running: &Settings, new: &Settings) -> Settings {
    // Taken apart, so that a new key has to be sorted: what stands here with a name waits for an upgrade.
    let Settings {
        edge,
        admin,
        rules,
        policy,
        tickets,
        reports: _,
        activity,
        limits,
        notify,
        log,
        cache: _,
        upstreams: _,
        routes: _,
        warnings: _,
        stated: _,
    } = running;
    let EdgeSettings {
        listen,
        tls,
        workers,
        upgrade_socket,
        proxy_protocol,
        public_origins: _,
        trusted_proxies: _,
        redirect_http: _,
        header_timeout: _,
        grace_period: _,
        drain_delay: _,
        upgrade_drain: _,
        tunnel_idle_timeout: _,
        tunnel_lifetime: _,
        bounds: _,
    } = edge;
    let PolicySettings {
        public_suffix_list,
        empty_allowlist: _,
        system_origins: _,
        max_staleness: _,
        brake: _,
    } = policy;
    let TicketSettings { key_file, path: _, lifetime: _, renewable_for: _, cookie: _ } = tickets;
    let NotifySettings { path, url: _, secret_file: _ } = notify;
    let LogSettings {
        audit,
        format,
        level: _,
        decisions: _,
        decisions_per_second: _,
        requests: _,
        requests_per_second: _,
        client_address: _,
    } = log;

    let mut settings = new.clone();
    settings.edge.tls = tls.iter().map(|listener| of_address(&new.edge.tls, listener).clone()).collect();
    settings.edge.listen.clone_from(listen);
    settings.edge.workers = *workers;
    settings.edge.proxy_protocol.clone_from(proxy_protocol);
    settings.edge.upgrade_socket.clone_from(upgrade_socket);
    settings.admin = admin.clone();
    settings.rules = rules.clone();
    settings.policy.public_suffix_list.clone_from(public_suffix_list);
    settings.tickets.key_file.clone_from(key_file);
    settings.activity.clone_from(activity);
    settings.limits.clone_from(limits);
    settings.notify.path.clone_from(path);
    settings.log.audit.clone_from(audit);
    settings.log.format = *format;
    settings
}

/// The place of an address among these listeners; behind them if it isn't there.
fn place(listeners: &[TlsListenerSettings], addr: SocketAddr) -> usize {
    listeners.iter().position(|listener| listener.listen == addr).unwrap_or(listeners.len())
}

/// The settings of a running listener, from the new ones where these still have it.
fn of_address<'s>(
    new: &'s [TlsListenerSettings],
    running: &'s TlsListenerSettings,
) -> &'s TlsListenerSettings {
    new.iter().find(|listener| listener.listen == running.listen).unwrap_or(running)
}

/// Names of what differs: keys of `[edge]`, `[policy]`, `[tickets]`, `[notify]` and `[log]`, upstreams, and other tables as a whole.
fn changed(old: &Settings, new: &Settings) -> Vec<String> {
    // Taken apart so that a new table can't be forgotten here.
    let Settings {
        edge,
        admin,
        rules,
        policy,
        tickets,
        reports,
        activity,
        limits,
        notify,
        log,
        cache,
        upstreams,
        routes,
        warnings: _,
        stated: _,
    } = old;
    changed_keys("edge", edge, &new.edge)
        .chain(whole("admin", *admin != new.admin))
        .chain(whole("rules", *rules != new.rules))
        .chain(changed_keys("policy", policy, &new.policy))
        .chain(changed_keys("tickets", tickets, &new.tickets))
        .chain(whole("reports", *reports != new.reports))
        .chain(whole("activity", *activity != new.activity))
        .chain(whole("limits", *limits != new.limits))
        .chain(changed_keys("notify", notify, &new.notify))
        .chain(changed_keys("log", log, &new.log))
        .chain(whole("cache", *cache != new.cache))
        .chain(changed_names("upstreams", upstreams, &new.upstreams))
        .chain(whole("routes", *routes != new.routes))
        .collect()
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

/// The names of tables that differ, were added or are gone.
fn changed_names<T: PartialEq>(
    table: &str,
    old: &BTreeMap<Arc<str>, T>,
    new: &BTreeMap<Arc<str>, T>,
) -> Vec<String> {
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| format!("{table}.{name}")).collect()
}

#[expect(clippy::expect_used, reason = "a table is an object, and its texts were read from TOML")]
fn keys<T: Serialize>(table: &T) -> Map<String, Value> {
    let table = serde_json::to_value(table).ok().and_then(|table| match table {
        Value::Object(keys) => Some(keys),
        _ => None,
    });
    table.expect("settings are plain JSON")
}
