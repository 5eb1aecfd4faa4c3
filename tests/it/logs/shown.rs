//! Every decision id that somebody was shown is found, whatever the logs leave out.

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::finished;
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{self, Connection};
use crate::support::upstream::Upstream;
use crate::support::{ports, scale};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";
const TICKETS: &str = "/w/w/embed-ticket";

/// An edge that logs neither decisions nor requests.
async fn silent_edge(upstream: &Upstream) -> Edge {
    let dead = ports::free();
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com", "example.com:8443"] }]);
    let mut spec = EdgeSpec::on(upstream.addr, &widgets);
    spec.more = format!(
        "[upstreams.app]\nservers = [\"{}\"]\n[upstreams.dead]\nservers = [\"{dead}\"]\n[log]\ndecisions = \"off\"\n\
         requests = \"off\"\n",
        upstream.addr
    );
    spec.routes = Some(
        usual_routes("app")
            + "[[routes]]\npath = \"/w/{widget}/dead\"\nclass = \"session\"\nupstream = \"dead\"\nmax_body = \"10B\"\n",
    );
    Edge::start(spec).await
}

/// The id in a body, whatever its form.
fn id_in(body: &str) -> String {
    let is_id = |word: &&str| word.len() == 36 && word.bytes().filter(|byte| *byte == b'-').count() == 4;
    let mut words = body.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    words.find(is_id).unwrap_or_else(|| panic!("no id in {body:?}")).to_owned()
}

/// What the command says of a decision: its exit code and its JSON.
fn explained(edge: &Edge, id: &str) -> (i32, Value) {
    let ran = finished(Edge::command(edge.folder()).args(["explain", "--json", "--decision", id]));
    let told = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran.code, told)
}

