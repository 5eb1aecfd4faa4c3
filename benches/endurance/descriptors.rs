//! The limit on descriptors, taken up by clients: the edge does not spin, its admin listener answers, clients that are
//! there are served, and new ones as soon as there is room.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::client::{connect, exchange};
use bench_support::process::cpu;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Settings;
use crate::admin::{Admin, document};
use crate::edge::{Edge, Spec};
use crate::load::{Target, on_this_thread};
use crate::rows::{Rows, counted, text};
use crate::witness::{Temper, Witness};

/// What the edge may have.
const DESCRIPTORS: usize = 256;
/// Clients that ask for something before all others, and are there to the end.
const KEPT: usize = 8;
/// Connections that hold, on the data plane and on the admin listener.
const HOLDERS: usize = 400;
const ADMIN_HOLDERS: usize = 300;
/// The longest that an answer may take.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest that a new client may wait once there is room.
const RELIEF: Duration = Duration::from_secs(10);
/// How long the edge is watched for doing nothing, and the processor time that it may take for that.
const WATCHED: Duration = Duration::from_secs(5);
const IDLE: Duration = Duration::from_millis(100);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let witness = Witness::start(Temper::Well)?;
    let spec = Spec { descriptors: Some(DESCRIPTORS), ..Spec::default() };
    let start = || Edge::start(&settings.binary, witness.addr, spec);
    beside_admin(rows, &start()?)?;
    beside_data(rows, &start()?)
}

/// Silent connections to the admin listener, and clients of the data plane.
fn beside_admin(rows: &mut Rows, edge: &Edge) -> Result<()> {
    let name = format!("descriptors: {DESCRIPTORS}, {ADMIN_HOLDERS} silent connections to admin");
    on_this_thread(async {
        let _holders = hold(edge.admin().addr, ADMIN_HOLDERS, b"").await;
        let mut served = Served::default();
        for _ in 0..KEPT {
            served.note(fresh(&edge.target()).await);
        }
        served.judge(rows, &format!("{name}: new clients served"), KEPT);
        Ok(())
    })
}

/// Silent connections to both.
fn beside_data(rows: &mut Rows, edge: &Edge) -> Result<()> {
    let name = format!("descriptors: {DESCRIPTORS}, {HOLDERS} clients and {ADMIN_HOLDERS} to admin");
    let (target, admin) = (edge.target(), edge.admin());
    on_this_thread(async {
        let mut kept = Vec::new();
        for _ in 0..KEPT {
            let mut stream = connect(target.plain).await?;
            ensure!(ask(&mut stream, &target).await.is_ok(), "a client is not served at the start");
            kept.push(stream);
        }
        // Those that are let in have asked once, and stay as long as an idle connection may.
        let holders = hold(target.plain, HOLDERS, &target.request("loader.js", "")).await;
        let admin_holders = hold(admin.addr, ADMIN_HOLDERS, b"").await;
        tokio::time::sleep(ANSWER).await;
        let mut calls = Served::default();
        calls.note(call(admin, "GET", "/readyz", "").await);
        let body = document("wgt_saved", &["www.example.org".to_owned()]);
        calls.note(call(admin, "PUT", "/v1/widgets/wgt_saved", &body).await);
        calls.judge(rows, &format!("{name}: /readyz and a save answered"), 2);

        let before = cpu(edge.id());
        tokio::time::sleep(WATCHED).await;
        let took = cpu(edge.id()) - before;
        rows.at_most(format!("{name}: processor time in {}", text(WATCHED)), IDLE, took);

        let mut served = Served::default();
        for stream in &mut kept {
            served.note(ask(stream, &target).await);
        }
        served.judge(rows, &format!("{name}: kept clients served"), KEPT);

        drop((holders, admin_holders));
        let relieved = Instant::now();
        let mut last = fresh(&target).await;
        while last.is_err() && relieved.elapsed() < RELIEF {
            last = fresh(&target).await;
        }
        rows.judged(
            format!("{name}: a new client, after they have left"),
            format!("<= {}", text(RELIEF)),
            last.as_ref().map_or_else(|error| format!("{error:#}"), |_| text(relieved.elapsed())),
            last.is_ok(),
        );
        Ok(())
    })
}

/// Opens so many, as far as they are let, says this on each, and leaves them.
async fn hold(addr: SocketAddr, count: usize, said: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        if let Ok(Ok(mut stream)) = timeout(ANSWER / 10, connect(addr)).await {
            // One that is turned away is none that holds.
            if stream.write_all(said).await.is_ok() {
                streams.push(stream);
            }
        }
    }
    streams
}

/// Answers in time, and what kept the others from it.
#[derive(Default)]
struct Served {
    count: usize,
    slowest: Duration,
    first: String,
}

impl Served {
    fn note(&mut self, answer: Result<Duration>) {
        match answer {
            Ok(took) => {
                self.count += 1;
                self.slowest = self.slowest.max(took);
            }
            Err(error) if self.first.is_empty() => self.first = format!("{error:#}"),
            Err(_) => {}
        }
    }

    fn judge(&self, rows: &mut Rows, what: &str, all: usize) {
        let measured = format!("{}, {} at most", counted(self.count as u64, &self.first), text(self.slowest));
        rows.judged(format!("{what} in {}", text(ANSWER)), all, measured, self.count == all);
    }
}

/// One request on a connection, in time.
async fn ask(stream: &mut TcpStream, target: &Target) -> Result<Duration> {
    answered(stream, &target.request("loader.js", "")).await
}

/// The same on a new one.
async fn fresh(target: &Target) -> Result<Duration> {
    let mut stream = timeout(ANSWER, connect(target.plain)).await.context("not connected in time")??;
    ask(&mut stream, target).await
}

/// A call of the admin API, on a connection of its own.
async fn call(admin: Admin, method: &str, path: &str, body: &str) -> Result<Duration> {
    let mut stream = timeout(ANSWER, connect(admin.addr)).await.context("not connected in time")??;
    answered(&mut stream, &admin.request(method, path, body, "")).await
}

async fn answered(stream: &mut TcpStream, request: &[u8]) -> Result<Duration> {
    let asked = Instant::now();
    let mut buffer = vec![0; 64 * 1024];
    let head =
        timeout(ANSWER, exchange(stream, request, &mut buffer)).await.context("no answer in time")??;
    ensure!(matches!(head.status, 200 | 201), "{}", head.status);
    Ok(asked.elapsed())
}
