//! The request log: a line for each kind of answer, and nothing in it that is nobody's business.

use std::net::SocketAddr;

use http::Request;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{self, Connection};
use crate::support::streams::StreamUpstream;
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Scripted, Upstream};
use crate::support::websocket::{SocketUpstream, closed, exchange, next, open};
use crate::support::{eventually, ports};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn spec_on(upstream: SocketAddr, log: &str) -> EdgeSpec {
    let mut spec = EdgeSpec::on(upstream, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more.push_str(log);
    spec
}

/// The lines of so many requests, in the order in which they came.
async fn lines(edge: &Edge, count: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    eventually(&format!("{count} requests are logged"), async || {
        lines = edge.requests();
        lines.len() >= count
    })
    .await;
    assert_eq!(lines.len(), count, "{lines:?}");
    // An answer may be there a moment before its line.
    lines.sort_by_key(|line| line["time"].to_string());
    lines
}

fn has(line: &Value, expected: &Value) {
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&line[name], value, "{name}: {line}");
    }
}

async fn get(edge: &Edge, path: &str, fields: &[(&str, &str)]) -> raw::Answer {
    raw::get(edge.http, path, fields).await
}

#[tokio::test]
async fn each_kind_of_answer_has_its_line() {
    let upstream = Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            if head.contains("/silent") {
                drop(connection.rest().await);
                return;
            }
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        }
    })
    .await;
    let dead = ports::free();
    let mut spec = spec_on(upstream.addr, "requests = \"all\"\n");
    spec.more = spec.more.replace(
        "[log]",
        &format!("read_timeout = \"300ms\"\n[upstreams.dead]\nservers = [\"{dead}\"]\n[log]"),
    );
    spec.routes = Some(
        usual_routes("app")
            + "[[routes]]\npath = \"/w/{widget}/dead\"\nclass = \"session\"\nupstream = \"dead\"\n",
    );
    let edge = Edge::start(spec).await;
    let listed = [("Origin", LISTED), ("traceparent", TRACEPARENT), ("Cookie", "secret=cookie")];
    let answered = get(&edge, "/w/w/session/a?secret=query", &listed).await;
    let denied = get(&edge, "/w/w/session?secret=query", &[("Origin", STRANGER)]).await;
    let script = get(&edge, "/w/w/loader.js", &[("Origin", STRANGER), ("Sec-Fetch-Dest", "script")]).await;
    let lost = get(&edge, "/secret/path", &[]).await;
    let refused = raw::send(edge.http, b"GET /w/w/session HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await;
    let failed = get(&edge, "/w/w/dead", &listed).await;
    let late = get(&edge, "/w/w/session/silent", &[("Origin", LISTED)]).await;
    let statuses = [&answered, &denied, &script, &lost, &refused, &failed, &late].map(|answer| answer.status);
    assert_eq!(statuses, [200, 403, 200, 404, 400, 502, 504]);

    let logged = lines(&edge, 7).await;
    // In the order of the calls: arrivals are told to within the time that a thread may be stopped for.
    let of = |status: u16, is_asset: bool| {
        let found =
            logged.iter().find(|line| line["status"] == status && (line["class"] == "asset") == is_asset);
        found.unwrap().clone()
    };
    let logged = [
        of(200, false),
        of(403, false),
        of(200, true),
        of(404, false),
        of(400, false),
        of(502, false),
        of(504, false),
    ];
    let shown =
        |answer: &raw::Answer| serde_json::from_str::<Value>(&answer.body).unwrap()["decision_id"].clone();
    let session = json!({ "log": "requests", "widget": "w", "class": "session", "method": "GET", "protocol": "HTTP/1.1" });
    for line in [&logged[0], &logged[5], &logged[6]] {
        has(line, &session);
        assert!(line["upstream_us"].as_u64().unwrap() <= line["duration_us"].as_u64().unwrap(), "{line}");
    }
    has(
        &logged[0],
        &json!({ "status": 200, "bytes": 5, "upstream": "app", "trace_id": TRACE, "failure": null, "end": null }),
    );
    assert_eq!(logged[0]["decision_id"], edge.decisions()[0]["decision_id"]);
    assert_eq!(edge.decisions()[0]["trace_id"], TRACE);
    has(&logged[1], &session);
    has(
        &logged[1],
        &json!({ "status": 403, "bytes": denied.body.len(), "upstream": null, "decision_id": shown(&denied) }),
    );
    has(&logged[2], &json!({ "status": 200, "class": "asset", "widget": "w" }));
    assert!(script.body.contains(logged[2]["decision_id"].as_str().unwrap()));
    has(&logged[3], &json!({ "status": 404, "class": null, "widget": null, "decision_id": shown(&lost) }));
    has(&logged[4], &json!({ "status": 400, "decision_id": shown(&refused) }));
    has(
        &logged[5],
        &json!({
            "status": 502, "upstream": "dead", "failure": "connect_refused", "trace_id": TRACE, "decision_id": shown(&failed),
        }),
    );
    has(
        &logged[6],
        &json!({ "status": 504, "upstream": "app", "failure": "read_timeout", "decision_id": shown(&late) }),
    );
    assert!(logged[6]["upstream_us"].as_u64().unwrap() >= 250_000, "{}", logged[6]);
    for line in &logged {
        let text = line.to_string();
        for secret in ["secret", "query", "cookie", "path", "127.0.0.1", "example.com", "stranger"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        let time = line["time"].as_str().unwrap();
        assert!(
            time.parse::<jiff::Timestamp>().is_ok() && time.len() == "2026-11-30T12:00:00.123456Z".len(),
            "{time}"
        );
    }
}

#[tokio::test]
async fn calls_to_the_edge_itself_name_their_decisions() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec_on(upstream.addr, "requests = \"all\"\n")).await;
    let ask = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let asked = raw::request(method, edge.http, path, fields);
        Connection::open(edge.http).await.ask(asked).await
    };
    let (ticket, length) = ("/w/w/embed-ticket", ("Content-Length", "0"));
    let preflight = ("Access-Control-Request-Method", "POST");
    let (listed, stranger) = (("Origin", LISTED), ("Origin", STRANGER));
    let statuses = [
        ask("POST", ticket, &[listed, length]).await.status,
        ask("OPTIONS", ticket, &[listed, preflight]).await.status,
        ask("OPTIONS", ticket, &[stranger, preflight]).await.status,
        ask("OPTIONS", "/w/w/session", &[listed, preflight]).await.status,
        ask("OPTIONS", "/w/w/session", &[stranger, preflight]).await.status,
    ];
    assert_eq!(statuses, [200, 204, 204, 204, 204]);
    let logged = lines(&edge, 5).await;
    let decided = edge.decisions();
    assert_eq!(decided.len(), 5, "{decided:?}");
    for decision in &decided {
        let line = logged.iter().find(|line| line["decision_id"] == decision["decision_id"]).unwrap();
        has(line, &json!({ "widget": "w", "class": "session", "upstream": null }));
    }
    // A report has no verdict of its own: it is about the frame's.
    let frame = get(&edge, "/w/w/frame", &[("Referer", LISTED), ("Sec-Fetch-Dest", "iframe")]).await;
    let (_, address) = frame.field("content-security-policy").split_once("; report-uri ").unwrap();
    assert_eq!(ask("POST", address, &[length]).await.status, 204);
    let logged = lines(&edge, 7).await;
    let of = |class: Value| logged.iter().find(|line| line["class"] == class).unwrap();
    let (frame, report) = (of(json!("frame")), of(Value::Null));
    has(report, &json!({ "widget": "w", "decision_id": frame["decision_id"] }));
    assert!(report["decision_id"].is_string());
    // Of one that is refused there is none.
    assert_eq!(ask("POST", "/w/w/embed-report?r=forged", &[length]).await.status, 204);
    let logged = lines(&edge, 8).await;
    let forged = |line: &&Value| line["widget"].is_null() && line["decision_id"].is_null();
    assert_eq!(logged.iter().filter(forged).count(), 1, "{logged:?}");
}

