//! Signals: SIGHUP reads the configuration again, SIGTERM and SIGINT let open connections end, a second one does not
//! wait.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Client;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Connection};
use crate::support::tls::EdgeTls;
use crate::support::websocket::{SocketUpstream, closed, hears_itself, open};
use crate::support::{eventually, ports};

const CONFIG: &str = "conf/embedgate.toml";

async fn ask(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let request = Client::new().get(edge.url(&format!("/w/{widget}/loader.js"))).header("origin", origin);
    request.send().await.unwrap().status().as_u16()
}

/// Rewrites the configuration, asks the edge to read it, and waits until the log says this of it.
async fn reload(edge: &Edge, from: &str, to: &str, says: &str) {
    let (path, logged) = (edge.folder().join(CONFIG), edge.log().len());
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches(from).count(), 1, "{from}: {text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
    edge.signal("HUP");
    eventually(says, async || edge.log()[logged..].contains(says)).await;
}

fn spec() -> EdgeSpec {
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }, { "id": "open" }]);
    EdgeSpec {
        rules: json!({ "widgets": widgets }).to_string(),
        more: "[log]\ndecisions = \"off\"\n[policy]\nempty_allowlist = \"open\"\nsystem_origins = []\n"
            .to_owned(),
        ..EdgeSpec::default()
    }
}

#[tokio::test]
async fn what_can_change_while_the_edge_runs_changes_on_sighup() {
    let edge = Edge::start(spec()).await;
    let dash = "https://dash.example";
    assert_eq!((ask(&edge, "w", dash).await, ask(&edge, "open", dash).await), (403, 200));
    assert_eq!(edge.decisions().len(), 0);

    reload(&edge, "\"off\"", "\"all\"", "now in force: log.decisions").await;
    assert_eq!(ask(&edge, "w", dash).await, 403);
    eventually("the decision is logged", async || edge.decisions().len() == 1).await;

    reload(
        &edge,
        "system_origins = []",
        "system_origins = [\"https://dash.example\"]",
        "policy.system_origins",
    )
    .await;
    assert_eq!(ask(&edge, "w", dash).await, 200);
    reload(&edge, "\"open\"", "\"deny\"", "policy.empty_allowlist").await;
    assert_eq!(ask(&edge, "open", "https://a.example").await, 403);

    // Said though nobody would hear of it at the new level.
    reload(&edge, "[log]", "[log]\nlevel = \"warn\"", "now in force: log.level").await;
    let logged = edge.log().len();
    reload(&edge, "level = \"warn\"", "level = \"info\"", "now in force: log.level").await;
    // The words of welcome may come at any time after the start.
    let said = edge.log()[logged..].matches("configuration reloaded").count();
    assert_eq!(said, 1, "{}", edge.log());
}

#[tokio::test]
async fn what_needs_an_upgrade_is_said_to_on_every_sighup() {
    let edge = Edge::start(spec()).await;
    let (old, new) = (format!("listen = [\"{}\"]", edge.http), ports::free());
    let waits = "changed, but needs an upgrade or a restart: edge.listen";
    reload(&edge, &old, &format!("listen = [\"{new}\"]"), waits).await;
    assert_eq!(ask(&edge, "w", "https://example.com").await, 200, "the old address answers");
    assert!(TcpStream::connect(new).await.is_err(), "the new one does not");
    // What can change does, beside it.
    reload(&edge, "\"off\"", "\"denied\"", "now in force: log.decisions").await;
    assert_eq!(edge.log().matches(waits).count(), 2, "{}", edge.log());
    reload(&edge, &format!("listen = [\"{new}\"]"), &old, "nothing changed").await;
}

#[tokio::test]
async fn a_faulty_configuration_changes_nothing_on_sighup() {
    let edge = Edge::start(spec()).await;
    let faulty = "system_origins = [\"https://dash.example\"]\nsystem_origin = 1";
    reload(&edge, "system_origins = []", faulty, "configuration refused, the running one stays in force")
        .await;
    let log = edge.log();
    let line = log.lines().find(|line| line.contains("system_origin'")).unwrap();
    assert!(line.contains("in force: conf/embedgate.toml:") && line.contains("did you mean"), "{log}");
    assert_eq!(ask(&edge, "w", "https://dash.example").await, 403);
    std::fs::remove_file(edge.folder().join(CONFIG)).unwrap();
    edge.signal("HUP");
    eventually("it is said", async || edge.log().contains("conf/embedgate.toml: no such file")).await;
    assert_eq!(ask(&edge, "w", "https://example.com").await, 200);
}

#[tokio::test]
async fn no_sighup_is_lost() {
    let edge = Edge::start(spec()).await;
    let dash = "https://dash.example";
    let (path, with) = (edge.folder().join(CONFIG), format!("system_origins = [\"{dash}\"]"));
    let off = std::fs::read_to_string(&path).unwrap();
    let on = off.replace("system_origins = []", &with);
    // Enough to read that the second signal comes while the first is worked on; its file is the one that counts.
    let padding = "# The quick brown fox jumps over the lazy dog.\n".repeat(20_000);
    for _ in 0..3 {
        for (texts, status) in [([&off, &on], 200), ([&on, &off], 403)] {
            for text in texts {
                std::fs::write(&path, format!("{text}{padding}")).unwrap();
                edge.signal("HUP");
            }
            eventually("the last one is in force", async || ask(&edge, "w", dash).await == status).await;
        }
    }
}

