//! An edge whose rules are out of date denies everything but public pages, in a form that whoever asks can read, and serves
//! again after the next contact. The edge is in this process, because the contact is the test's to give.

use std::net::SocketAddr;
use std::ops::Deref;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::support::edge::EdgeSpec;
use crate::support::in_process::InProcess;
use crate::support::raw::{self, Answer, Connection, request};
use crate::support::streams::StreamUpstream;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SOON, SocketUpstream, closed, handshake, hears_itself, open};

const SITE: &str = "https://site.example";
const SYSTEM: &str = "https://dashboard.example";
const STRANGER: &str = "https://stranger.example";

/// How old the rules may be here.
const MOST: SignedDuration = SignedDuration::from_secs(3600);

/// An edge of a fleet, in this process.
struct Stage(InProcess);

impl Deref for Stage {
    type Target = InProcess;

    fn deref(&self) -> &InProcess {
        &self.0
    }
}

impl Stage {
    /// One before this upstream, in contact a moment ago.
    async fn before(upstream: SocketAddr) -> Self {
        let widgets = json!([
            { "id": "listed", "allowed_domains": ["site.example"] },
            { "id": "open", "access": "open" },
            { "id": "monitors", "access": "monitor", "allowed_domains": ["other.example"] },
        ]);
        let mut spec = EdgeSpec::on(upstream, &widgets);
        spec.more += &format!("[policy]\nmax_staleness = \"1h\"\nsystem_origins = [\"{SYSTEM}\"]\n");
        let stage = Self(InProcess::start(spec).await);
        stage.in_contact();
        stage
    }

    fn in_contact(&self) {
        assert!(self.setup.keep_contact(Some(Timestamp::now()), None));
    }

    /// Has the last contact be so long ago that the rules are out of date this soon.
    fn stale_in(&self, milliseconds: i64) {
        let last = Timestamp::now() - MOST + SignedDuration::from_millis(milliseconds);
        assert!(self.setup.keep_contact(Some(last), None));
    }

    async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        raw::get(self.http, path, fields).await
    }
}

/// An answer without what is each one's own.
fn likeness(answer: &Answer) -> (u16, Vec<(String, String)>, String) {
    let marks = ["\"decision_id\":\"", "Decision "];
    let id = marks.iter().find_map(|mark| answer.body.split_once(mark)).unwrap().1;
    let fields = answer.fields.clone().into_iter().filter(|(name, _)| name != "date").collect();
    (answer.status, fields, answer.body.replace(&id[..36], ""))
}

#[tokio::test]
async fn everything_but_public_pages_is_denied_in_every_form() {
    let upstream = Upstream::start("app").await;
    let stage = Stage::before(upstream.addr).await;
    stage.stale_in(0);
    for path in ["loader.js", "assets/a.js", "frame", "session", "session/x"] {
        for (dest, content) in [
            ("script", "application/problem+json"),
            ("iframe", "text/html; charset=utf-8"),
            ("document", "text/html; charset=utf-8"),
            ("empty", "application/problem+json"),
        ] {
            for origin in [SITE, SYSTEM, STRANGER] {
                let fields = [("Origin", origin), ("Sec-Fetch-Dest", dest)];
                let denied = stage.get(&format!("/w/listed/{path}"), &fields).await;
                assert_eq!(denied.status, 503, "{path} {dest}: {denied:?}");
                for (name, value) in [
                    ("content-type", content),
                    ("retry-after", "5"),
                    ("cache-control", "no-store"),
                    ("access-control-allow-origin", origin),
                    ("access-control-allow-credentials", ""),
                    ("vary", "Origin, Referer, Sec-Fetch-Dest"),
                    ("cross-origin-resource-policy", "cross-origin"),
                ] {
                    assert_eq!(denied.field(name), value, "{path} {dest}: {name}");
                }
                assert!(denied.body.contains("policy.max_staleness"), "{denied:?}");
                assert!(!denied.body.contains("site.example"), "{denied:?}");
                for widget in ["open", "monitors", "unknown", "no.id"] {
                    let other = stage.get(&format!("/w/{widget}/{path}"), &fields).await;
                    assert_eq!(likeness(&other), likeness(&denied), "{widget}");
                }
            }
        }
    }
    let problem = stage.get("/w/listed/session", &[("Origin", SITE)]).await;
    let told: Value = serde_json::from_str(&problem.body).unwrap();
    assert_eq!((&told["code"], &told["status"]), (&json!("stale_rules"), &json!(503)));
    let line = stage.decided.about(&problem).await;
    assert_eq!((&line["verdict"], &line["reason"]), (&json!("deny"), &json!("stale_rules")));

    let ask = async |request: String| Connection::open(stage.http).await.ask(request).await;
    let fields = [("Origin", SITE), ("Content-Length", "0")];
    let denied = ask(request("POST", stage.http, "/w/listed/embed-ticket", &fields)).await;
    assert_eq!((denied.status, denied.field("retry-after")), (503, "5"), "{denied:?}");
    let fields = [("Origin", SITE), ("Access-Control-Request-Method", "POST")];
    let preflight = ask(request("OPTIONS", stage.http, "/w/listed/session", &fields)).await;
    assert_eq!(
        (preflight.status, preflight.field("access-control-max-age")),
        (204, "0"),
        "the page reads the denial"
    );
    let refused = ask(handshake("/w/listed/session", SITE, "")).await;
    assert_eq!((refused.status, refused.field("retry-after")), (503, "5"), "{refused:?}");

    assert_eq!(upstream.requests(), 0, "nothing has reached the upstream");
    assert_eq!(stage.get("/w/listed/trust", &[("Origin", STRANGER)]).await.status, 200);
    assert_eq!(stage.get("/w/unknown/trust", &[]).await.status, 404);
    assert_eq!(upstream.requests(), 1);
    let counted = stage.metrics.render().unwrap().lines().any(|line| {
        line.starts_with(
            "embedgate_decisions_total{class=\"session\",reason=\"stale_rules\",verdict=\"deny\"} ",
        )
    });
    assert!(counted, "{}", stage.metrics.render().unwrap());

    stage.in_contact();
    for path in ["loader.js", "assets/a.js", "frame", "session"] {
        let served = stage.get(&format!("/w/listed/{path}"), &[("Origin", SITE)]).await;
        assert_eq!(served.status, 200, "{path}: {served:?}");
    }
}

