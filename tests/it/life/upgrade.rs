//! Upgrades to a new process: no connection refused, no request lost, no session cut, and one that fails changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::cli::signals::listens;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{self, Connection};
use crate::support::tls::EdgeTls;
use crate::support::upstream::Upstream;
use crate::support::websocket::{Socket, SocketUpstream, closed, exchange, hears_itself, open};

const SITE: &str = "https://example.com";

/// The process that serves now.
pub struct Successor {
    pub(super) pid: u32,
}

impl Successor {
    /// The one that the log names.
    fn told_by(edge: &Edge) -> Self {
        let log = edge_log(edge);
        let pid = log.split("process ").find_map(|text| text.split_once(" has taken over")?.0.parse().ok());
        Self { pid: pid.unwrap_or_else(|| panic!("{log}")) }
    }

    fn runs(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        status.starts_with("Name:\tembedgate\n") && !status.contains("State:\tZ")
    }

    pub fn signal(&self, name: &str) {
        let id = self.pid.to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap().success());
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.runs() {
            self.signal("KILL");
        }
    }
}

fn run(edge: &Edge, arguments: &[&str]) -> Output {
    Edge::command(edge.folder()).args(arguments).output().unwrap()
}

/// Upgrades, and tells the process that has taken over.
pub async fn upgrade(edge: &Edge) -> Successor {
    let mut command = Edge::command(edge.folder());
    let ran = tokio::task::spawn_blocking(move || command.args(["upgrade", "--json"]).output().unwrap());
    let ran = ran.await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(ran.status.code(), Some(0), "{err}\n{}", edge.log());
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["version"], env!("CARGO_PKG_VERSION"));
    let pid = u32::try_from(told["pid"].as_u64().unwrap()).unwrap();
    let successor = Successor { pid };
    assert!(successor.runs() && pid != edge.id());
    successor
}

/// Waits until a process that has taken over ends.
pub async fn ended(successor: &Successor) {
    eventually("the new process ends", async || !successor.runs()).await;
}

fn allowed(domains: &[&str]) -> Value {
    json!({ "id": "w", "allowed_domains": domains })
}

/// An edge in front of this upstream, with its rules in a store.
fn stored(upstream: SocketAddr, domains: &[&str]) -> EdgeSpec {
    EdgeSpec { source: "store", ..EdgeSpec::on(upstream, &json!([allowed(domains), { "id": "other" }])) }
}

