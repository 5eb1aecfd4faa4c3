//! An edge whose rules are out of date denies everything but public pages, in a form that whoever asks can read, and serves
//! again after the next contact. The edge is put together here as the application does it, because the contact is the test's
//! to give.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use embedgate::activity::recorder::ActivityRecorder;
use embedgate::app::decision_scope;
use embedgate::config;
use embedgate::edge::admission::tickets::key_file::KeyFile;
use embedgate::edge::connection::listeners::{Accepting, Listener, ListenerKind};
use embedgate::edge::connection::service::EdgeService;
use embedgate::edge::descriptors::DescriptorShare;
use embedgate::edge::forward::exchange::Forwarder;
use embedgate::edge::pipeline::Pipeline;
use embedgate::edge::session::registry::SessionRegistry;
use embedgate::edge::setup::{LiveSetup, Setup, SetupParts};
use embedgate::rules::change::{Actor, ApplyOptions, Change};
use embedgate::rules::live::LiveRules;
use embedgate::rules::publisher::Publisher;
use embedgate::rules::source::SourceKind;
use embedgate::telemetry::decision_log::DecisionLog;
use embedgate::telemetry::events::EventFeed;
use embedgate::telemetry::metrics::Metrics;
use embedgate::telemetry::request_log::{AddressScope, RequestLog, RequestScope};
use jiff::{SignedDuration, Timestamp};
use pingora_core::server::configuration::ServerConf;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::support::edge::usual_routes;
use crate::support::raw::{self, Answer, Connection, request};
use crate::support::streams::StreamUpstream;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SOON, SocketUpstream, closed, handshake, hears_itself, open};
use crate::support::{eventually, ports};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

const SITE: &str = "https://site.example";
const SYSTEM: &str = "https://dashboard.example";
const STRANGER: &str = "https://stranger.example";

/// How old the rules may be here.
const MOST: SignedDuration = SignedDuration::from_secs(3600);

/// An edge of a fleet, in this process.
struct Stage {
    http: SocketAddr,
    setup: LiveSetup,
    metrics: Arc<Metrics>,
    decided: Lines,
    _accepting: Accepting,
}

/// What the decision log has written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// The line about an answer that names its decision.
    async fn about(&self, answer: &Answer) -> Value {
        let id = serde_json::from_str::<Value>(&answer.body).unwrap()["decision_id"].clone();
        let mut found = None;
        eventually("the decision is logged", async || {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            found = lines.into_iter().find(|line| line["decision_id"] == id);
            found.is_some()
        })
        .await;
        found.unwrap()
    }
}

impl Stage {
    /// One before this upstream, in contact a moment ago.
    async fn before(upstream: SocketAddr) -> Self {
        let http = ports::free();
        let text = format!(
            "[edge]\nlisten = [\"{http}\"]\npublic_origins = [\"http://localhost:{}\"]\n\
             [policy]\nmax_staleness = \"1h\"\nsystem_origins = [\"{SYSTEM}\"]\n\
             [upstreams.app]\nservers = [\"{upstream}\"]\n{}",
            http.port(),
            usual_routes("app")
        );
        let settings = config::parse("test", &text, []).unwrap();
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "test");
        let widgets = [
            json!({ "id": "listed", "allowed_domains": ["site.example"] }),
            json!({ "id": "open", "access": "open" }),
            json!({ "id": "monitors", "access": "monitor", "allowed_domains": ["other.example"] }),
        ];
        let put = |widget: &Value| {
            Change::put(Widget::parse(widget.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap())
        };
        let changes = widgets.iter().map(put).collect();
        publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
        let (metrics, events, decided) =
            (Arc::new(Metrics::new().unwrap()), Arc::new(EventFeed::new()), Lines::default());
        let scope = decision_scope(settings.log.decisions);
        let (decisions, flush) = DecisionLog::start(scope, 0, Arc::clone(&events), decided.clone());
        // For as long as the process.
        std::mem::forget(flush);
        let ticket_keys = Arc::new(KeyFile::unsaved("ticket.keys".into()).unwrap());
        let parts = SetupParts { ticket_keys, metrics: Arc::clone(&metrics) };
        let setup = LiveSetup::new(Setup::prepare(&settings, &parts, None, None).unwrap());
        setup.load().start().await;
        let policy = Arc::clone(setup.policy());
        let rules = publisher.live().clone();
        let sessions = SessionRegistry::new(rules.clone(), policy, Arc::clone(&metrics), events);
        let watch = (Arc::clone(&sessions), setup.clone());
        tokio::spawn(async move {
            let (sessions, setup) = watch;
            sessions.watch_staleness(setup.stale_at(), || setup.forget_contact()).await;
        });
        let (requests, _) = RequestLog::start(RequestScope::Off, AddressScope::Off, 0, std::io::sink());
        let pipeline = Pipeline {
            rules,
            setup: setup.clone(),
            sessions,
            forwarder: Forwarder::new(&ServerConf::default(), DescriptorShare::of(usize::MAX, 0)),
            metrics: Arc::clone(&metrics),
            decisions: Arc::new(decisions),
            requests: Arc::new(requests),
            activity: Arc::new(ActivityRecorder::new(1024)),
        };
        let edge = Arc::new(EdgeService::new(pipeline, DescriptorShare::of(usize::MAX, 0)));
        let kind = ListenerKind { tls: None, proxy_protocol: false };
        let accepting = Listener::bind(http, kind).unwrap().accept(&edge).unwrap();
        let stage = Self { http, setup, metrics, decided, _accepting: accepting };
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