/// An upstream that answers when it is let.
struct Slow {
    addr: SocketAddr,
    got: Arc<Notify>,
    answer: Arc<Notify>,
}

impl Slow {
    async fn start() -> Self {
        let slow =
            Self { addr: ports::free(), got: Arc::new(Notify::new()), answer: Arc::new(Notify::new()) };
        let (got, answer) = (Arc::clone(&slow.got), Arc::clone(&slow.answer));
        let listener = TcpListener::bind(slow.addr).await.unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            got.notify_one();
            answer.notified().await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate").await;
        });
        slow
    }

    /// An edge in front of it, and a request that has arrived there.
    async fn with_open_request(&self, grace_period: &str) -> (Edge, JoinHandle<reqwest::Result<String>>) {
        let mut spec = EdgeSpec::on(self.addr, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
        spec.edge = format!("grace_period = \"{grace_period}\"");
        let edge = Edge::start(spec).await;
        let request = Client::new().get(edge.url("/w/w/loader.js")).header("origin", "https://example.com");
        let open = tokio::spawn(async move {
            let answer = request.send().await?.error_for_status()?;
            let connection =
                answer.headers().get("connection").map(|value| value.to_str().unwrap().to_owned());
            Ok(format!("{} {}", answer.text().await?, connection.unwrap_or_default()))
        });
        self.got.notified().await;
        (edge, open)
    }
}

#[tokio::test]
async fn sigterm_lets_open_requests_end() {
    let slow = Slow::start().await;
    let (mut edge, open) = slow.with_open_request("2s").await;
    assert_eq!(edge.admin("/readyz").await.status(), 200);
    edge.signal("TERM");
    eventually("no more requests are wanted", async || edge.admin("/readyz").await.status() == 503).await;
    assert!(edge.admin("/readyz").await.text().await.unwrap().contains("the edge is stopping"));
    assert_eq!(edge.admin("/livez").await.status(), 200);
    eventually("no connection is accepted", async || TcpStream::connect(edge.http).await.is_err()).await;
    std::fs::write(edge.rules(), "{\"widgets\": []}").unwrap();
    edge.generation(2).await;
    slow.answer.notify_one();
    assert_eq!(open.await.unwrap().unwrap(), "late close");
    assert_eq!(edge.exit_code().await, Some(0));
    assert!(!edge.log().contains("ERROR"), "{}", edge.log());
}

#[tokio::test]
async fn a_second_stop_does_not_wait() {
    for (first, second) in [("TERM", "INT"), ("INT", "INT"), ("QUIT", "TERM")] {
        let slow = Slow::start().await;
        let (mut edge, open) = slow.with_open_request("60s").await;
        edge.signal(first);
        eventually("the edge is stopping", async || edge.admin("/readyz").await.status() == 503).await;
        let since = Instant::now();
        edge.signal(second);
        assert_eq!(edge.exit_code().await, Some(0), "{first} and {second}");
        assert!(since.elapsed() < Duration::from_secs(2), "{first} and {second}: {:?}", since.elapsed());
        assert!(open.await.unwrap().is_err());
        assert_eq!(edge.decisions().len(), 1, "what was decided is written before the end");
        assert!(edge.log().contains("connections were cut connections=1"), "{}", edge.log());
    }
}

#[tokio::test]
async fn with_nothing_open_a_stop_is_over_at_once() {
    for (name, idle) in [("TERM", 0), ("INT", 0), ("TERM", 3)] {
        let mut edge = Edge::start(spec()).await;
        // Idle connections are closed, and hold nothing up.
        let mut kept = Vec::new();
        for _ in 0..idle {
            let mut connection = Connection::open(edge.http).await;
            let fields = [("Origin", "https://example.com")];
            let answer = connection.ask(raw::request("GET", edge.http, "/w/w/loader.js", &fields)).await;
            assert_eq!((answer.status, answer.field("connection")), (200, "keep-alive"));
            kept.push(connection);
        }
        let since = Instant::now();
        edge.signal(name);
        for mut connection in kept {
            assert!(connection.is_closed().await);
        }
        assert_eq!(edge.exit_code().await, Some(0));
        println!("{name} with {idle} idle connections: {:?}", since.elapsed());
        // The grace period is 30 s.
        assert!(since.elapsed() < Duration::from_secs(2), "{name}: {:?}", since.elapsed());
        let log = edge.log();
        for step in ["the edge stops", "the listeners are closed", "the last connection has ended"] {
            assert!(log.contains(step), "{step}: {log}");
        }
    }
}