#[tokio::test]
async fn errors_alone_are_the_default_and_a_reload_changes_that() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec_on(upstream.addr, "")).await;
    let ask = async || {
        assert_eq!(get(&edge, "/w/w/session", &[("Origin", LISTED)]).await.status, 200);
        assert_eq!(get(&edge, "/w/w/session", &[("Origin", STRANGER)]).await.status, 403);
    };
    ask().await;
    // The decision log tells of the denial.
    assert_eq!(get(&edge, "/nowhere", &[]).await.status, 404);
    has(&lines(&edge, 1).await[0], &json!({ "status": 404, "client": null }));
    let set = async |keys: &str| {
        let path = edge.folder().join("conf/embedgate.toml");
        let config = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = config.split_once("decisions = \"all\"\n").unwrap();
        let (_, rest) = rest.split_once("decisions_per_second").unwrap();
        std::fs::write(&path, format!("{before}decisions = \"all\"\n{keys}\ndecisions_per_second{rest}"))
            .unwrap();
        let answer = edge.api(reqwest::Method::POST, "/v1/reload").send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    set("requests = \"all\"\nclient_address = \"truncated\"").await;
    ask().await;
    let logged = lines(&edge, 3).await;
    has(&logged[1], &json!({ "status": 200, "client": "127.0.0.0/24" }));
    set("requests = \"all\"\nrequests_per_second = 1\nclient_address = \"full\"").await;
    // The lines before count for their second, too.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    for _ in 0..50 {
        ask().await;
    }
    let mut told = Vec::new();
    eventually("every request is told or counted", async || {
        told = edge.requests().split_off(3);
        let left_out: u64 = told.iter().filter_map(|line| line["left_out"].as_u64()).sum();
        left_out + told.iter().filter(|line| line["status"].is_u64()).count() as u64 == 100
    })
    .await;
    let line = told.iter().find(|line| line["status"].is_u64()).unwrap();
    has(line, &json!({ "client": "127.0.0.1" }));
    let sum = told.iter().find(|line| line["left_out"].is_u64()).unwrap();
    assert_eq!(sum["bound"], "log.requests_per_second");
    set("requests = \"off\"").await;
    let before = edge.requests().len();
    ask().await;
    set("requests = \"errors\"").await;
    // Lines are written in the order of their requests.
    assert_eq!(get(&edge, "/nowhere", &[]).await.status, 404);
    let logged = lines(&edge, before + 1).await;
    assert_eq!((logged.len(), &logged[before]["status"]), (before + 1, &json!(404)));
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_browser_is_told() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec_on(upstream.addr, "requests = \"all\"\nclient_address = \"full\"\n");
    spec.edge = "trusted_proxies = [\"127.0.0.0/8\"]".to_owned();
    let edge = Edge::start(spec).await;
    for said in ["203.0.113.7", "6.6.6.6, 2001:db8::7, 127.0.0.9"] {
        get(&edge, "/w/w/session", &[("Origin", LISTED), ("X-Forwarded-For", said)]).await;
    }
    let logged = lines(&edge, 2).await;
    assert_eq!((&logged[0]["client"], &logged[1]["client"]), (&json!("203.0.113.7"), &json!("2001:db8::7")));
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_who_broke_it() {
    let upstream = Scripted::start(|mut connection, _| async move {
        connection.request().await.unwrap();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf").await;
        connection.send("").await;
    })
    .await;
    let edge = Edge::start(spec_on(upstream.addr, "")).await;
    let mut connection = Connection::open(edge.http).await;
    connection.send(raw::request("GET", edge.http, "/w/w/session", &[("Origin", LISTED)])).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.rest().await, "half");
    has(
        &lines(&edge, 1).await[0],
        &json!({ "status": 200, "bytes": 4, "end": "upstream_failed", "failure": "closed", "upstream": "app" }),
    );
    eventually("the log for operators names the decision", async || edge.log().contains("upstream failed"))
        .await;
    let id = edge.requests()[0]["decision_id"].as_str().unwrap().to_owned();
    assert!(edge.log().contains(&id), "{}", edge.log());
}