#[tokio::test]
async fn whatever_showed_an_id_is_found_by_it() {
    let upstream = Upstream::start("app").await;
    let edge = silent_edge(&upstream).await;
    let (http, addr) = (edge.http, edge.http);
    let page = [("Referer", STRANGER), ("Sec-Fetch-Dest", "iframe")];
    let upload = format!(
        "POST /w/w/dead HTTP/1.1\r\nHost: {addr}\r\nOrigin: {LISTED}\r\nContent-Length: 11\r\n\r\n12345678901"
    );
    let cases = [
        (raw::get(http, "/w/w/session", &[("Origin", STRANGER)]).await, 403, "deny", "not_listed"),
        (
            raw::get(http, "/w/w/session", &[("Origin", "http://example.com")]).await,
            403,
            "deny",
            "insecure_scheme",
        ),
        (raw::get(http, "/w/w/frame", &page).await, 403, "deny", "not_listed"),
        (
            raw::get(http, "/w/w/loader.js", &[("Origin", STRANGER), ("Sec-Fetch-Dest", "script")]).await,
            200,
            "deny",
            "not_listed",
        ),
        (raw::get(http, "/w/nobody/session", &[("Origin", LISTED)]).await, 403, "deny", "unknown_widget"),
        (raw::get(http, "/w/w/session", &[("Origin", "nonsense")]).await, 403, "deny", "malformed_origin"),
        (raw::get(http, "/w/w/dead", &[("Origin", LISTED)]).await, 502, "allow", "exact"),
        (Connection::open(http).await.ask(upload).await, 413, "allow", "exact"),
        (
            Connection::open(http)
                .await
                .ask(raw::request("POST", addr, TICKETS, &[("Origin", STRANGER), ("Content-Length", "0")]))
                .await,
            403,
            "deny",
            "not_listed",
        ),
        (raw::get(http, "/nowhere", &[]).await, 404, "", ""),
        (raw::get(http, TICKETS, &[]).await, 405, "", ""),
        (raw::send(http, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await, 400, "", ""),
        (raw::send(http, b"nonsense\r\n\r\n").await, 400, "", ""),
    ];
    for (answer, status, verdict, reason) in cases {
        assert_eq!(answer.status, status, "{answer:?}");
        let id = id_in(&answer.body);
        let (code, told) = explained(&edge, &id);
        let (then, now) = (&told["decision"], &told["now"]);
        assert_eq!(
            (then["decision_id"].as_str(), then["status"].as_u64()),
            (Some(id.as_str()), Some(status.into())),
            "{told}"
        );
        if verdict.is_empty() {
            assert!(then["refused"].is_string() && then["judged"].is_null() && now.is_null(), "{told}");
            assert_eq!(code, 1);
            continue;
        }
        assert_eq!(
            (&then["judged"]["verdict"], &then["judged"]["reason"]),
            (&json!(verdict), &json!(reason)),
            "{told}"
        );
        assert_eq!((&now["verdict"], &now["reason"]), (&json!(verdict), &json!(reason)), "{told}");
        assert_eq!(code, i32::from(verdict == "deny"), "{told}");
    }
    // Whatever its case.
    let id = id_in(&raw::get(http, "/nowhere", &[]).await.body).to_ascii_uppercase();
    assert_eq!(edge.admin(&format!("/v1/decisions/{id}")).await.status(), 200);
    assert!(edge.decisions().is_empty() && edge.requests().is_empty());
}

#[tokio::test]
async fn then_and_now_are_told_apart_with_the_entry_to_add() {
    let upstream = Upstream::start("app").await;
    let edge = silent_edge(&upstream).await;
    let denied = id_in(&raw::get(edge.http, "/w/w/session", &[("Origin", STRANGER)]).await.body);
    let near = id_in(&raw::get(edge.http, "/w/w/session", &[("Origin", "https://example.com:1")]).await.body);
    let failed = id_in(&raw::get(edge.http, "/w/w/dead", &[("Origin", LISTED)]).await.body);
    let (_, told) = explained(&edge, &denied);
    assert_eq!(told["now"]["entry_to_add"], "stranger.example");
    assert_eq!(told["decision"]["judged"]["embedder"], json!({ "kind": "known", "origin": STRANGER }));
    assert!(explained(&edge, &near).1["decision"]["judged"]["near_miss"].is_string());
    let (_, told) = explained(&edge, &failed);
    assert_eq!(
        told["decision"]["judged"]["failure"],
        json!({ "upstream": "dead", "kind": "connect_refused" })
    );

    let text = |id: &str| finished(Edge::command(edge.folder()).args(["explain", "--decision", id]));
    let ran = text(&denied);
    let mut parts = ran.out.splitn(3, '\n');
    let (first, second) = (parts.next().unwrap(), parts.next().unwrap());
    assert!(first.ends_with("Z: GET, answered with 403"), "{}", ran.out);
    assert_eq!(second, "  deny (not_listed), widget w, class session, embedder https://stranger.example");
    let rest = parts.next().unwrap();
    assert!(
        rest.starts_with("now: deny (not_listed)  No entry of w admits")
            && rest.contains("entry to add: stranger.example")
    );
    assert!(text(&failed).out.contains("\n  upstream dead failed: connect_refused\nnow: allow (exact)"));

    let added = json!({ "widgets": [{ "id": "w", "allowed_domains": ["example.com", "stranger.example"] }] });
    let before = edge.metric("embedgate_rules_generation").await;
    std::fs::write(edge.rules(), added.to_string()).unwrap();
    edge.generation(before as u64 + 1).await;
    let (code, told) = explained(&edge, &denied);
    assert_eq!(
        (code, &told["decision"]["judged"]["verdict"], &told["now"]["verdict"]),
        (0, &json!("deny"), &json!("allow"))
    );
}

#[tokio::test]
async fn an_unknown_one_says_where_to_look() {
    let upstream = Upstream::start("app").await;
    let edge = silent_edge(&upstream).await;
    let id = "01939b1c-2f6e-7cc3-98c4-dc0c0c07398f";
    let ran = finished(Edge::command(edge.folder()).args(["explain", "--decision", id]));
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    for part in ["unknown_decision: ", "the last 10000 denials", "no edge that was asked has", "grep ID"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    let ran = finished(Edge::command(edge.folder()).args(["explain", "--decision", "no/../id"]));
    assert!(ran.code == 1 && ran.err.contains("a decision id has 36 characters"), "{ran:?}");
    for more in [["--widget", "w"], ["--origin", LISTED], ["--class", "frame"]] {
        let ran = finished(Edge::command(edge.folder()).args(["explain", "--decision", id]).args(more));
        assert!(ran.code == 2 && ran.err.contains("cannot be used with"), "{ran:?}");
    }
    let ran = finished(Edge::command(edge.folder()).arg("explain"));
    assert!(ran.code == 2 && ran.err.contains("--widget"), "{ran:?}");
    // Whoever may read may ask, and nobody without a token.
    let path = format!("http://{}/v1/decisions/{id}", edge.admin);
    let stranger = reqwest::Client::new().request(Method::GET, &path).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert_eq!(edge.admin(&format!("/v1/decisions/{id}")).await.status(), 404);
}

#[tokio::test]
async fn a_flood_drives_out_none_of_the_last_ones() {
    let upstream = Upstream::start("app").await;
    let edge = silent_edge(&upstream).await;
    let mut connection = Connection::open(edge.http).await;
    let mut ids = Vec::new();
    for _ in 0..scale(30_000) {
        let answer =
            connection.ask(raw::request("GET", edge.http, "/w/w/session", &[("Origin", STRANGER)])).await;
        ids.push(id_in(&answer.body));
        // Paths at random take no room from denials.
        if ids.len() % 10 == 0 {
            let mut other = Connection::open(edge.http).await;
            other.ask(raw::request("GET", edge.http, "/nowhere", &[])).await;
        }
    }
    let last = ids.len().saturating_sub(10_000);
    for id in ids.iter().skip(last).step_by(ids.len() / 50) {
        assert_eq!(edge.admin(&format!("/v1/decisions/{id}")).await.status(), 200, "{id}");
    }
}