#[tokio::test]
async fn nothing_is_served_from_memory() {
    let upstream = Upstream::with_fields("app", &[("cache-control", "public, max-age=600")]).await;
    let stage = Stage::before(upstream.addr).await;
    let asset = async || stage.get("/w/listed/assets/a.js", &[("Origin", SITE)]).await;
    for _ in 0..2 {
        assert_eq!(asset().await.status, 200);
    }
    assert_eq!(upstream.requests(), 1, "it is in memory");
    stage.stale_in(0);
    let denied = asset().await;
    assert_eq!((denied.status, denied.field("age")), (503, ""), "{denied:?}");
    stage.in_contact();
    assert_eq!(asset().await.status, 200);
    assert_eq!(upstream.requests(), 1, "and still is");
}

#[tokio::test]
async fn open_sessions_end_at_the_instant_and_open_again_after_the_next_contact() {
    let upstream = SocketUpstream::echo().await;
    let stage = Stage::before(upstream.addr).await;
    let session = async |widget: &str, origin: &str| {
        let (mut socket, _) = open(stage.http, &format!("/w/{widget}/session"), origin).await.unwrap();
        hears_itself(&mut socket).await;
        socket
    };
    let mut sockets = Vec::new();
    for (widget, origin) in [("listed", SITE), ("listed", SYSTEM), ("open", STRANGER), ("monitors", STRANGER)]
    {
        sockets.push(session(widget, origin).await);
    }
    let since = Instant::now();
    stage.stale_in(300);
    for socket in &mut sockets {
        assert_eq!(closed(socket).await, (1008, "the rules are out of date".to_owned()));
        assert!(since.elapsed() >= Duration::from_millis(290), "closed after {:?}", since.elapsed());
    }
    assert_eq!(stage.metrics.sessions_revoked.get(), 4);
    assert!(open(stage.http, "/w/listed/session", SITE).await.is_err());
    stage.in_contact();
    session("listed", SITE).await;
}

#[tokio::test]
async fn streams_break_off() {
    let upstream = StreamUpstream::start().await;
    let stage = Stage::before(upstream.addr).await;
    let mut stream = tokio::net::TcpStream::connect(stage.http).await.unwrap();
    let asked = request("GET", stage.http, "/w/listed/session/events", &[("Origin", SITE)]);
    tokio::io::AsyncWriteExt::write_all(&mut stream, asked.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    while !got.windows(4).any(|four| four == b"\r\n\r\n") {
        assert_ne!(timeout(SOON, stream.read_buf(&mut got)).await.unwrap().unwrap(), 0);
    }
    stage.stale_in(200);
    let end = timeout(SOON, stream.read_to_end(&mut got)).await.expect("it ends");
    let text = String::from_utf8_lossy(&got);
    assert!(end.is_err() || !text.ends_with("0\r\n\r\n"), "the cut can be seen: {text}");
}
