//! Metrics: every family is there from the start, what they count, and that Prometheus' own checker finds no fault.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::{Client, Method};
use serde_json::json;

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, closed, open};
use crate::support::{eventually, ports, raw};

const LISTED: &str = "https://example.com";

/// Those whose labels nobody knows before something happens.
const LATER: [&str; 2] = ["embedgate_requests_total", "embedgate_rules_rejected_total"];

/// An edge with a store, TLS, WebSockets at one route, and at another an upstream that is not there.
async fn busy_edge(upstream: &Upstream, sockets: &SocketUpstream, tls: &EdgeTls) -> Edge {
    let widgets = json!([
        { "id": "w", "allowed_domains": ["example.com", "*.example.org", "https://pr-*.preview.example.com"] },
        { "id": "monitored", "allowed_domains": ["example.com"], "access": "monitor" },
        { "id": "open", "access": "open" },
    ]);
    let mut spec = EdgeSpec { source: "store", ..EdgeSpec::on(upstream.addr, &widgets) };
    let (addr, nobody) = (sockets.addr, ports::free());
    spec.more +=
        &format!("[upstreams.sockets]\nservers = [\"{addr}\"]\n[upstreams.gone]\nservers = [\"{nobody}\"]\n");
    let route = |path, class, upstream| {
        format!(
            "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"{upstream}\"\n"
        )
    };
    let more = [route("socket", "session", "sockets"), route("gone", "asset", "gone")].concat();
    spec.routes = Some(usual_routes("app") + more.as_str());
    tls.add_to(&mut spec);
    Edge::start(spec).await
}

async fn text(edge: &Edge) -> String {
    edge.admin("/metrics").await.text().await.unwrap()
}

/// Families as the documentation tells them: their full names, and their labels.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string("docs/operations.md").unwrap();
    let (_, section) = text.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    let names = cells.flat_map(|(cell, _)| cell.split(", `").map(|name| name.trim_end_matches('`')));
    names
        .map(|name| {
            let (name, labels) = name.split_once('{').unwrap_or((name, ""));
            let labels = labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty());
            let name =
                if name.starts_with("process_") { name.to_owned() } else { format!("embedgate_{name}") };
            (name, labels.map(str::to_owned).collect())
        })
        .collect()
}

/// Families as a text tells them: those with a sample, and their labels.
fn told(samples: &BTreeMap<String, f64>, kinds: &BTreeMap<&str, &str>) -> BTreeMap<String, BTreeSet<String>> {
    let mut told = BTreeMap::<String, BTreeSet<String>>::new();
    for series in samples.keys() {
        let (name, labels) = series.split_once('{').unwrap_or((series, ""));
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let family = of_histogram.filter(|family| kinds.get(family) == Some(&"histogram")).unwrap_or(name);
        let labels = labels.split(',').filter_map(|label| label.split_once('=')).map(|(label, _)| label);
        let labels = labels.filter(|label| *label != "le").map(str::to_owned);
        told.entry(family.to_owned()).or_default().extend(labels);
    }
    told
}

#[tokio::test]
async fn every_family_has_its_values_from_the_start() {
    let (upstream, sockets) = (Upstream::start("app").await, SocketUpstream::echo().await);
    let edge = busy_edge(&upstream, &sockets, &EdgeTls::of("chat.example")).await;
    let text = text(&edge).await;
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let documented = documented();
    let names: BTreeSet<&str> = documented.keys().map(String::as_str).collect();
    assert_eq!(kinds.keys().copied().collect::<BTreeSet<_>>(), names, "as docs/operations.md has them");
    let samples = samples(&text);
    let told = told(&samples, &kinds);
    let later: BTreeSet<&str> = names.into_iter().filter(|family| !told.contains_key(*family)).collect();
    assert_eq!(later, LATER.into());
    for (family, labels) in &told {
        assert_eq!(Some(labels), documented.get(family), "{family}");
    }
    let first = |kind: &str, of: &str| {
        format!("embedgate_upstream_errors_total{{kind=\"{kind}\",upstream=\"{of}\"}}")
    };
    for series in [
        "embedgate_decisions_total{class=\"asset\",reason=\"exact\",verdict=\"allow\"}",
        "embedgate_decisions_total{class=\"session\",reason=\"ticket_expired\",verdict=\"deny\"}",
        "embedgate_decisions_total{class=\"session\",reason=\"limit_opens\",verdict=\"deny\"}",
        "embedgate_decisions_would_deny_total{class=\"frame\",reason=\"not_listed\"}",
        "embedgate_decisions_would_deny_total{class=\"session\",reason=\"limit_sessions\"}",
        "embedgate_decision_duration_seconds_count",
        "embedgate_request_duration_seconds_count{class=\"none\"}",
        "embedgate_sessions_revoked_total",
        "embedgate_tickets_total{outcome=\"issued\"}",
        "embedgate_reloads_total{outcome=\"refused\"}",
        "embedgate_upgrades_total{outcome=\"failed\"}",
        "embedgate_fleet_edges{state=\"behind\"}",
        "embedgate_rules_source_lag_seconds",
        "embedgate_log_lines_dropped_total{log=\"decisions\"}",
        "embedgate_log_lines_dropped_total{log=\"operational\"}",
        "embedgate_brake_refusals_total{road=\"batch\"}",
        &first("connect_refused", "gone"),
        &first("read_timeout", "app"),
        "embedgate_upstream_duration_seconds_count{upstream=\"app\"}",
    ] {
        assert_eq!(samples.get(series), Some(&0.0), "{series}");
    }
    for series in [
        "process_resident_memory_bytes".to_owned(),
        "process_start_time_seconds".to_owned(),
        "process_open_fds".to_owned(),
        format!("embedgate_connections{{listener=\"{}\"}}", edge.admin),
        format!("embedgate_upstream_healthy{{server=\"{}\",upstream=\"app\"}}", upstream.addr),
    ] {
        assert!(samples.get(&series).is_some_and(|value| *value > 0.0), "{series}: {samples:#?}");
    }
    // The edge itself looks whether it accepts.
    let open = format!("embedgate_connections{{listener=\"{}\"}}", edge.http);
    assert!(samples.contains_key(&open), "{open}");
    let now = jiff::Timestamp::now().as_second() as f64;
    let started = samples["process_start_time_seconds"];
    assert!((now - 600.0..=now + 1.0).contains(&started), "{started} at {now}");
}

