use std::time::Duration;

use super::{ROUTE, read};
use crate::config::{ConfigPlace, LogLevel, Settings, UpstreamSettings};

fn with(text: &str, variables: &[(&str, &str)]) -> Settings {
    read(&format!("{ROUTE}{text}"), variables).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let error = read(&format!("{ROUTE}{text}"), variables).expect_err("a fault");
    assert!(error.faults().iter().all(|fault| matches!(fault.place, ConfigPlace::Variable(_))), "{error}");
    error.faults().iter().map(ToString::to_string).collect()
}

#[test]
fn overrides_what_the_file_says() {
    let s = with("log.level = \"warn\"\n", &[("EMBEDGATE__LOG__LEVEL", "debug")]);
    assert_eq!(s.log.level, LogLevel::Debug);
}

#[test]
fn sets_what_the_file_leaves_out() {
    let s = with(
        "",
        &[
            ("EMBEDGATE__EDGE__LISTEN", "[\"127.0.0.1:1\", \"127.0.0.1:2\"]"),
            ("EMBEDGATE__EDGE__PUBLIC_ORIGINS", "[\"https://x.example\"]"),
            ("EMBEDGATE__EDGE__TRUSTED_PROXIES", "[\"127.0.0.1/32\"]"),
            ("EMBEDGATE__EDGE__WORKERS", "3"),
            ("EMBEDGATE__TICKETS__LIFETIME", "90s"),
            ("EMBEDGATE__RULES__FILE__PATH", "/etc/embedgate/widgets"),
            ("EMBEDGATE__log__Level", "\"trace\""),
        ],
    );
    assert_eq!(s.edge.listen.len(), 2);
    assert_eq!(s.edge.workers.map(usize::from), Some(3));
    assert_eq!(s.tickets.lifetime, Duration::from_secs(90));
    assert_eq!(s.rules.file.to_str(), Some("/etc/embedgate/widgets"));
    assert_eq!(s.log.level, LogLevel::Trace);
    assert!(s.stated.contains_key("rules.file.path"));
}

#[test]
fn finds_an_upstream_whatever_its_case() {
    let s = with(
        "upstreams.App.servers = [\"127.0.0.1:1\"]\n",
        &[("EMBEDGATE__UPSTREAMS__APP__SERVERS", "[\"127.0.0.1:2\"]")],
    );
    let Some(UpstreamSettings::Servers(app)) = s.upstreams.get("App") else { panic!("{:?}", s.upstreams) };
    assert_eq!(app.servers[0].port(), 2);
    assert_eq!(s.upstreams.len(), 2);
}

#[test]
fn passes_over_variables_of_others() {
    let others = [
        "EMBEDGATE",
        "PATH",
        "EMBEDGATE_TAKE_OVER",
        "EMBEDGATE_TEST_SCALE",
        "EMBEDGATE_SERVICE_HOST",
        "EMBEDGATE_ADMIN_SERVICE_PORT_HTTP",
        "EMBEDGATE_PORT",
        "EMBEDGATE_PORT_9090_TCP_ADDR",
    ];
    let s = with("", &others.map(|name| (name, "x")));
    assert!(s.stated.keys().all(|key| key.starts_with("upstreams.") || key == "routes"), "{:?}", s.stated);
    assert_eq!(s.warnings, []);
}

#[test]
fn a_variable_that_nobody_reads_is_a_warning() {
    let s = with("", &[("EMBEDGATE_CONFIG", "x"), ("embedgate_listen_on", "x")]);
    let warnings: Vec<String> = s.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings[0].starts_with("EMBEDGATE_CONFIG: not a variable of embedgate"), "{warnings:?}");
    assert!(warnings[1].starts_with("embedgate_listen_on: "), "{warnings:?}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
}

