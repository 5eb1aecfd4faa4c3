use std::path::Path;

use super::{faults, read};
use crate::config::load;

/// One fault for each text, at this line and column of it (the text begins in line 3), saying this.
fn refuse(cases: &[(&str, &str, &str)]) {
    for (text, place, detail) in cases {
        let found = faults(text);
        let place = format!("edge.toml:{place}: ");
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert!(found[0].starts_with(&place) && found[0].contains(detail), "{text}: {found:?}");
    }
}

#[test]
fn syntax() {
    // The first is told alone: what comes after it may be misread.
    let error = read("a = 1\n[edge\nb = [1,,2]\n", &[]).unwrap_err().to_string();
    assert_eq!(error, "edge.toml:2:6: not TOML: no `]` at the end of this header; write it like [edge]");
    refuse(&[("cache.bytes = \"1B\"\ncache.bytes = \"2B\"", "4:7", "`cache.bytes` is already in line 3")]);
}

#[test]
fn unreadable_files() {
    let missing = load(Path::new("no/such/file.toml"), []).unwrap_err().to_string();
    assert_eq!(missing, "no/such/file.toml: no such file; name the configuration with --config FILE");
    let folder = load(Path::new("."), []).unwrap_err().to_string();
    assert!(folder.starts_with(".: can't be read: "), "{folder}");
}

#[test]
fn unknown_keys() {
    refuse(&[
        (
            "colour = 1",
            "3:1",
            "unknown key 'colour' at the top level; known keys: edge, admin, rules, policy",
        ),
        ("[egde]", "3:2", "unknown key 'egde' at the top level; did you mean 'edge'?"),
        (
            "[edge]\n  pubic_origins = []",
            "4:3",
            "unknown key 'pubic_origins' in [edge]; did you mean 'public_origins'?",
        ),
        ("[edge]\nworkerThreads = 1", "4:1", "in [edge]; known keys: listen, tls, public_origins"),
        ("admin.token-file = \"x\"", "3:7", "did you mean 'token_file'?"),
        (
            "rules.store = { paht = \"x\" }",
            "3:17",
            "unknown key 'paht' in [rules.store]; did you mean 'path'?",
        ),
        ("rules.nats.subject = 1", "3:12", "known keys: servers, bucket, cache, tls, credentials, edge"),
        ("rules.file.paths = 1", "3:12", "did you mean 'path'?"),
        ("policy.mode = 1", "3:8", "known keys: empty_allowlist"),
        ("tickets.ttl = 1", "3:9", "known keys: path, key_file"),
        ("log.form = 1", "3:5", "known keys: level, decisions, decisions_per_second, format, requests"),
        ("cache.size = 1", "3:7", "known keys: bytes"),
        ("upstreams.demo.weight = 1", "3:16", "in [upstreams.demo]; known keys: builtin, servers"),
        ("upstreams.a = { servers = [\"a:1\"], heath_check = {} }", "3:36", "did you mean 'health_check'?"),
        ("upstreams.a = { servers = [\"a:1\"], health_check.url = 1 }", "3:49", "known keys: path, interval"),
    ]);
}

#[test]
fn wrong_types() {
    refuse(&[
        ("edge = 1", "3:8", "edge: must be a table, not a number"),
        (
            "edge.listen = \"127.0.0.1:80\"",
            "3:15",
            "must be an array such as [\"127.0.0.1:8080\"], not a string",
        ),
        ("edge.listen = [1]", "3:16", "edge.listen: must be a string, not a number"),
        ("edge.redirect_http = \"yes\"", "3:22", "must be true or false, not a string"),
        ("edge.workers = 1.5", "3:16", "must be a whole number, not a number with a fraction"),
        ("edge.workers = -1", "3:16", "must be from 0 to 1024"),
        ("edge.workers = 99999999999999999999", "3:16", "must be from 0 to 1024"),
        ("log.level = true", "3:13", "must be a string, not a boolean"),
        ("cache.bytes = 1979-05-27", "3:15", "must be a string, not a date"),
    ]);
}

#[test]
fn times_and_sizes_without_a_unit() {
    refuse(&[
        ("tickets.lifetime = 60", "3:20", "'60' has no unit; write \"60s\""),
        ("tickets.lifetime = \"60\"", "3:20", "'60' has no unit; write \"60s\""),
        ("tickets.lifetime = \"0s\"", "3:20", "must be longer than zero"),
        ("tickets.lifetime = \"1500ms\"", "3:20", "must be whole seconds"),
        ("tickets.lifetime = \"61m\"", "3:20", "longer than 1h"),
        ("tickets.renewable_for = \"31d\"", "3:25", "longer than 30d"),
        ("edge.grace_period = 30", "3:21", "no unit"),
        ("policy.max_staleness = 0", "3:24", "no unit"),
        ("policy.brake = 10", "3:16", "write \"10%\""),
        ("policy.brake = \"120%\"", "3:16", "not a percentage from 0 to 100"),
        ("cache.bytes = 256", "3:15", "'256' has no unit; write \"256MiB\""),
    ]);
}