/// Faults that Prometheus' own checker finds.
fn faults(text: &str) -> String {
    let program = std::env::var_os("EMBEDGATE_PROMTOOL").unwrap_or_else(|| "promtool".into());
    let mut checker = Command::new(&program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}: see `make setup-tests`", program.display()));
    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = checker.wait_with_output().unwrap();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(checked.status.success() || !said.is_empty(), "{}", checked.status);
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn promtool_finds_no_fault() {
    let bad = "# HELP requests Of all.\n# TYPE requests counter\nrequests 1\n";
    assert!(faults(bad).contains("_total"), "it looks");

    let (upstream, sockets) = (Upstream::start("app").await, SocketUpstream::echo().await);
    let tls = EdgeTls::of("chat.example");
    let edge = busy_edge(&upstream, &sockets, &tls).await;
    assert_eq!(faults(&text(&edge).await), "", "before the first request");

    let pages = [LISTED, "https://stranger.example", "null", "https://Example.com", "http://example.com", ""];
    let paths = ["loader.js", "assets/a.js", "frame", "session", "trust", "gone", "nowhere"];
    for (widget, path) in
        ["w", "monitored", "open", "unknown"].into_iter().flat_map(|w| paths.map(|path| (w, path)))
    {
        for page in pages {
            let fields = [("Origin", page), ("Connection", "close")];
            let fields = if page.is_empty() { &fields[1..] } else { &fields[..] };
            raw::get(edge.http, &format!("/w/{widget}/{path}"), fields).await;
        }
    }
    let preflight = [("Origin", LISTED), ("Access-Control-Request-Method", "POST"), ("Connection", "close")];
    let preflight = raw::request("OPTIONS", edge.http, "/w/w/session", &preflight);
    assert_eq!(raw::send(edge.http, preflight.as_bytes()).await.status, 204);
    let fields = [("Origin", LISTED), ("Content-Length", "0"), ("Connection", "close")];
    let ticket = raw::request("POST", edge.http, "/w/w/embed-ticket", &fields);
    assert_eq!(raw::send(edge.http, ticket.as_bytes()).await.status, 200);
    let asked = http::Request::get("https://chat.example/w/w/loader.js").header("origin", LISTED);
    let (answer, _) = tls.http2().await.send_request(asked.body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    raw::exchange(tls.addr, b"GET / HTTP/1.1\r\n\r\n").await;

    let (mut socket, _) = open(edge.http, "/w/w/socket", LISTED).await.unwrap();
    let (status, said) = edge.put(&json!({ "id": "w", "allowed_domains": ["other.example"] })).await;
    assert_eq!(status, 200, "{said}");
    eventually("the session is cut", async || edge.metric("embedgate_sessions_revoked_total").await == 1.0)
        .await;
    assert_eq!(closed(&mut socket).await.0, 1008);
    assert_eq!(edge.put(&json!({ "id": "w", "allowed_domains": ["not a site"] })).await.0, 422);
    let empty =
        edge.api(Method::POST, "/v1/batch?replace=true").header("content-type", "application/x-ndjson");
    assert_eq!(empty.body("").send().await.unwrap().status(), 422);
    assert_eq!(edge.api(Method::POST, "/v1/reload").send().await.unwrap().status(), 200);
    let unknown = Client::new().get(format!("http://{}/v1/status", edge.admin));
    assert_eq!(unknown.bearer_auth("nobody").send().await.unwrap().status(), 401);
    let text = text(&edge).await;
    for family in LATER {
        assert!(text.contains(&format!("\n{family}{{")), "{family}: {text}");
    }
    assert_eq!(faults(&text), "", "{text}");
}

/// A text in Prometheus' exposition format: each sample's value by its name and labels.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let (mut helped, mut kinds, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    assert!(text.ends_with('\n'));
    for line in text.lines() {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            assert!(helped.insert(name) && help.ends_with('.'), "{line}");
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(helped.contains(name) && kinds.insert(name, kind).is_none(), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let (name, labels) = match series.split_once('{') {
            Some((name, labels)) => (name, labels.strip_suffix('}').unwrap_or_else(|| panic!("{line}"))),
            None => (series, ""),
        };
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|part| {
            name.strip_suffix(part).filter(|family| kinds.get(family) == Some(&"histogram"))
        });
        let family = family.unwrap_or(name);
        let kind = kinds.get(family).unwrap_or_else(|| panic!("no type: {line}"));
        assert!(family.starts_with("embedgate_") || family.starts_with("process_"), "{line}");
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        assert!(name.bytes().all(is_plain), "{line}");
        assert_eq!(name.ends_with("_total"), *kind == "counter", "{line}");
        for label in labels.split(',').filter(|label| !label.is_empty()) {
            let (key, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
            let is_quoted = value.len() >= 2 && value.starts_with('"') && value.ends_with('"');
            assert!(is_quoted && key.bytes().all(|byte| byte.is_ascii_lowercase()), "{line}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(samples.insert(series.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

async fn scrape(edge: &Edge) -> BTreeMap<String, f64> {
    let answer = edge.admin("/metrics").await;
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    samples(&answer.text().await.unwrap())
}

#[tokio::test]
async fn metrics_count_what_happens() {
    let upstream = Upstream::start("app").await;
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets)).await;
    let ask = async |path: &str, origin: &str| {
        Client::new().get(edge.url(path)).header("origin", origin).send().await.unwrap().status().as_u16()
    };
    for _ in 0..3 {
        assert_eq!(ask("/w/w/loader.js", "https://example.com").await, 200);
    }
    assert_eq!(ask("/w/w/session", "https://stranger.example").await, 403);
    assert_eq!(ask("/nowhere", "https://example.com").await, 404);
    drop(upstream);
    assert_eq!(ask("/w/w/loader.js", "https://example.com").await, 502);

    let allowed = "embedgate_decisions_total{class=\"asset\",reason=\"exact\",verdict=\"allow\"}";
    let failed = "embedgate_requests_total{class=\"asset\",status=\"502\"}";
    let served = "embedgate_requests_total{class=\"asset\",status=\"200\"}";
    // Each is counted once it is answered, and those of other connections when their turn comes.
    eventually("the requests are counted", async || {
        (edge.metric(failed).await, edge.metric(served).await) == (1.0, 3.0)
    })
    .await;
    let samples = scrape(&edge).await;
    for (series, value) in [
        (allowed, 4.0),
        ("embedgate_decisions_total{class=\"session\",reason=\"not_listed\",verdict=\"deny\"}", 1.0),
        ("embedgate_decision_duration_seconds_count", 5.0),
        (served, 3.0),
        (failed, 1.0),
        ("embedgate_requests_total{class=\"session\",status=\"403\"}", 1.0),
        ("embedgate_requests_total{class=\"none\",status=\"404\"}", 1.0),
        ("embedgate_request_duration_seconds_count{class=\"asset\"}", 4.0),
        ("embedgate_rules_generation", 1.0),
        ("embedgate_rules_widgets{access=\"enforce\",environment=\"production\"}", 1.0),
        ("embedgate_rules_unrestricted{environment=\"production\"}", 0.0),
        ("embedgate_rules_apply_duration_seconds_count{source=\"file\"}", 1.0),
        ("embedgate_rules_source_connected", 1.0),
        ("embedgate_rules_source_lag_seconds", 0.0),
        (concat!("embedgate_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}"), 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}: {samples:#?}");
    }
    let failures = samples
        .iter()
        .filter(|(series, value)| series.starts_with("embedgate_upstream_errors_total{") && **value > 0.0);
    let failures: Vec<_> =
        failures.map(|(series, value)| (series.ends_with("upstream=\"app\"}"), *value)).collect();
    assert_eq!(failures, [(true, 1.0)]);
    let buckets: Vec<f64> = samples
        .iter()
        .filter(|(series, _)| series.starts_with("embedgate_decision_duration_seconds_bucket"))
        .map(|(_, value)| *value)
        .collect();
    assert!(
        buckets.len() > 10
            && samples.contains_key("embedgate_decision_duration_seconds_bucket{le=\"0.00000005\"}")
    );
}

#[tokio::test]
async fn visitors_can_not_grow_the_metrics() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let client = Client::new();
    let visit = async |number: usize| {
        for path in
            [format!("/w/id_{number}/loader.js"), format!("/path/{number}"), format!("/w/wgt_new/a{number}")]
        {
            let origin = format!("https://visitor-{number}.example");
            client.get(edge.url(&path)).header("origin", origin).send().await.unwrap();
        }
    };
    visit(0).await;
    let before: Vec<String> = scrape(&edge).await.into_keys().collect();
    for number in 1..20 {
        visit(number).await;
    }
    eventually("all are counted", async || {
        edge.metric("embedgate_requests_total{class=\"none\",status=\"404\"}").await >= 40.0
    })
    .await;
    assert_eq!(scrape(&edge).await.into_keys().collect::<Vec<_>>(), before);
}
