use super::settings;
use crate::config::{LogLevel, compare, in_force};

#[test]
fn nothing_changed() {
    let changes = compare(&settings(""), &settings("log.level = \"info\""));
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn every_key_is_live_or_waits() {
    let live = [
        ("log.level = \"debug\"", "log.level"),
        ("log.decisions = \"all\"", "log.decisions"),
        ("log.decisions_per_second = 1", "log.decisions_per_second"),
        ("log.requests = \"all\"", "log.requests"),
        ("log.requests_per_second = 1", "log.requests_per_second"),
        ("log.client_address = \"full\"", "log.client_address"),
        ("policy.empty_allowlist = \"deny\"", "policy.empty_allowlist"),
        ("policy.system_origins = [\"https://d.example\"]", "policy.system_origins"),
        ("policy.brake = \"5%\"", "policy.brake"),
        ("policy.max_staleness = \"1h\"", "policy.max_staleness"),
        ("edge.public_origins = [\"http://x.example\"]", "edge.public_origins"),
        ("edge.trusted_proxies = [\"10.0.0.0/8\"]", "edge.trusted_proxies"),
        ("edge.header_timeout = \"1s\"", "edge.header_timeout"),
        ("edge.grace_period = \"1s\"", "edge.grace_period"),
        ("edge.drain_delay = \"1s\"", "edge.drain_delay"),
        ("edge.upgrade_drain = \"1s\"", "edge.upgrade_drain"),
        ("edge.tunnel_idle_timeout = \"1s\"", "edge.tunnel_idle_timeout"),
        ("edge.tunnel_lifetime = \"0s\"", "edge.tunnel_lifetime"),
        ("edge.bounds.connections = 7", "edge.bounds"),
        ("tickets.lifetime = \"1s\"", "tickets.lifetime"),
        ("tickets.cookie = \"partitioned\"", "tickets.cookie"),
        ("reports.path = \"\"", "reports"),
        ("notify.url = \"https://hooks.example.com/\"", "notify.url"),
        ("notify.secret_file = \"x\"", "notify.secret_file"),
        ("cache.bytes = \"1B\"", "cache"),
        ("upstreams.app.servers = [\"a:1\"]", "upstreams.app"),
    ];
    for (text, name) in live {
        let changes = compare(&settings(""), &settings(text));
        assert_eq!((changes.live, changes.upgrade.len()), (vec![name.to_owned()], 0), "{text}");
    }
    let upgrade = [
        ("edge.listen = [\"127.0.0.1:1\"]", "edge.listen"),
        (&tls("0.0.0.0:1", "c"), "edge.tls"),
        ("edge.workers = 1", "edge.workers"),
        ("edge.upgrade_socket = \"x\"", "edge.upgrade_socket"),
        ("admin.hosts = [\"x\"]", "admin"),
        ("rules.file.path = \"x\"", "rules"),
        ("policy.public_suffix_list = \"x\"", "policy.public_suffix_list"),
        ("tickets.key_file = \"x\"", "tickets.key_file"),
        ("notify.path = \"x\"", "notify.path"),
        ("log.audit = \"x\"", "log.audit"),
        ("log.format = \"json\"", "log.format"),
    ];
    for (text, name) in upgrade {
        let changes = compare(&settings(""), &settings(text));
        assert_eq!((changes.upgrade, changes.live.len()), (vec![name.to_owned()], 0), "{text}");
    }
}

fn tls(listen: &str, cert: &str) -> String {
    format!("edge.tls = [{{ listen = \"{listen}\", certificates = [{{ cert = \"{cert}\", key = \"k\" }}] }}]")
}

#[test]
fn a_running_listener_takes_other_certificates() {
    let running = settings(&tls("0.0.0.0:1", "c"));
    let new = settings(&tls("0.0.0.0:1", "d"));
    let changes = compare(&running, &new);
    assert_eq!((changes.live, changes.upgrade.len()), (vec!["edge.tls".to_owned()], 0));
    assert_eq!(in_force(&running, &new).edge.tls, new.edge.tls);

    let elsewhere = settings(&tls("0.0.0.0:2", "d"));
    let changes = compare(&running, &elsewhere);
    assert_eq!((changes.live.len(), changes.upgrade), (0, vec!["edge.tls".to_owned()]));
    assert_eq!(in_force(&running, &elsewhere).edge.tls, running.edge.tls);
}

#[test]
fn what_waits_is_said_until_the_upgrade() {
    let running = settings("");
    let new = settings(
        "log = { level = \"debug\", audit = \"x\" }\npolicy.public_suffix_list = \"y\"\nedge.workers = 1",
    );
    let now = in_force(&running, &new);
    assert_eq!(now.log.level, LogLevel::Debug);
    assert_eq!(now.edge.workers, None);
    let again = compare(&now, &new);
    assert_eq!(again.live, [""; 0]);
    assert_eq!(again.upgrade, ["edge.workers", "policy.public_suffix_list", "log.audit"]);
}
