use std::path::Path;
use std::time::Duration;

use super::{read, settings};
use crate::config::{
    EmptyAllowlist, LogFormat, LogLevel, LoggedAddress, LoggedDecisions, LoggedRequests, NamedFile,
    PathPattern, ServerAddress, SourceSetting, TlsVersion, UpstreamSettings, UpstreamTls, notices,
};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::Environment;

#[test]
fn defaults() {
    let s = settings("");
    assert_eq!(s.edge.listen, ["127.0.0.1:8080".parse().unwrap()]);
    let origins: Vec<String> = s.edge.public_origins.iter().map(|origin| origin.to_string()).collect();
    assert_eq!(origins, ["http://localhost:8080"]);
    assert!(s.edge.tls.is_empty() && s.edge.trusted_proxies.is_empty() && !s.edge.redirect_http);
    assert_eq!(s.edge.workers, None);
    assert_eq!(
        (s.edge.header_timeout, s.edge.grace_period),
        (Duration::from_secs(10), Duration::from_secs(30))
    );
    let hours = |hours: u64| Some(Duration::from_secs(hours * 60 * 60));
    assert_eq!((s.edge.tunnel_idle_timeout, s.edge.tunnel_lifetime), (hours(1), hours(24)));
    assert_eq!(s.admin.listen, "127.0.0.1:9090".parse().unwrap());
    assert_eq!(s.admin.token_file, Path::new("data/admin.tokens"));
    assert_eq!(s.admin.hosts, ["localhost", "127.0.0.1"]);
    assert_eq!(s.admin.tls, None);
    assert_eq!(s.rules.source, SourceSetting::Store);
    assert_eq!(s.rules.file, Path::new("conf/widgets.json"));
    assert_eq!(s.rules.store.path, Path::new("data/rules.redb"));
    assert_eq!(s.rules.store.seed, Path::new("conf/widgets.json"));
    assert_eq!(s.rules.nats.servers, ["nats://127.0.0.1:4222"]);
    assert_eq!(s.rules.nats.bucket, "embedgate-widgets");
    assert_eq!(s.rules.nats.cache, Path::new("data/fleet.redb"));
    assert_eq!((&s.rules.nats.tls, &s.rules.nats.credentials, &s.rules.nats.edge), (&None, &None, &None));
    assert_eq!(s.policy.empty_allowlist, EmptyAllowlist::Open);
    assert!(s.policy.system_origins.is_empty());
    assert_eq!(s.policy.brake.hundredths(), 1_000);
    assert_eq!((s.policy.max_staleness, &s.policy.public_suffix_list), (None, &None));
    assert_eq!(s.tickets.path.as_str(), "/w/{widget}/embed-ticket");
    assert_eq!(s.tickets.key_file, Path::new("data/ticket.keys"));
    assert_eq!(s.tickets.lifetime, Duration::from_secs(60));
    assert_eq!(s.tickets.renewable_for, Duration::from_secs(12 * 60 * 60));
    assert_eq!(s.reports.path.as_ref().map(PathPattern::as_str), Some("/w/{widget}/embed-report"));
    assert_eq!(settings("reports.path = \"\"").reports.path, None);
    assert_eq!((s.log.level, s.log.decisions), (LogLevel::Info, LoggedDecisions::Denied));
    assert_eq!((s.log.requests, s.log.requests_per_second), (LoggedRequests::Errors, 1_000));
    assert_eq!((s.log.format, s.log.client_address), (LogFormat::Text, LoggedAddress::Off));
    assert_eq!(s.log.audit, Path::new("data/audit.jsonl"));
    assert_eq!(s.cache.bytes, 256 << 20);
    let route = &s.routes[0];
    assert_eq!((route.class, route.missing_denied, route.credentials), (Class::Frame, false, false));
    assert!(route.headers.is_empty() && !route.shared_cache && !route.stream);
    assert_eq!(s.warnings, []);
}

#[test]
fn tunnels_without_end() {
    let s = settings("edge = { tunnel_idle_timeout = \"0s\", tunnel_lifetime = \"90s\" }");
    assert_eq!((s.edge.tunnel_idle_timeout, s.edge.tunnel_lifetime), (None, Some(Duration::from_secs(90))));
    let s = settings("edge = { tunnel_idle_timeout = \"5m\", tunnel_lifetime = \"0s\" }");
    assert_eq!((s.edge.tunnel_idle_timeout, s.edge.tunnel_lifetime), (Some(Duration::from_secs(300)), None));
}