#[tokio::test]
async fn a_stream_ends_when_its_client_leaves_and_breaks_off_when_it_is_cut() {
    let upstream = StreamUpstream::start().await;
    let edge = Edge::start(spec_on(upstream.addr, "")).await;
    let listen = async || {
        let mut connection = Connection::open(edge.http).await;
        let fields = [("Origin", LISTED), ("Accept", "text/event-stream")];
        connection.send(raw::request("GET", edge.http, "/w/w/session/events", &fields)).await;
        connection.until("tick").await.unwrap();
        connection
    };
    drop(listen().await);
    let mut cut = listen().await;
    let revoked = json!({ "widgets": [{ "id": "w", "allowed_domains": ["other.example"] }] });
    std::fs::write(edge.rules(), revoked.to_string()).unwrap();
    cut.rest().await;
    let logged = lines(&edge, 1).await;
    has(&logged[0], &json!({ "status": 200, "end": "revoked", "widget": "w", "class": "session" }));
    assert!(logged[0]["bytes"].as_u64().unwrap() > 0);
}

#[tokio::test]
async fn a_tunnel_has_one_line_at_its_end() {
    let upstream = SocketUpstream::echo().await;
    let edge =
        Edge::start(spec_on(upstream.addr, "requests = \"all\"\nclient_address = \"truncated\"\n")).await;
    let session = async || {
        let (mut socket, _) = open(edge.http, "/w/w/session?secret=query", LISTED).await.unwrap();
        next(&mut socket).await;
        exchange(&mut socket, "words").await;
        socket
    };
    drop(session().await);
    let left = lines(&edge, 1).await.remove(0);
    has(
        &left,
        &json!({
            "status": 101, "protocol": "websocket", "method": "GET", "class": "session", "widget": "w", "upstream": "app",
            "end": null, "client": "127.0.0.0/24",
        }),
    );
    // `hello` and what came back, each in a frame with a head of two bytes.
    assert!(left["bytes"].as_u64().unwrap() >= 14, "{left}");
    assert!(left["upstream_us"].as_u64().unwrap() <= left["duration_us"].as_u64().unwrap(), "{left}");
    assert_eq!(left["decision_id"], edge.decisions()[0]["decision_id"]);

    let mut cut = session().await;
    let revoked = json!({ "widgets": [{ "id": "w", "allowed_domains": ["other.example"] }] });
    std::fs::write(edge.rules(), revoked.to_string()).unwrap();
    assert_eq!(closed(&mut cut).await.0, 1008);
    let line = lines(&edge, 2).await.remove(1);
    has(&line, &json!({ "status": 101, "end": "revoked", "widget": "w" }));
    // The line of the session names the change, and the decision that both are about.
    let log = edge.log();
    let ended = log.lines().find(|line| line.contains("session ended")).unwrap_or_else(|| panic!("{log}"));
    for part in [
        format!("decision_id={}", line["decision_id"]),
        "widget=\"w\"".to_owned(),
        "cause=\"change\"".to_owned(),
        "reason=\"not_listed\"".to_owned(),
        "embedder=\"https://example.com\"".to_owned(),
    ] {
        assert!(ended.contains(&part), "{part}: {ended}");
    }
    assert!(!edge.requests().iter().any(|line| line.to_string().contains("secret")));
}