#[test]
fn edge() {
    refuse(&[
        (
            "edge.listen = [\"localhost:80\"]",
            "3:16",
            "edge.listen: 'localhost:80' is a name; write an address",
        ),
        ("edge.listen = []", "3:15", "edge.listen: can't be empty"),
        ("edge.listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"]", "3:31", "two listeners have 127.0.0.1:1"),
        ("edge.listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"]", "3:31", "can't listen on both"),
        ("edge.listen = [\"[::]:1\", \"0.0.0.0:1\"]", "3:26", "can't listen on both"),
        ("edge.public_origins = []", "3:23", "edge.public_origins: can't be empty"),
        ("edge.public_origins = [\"https://x.example/\"]", "3:24", "write \"https://x.example\""),
        ("edge.public_origins = [\"capacitor://localhost\"]", "3:24", "is not an http or https origin"),
        ("edge.public_origins = [\"http://x.example\", \"http://x.example\"]", "3:44", "is listed twice"),
        ("edge.trusted_proxies = [\"10.0.0.1\"]", "3:25", "write \"10.0.0.1/32\""),
        (
            "edge = { redirect_http = true, public_origins = [\"https://x.example\"] }",
            "3:26",
            "add an [[edge.tls]]",
        ),
    ]);
}

#[test]
fn tls_listeners() {
    let whole = "[[edge.tls]]\nlisten = \"0.0.0.0:8443\"\ncertificates = ";
    let pair = "[{ cert = \"c\", key = \"k\" }]";
    refuse(&[
        ("[[edge.tls]]\nlisten = \"0.0.0.0:8443\"", "3:1", "'certificates' is missing in [[edge.tls]]"),
        (&format!("[[edge.tls]]\ncertificates = {pair}"), "3:1", "'listen' is missing in [[edge.tls]]"),
        (&format!("{whole}[]"), "5:16", "needs at least one, such as [{ cert = "),
        (&format!("{whole}[{{ cert = \"c\" }}]"), "5:17", "'key' is missing in [[edge.tls.certificates]]"),
        (&format!("{whole}[{{ cert = \"\", key = \"k\" }}]"), "5:26", "must name a file"),
        (
            &format!("{whole}{pair}\nmin_version = \"1.1\""),
            "6:15",
            "edge.tls.min_version: '1.1' is not known; write \"1.2\" or \"1.3\"",
        ),
        (
            &format!("{whole}{pair}\nmin_version = 1.3"),
            "6:15",
            "must be a string, not a number with a fraction",
        ),
        (&format!("{whole}{pair}\n[admin]\nlisten = \"127.0.0.1:8443\""), "7:10", "can't listen on both"),
        (
            &format!(
                "edge.redirect_http = true\nedge.tls = [{{ listen = \"0.0.0.0:1\", certificates = {pair} }}]"
            ),
            "3:22",
            "needs an https origin in edge.public_origins",
        ),
    ]);
}

#[test]
fn admin() {
    refuse(&[
        (
            "admin.listen = \"0.0.0.0:9090\"",
            "3:16",
            "not a loopback address, so it needs mutual TLS; write 127.0.0.1:9090",
        ),
        ("admin.listen = \"127.0.0.1:8080\"", "3:16", "two listeners have 127.0.0.1:8080"),
        ("admin.probe.listen = \"127.0.0.1:9090\"", "3:22", "two listeners have 127.0.0.1:9090"),
        ("admin.probe = {}", "3:15", "'listen' is missing in [admin.probe]"),
        ("edge.listen = [\"127.0.0.1:9090\"]", "3:16", "two listeners have 127.0.0.1:9090"),
        ("admin.hosts = []", "3:15", "can't be empty"),
        ("admin.hosts = [\"localhost:9090\"]", "3:16", "write \"localhost\""),
        ("admin.tls = { cert = \"c\", key = \"k\" }", "3:13", "'client_ca' is missing in [admin.tls]"),
    ]);
}

