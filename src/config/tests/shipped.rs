use std::path::Path;
use std::sync::Arc;

use crate::config::{Settings, UpstreamSettings, compare, load, notices};
use embedgate_policy::verdict::Class;

fn shipped() -> Settings {
    let file = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/conf/embedgate.toml"));
    load(file, []).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn needs_nothing_and_warns_of_nothing() {
    let settings = shipped();
    assert_eq!(settings.warnings, []);
    assert_eq!(notices(&settings), [""; 0]);
    let demo: Vec<(&Arc<str>, &UpstreamSettings)> = settings.upstreams.iter().collect();
    assert_eq!(demo, [(&"demo".into(), &UpstreamSettings::Builtin)]);
}

#[test]
fn has_the_routes_of_the_demo() {
    let settings = shipped();
    let routes: Vec<(&str, Class)> =
        settings.routes.iter().map(|route| (route.path.as_str(), route.class)).collect();
    let expected = [
        ("/w/{widget}/loader.js", Class::Asset),
        ("/w/{widget}/assets/{*rest}", Class::Asset),
        ("/w/{widget}/frame", Class::Frame),
        ("/w/{widget}/session", Class::Session),
        ("/w/{widget}/session/{*rest}", Class::Session),
        ("/w/{widget}/trust", Class::Public),
        ("/w/{widget}/trust/{*rest}", Class::Public),
    ];
    assert_eq!(routes, expected);
}

/// What its comments show as defaults are the defaults, and what they show at all is accepted.
#[test]
fn shows_the_defaults() {
    let file = include_str!("../../../conf/embedgate.toml");
    let is_setting = |line: &str| {
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
    };
    // No default, and only there to show what can be written.
    let examples = [
        "tls = {",
        "verify =",
        "public_suffix_list =",
        "host =",
        "sni =",
        "ca =",
        "listen = \"0.0.0.0:8443\"",
        "listen = \"0.0.0.0:9091\"",
        "certificates =",
        "min_version =",
    ];
    let mut shown = 0;
    let uncommented: Vec<&str> = file
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if examples.iter().any(|example| setting.starts_with(example)) => line,
            Some("[[edge.tls]]") => line,
            Some(setting) if setting.starts_with("[admin.probe]") => line,
            Some(setting) if is_setting(setting) || setting.starts_with('[') => {
                shown += 1;
                setting
            }
            _ => line,
        })
        .collect();
    assert!(shown > 30, "only {shown} settings are shown");
    let all = super::read(&uncommented.join("\n"), &[]).unwrap_or_else(|error| panic!("{error}"));
    let changes = compare(&super::settings(""), &all);
    // Its own routes and upstreams differ from the least ones, nothing else does.
    assert_eq!(changes.live, ["upstreams.app", "routes"]);
    assert_eq!(changes.upgrade, [""; 0]);
    let Some(UpstreamSettings::Servers(app)) = all.upstreams.get("app") else { panic!("no app") };
    let bare = super::settings("upstreams.app.servers = [\"127.0.0.1:7001\", \"app.internal:7001\"]");
    let Some(UpstreamSettings::Servers(default)) = bare.upstreams.get("app") else { panic!("no app") };
    assert_eq!((app.connect_timeout, app.read_timeout), (default.connect_timeout, default.read_timeout));
    assert_eq!((app.write_timeout, app.idle_timeout), (default.write_timeout, default.idle_timeout));
    assert_eq!(app.dns_interval, default.dns_interval);
    assert_eq!((app.keepalive, app.http2, &app.tls), (default.keepalive, default.http2, &default.tls));
    let checked =
        super::settings("upstreams.app = { servers = [\"a:1\"], health_check = { path = \"/healthz\" } }");
    let Some(UpstreamSettings::Servers(default)) = checked.upstreams.get("app") else { panic!("no app") };
    assert_eq!(app.health_check, default.health_check);
}