#[test]
fn upstream_with_everything() {
    let s = settings(
        r#"
        [upstreams.app]
        servers = ["App.internal:7001", "app2.internal:7001"]
        tls = true
        ca = "tls/ca.pem"
        http2 = true
        host = "Chat.Internal:8443"
        connect_timeout = "1s"
        keepalive = 7
        dns_interval = "5s"
        health_check = { path = "/up", interval = "2s", timeout = "500ms", unhealthy_after = 5 }
        "#,
    );
    let Some(UpstreamSettings::Servers(app)) = s.upstreams.get("app") else { panic!("no app") };
    let name = |host: &str| ServerAddress::Name { host: host.into(), port: 7001 };
    assert_eq!(app.servers, [name("app.internal"), name("app2.internal")]);
    assert_eq!(app.tls, Some(UpstreamTls { sni: None, ca: Some("tls/ca.pem".into()), verify: true }));
    assert!(app.http2);
    assert_eq!(app.host.as_ref().unwrap(), "chat.internal:8443");
    assert_eq!((app.connect_timeout, app.read_timeout), (Duration::from_secs(1), Duration::from_secs(60)));
    assert_eq!((app.keepalive, app.dns_interval), (7, Duration::from_secs(5)));
    let check = app.health_check.as_ref().unwrap();
    assert_eq!((check.path.as_deref(), check.interval), (Some("/up"), Duration::from_secs(2)));
    assert_eq!(
        (check.timeout, check.healthy_after, check.unhealthy_after),
        (Duration::from_millis(500), 1, 5)
    );
    assert_eq!(s.warnings.len(), 1, "{:?}", s.warnings);
    assert_eq!(s.warnings[0].to_string(), "edge.toml:4:20: no route uses the upstream 'app'");
}

#[test]
fn route_with_everything() {
    let s = settings(
        r#"
        [upstreams.app]
        servers = ["127.0.0.1:7001"]
        "#,
    );
    assert_eq!(s.routes.len(), 1);
    let text = r#"
        [upstreams.app]
        servers = ["127.0.0.1:7001"]
        [upstreams.demo]
        builtin = true
        [[routes]]
        path = "/w/{widget}/loader.js"
        class = "asset"
        upstream = { production = "app", staging = "demo" }
        missing = "deny"
        credentials = true
        shared_cache = true
        expose = ["Mcp-Session-Id", "etag"]
        [routes.headers]
        X-Robots-Tag = "noindex"
        Permissions-Policy = ""
        Cache-Control = "public, max-age=60"
        "#;
    let s = read(text, &[]).unwrap();
    let route = &s.routes[0];
    assert_eq!(&**route.upstream.of(Environment::Production), "app");
    assert_eq!(&**route.upstream.of(Environment::Staging), "demo");
    assert!(route.missing_denied && route.credentials && route.shared_cache);
    assert_eq!(route.expose.as_deref().unwrap(), ["Mcp-Session-Id".into(), "etag".into()]);
    let headers: Vec<(&str, Option<&str>)> = route
        .headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_ref().map(|value| value.to_str().unwrap())))
        .collect();
    let expected = [
        ("cache-control", Some("public, max-age=60")),
        ("permissions-policy", None),
        ("x-robots-tag", Some("noindex")),
    ];
    assert_eq!(headers, expected);
}

#[test]
fn tls_and_admin_beyond_loopback() {
    let s = settings(
        r#"
        [edge]
        listen = []
        public_origins = ["https://widgets.example.com"]
        redirect_http = true
        [[edge.tls]]
        listen = "0.0.0.0:8443"
        certificates = [{ cert = "a.pem", key = "a.key" }, { cert = "b.pem", key = "b.key" }]
        [[edge.tls]]
        listen = "0.0.0.0:8444"
        certificates = [{ cert = "a.pem", key = "a.key" }]
        min_version = "1.3"
        [admin]
        listen = "0.0.0.0:9090"
        hosts = ["Ops.example.com"]
        tls = { cert = "c.pem", key = "c.key", client_ca = "ca.pem" }
        "#,
    );
    assert!(s.edge.listen.is_empty() && s.edge.redirect_http);
    assert_eq!(s.edge.tls[0].listen, "0.0.0.0:8443".parse().unwrap());
    assert_eq!(s.edge.tls[0].certificates[1].key, Path::new("b.key"));
    assert_eq!(
        (s.edge.tls[0].min_version, s.edge.tls[1].min_version),
        (TlsVersion::Tls12, TlsVersion::Tls13)
    );
    assert_eq!(s.admin.hosts, ["ops.example.com"]);
    assert_eq!(s.admin.tls.unwrap().client_ca, Path::new("ca.pem"));
    assert_eq!(s.warnings, []);
}