#[test]
fn sections() {
    refuse(&[
        (
            "rules.source = \"redis\"",
            "3:16",
            "'redis' is not known; write one of \"store\", \"file\", \"nats\"",
        ),
        ("rules.nats.servers = []", "3:22", "can't be empty"),
        ("rules.nats.servers = [\"127.0.0.1:4222\"]", "3:23", "is not a URL; write it like"),
        ("rules.nats.servers = [\"http://x\"]", "3:23", "write \"nats://x\""),
        ("rules.nats.bucket = \"a.b\"", "3:21", "is not a bucket name"),
        ("rules.nats.cache = \"data/rules.redb\"", "3:20", "is the path of rules.store"),
        ("rules.nats.edge = \"a..b\"", "3:19", "is not the name of an edge"),
        ("rules.nats.tls = { cert = \"c.pem\" }", "3:18", "'key' is missing"),
        ("rules.nats.tls = { cart = \"c.pem\" }", "3:20", "did you mean 'cert'?"),
        ("policy.empty_allowlist = \"closed\"", "3:26", "'closed' is not known; write \"open\" or \"deny\""),
        ("policy.system_origins = [\"d.example\"]", "3:26", "write \"https://d.example\""),
        ("policy.system_origins = [\"http://localhost:8080\"]", "3:26", "is one of edge.public_origins"),
        ("tickets.path = \"/ticket\"", "3:16", "'/ticket' has no {widget}"),
        ("tickets.path = \"/{widget}/{*rest}\"", "3:16", "leave {*rest} out"),
        ("tickets.path = \"/w/{widget}/frame\"", "2:20", "is tickets.path, which the edge answers itself"),
        ("reports.path = \"/report\"", "3:16", "write it like \"/w/{widget}/embed-report\""),
        ("reports.path = \"/{widget}/{*rest}\"", "3:16", "leave {*rest} out"),
        ("reports.path = \"/w/{widget}/embed-ticket\"", "3:16", "is tickets.path; write another one"),
        ("tickets.path = \"/w/{widget}/embed-report\"", "3:1", "is tickets.path; write another one"),
        (
            "tickets.path = \"/call/{widget}\"\nreports.path = \"/{widget}/report\"",
            "4:16",
            "could both match a path; change one of them",
        ),
        ("reports.path = \"/w/{widget}/a;b\"", "3:16", "can't have ';' or ','"),
        ("reports.path = \"/a,b/{widget}\"", "3:16", "can't have ';' or ','"),
        ("reports.path = \"/w/{widget}/frame\"", "2:20", "is reports.path, which the edge answers itself"),
        ("log.level = \"loud\"", "3:13", "write one of \"off\", \"error\""),
        ("log.decisions = \"some\"", "3:17", "write one of \"all\", \"denied\", \"off\""),
    ]);
}

#[test]
fn upstreams() {
    refuse(&[
        (
            "[upstreams.a]",
            "3:1",
            "upstreams.a has no servers; write servers = [\"127.0.0.1:7001\"] or builtin = true",
        ),
        ("upstreams.demo.servers = [\"a:1\"]", "3:26", "can't be combined with builtin = true"),
        ("upstreams.a.servers = []", "3:23", "upstreams.a.servers: can't be empty"),
        ("upstreams.a.servers = [\"http://a\"]", "3:24", "is a URL; write \"a:80\""),
        ("upstreams.a.servers = [\"a:1\", \"A:1\"]", "3:31", "'a:1' is listed twice"),
        ("upstreams.\"a b\".servers = [\"a:1\"]", "3:11", "'a b' is not an upstream name"),
        (
            "upstreams.a = { servers = [\"a:1\"], host = \"https://a\" }",
            "3:43",
            "is not a host; write it like",
        ),
        ("upstreams.a = { servers = [\"a:1\"], host = \"a:0\" }", "3:43", "is not a host"),
        ("upstreams.a = { servers = [\"a:1\"], host = \"a b\" }", "3:43", "is not a host"),
        ("upstreams.a = { builtin = true, host = \"a\" }", "3:40", "can't be combined with builtin"),
        ("upstreams.a = { servers = [\"a:1\"], sni = \"a\" }", "3:42", "needs tls = true; without TLS"),
        ("upstreams.a = { servers = [\"a:1\"], tls = true, sni = \"a:1\" }", "3:54", "is not a server name"),
        ("upstreams.a = { servers = [\"10.0.0.1:1\"], tls = true }", "3:43", "10.0.0.1:1 has no name"),
        ("upstreams.a = { servers = [\"a:1\"], http2 = true }", "3:44", "negotiated in the TLS handshake"),
        ("upstreams.a = { servers = [\"a:1\"], keepalive = \"60s\" }", "3:48", "must be a whole number"),
        (
            "upstreams.a = { servers = [\"10.0.0.1:1\"], dns_interval = \"5s\" }",
            "3:58",
            "addresses are not looked up",
        ),
        ("upstreams.a = { servers = [\"a:1\"], dns_interval = \"900ms\" }", "3:51", "must be 1s or more"),
        (
            "upstreams.a = { servers = [\"a:1\"], health_check = { path = \"up\" } }",
            "3:60",
            "'up' is not a path",
        ),
        (
            "upstreams.a = { servers = [\"a:1\"], health_check = { timeout = \"5s\" } }",
            "3:51",
            "must be shorter than",
        ),
    ]);
}

/// An operator sees all of it at once, in the order of the file.
#[test]
fn all_faults_in_order() {
    let found = faults("cache.bytes = 1\nedge.listen = [\"x\", \"y\"]\nnonsense = 1\nlog.level = \"loud\"");
    let places: Vec<&str> = found.iter().map(|fault| fault.split(": ").next().unwrap_or_default()).collect();
    let expected = ["edge.toml:3:15", "edge.toml:4:16", "edge.toml:4:21", "edge.toml:5:1", "edge.toml:6:13"];
    assert_eq!(places, expected);
}

/// Columns count characters, not bytes.
#[test]
fn columns_are_characters() {
    let found = faults("edge.trusted_proxies = [\"ü\", \"x\"]");
    assert!(found[1].starts_with("edge.toml:3:30: "), "{found:?}");
}
