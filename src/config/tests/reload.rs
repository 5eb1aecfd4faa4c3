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
        ("policy.empty_allowlist = \"deny\"", "policy.empty_allowlist"),
        ("policy.system_origins = [\"https://d.example\"]", "policy.system_origins"),
        ("policy.max_staleness = \"1h\"", "policy.max_staleness"),
    ];
    for (text, name) in live {
        let changes = compare(&settings(""), &settings(text));
        assert_eq!((changes.live, changes.restart.len()), (vec![name.to_owned()], 0), "{text}");
    }
    let restart = [
        ("edge.listen = [\"127.0.0.1:1\"]", "edge.listen"),
        (
            "edge.tls = [{ listen = \"0.0.0.0:1\", certificates = [{ cert = \"c\", key = \"k\" }] }]",
            "edge.tls",
        ),
        ("edge.public_origins = [\"http://x.example\"]", "edge.public_origins"),
        ("edge.trusted_proxies = [\"10.0.0.0/8\"]", "edge.trusted_proxies"),
        ("edge.workers = 1", "edge.workers"),
        ("edge.header_timeout = \"1s\"", "edge.header_timeout"),
        ("edge.grace_period = \"1s\"", "edge.grace_period"),
        ("edge.tunnel_idle_timeout = \"1s\"", "edge.tunnel_idle_timeout"),
        ("edge.tunnel_lifetime = \"0s\"", "edge.tunnel_lifetime"),
        ("admin.hosts = [\"x\"]", "admin"),
        ("rules.file.path = \"x\"", "rules"),
        ("policy.public_suffix_list = \"x\"", "policy.public_suffix_list"),
        ("tickets.lifetime = \"1s\"", "tickets"),
        ("log.audit = \"x\"", "log.audit"),
        ("cache.bytes = \"1B\"", "cache"),
        ("upstreams.app.servers = [\"a:1\"]", "upstreams"),
    ];
    for (text, name) in restart {
        let changes = compare(&settings(""), &settings(text));
        assert_eq!((changes.restart, changes.live.len()), (vec![name.to_owned()], 0), "{text}");
    }
}

#[test]
fn what_waits_is_said_until_the_restart() {
    let running = settings("");
    let new = settings(
        "log = { level = \"debug\", audit = \"x\" }\npolicy.public_suffix_list = \"y\"\nedge.workers = 1",
    );
    let now = in_force(&running, &new);
    assert_eq!(now.log.level, LogLevel::Debug);
    assert_eq!(now.edge.workers, None);
    let again = compare(&now, &new);
    assert_eq!(again.live, [""; 0]);
    assert_eq!(again.restart, ["edge.workers", "policy.public_suffix_list", "log.audit"]);
}