#[test]
fn warnings() {
    let cases = [
        ("edge.listen = [\"0.0.0.0:80\"]", "edge.public_origins is not set, so it is"),
        ("edge.trusted_proxies = [\"0.0.0.0/0\"]", "lets anyone claim"),
        ("edge.public_origins = [\"https://x.example\"]", "neither an [[edge.tls]] listener nor a proxy"),
        (
            "edge.tls = [{ listen = \"0.0.0.0:8443\", certificates = [{ cert = \"c\", key = \"k\" }] }]",
            "has no https origin",
        ),
        (
            "upstreams.app = { servers = [\"a:1\"], tls = true, verify = false }",
            "anyone on the network can pose",
        ),
        (
            "admin = { listen = \"0.0.0.0:1\", tls = { cert = \"c\", key = \"k\", client_ca = \"a\" } }",
            "admin.hosts",
        ),
    ];
    for (text, warning) in cases {
        let warnings = settings(text).warnings;
        let found =
            warnings.iter().any(|w| w.to_string().starts_with("edge.toml:3:") && w.detail.contains(warning));
        assert!(found, "{text}: {warnings:?}");
    }
}

#[test]
fn says_what_has_no_effect() {
    assert_eq!(notices(&settings("policy.max_staleness = \"0s\"")), [""; 0]);
    let s = settings(
        r#"
        admin.token_file = "x"
        cache.bytes = "1MiB"
        log.audit = "y"
        policy.max_staleness = "1h"
        rules.store.path = "z"
        "#,
    );
    let keys: Vec<String> =
        notices(&s).iter().map(|n| n.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(keys, ["policy.max_staleness"]);
    for (source, count) in [("store", 1), ("file", 1), ("nats", 0)] {
        let s = settings(&format!("policy.max_staleness = \"1h\"\nrules.source = \"{source}\""));
        assert_eq!(notices(&s).len(), count, "{source}");
    }
}

#[test]
fn each_source_has_its_files() {
    let of = |source: &str, more: &str| settings(&format!("rules.source = \"{source}\"\n{more}"));
    let keys = |files: Vec<NamedFile<'_>>| files.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    let store = of("store", "").rules;
    assert_eq!(store.kept(), Some(("rules.store.path", Path::new("data/rules.redb"))));
    assert_eq!(store.own_store(), store.kept());
    assert_eq!(keys(store.own_files()), ["rules.store.path", "rules.store.seed"]);
    assert!(store.read_files().is_empty() && !store.is_shared());

    let file = of("file", "").rules;
    assert_eq!((file.kept(), file.own_store(), file.is_shared()), (None, None, false));
    assert_eq!(file.own_files(), [("rules.file.path", Path::new("conf/widgets.json"))]);
    assert!(file.read_files().is_empty());

    let more = r#"
        rules.nats.credentials = "user.creds"
        rules.nats.tls = { ca = "ca.pem", cert = "edge.pem", key = "edge.key" }
    "#;
    let nats = of("nats", more).rules;
    assert_eq!(nats.kept(), Some(("rules.nats.cache", Path::new("data/fleet.redb"))));
    assert_eq!((nats.own_store(), nats.is_shared()), (None, true));
    assert_eq!(nats.own_files(), [("rules.nats.cache", Path::new("data/fleet.redb"))]);
    let read = [
        ("rules.nats.tls.ca", "ca.pem"),
        ("rules.nats.tls.cert", "edge.pem"),
        ("rules.nats.tls.key", "edge.key"),
        ("rules.nats.credentials", "user.creds"),
        ("rules.store.path", "data/rules.redb"),
    ];
    assert_eq!(nats.read_files(), read.map(|(key, path)| (key, Path::new(path))));
    // A file that is another source's is not to be written over, either.
    assert_eq!(store.files_of_all().len(), 4);
    assert_eq!(nats.files_of_all().len(), 8);
}
