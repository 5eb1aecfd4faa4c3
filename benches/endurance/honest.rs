//! Honest clients, whose requests are timed: GET and POST on kept HTTP/1.1 connections over TLS, one request after the
//! other.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use bench_support::client::exchange;
use bench_support::client::tls::{connector, handshake};
use rustls::client::Resumption;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::load::{Target, on_this_thread};
use crate::rows::{Rows, text};

/// Connections that leave a server time to rest, half of them for POSTs.
pub const CLIENTS: usize = 4;
/// The longest that an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);
/// The body of a POST.
const BODY: [u8; 1024] = [b'x'; 1024];

/// What became of the requests of a while.
#[derive(Clone, Debug, Default)]
pub struct Window {
    /// How long each answer took, sorted.
    pub times: Vec<Duration>,
    pub failed: u64,
    /// What the first failure was.
    pub first: String,
}

impl Window {
    pub fn p99(&self) -> Duration {
        self.times.get(self.times.len() * 99 / 100).copied().unwrap_or_default()
    }
}

/// Asks for so long, over so many connections, and gives back what became of it; `meanwhile` is called when they are open.
pub fn ask_for(target: &Target, clients: usize, time: Duration, meanwhile: impl FnOnce()) -> Result<Window> {
    on_this_thread(async {
        let over = Arc::new(AtomicBool::new(false));
        let connections = open(target, clients).await?;
        meanwhile();
        let asked = tokio::task::spawn_local(ask(connections, target.clone(), Arc::clone(&over)));
        tokio::time::sleep(time).await;
        over.store(true, Ordering::Relaxed);
        asked.await?
    })
}

/// Honest clients on a thread of their own.
pub struct Honest {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Window>>,
}

impl Honest {
    pub fn start(target: &Target) -> Self {
        let (over, target) = (Arc::new(AtomicBool::new(false)), target.clone());
        let watched = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            on_this_thread(async { ask(open(&target, CLIENTS).await?, target, watched).await })
        });
        Self { over, thread }
    }

    pub fn stop(self) -> Result<Window> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the honest clients panicked"))?
    }
}

type Connection = tokio_rustls::client::TlsStream<tokio::net::TcpStream>;

async fn open(target: &Target, clients: usize) -> Result<Vec<Connection>> {
    let connector = connector(b"http/1.1", Resumption::disabled())?;
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(timeout(PATIENCE, handshake(target.tls, &connector)).await??);
    }
    Ok(connections)
}

async fn ask(connections: Vec<Connection>, target: Target, over: Arc<AtomicBool>) -> Result<Window> {
    let mut tasks = JoinSet::new();
    for (number, connection) in connections.into_iter().enumerate() {
        let request = if number % 2 == 0 { get(&target) } else { post(&target) };
        tasks.spawn_local(client(connection, target.tls, request, Arc::clone(&over)));
    }
    let mut all = Window::default();
    while let Some(window) = tasks.join_next().await {
        let window = window??;
        all.times.extend(window.times);
        all.failed += window.failed;
        if all.first.is_empty() {
            all.first = window.first;
        }
    }
    all.times.sort_unstable();
    Ok(all)
}

fn get(target: &Target) -> Vec<u8> {
    target.request("loader.js", "")
}

/// A POST as honest clients send it.
pub fn post(target: &Target) -> Vec<u8> {
    let head = target.request("session", "Content-Type: text/plain\r\nContent-Length: 1024\r\n");
    [b"POST", head.strip_prefix(b"GET").unwrap_or_default(), &BODY].concat()
}

async fn client(
    mut stream: Connection,
    addr: SocketAddr,
    request: Vec<u8>,
    over: Arc<AtomicBool>,
) -> Result<Window> {
    let mut window = Window::default();
    let mut buffer = vec![0; 16 * 1024];
    while !over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let answer = timeout(PATIENCE, exchange(&mut stream, &request, &mut buffer)).await;
        let why = match answer {
            Ok(Ok(head)) if head.status == 200 && !head.close => {
                window.times.push(asked.elapsed());
                continue;
            }
            Ok(Ok(head)) if head.status == 200 => {
                window.times.push(asked.elapsed());
                None
            }
            Ok(Ok(head)) => Some(format!("{} in place of 200", head.status)),
            Ok(Err(error)) => Some(format!("{error:#}")),
            Err(_) => Some("no answer in time".to_owned()),
        };
        if let Some(why) = why {
            window.failed += 1;
            window.first = if window.first.is_empty() { why } else { window.first };
        }
        let connector = connector(b"http/1.1", Resumption::disabled())?;
        stream = timeout(PATIENCE, handshake(addr, &connector)).await??;
    }
    Ok(window)
}

/// The middle one.
pub fn median<T: Copy + PartialOrd>(mut all: Vec<T>) -> Result<T> {
    ensure!(!all.is_empty(), "nothing to take the median of");
    all.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    Ok(all[all.len() / 2])
}

/// The longest that the p99 of honest requests may be, by what it is without a disturbance.
pub fn bearable(quiet: Duration) -> Duration {
    (quiet * 3).max(Duration::from_millis(10))
}

/// What disturbed requests took, by what they take without.
pub fn judge(rows: &mut Rows, what: &str, quiet: Duration, disturbed: Duration) {
    let most = bearable(quiet);
    rows.judged(
        format!("{what}: p99 of honest requests ({} without)", text(quiet)),
        format!("<= {}", text(most)),
        text(disturbed),
        disturbed <= most,
    );
}