async fn session(edge: &Edge, origin: &str) -> Socket {
    let (mut socket, _) = open(edge.http, "/w/w/session", origin).await.unwrap();
    hears_itself(&mut socket).await;
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_takes_over_and_the_old_one_drains() {
    let upstream = SocketUpstream::echo().await;
    let mut edge = Edge::start(stored(upstream.addr, &["example.com", "example.org"])).await;
    let mut kept = Connection::open(edge.http).await;
    let request = || raw::request("GET", edge.http, "/w/nobody/loader.js", &[("Origin", SITE)]);
    assert_eq!(kept.ask(request()).await.field("connection"), "keep-alive");
    let (mut stays, mut goes) = (session(&edge, SITE).await, session(&edge, "https://example.org").await);
    let socket = edge.folder().join("data/upgrade.sock");
    let mode = || fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
    assert!(fs::metadata(&socket).unwrap().file_type().is_socket() && mode() == 0o600);

    let new = upgrade(&edge).await;
    assert_eq!(mode(), 0o600);
    // An idle connection is not closed under a client that is about to use it; its next answer is its last.
    let last = kept.ask(request()).await;
    assert_eq!((last.status, last.field("connection")), (403, "close"));
    exchange(&mut stays, "one").await;
    exchange(&mut goes, "two").await;
    let mut fresh = session(&edge, SITE).await;
    assert_eq!(edge.metric("embedgate_upgrades_total{outcome=\"done\"}").await, 1.0);
    assert_eq!(edge.metric("embedgate_sessions_open").await, 1.0, "the new process answers");

    // A save reaches the sessions of the old process before it is answered.
    let since = Instant::now();
    assert_eq!(edge.put(&allowed(&["example.com"])).await.0, 200);
    assert_eq!(closed(&mut goes).await, (1008, "origin no longer allowed".to_owned()));
    println!("cut after {:?}", since.elapsed());
    exchange(&mut stays, "three").await;
    exchange(&mut fresh, "four").await;
    // So does a deletion, and a batch.
    let batch = "{\"put\":{\"id\":\"x\"}}\n{\"delete\":{\"id\":\"w\"}}\n";
    let batch = edge
        .api(Method::POST, "/v1/batch?confirm=9")
        .header("content-type", "application/x-ndjson")
        .body(batch);
    let answer = batch.send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    for socket in [&mut stays, &mut fresh] {
        assert_eq!(closed(socket).await.0, 1008);
    }
    // With the last session, the old process ends.
    drop((kept, goes, stays));
    assert_eq!(edge.exit_code().await, Some(0));
    eventually("the new one knows", async || {
        edge_log(&edge).contains("the process before this one has ended")
    })
    .await;
    let log = edge_log(&edge);
    for step in [
        "an upgrade begins",
        "this process has taken over",
        "has taken over; open connections go on for at most",
    ] {
        assert!(log.contains(step), "{step}: {log}");
    }
    assert!(!log.contains("ERROR") && !log.contains("were cut"), "{log}");
    // What was saved is there.
    assert_eq!(edge.admin("/v1/widgets/w").await.status(), 404);
    assert_eq!(edge.admin("/v1/widgets/x").await.status(), 200);
    new.signal("TERM");
    eventually("the new one ends", async || !new.runs()).await;
    assert!(!socket.exists());
}

/// The log of both processes, as far as it is written.
fn edge_log(edge: &Edge) -> String {
    fs::read_to_string(edge.folder().join("err.log")).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_under_load() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("edge.example");
    let mut spec = stored(upstream.addr, &["example.com"]);
    tls.add_to(&mut spec);
    let edge = Arc::new(Edge::start(spec).await);
    let ends = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (edge, ends) = (Arc::clone(&edge), Arc::clone(&ends));
        clients.push(tokio::spawn(async move {
            let (mut connection, mut asked) = (Connection::open(edge.http).await, 0_u32);
            while !ends.load(Ordering::Relaxed) {
                let request = raw::request("GET", edge.http, "/w/w/loader.js", &[("Origin", SITE)]);
                let answer = connection.ask(request).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                if answer.field("connection") == "close" {
                    connection = Connection::open(edge.http).await;
                }
                asked += 1;
            }
            asked
        }));
    }
    let tls = Arc::new(tls);
    for _ in 0..2 {
        let (tls, ends) = (Arc::clone(&tls), Arc::clone(&ends));
        clients.push(tokio::spawn(async move {
            let (mut client, mut asked) = (tls.http2().await, 0_u32);
            while !ends.load(Ordering::Relaxed) {
                // After a GOAWAY no request can be begun, so none is lost.
                let mut ready = match client.clone().ready().await {
                    Ok(ready) => ready,
                    Err(_) => {
                        client = tls.http2().await;
                        continue;
                    }
                };
                let request =
                    axum::http::Request::get("https://edge.example/w/w/loader.js").header("origin", SITE);
                let sent = ready.send_request(request.body(()).unwrap(), true);
                let answer = match sent {
                    Ok((answer, _)) => answer.await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(answer) => assert_eq!(answer.status(), 200),
                    // Refused before it was processed (RFC 9113 §6.8): the client may send it again.
                    Err(error) => assert!(
                        error.is_go_away()
                            || error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM),
                        "{error:?}"
                    ),
                }
                asked += 1;
            }
            asked
        }));
    }
    let saver = {
        let (edge, ends) = (Arc::clone(&edge), Arc::clone(&ends));
        tokio::spawn(async move {
            let (mut saved, mut slowest) = (0_u32, Duration::ZERO);
            while !ends.load(Ordering::Relaxed) {
                let since = Instant::now();
                let (status, answer) =
                    edge.put(&json!({ "id": "saved", "labels": { "n": saved.to_string() } })).await;
                assert!(matches!(status, 200 | 201), "{answer}");
                (saved, slowest) = (saved + 1, slowest.max(since.elapsed()));
            }
            (saved, slowest)
        })
    };
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(upgrade(&edge).await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    ends.store(true, Ordering::Relaxed);
    let (saved, slowest) = saver.await.unwrap();
    println!("{saved} saves, the slowest {slowest:?}");
    assert!(saved > 0 && slowest < Duration::from_secs(1), "{saved} {slowest:?}");
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    let widget: Value = edge.admin("/v1/widgets/saved").await.json().await.unwrap();
    assert_eq!(widget["labels"]["n"], (saved - 1).to_string());
    assert_eq!(widget["revision"], saved, "each save is one revision");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_several_upgrades_and_obey_each() {
    let upstream = SocketUpstream::echo().await;
    let edge =
        Edge::start(stored(upstream.addr, &["example.com", "a.example", "b.example", "c.example"])).await;
    let mut first = session(&edge, "https://a.example").await;
    let mut stays = session(&edge, SITE).await;
    let one = upgrade(&edge).await;
    let mut second = session(&edge, "https://b.example").await;
    let two = upgrade(&edge).await;
    let mut third = session(&edge, "https://c.example").await;
    let mut domains = vec!["example.com", "a.example", "b.example", "c.example"];
    for socket in [&mut first, &mut second, &mut third] {
        domains.remove(1);
        assert_eq!(edge.put(&allowed(&domains)).await.0, 200);
        assert_eq!(closed(socket).await.0, 1008);
        exchange(&mut stays, "still there").await;
    }
    // The one in between waits for the first, which only it feeds.
    drop(second);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(one.runs());
    assert_eq!(edge.put(&allowed(&["nobody.example"])).await.0, 200);
    assert_eq!(closed(&mut stays).await.0, 1008);
    eventually("the one in between ends", async || !one.runs()).await;
    assert!(two.runs());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_when_the_new_process_is_gone() {
    let upstream = SocketUpstream::echo().await;
    let mut edge = Edge::start(stored(upstream.addr, &["example.com"])).await;
    let mut socket = session(&edge, SITE).await;
    let new = upgrade(&edge).await;
    new.signal("KILL");
    assert_eq!(closed(&mut socket).await, (1012, "the service is restarting".to_owned()));
    drop(socket);
    assert_eq!(edge.exit_code().await, Some(0));
    assert!(edge.log().contains("which has taken over, is gone"), "{}", edge.log());
    // A start like any other works after that, though the socket was left behind.
    edge.restart().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_process_has_its_time_and_no_more() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = stored(upstream.addr, &["example.com"]);
    spec.edge = "upgrade_drain = \"2s\"".to_owned();
    let mut edge = Edge::start(spec).await;
    let mut socket = session(&edge, SITE).await;
    let _new = upgrade(&edge).await;
    let since = Instant::now();
    assert_eq!(closed(&mut socket).await, (1001, "the server is stopping".to_owned()));
    let after = since.elapsed();
    assert!(after > Duration::from_millis(1_800) && after < Duration::from_secs(4), "{after:?}");
    drop(socket);
    assert_eq!(edge.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_old_connections_reach_the_new_process() {
    let upstream = SocketUpstream::echo().await;
    let mut edge = Edge::start(stored(upstream.addr, &["example.com"])).await;
    let socket = session(&edge, SITE).await;
    let client = reqwest::Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let url = format!("http://{}/v1", edge.admin);
    let token = crate::support::edge::WRITE_TOKEN;
    let mut events = client.get(format!("{url}/events")).bearer_auth(token).send().await.unwrap();
    assert!(events.chunk().await.unwrap().is_some());
    let mut kept = Connection::open(edge.admin).await;
    let bearer = format!("Bearer {token}");
    let list = raw::request("GET", edge.admin, "/v1/widgets/w", &[("Authorization", &bearer)]);
    assert_eq!(kept.ask(list.clone()).await.status, 200);

    let new = upgrade(&edge).await;
    assert!(events.chunk().await.unwrap().is_none(), "a stream of events ends, and its client comes back");
    assert_eq!(edge.put(&allowed(&["example.com", "example.org"])).await.0, 200);
    // Over the connection to the old process, from the new one.
    let answer = kept.ask(list).await;
    assert_eq!((answer.status, answer.field("connection")), (200, "close"), "{answer:?}");
    assert!(answer.body.contains("example.org"), "{answer:?}");
    let mut unknown = Connection::open(edge.admin).await;
    let no_token = raw::request("GET", edge.admin, "/v1/widgets/w", &[]);
    assert_eq!(unknown.ask(no_token).await.status, 401);
    drop((socket, kept));
    assert_eq!(edge.exit_code().await, Some(0));
    drop(new);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_sessions_obey_a_rules_file() {
    let upstream = SocketUpstream::echo().await;
    let widgets = |names: &[&str]| {
        let widgets = names.iter().map(|id| json!({ "id": id, "allowed_domains": ["example.com"] }));
        json!({ "widgets": widgets.collect::<Vec<_>>() })
    };
    let mut spec = EdgeSpec::on(upstream.addr, &json!([]));
    spec.rules = widgets(&["w", "gone", "later"]).to_string();
    let edge = Edge::start(spec).await;
    let open = async |widget: &str| {
        let (mut socket, _) = open(edge.http, &format!("/w/{widget}/session"), SITE).await.unwrap();
        hears_itself(&mut socket).await;
        socket
    };
    let (mut stays, mut gone, mut later) = (open("w").await, open("gone").await, open("later").await);
    let _new = upgrade(&edge).await;
    for (names, cut) in [(&["w", "later"][..], &mut gone), (&["w"], &mut later)] {
        fs::write(edge.rules(), widgets(names).to_string()).unwrap();
        assert_eq!(closed(cut).await.0, 1008, "{names:?}");
        exchange(&mut stays, "still there").await;
    }
    // Back, and edited: what the old process knew of it does not matter.
    fs::write(edge.rules(), widgets(&["w", "gone"]).to_string()).unwrap();
    fs::write(edge.rules(), json!({ "widgets": [{ "id": "w", "access": "open" }] }).to_string()).unwrap();
    eventually("the list is gone", async || {
        let request =
            raw::request("GET", edge.http, "/w/w/loader.js", &[("Origin", "https://stranger.example")]);
        raw::send(edge.http, request.as_bytes()).await.status != 403
    })
    .await;
    exchange(&mut stays, "open to all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_policy_reaches_the_old_process() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = stored(upstream.addr, &["example.com"]);
    let system = ["one", "two", "three"].map(|name| format!("\"https://{name}.example\""));
    spec.more += &format!("[policy]\nsystem_origins = [{}]\n", system.join(", "));
    let edge = Edge::start(spec).await;
    let mut stays = session(&edge, SITE).await;
    let mut one = session(&edge, "https://one.example").await;
    let mut two = session(&edge, "https://two.example").await;
    let mut three = session(&edge, "https://three.example").await;
    let config = edge.folder().join("conf/embedgate.toml");
    let rewrite = |from: &str, to: &str| {
        let text = fs::read_to_string(&config).unwrap();
        assert!(text.contains(from));
        fs::write(&config, text.replace(from, to)).unwrap();
    };
    let reload = async || edge.api(Method::POST, "/v1/reload").send().await.unwrap().status();
    // By the upgrade itself, by a reload after it, and by one after another upgrade.
    rewrite("\"https://one.example\", ", "");
    let _new = upgrade(&edge).await;
    assert_eq!(closed(&mut one).await.0, 1008);
    exchange(&mut two, "still there").await;
    rewrite("\"https://two.example\", ", "");
    assert_eq!(reload().await, 200);
    assert_eq!(closed(&mut two).await.0, 1008);
    let mut between = session(&edge, SITE).await;
    let _newest = upgrade(&edge).await;
    exchange(&mut three, "still there").await;
    rewrite("\"https://three.example\"", "");
    assert_eq!(reload().await, 200);
    assert_eq!(closed(&mut three).await.0, 1008);
    for socket in [&mut stays, &mut between] {
        exchange(socket, "still there").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_process_that_is_stopped_obeys_to_the_end() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = stored(upstream.addr, &["example.com", "example.org"]);
    spec.edge = "grace_period = \"20s\"".to_owned();
    let mut edge = Edge::start(spec).await;
    let mut sockets = Vec::new();
    for _ in 0..8 {
        sockets.push(session(&edge, "https://example.org").await);
    }
    let _new = upgrade(&edge).await;
    edge.signal("TERM");
    assert_eq!(edge.put(&allowed(&["example.com"])).await.0, 200);
    // Some may have had their turn before.
    let mut revoked = 0;
    for socket in &mut sockets {
        let (code, _) = tokio::time::timeout(Duration::from_secs(2), closed(socket)).await.expect("it ends");
        assert!(matches!(code, 1001 | 1008), "{code}");
        revoked += u32::from(code == 1008);
    }
    assert!(revoked > 0);
    drop(sockets);
    assert_eq!(edge.exit_code().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_of_both_processes_gives_each_session_its_time() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = stored(upstream.addr, &["example.com"]);
    spec.edge = "grace_period = \"4s\"".to_owned();
    let mut edge = Edge::start(spec).await;
    let mut sockets = Vec::new();
    for _ in 0..6 {
        sockets.push(session(&edge, SITE).await);
    }
    let new = upgrade(&edge).await;
    // As a service manager does.
    new.signal("TERM");
    edge.signal("TERM");
    for socket in &mut sockets {
        assert_eq!(closed(socket).await.0, 1001);
    }
    drop(sockets);
    assert_eq!(edge.exit_code().await, Some(0));
    eventually("the new one ends, too", async || !new.runs()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_does_not_wait_for_an_old_process_that_is_gone() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(stored(upstream.addr, &["example.com"])).await;
    let _socket = session(&edge, SITE).await;
    let _new = upgrade(&edge).await;
    edge.signal("STOP");
    let save = tokio::spawn(edge.api(Method::PUT, "/v1/widgets/w").json(&allowed(&["example.org"])).send());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let since = Instant::now();
    edge.signal("KILL");
    assert_eq!(save.await.unwrap().unwrap().status(), 200);
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_upgrade_waits_for_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("embedgate");
    symlink(env!("CARGO_BIN_EXE_embedgate"), &program).unwrap();
    let edge = Edge::start_as(&program, EdgeSpec::default()).await;
    fs::remove_file(&program).unwrap();
    fs::write(&program, "#!/bin/sh\nsleep 2\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut first = Edge::command(edge.folder()).arg("upgrade").spawn().unwrap();
    eventually("it is under way", async || edge_log(&edge).contains("an upgrade begins")).await;
    let since = Instant::now();
    let ran = run(&edge, &["upgrade"]);
    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("an upgrade is under way"), "{ran:?}");
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
    assert_eq!(first.wait().unwrap().code(), Some(1));
    assert_eq!(edge_log(&edge).matches("an upgrade begins").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_itself_can_move() {
    let mut edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let config = edge.folder().join("conf/embedgate.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen("[edge]", "[edge]\nupgrade_socket = \"other/up.sock\"", 1)).unwrap();
    edge.signal("USR2");
    assert_eq!(edge.exit_code().await, Some(0));
    let _first = Successor::told_by(&edge);
    let _second = upgrade(&edge).await;
    assert!(edge.folder().join("other/up.sock").exists());
    assert_eq!(edge.admin("/readyz").await.status(), 200);
}

/// Puts something else in the program's place.
type Replace<'r> = &'r dyn Fn(&Path);

/// The configuration is there again, and the edge as before.
async fn goes_on(edge: &Edge, socket: &mut Socket, revision: &mut u64) {
    exchange(socket, "as before").await;
    let answer =
        raw::send(edge.http, &raw::request("GET", edge.http, "/w/other/loader.js", &[]).into_bytes()).await;
    assert_ne!(answer.status, 0);
    let since = Instant::now();
    let (status, saved) = edge.put(&allowed(&["example.com", &format!("r{revision}.example")])).await;
    assert_eq!((status, saved["widget"]["revision"].as_u64()), (200, Some(*revision + 1)), "{saved}");
    assert!(since.elapsed() < Duration::from_secs(1));
    *revision += 1;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_fails_at_any_stage_is_given_up() {
    let upstream = SocketUpstream::echo().await;
    // By a path of its own, which a package replaces.
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("embedgate");
    symlink(env!("CARGO_BIN_EXE_embedgate"), &program).unwrap();
    let edge = Edge::start_as(&program, stored(upstream.addr, &["example.com"])).await;
    let mut socket = session(&edge, SITE).await;
    let mut revision = 1;
    let replace = |write: &dyn Fn(&Path)| {
        fs::remove_file(&program).unwrap();
        write(&program);
    };
    let script = |text: &'static str| {
        move |path: &Path| {
            fs::write(path, text).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    };
    let config = edge.folder().join("conf/embedgate.toml");
    let good = fs::read_to_string(&config).unwrap();
    let real = |path: &Path| symlink(env!("CARGO_BIN_EXE_embedgate"), path).unwrap();
    let no_config = |path: &Path| {
        real(path);
        fs::write(&config, "[edge").unwrap();
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken_address = |path: &Path| {
        real(path);
        let listen = format!("listen = [\"{}\", \"{}\"]", edge.http, taken.local_addr().unwrap());
        fs::write(&config, good.replacen(&format!("listen = [\"{}\"]", edge.http), &listen, 1)).unwrap();
    };
    // Only who opens it finds this out.
    let damaged_store = |path: &Path| {
        real(path);
        fs::write(edge.folder().join("damaged.redb"), "no store").unwrap();
        let rules = "[rules]\nstore = { path = \"damaged.redb\" }\n";
        fs::write(&config, good.replacen("[rules]\n", rules, 1)).unwrap();
    };
    let stages: [(&str, Replace<'_>, &str); 6] = [
        ("no program", &|path| fs::write(path, "text").unwrap(), "can't be started"),
        ("ends at once", &script("#!/bin/sh\nexit 7\n"), "ended while it prepared"),
        ("a faulty configuration", &no_config, "ended while it prepared"),
        ("an address that is taken", &taken_address, "ended while it prepared"),
        ("a damaged store", &damaged_store, "ended while it took over the store"),
        ("killed", &script("#!/bin/sh\nkill -9 $$\n"), "ended while it prepared"),
    ];
    for (name, stage, says) in stages {
        replace(stage);
        let mut command = Edge::command(edge.folder());
        // The command's own configuration may be the faulty one.
        let kept = edge.folder().join("conf/kept.toml");
        fs::write(&kept, &good).unwrap();
        let command = command.args(["upgrade", "--config", "conf/kept.toml"]);
        let ran = command.output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{name}: {err}");
        assert!(err.contains(says) && err.contains("the running process goes on"), "{name}: {err}");
        fs::write(&config, &good).unwrap();
        goes_on(&edge, &mut socket, &mut revision).await;
    }
    assert_eq!(edge.metric("embedgate_upgrades_total{outcome=\"failed\"}").await, 6.0);
    // After all that, one that works.
    replace(&real);
    let _new = upgrade(&edge).await;
    goes_on(&edge, &mut socket, &mut revision).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_that_is_killed_midway_loses_nothing() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(stored(upstream.addr, &["example.com"])).await;
    let mut socket = session(&edge, SITE).await;
    let mut revision = 1;
    for delay in 0..12 {
        let mut command = Edge::command(edge.folder());
        let asked = tokio::task::spawn_blocking(move || command.arg("upgrade").output().unwrap());
        let children =
            || fs::read_to_string(format!("/proc/{0}/task/{0}/children", edge.id())).unwrap_or_default();
        let child = loop {
            // Started by any of its threads.
            let tasks = fs::read_dir(format!("/proc/{}/task", edge.id())).unwrap();
            let found = tasks
                .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
                .collect::<String>();
            if let Some(child) = found.split_ascii_whitespace().next() {
                break child.to_owned();
            }
            let _ = children();
            std::thread::park_timeout(Duration::from_micros(200));
        };
        std::thread::park_timeout(Duration::from_millis(delay * 15));
        let _ = Command::new("kill").args(["-9", &child]).status();
        let ran = asked.await.unwrap();
        if ran.status.success() {
            println!("taken over within {} ms", delay * 15);
            return;
        }
        goes_on(&edge, &mut socket, &mut revision).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_upgrades_too_and_the_path_may_be_a_link() {
    let upstream = SocketUpstream::echo().await;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("embedgate");
    fs::copy(env!("CARGO_BIN_EXE_embedgate"), folder.path().join("v1")).unwrap();
    symlink(folder.path().join("v1"), &program).unwrap();
    let mut edge = Edge::start_as(&program, stored(upstream.addr, &["example.com"])).await;
    fs::copy(env!("CARGO_BIN_EXE_embedgate"), folder.path().join("v2")).unwrap();
    fs::remove_file(&program).unwrap();
    symlink(folder.path().join("v2"), &program).unwrap();
    edge.signal("USR2");
    // With nothing open the old process ends at once.
    assert_eq!(edge.exit_code().await, Some(0));
    let new = Successor::told_by(&edge);
    assert_eq!(
        fs::read_link(format!("/proc/{}/exe", new.pid)).unwrap(),
        folder.path().join("v2").canonicalize().unwrap()
    );
    assert_eq!(edge.admin("/readyz").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_during_the_start_is_not_lost() {
    let mut edge = Edge::spawn(EdgeSpec::default());
    eventually("signals are listened to", async || listens(edge.id())).await;
    edge.signal("USR2");
    assert_eq!(edge.exit_code().await, Some(0));
    let _new = Successor::told_by(&edge);
    eventually("the new one is ready", async || edge.admin("/readyz").await.status() == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_an_upgrade_is_in_force_after_it() {
    let edge =
        Edge::start(EdgeSpec { source: "file", ..EdgeSpec::stored(&json!([allowed(&["example.com"])])) })
            .await;
    let config = edge.folder().join("conf/embedgate.toml");
    let (text, more) = (fs::read_to_string(&config).unwrap(), crate::support::ports::free());
    let listen = format!("listen = [\"{}\", \"{more}\"]", edge.http);
    fs::write(&config, text.replacen(&format!("listen = [\"{}\"]", edge.http), &listen, 1)).unwrap();
    let told = run(&edge, &["reload"]);
    assert!(String::from_utf8_lossy(&told.stdout).contains("edge.listen"), "{told:?}");
    let _new = upgrade(&edge).await;
    for addr in [edge.http, more] {
        let answer =
            raw::send(addr, &raw::request("GET", addr, "/w/w/loader.js", &[("Origin", SITE)]).into_bytes())
                .await;
        assert_eq!(answer.status, 200);
    }
    // Rules from a file are followed by the new process.
    fs::write(edge.rules(), json!({ "widgets": [allowed(&["example.org"])] }).to_string()).unwrap();
    eventually("the rules apply", async || {
        let request = raw::request("GET", edge.http, "/w/w/loader.js", &[("Origin", SITE)]);
        raw::send(edge.http, request.as_bytes()).await.status == 403
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_edges_do_not_share_a_socket() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let config = fs::read_to_string(edge.folder().join("conf/embedgate.toml")).unwrap();
    let other = config.replace(&edge.http.to_string(), &crate::support::ports::free().to_string());
    let other = other.replace(&edge.admin.to_string(), &crate::support::ports::free().to_string());
    fs::write(edge.folder().join("conf/other.toml"), other).unwrap();
    let ran = run(&edge, &["run", "--config", "conf/other.toml"]);
    assert_eq!(ran.status.code(), Some(1));
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(err.contains("edge.upgrade_socket: another edge listens on data/upgrade.sock"), "{err}");
    fs::write(
        edge.folder().join("conf/long.toml"),
        format!("edge.upgrade_socket = \"{}\"\n{config}", "x".repeat(120)).replacen("[edge]", "[unused]", 0),
    )
    .unwrap();
    let ran = run(&edge, &["upgrade", "--config", "conf/absent.toml"]);
    assert_eq!(ran.status.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_without_an_edge_says_so() {
    let mut edge = Edge::start(EdgeSpec::default()).await;
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    let ran = run(&edge, &["upgrade"]);
    assert_eq!(ran.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&ran.stderr).contains("data/upgrade.sock: can't be asked"), "{ran:?}");
}

/// A new process reads the rules file as a start does, and would put in force what the brake has held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_edit_is_not_taken_over() {
    let widgets = |enabled: bool| -> Value {
        (0..40).map(|n| json!({ "id": format!("w{n}"), "enabled": enabled })).collect()
    };
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(EdgeSpec::on(upstream.addr, &widgets(true))).await;
    let status = async || -> Value { edge.admin("/v1/status").await.json().await.unwrap() };
    let write =
        |enabled| fs::write(edge.rules(), json!({ "widgets": widgets(enabled) }).to_string()).unwrap();
    write(false);
    eventually("the edit is held", async || status().await["rules"]["last_error"]["code"] == "wide_change")
        .await;
    let ran = run(&edge, &["upgrade"]);
    let told = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
    assert!(
        told.contains("disable 40 of 40 widgets") && told.contains("`embedgate apply --confirm 40`"),
        "{told}"
    );
    let now = status().await;
    assert_eq!(
        (&now["generation"], &now["rules"]["last_error"]["code"]),
        (&json!(1), &json!("wide_change")),
        "{now}"
    );

    write(true);
    eventually("it is taken back", async || status().await["rules"]["last_error"].is_null()).await;
    let new = upgrade(&edge).await;
    // The new process brakes, too.
    write(false);
    eventually("the edit is held", async || status().await["rules"]["last_error"]["code"] == "wide_change")
        .await;
    drop(new);
}