/// It would have no effect, and whoever set it believes that it has.
#[test]
fn a_setting_that_is_spelled_in_another_way_is_a_fault() {
    for (name, right) in [
        ("EMBEDGATE_LOG_LEVEL", "EMBEDGATE__LOG__LEVEL"),
        ("EMBEDGATE__LOG_LEVEL", "EMBEDGATE__LOG__LEVEL"),
        ("EMBEDGATE_LOG__LEVEL", "EMBEDGATE__LOG__LEVEL"),
        ("embedgate__log__level", "EMBEDGATE__LOG__LEVEL"),
        ("Embedgate_Log.Level", "EMBEDGATE__LOG__LEVEL"),
        ("EMBEDGATE_EDGE_PUBLIC_ORIGINS", "EMBEDGATE__EDGE__PUBLIC_ORIGINS"),
        ("EMBEDGATE__EDGE__BOUNDS_HTTP2_STREAMS", "EMBEDGATE__EDGE__BOUNDS__HTTP2_STREAMS"),
        ("EMBEDGATE__EDGE__PUBLIC__ORIGINS", "EMBEDGATE__EDGE__PUBLIC_ORIGINS"),
        ("EMBEDGATE_RULES_STORE_PATH", "EMBEDGATE__RULES__STORE__PATH"),
        ("EMBEDGATE_ADMIN_PROBE_LISTEN", "EMBEDGATE__ADMIN__PROBE__LISTEN"),
        ("EMBEDGATE_UPSTREAMS_APP_SERVERS", "EMBEDGATE__UPSTREAMS__APP__SERVERS"),
        ("EMBEDGATE_TICKETS_KEY_FILE", "EMBEDGATE__TICKETS__KEY_FILE"),
    ] {
        let faults = refused("", &[(name, "info")]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        let wanted = format!("{name}: not the name of a setting; write {right}, with two underscores");
        assert!(faults[0].starts_with(&wanted), "{wanted}: {faults:?}");
    }
}

/// Inside an inline table that another variable sets, whatever order they come in.
#[test]
fn outer_tables_come_first() {
    let outer = ("EMBEDGATE__RULES__STORE", "{ path = \"a\", seed = \"b\" }");
    let inner = ("EMBEDGATE__RULES__STORE__PATH", "c");
    for variables in [[outer, inner], [inner, outer]] {
        let s = with("", &variables);
        assert_eq!((s.rules.store.path.to_str(), s.rules.store.seed.to_str()), (Some("c"), Some("b")));
    }
}

#[test]
fn faults_name_the_variable() {
    let cases = [
        ("EMBEDGATE__LOG__LEVEL", "loud", "log.level: 'loud' is not known; write one of"),
        ("EMBEDGATE__LOG__LEVELS", "info", "unknown key 'levels' in [log]; did you mean 'level'?"),
        ("EMBEDGATE__LOGS__LEVEL", "info", "unknown key 'logs' at the top level; did you mean 'log'?"),
        ("EMBEDGATE__TICKETS__LIFETIME", "60", "'60' has no unit; write \"60s\""),
        ("EMBEDGATE__EDGE__LISTEN", "0.0.0.0:80", "must be an array such as [\"127.0.0.1:8080\"]"),
        ("EMBEDGATE__EDGE__LISTEN", "[\"x\"]", "'x' is not an IP address and port"),
        (
            "EMBEDGATE__EDGE",
            "{}",
            "this is the whole table [edge]; name one of its keys: EMBEDGATE__EDGE__KEY",
        ),
        ("EMBEDGATE__", "x", "not the name of a setting"),
        ("EMBEDGATE__LOG____LEVEL", "x", "not the name of a setting"),
        ("EMBEDGATE__ROUTES__0__PATH", "/x", "can't be set by a variable; write them in the file"),
        ("EMBEDGATE__ROUTES", "[]", "can't be set by a variable; write them in the file"),
        ("EMBEDGATE__EDGE__TLS", "[]", "can't be set by a variable; write them in the file"),
        ("EMBEDGATE__CACHE__BYTES__MORE", "1", "'bytes' has no keys: it is a string"),
    ];
    for (name, value, detail) in cases {
        let faults = refused("cache.bytes = \"1MiB\"\n", &[(name, value)]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(&format!("{name}: ")) && faults[0].contains(detail), "{faults:?}");
    }
}

#[test]
fn two_spellings_of_one_key_are_refused() {
    let faults = refused("", &[("EMBEDGATE__LOG__LEVEL", "info"), ("EMBEDGATE__log__level", "debug")]);
    assert_eq!(faults, ["EMBEDGATE__log__level: sets the same key as EMBEDGATE__LOG__LEVEL; keep only one"]);
}