#[tokio::test]
async fn requests_over_http2_have_theirs() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec = spec_on(upstream.addr, "requests = \"all\"\n");
    spec.public_origins = Some("[\"https://chat.example\"]".to_owned());
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let client = tls.http2().await;
    for (origin, status) in [(LISTED, 200), (STRANGER, 403)] {
        let request = Request::get("https://chat.example/w/w/session?secret=query")
            .header("origin", origin)
            .header("traceparent", TRACEPARENT)
            .body(())
            .unwrap();
        let mut client = client.clone().ready().await.unwrap();
        let (answer, _) = client.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), status);
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            length += piece.len();
            body.flow_control().release_capacity(piece.len()).unwrap();
        }
        let line = lines(&edge, if status == 200 { 1 } else { 2 }).await.pop().unwrap();
        has(
            &line,
            &json!({ "protocol": "HTTP/2", "status": status, "bytes": length, "trace_id": TRACE, "widget": "w", "class": "session" }),
        );
    }
}

#[tokio::test]
async fn the_trace_reaches_the_upstream_as_it_came() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec_on(upstream.addr, "requests = \"all\"\n")).await;
    for (value, logged) in [(TRACEPARENT, json!(TRACE)), ("00-nonsense-01", json!(null))] {
        let fields = [("Origin", LISTED), ("traceparent", value), ("tracestate", "vendor=1,other=2")];
        let told: Value = serde_json::from_str(&get(&edge, "/w/w/session", &fields).await.body).unwrap();
        let got = |name| crate::support::upstream::got(&told, name);
        assert_eq!((got("traceparent"), got("tracestate")), (Some(value), Some("vendor=1,other=2")));
        let line = lines(&edge, edge.decisions().len()).await.pop().unwrap();
        assert_eq!(
            (&line["trace_id"], edge.decisions().pop().unwrap().get("trace_id")),
            (&logged, Some(&logged).filter(|id| !id.is_null()))
        );
    }
    let told: Value =
        serde_json::from_str(&get(&edge, "/w/w/session", &[("Origin", LISTED)]).await.body).unwrap();
    assert_eq!(crate::support::upstream::got(&told, "traceparent"), None, "the edge makes none");
}