#[tokio::test]
async fn every_answer_after_a_stop_says_that_it_is_the_last() {
    let slow = Slow::start().await;
    let (mut edge, first) = slow.with_open_request("10s").await;
    let mut pipelined = Connection::open(edge.http).await;
    edge.signal("TERM");
    eventually("no connection is accepted", async || TcpStream::connect(edge.http).await.is_err()).await;
    assert!(pipelined.is_closed().await, "it said nothing yet");
    slow.answer.notify_one();
    let answer = first.await.unwrap().unwrap();
    assert_eq!(answer, "late close", "the answer and its Connection");
    assert_eq!(edge.exit_code().await, Some(0));
}

#[tokio::test]
async fn load_balancers_get_time_to_notice() {
    let mut spec = spec();
    spec.edge = "drain_delay = \"1s\"".to_owned();
    let mut edge = Edge::start(spec).await;
    edge.signal("TERM");
    eventually("no more requests are wanted", async || edge.admin("/readyz").await.status() == 503).await;
    assert_eq!(ask(&edge, "w", "https://example.com").await, 200, "the listeners go on");
    assert_eq!(edge.exit_code().await, Some(0));
    assert!(edge.log().contains("the listeners close in 1s"), "{}", edge.log());
}

#[tokio::test]
async fn websockets_are_told_within_the_grace_period() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = EdgeSpec::on(upstream.addr, &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.edge = "grace_period = \"4s\"".to_owned();
    let mut edge = Edge::start(spec).await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        let (mut socket, _) = open(edge.http, "/w/w/session", "https://example.com").await.unwrap();
        hears_itself(&mut socket).await;
        sockets.push(socket);
    }
    edge.signal("TERM");
    let since = Instant::now();
    // A browser closes its side, too.
    let ends = sockets.into_iter().map(async |mut socket| {
        let told = closed(&mut socket).await;
        (told, since.elapsed())
    });
    let ends: Vec<_> = futures_util::future::join_all(ends).await;
    for (told, _) in &ends {
        assert_eq!(*told, (1001, "the server is stopping".to_owned()));
    }
    let (first, last) =
        (ends.iter().map(|end| end.1).min().unwrap(), ends.iter().map(|end| end.1).max().unwrap());
    assert!(last - first > Duration::from_millis(300), "not all at once: {first:?} to {last:?}");
    assert!(last < Duration::from_secs(4), "{last:?}");
    assert_eq!(edge.exit_code().await, Some(0));
    assert!(!edge.log().contains("were cut"), "{}", edge.log());
}

/// Whether a process has a handler for SIGHUP.
pub(crate) fn listens(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() & 1 != 0
}

/// The configuration is a pipe, so the start waits for it.
#[tokio::test]
async fn a_signal_during_the_start_does_what_it_says() {
    for (names, ends) in [(&["HUP", "USR1"][..], false), (&["TERM"][..], true), (&["INT"][..], true)] {
        let mut edge = Edge::start(spec()).await;
        let (config, kept) = (edge.folder().join(CONFIG), edge.folder().join("kept.toml"));
        edge.signal("TERM");
        assert_eq!(edge.exit_code().await, Some(0));
        std::fs::rename(&config, &kept).unwrap();
        assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
        edge.respawn();
        eventually("signals are listened to", async || listens(edge.id())).await;
        names.iter().for_each(|name| edge.signal(name));
        if ends {
            assert_eq!(edge.exit_code().await, Some(0), "{names:?}");
            continue;
        }
        let (from, to) = (kept.clone(), config.clone());
        let written = tokio::task::spawn_blocking(move || std::fs::write(to, std::fs::read(from).unwrap()));
        let written = tokio::time::timeout(Duration::from_secs(10), written).await;
        written.expect("it is read").unwrap().unwrap();
        // SIGHUP reads it again, from a file.
        let next = edge.folder().join("next.toml");
        std::fs::copy(&kept, &next).unwrap();
        std::fs::rename(next, &config).unwrap();
        eventually("the edge is ready", async || reqwest::get(edge.url("/w/w/loader.js")).await.is_ok())
            .await;
        eventually("it was read again", async || edge.log().contains("configuration reloaded")).await;
    }
}

#[tokio::test]
async fn what_has_not_ended_with_the_grace_period_is_cut_and_told() {
    let slow = Slow::start().await;
    let (mut edge, open) = slow.with_open_request("500ms").await;
    edge.signal("TERM");
    let since = Instant::now();
    assert_eq!(edge.exit_code().await, Some(0));
    assert!((450..3_000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
    assert!(open.await.unwrap().is_err());
    let log = edge.log();
    assert!(
        log.contains("the grace period is over") && log.contains("connections were cut connections=1"),
        "{log}"
    );
}

#[tokio::test]
async fn silent_and_idle_clients_over_tls_do_not_hold_a_stop_up() {
    let mut spec = spec();
    let tls = EdgeTls::of("edge.example");
    tls.add_to(&mut spec);
    let mut edge = Edge::start(spec).await;
    let silent = TcpStream::connect(tls.addr).await.unwrap();
    let without_preface = tls.h2().await;
    let idle = tls.http2().await.ready().await.unwrap();
    let (kept, since) = (tls.http1().await, Instant::now());
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    drop((silent, without_preface, idle, kept));
}
