//! Reload of the configuration while the edge serves: whole or not at all, without touching a connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::eventually;
use crate::support::raw::{self, Connection};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, closed, exchange, hears_itself, open};

const CONFIG: &str = "conf/embedgate.toml";
const SITE: &str = "https://example.com";

/// Replaces a text of the configuration, which has to be there once.
fn rewrite(edge: &Edge, from: &str, to: &str) {
    let path = edge.folder().join(CONFIG);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}: {text}");
    std::fs::write(path, text.replace(from, to)).unwrap();
}

/// Asks the edge to read its configuration again.
async fn reload(edge: &Edge) -> (u16, Value) {
    let answer = edge.api(Method::POST, "/v1/reload").send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// One route for assets, with this header and upstream.
fn route(generation: &str, upstream: &str) -> String {
    format!(
        "[[routes]]\npath = \"/w/{{widget}}/assets/{{*rest}}\"\nclass = \"asset\"\nupstream = \"{upstream}\"\n\
         shared_cache = true\nheaders = {{ \"X-Generation\" = \"{generation}\" }}\n"
    )
}

fn spec(upstreams: &str, routes: &str) -> EdgeSpec {
    EdgeSpec {
        more: upstreams.to_owned(),
        routes: Some(routes.to_owned()),
        rules: json!({ "widgets": [{ "id": "w", "allowed_domains": ["example.com"] }] }).to_string(),
        ..EdgeSpec::default()
    }
}

async fn ask(connection: &mut Connection<TcpStream>, edge: &Edge, path: &str) -> raw::Answer {
    connection.ask(raw::request("GET", edge.http, path, &[("Origin", SITE)])).await
}

/// The generation of an answer's route and the name of the upstream that gave it.
fn told(answer: &raw::Answer) -> (String, String) {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_else(|_| panic!("{answer:?}"));
    (answer.field("x-generation").to_owned(), body["name"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn routes_and_upstreams_change_together_on_open_connections() {
    let lasting = &[("cache-control", "public, max-age=3600")];
    let (one, two) =
        (Upstream::with_fields("one", lasting).await, Upstream::with_fields("two", lasting).await);
    let upstream = |addr| format!("[upstreams.app]\nservers = [\"{addr}\"]\n");
    let edge = Edge::start(spec(&upstream(one.addr), &route("1", "app"))).await;
    let mut kept = Connection::open(edge.http).await;
    for _ in 0..2 {
        assert_eq!(told(&ask(&mut kept, &edge, "/w/w/assets/a.js").await), ("1".into(), "one".into()));
    }
    assert_eq!(one.requests(), 1, "the second is from memory");

    rewrite(&edge, &upstream(one.addr), &upstream(two.addr));
    rewrite(
        &edge,
        &route("1", "app"),
        &format!("{}{}", route("2", "app"), route("2", "app").replace("assets", "more")),
    );
    let expected = json!({ "in_force": ["upstreams.app", "routes"], "needs_upgrade": [] });
    assert_eq!(reload(&edge).await, (200, expected));
    // Over the same connection, and not from memory.
    let answer = ask(&mut kept, &edge, "/w/w/assets/a.js").await;
    assert_eq!((told(&answer), answer.field("connection")), (("2".into(), "two".into()), "keep-alive"));
    assert_eq!(told(&ask(&mut kept, &edge, "/w/w/more/a.js").await), ("2".into(), "two".into()));
    assert_eq!((one.requests(), two.requests()), (1, 2));

    assert_eq!(reload(&edge).await, (200, json!({ "in_force": [], "needs_upgrade": [] })));
    ask(&mut kept, &edge, "/w/w/assets/a.js").await;
    assert_eq!(two.requests(), 2, "what nothing has changed stays in memory");
    assert_eq!(edge.metric("embedgate_reloads_total{outcome=\"done\"}").await, 2.0);
}

#[tokio::test]
async fn a_fault_anywhere_leaves_all_as_it_was() {
    let upstream = Upstream::start("one").await;
    let tls = EdgeTls::of("edge.example");
    let mut spec = spec(&format!("[upstreams.app]\nservers = [\"{}\"]\n", upstream.addr), &route("1", "app"));
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let good = std::fs::read_to_string(edge.folder().join(CONFIG)).unwrap();
    let key = tls.folder().join("site.key");
    let kept_key = std::fs::read(&key).unwrap();
    let faults: [(&dyn Fn(), usize, &str); 4] = [
        // Two faults in two tables: both are told.
        (&|| rewrite(&edge, "class = \"asset\"", "class = \"aset\"\nmising = 1"), 2, "conf/embedgate.toml:"),
        // Only the start of an upstream shows it.
        (
            &|| {
                rewrite(&edge, "[upstreams.app]", "[upstreams.app]\ntls = true\nsni = \"a\"\nca = \"no.pem\"")
            },
            1,
            "no.pem",
        ),
        // A certificate without its key.
        (&|| std::fs::write(&key, "no key").unwrap(), 1, "site.key"),
        (&|| std::fs::remove_file(edge.folder().join(CONFIG)).unwrap(), 1, "no such file"),
    ];
    for (refused, (fault, count, says)) in (1..).zip(faults) {
        // A good change beside the fault is not taken either.
        rewrite(&edge, "\"X-Generation\" = \"1\"", "\"X-Generation\" = \"2\"");
        fault();
        let (status, problem) = reload(&edge).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_configuration")), "{problem}");
        let errors = problem["errors"].as_array().unwrap();
        assert_eq!(errors.len(), count, "{problem}");
        assert!(errors[0]["detail"].as_str().unwrap().contains(says), "{problem}");
        let mut connection = Connection::open(edge.http).await;
        assert_eq!(told(&ask(&mut connection, &edge, "/w/w/assets/a").await), ("1".into(), "one".into()));
        tls.http2().await.ready().await.unwrap();
        assert_eq!(edge.metric("embedgate_reloads_total{outcome=\"refused\"}").await, f64::from(refused));
        std::fs::write(&key, &kept_key).unwrap();
        std::fs::write(edge.folder().join(CONFIG), &good).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_meets_half_of_a_configuration() {
    let lasting = &[("cache-control", "public, max-age=3600")];
    let (one, two) =
        (Upstream::with_fields("one", lasting).await, Upstream::with_fields("two", lasting).await);
    let upstream = |addr| format!("[upstreams.app]\nservers = [\"{addr}\"]\n");
    let edge = Arc::new(Edge::start(spec(&upstream(one.addr), &route("1", "app"))).await);
    let ends = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (edge, ends) = (Arc::clone(&edge), Arc::clone(&ends));
            tokio::spawn(async move {
                let (mut connection, mut asked) = (Connection::open(edge.http).await, 0);
                while !ends.load(Ordering::Relaxed) {
                    let answer = ask(&mut connection, &edge, "/w/w/assets/a.js").await;
                    let told = told(&answer);
                    let whole = [("1", "one"), ("2", "two")];
                    assert!(whole.contains(&(&*told.0, &*told.1)), "{answer:?}");
                    assert_eq!(answer.field("connection"), "keep-alive");
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    let configurations = [(one.addr, "1"), (two.addr, "2")].map(|(addr, generation)| {
        let text = std::fs::read_to_string(edge.folder().join(CONFIG)).unwrap();
        text.replace(&upstream(one.addr), &upstream(addr))
            .replace(&route("1", "app"), &route(generation, "app"))
    });
    for round in 0..30 {
        let good = &configurations[usize::from(round % 2 == 0)];
        let (text, status) = if round % 3 == 2 { ("[edge", 422) } else { (&**good, 200) };
        std::fs::write(edge.folder().join(CONFIG), text).unwrap();
        assert_eq!(reload(&edge).await.0, status);
    }
    ends.store(true, Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn another_policy_judges_open_sessions_again() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = EdgeSpec::on(upstream.addr, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more += "[policy]\nsystem_origins = [\"https://dash.example\"]\n";
    let edge = Edge::start(spec).await;
    let (mut listed, _) = open(edge.http, "/w/w/session", SITE).await.unwrap();
    let (mut system, _) = open(edge.http, "/w/w/session", "https://dash.example").await.unwrap();
    hears_itself(&mut listed).await;
    hears_itself(&mut system).await;
    rewrite(&edge, "[\"https://dash.example\"]", "[]");
    assert_eq!(reload(&edge).await.1["in_force"], json!(["policy.system_origins"]));
    assert_eq!(closed(&mut system).await, (1008, "origin no longer allowed".to_owned()));
    exchange(&mut listed, "still there").await;
}

#[tokio::test]
async fn listeners_stay_and_certificates_change() {
    let tls = EdgeTls::of("edge.example");
    let other = EdgeTls::of("other.example");
    let mut spec = spec("", &route("1", "demo"));
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let mut open = tls.http2().await.ready().await.unwrap();
    let (cert, key) = other.certificate.write(tls.folder(), "other");
    rewrite(&edge, "certificates = [", &format!("certificates = [{{ cert = {cert:?}, key = {key:?} }}, "));
    assert_eq!(reload(&edge).await.1, json!({ "in_force": ["edge.tls"], "needs_upgrade": [] }));
    // By its own name and authority, at the same address.
    other.authority.connect(tls.addr, "other.example", &[b"h2"]).await;
    tls.http2().await.ready().await.unwrap();
    let request = axum::http::Request::get("https://edge.example/w/w/assets/x").body(()).unwrap();
    let (answer, _) = open.send_request(request, true).unwrap();
    assert!(answer.await.is_ok(), "an open connection goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_says_what_has_come_of_it() {
    let mut edge = Edge::start(spec("[log]\naudit = \"data/audit.jsonl\"\n", &route("1", "demo"))).await;
    let run = |arguments: &[&str]| Edge::command(edge.folder()).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();

    let ran = run(&["reload"]);
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), "nothing changed\n".to_owned()));
    rewrite(&edge, "\"X-Generation\" = \"1\"", "\"X-Generation\" = \"2\"");
    rewrite(&edge, "data/audit.jsonl", "data/other.jsonl");
    let ran = run(&["reload"]);
    let says = "now in force: routes\nchanged, but needs `embedgate upgrade` or a restart: log.audit\n";
    assert_eq!((ran.status.code(), text(&ran.stdout)), (Some(0), says.to_owned()));
    let ran = run(&["reload", "--json"]);
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(told, json!({ "in_force": [], "needs_upgrade": ["log.audit"] }));

    // What only the edge finds out.
    rewrite(
        &edge,
        "[log]",
        "[upstreams.app]\nservers = [\"127.0.0.1:1\"]\ntls = true\nsni = \"a\"\nca = \"no.pem\"\n[log]",
    );
    let ran = run(&["reload"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("invalid_configuration: no.pem"), "{}", text(&ran.stderr));

    let reader = edge.api(Method::POST, "/v1/reload").bearer_auth(READ_TOKEN);
    assert_eq!(reader.send().await.unwrap().status(), 401, "two tokens");
    let url = format!("http://{}/v1/reload", edge.admin);
    let reader = reqwest::Client::new().post(url).bearer_auth(READ_TOKEN);
    assert_eq!(reader.send().await.unwrap().status(), 403);

    edge.signal("TERM");
    eventually("it is gone", async || edge.exit_code().await == Some(0)).await;
    let ran = Edge::command(edge.folder()).args(["reload"]).output().unwrap();
    assert_eq!(ran.status.code(), Some(3));
    assert!(text(&ran.stderr).contains("can't be asked"), "{}", text(&ran.stderr));
}
