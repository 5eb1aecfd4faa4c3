//! The service manager's side: a harness plays the part of systemd, with its socket for notifications (sd_notify(3)) and
//! the listening sockets that it opens (sd_listen_fds(3)).

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::upgrade::Successor;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw;

const SITE: &str = "https://example.com";

/// Socket for notifications.
struct Manager(UnixDatagram);

impl Manager {
    fn at(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self(socket)
    }

    /// The next message.
    fn told(&self) -> String {
        let mut message = [0; 256];
        let read = self.0.recv(&mut message).expect("a message");
        String::from_utf8(message[..read].to_vec()).unwrap()
    }

    /// The next message that is no sign of life.
    fn news(&self) -> String {
        loop {
            let told = self.told();
            if told != "WATCHDOG=1\n" {
                return told;
            }
        }
    }
}

fn spec() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))
}

fn ready(pid: u32) -> String {
    format!("MAINPID={pid}\nREADY=1\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_knows_the_process_and_that_it_lives() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let change = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "1000000");
    };
    let mut edge = Edge::start_with(change, spec()).await;
    assert_eq!(manager.told(), ready(edge.id()), "ready, and nothing before");
    let since = Instant::now();
    for _ in 0..4 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    // The first comes at once, each other one after at most half the time.
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());

    let ran = Edge::command(edge.folder()).args(["upgrade", "--json"]).output().unwrap();
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let new = Successor { pid: u32::try_from(told["pid"].as_u64().unwrap()).unwrap() };
    assert_eq!(manager.news(), ready(new.pid));
    assert_eq!(edge.exit_code().await, Some(0));
    let since = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.told(), "WATCHDOG=1\n");
    }
    assert!(since.elapsed() < Duration::from_secs(2), "the new process lives: {:?}", since.elapsed());
    new.signal("TERM");
    assert_eq!(manager.news(), "STOPPING=1\n");
}

#[tokio::test]
async fn a_process_that_hangs_shows_no_sign_of_life() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::at(&path);
    let change = |command: &mut Command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").env("WATCHDOG_PID", "1");
    };
    let edge = Edge::start_with(change, spec()).await;
    assert_eq!(manager.told(), ready(edge.id()));
    manager.0.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    assert!(manager.0.recv(&mut [0; 256]).is_err(), "the watchdog is another process's");
}

/// Starts an edge with these sockets, as systemd would: from descriptor 3 on, for its very process id.
fn activated(command: &mut Command, sockets: [TcpListener; 2]) {
    let program = command.get_program().to_owned();
    let folder = command.get_current_dir().unwrap().to_owned();
    let [first, second] = sockets.map(|socket| Stdio::from(OwnedFd::from(socket)));
    let script = "exec 3<&0 4<&1 0</dev/null 1>>out.log; export LISTEN_FDS=2 LISTEN_PID=$$; exec \"$0\"";
    *command = Command::new("/bin/sh");
    command.arg("-c").arg(script).arg(program).current_dir(folder).env_clear().stdin(first).stdout(second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_systemd_has_opened_are_taken() {
    let socket = |addr: SocketAddr| TcpListener::bind(addr).unwrap();
    let edge = Edge::prepare(spec());
    let sockets = [socket(edge.http), socket(edge.admin)];
    // It is there before the edge, and waits.
    let mut early = TcpStream::connect(edge.http).await.unwrap();
    let request = raw::request("GET", edge.http, "/w/w/loader.js", &[("Origin", SITE)]);
    early.write_all(request.as_bytes()).await.unwrap();
    let mut edge = edge.start_in(|command| activated(command, sockets)).await;
    let mut answer = [0; 12];
    early.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // They pass to the next process, which has none from systemd.
    let ran = Edge::command(edge.folder()).args(["upgrade", "--json"]).output().unwrap();
    let told: Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?} {}", edge.log()));
    let new = Successor { pid: u32::try_from(told["pid"].as_u64().unwrap()).unwrap() };
    drop(early);
    assert_eq!(edge.exit_code().await, Some(0));
    assert_eq!(raw::send(edge.http, request.as_bytes()).await.status, 200);
    assert_eq!(edge.admin("/readyz").await.status(), 200);
    drop(new);
}

#[tokio::test]
async fn a_socket_that_nobody_wants_is_an_error() {
    let edge = Edge::prepare(spec());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = other.local_addr().unwrap();
    let sockets = [TcpListener::bind(edge.http).unwrap(), other];
    let (success, err) = edge.run_in(|command| activated(command, sockets)).ended().await;
    assert!(!success);
    assert!(
        err.contains(&format!("LISTEN_FDS has a socket for {addr}, but no listener is configured there")),
        "{err}"
    );
}
