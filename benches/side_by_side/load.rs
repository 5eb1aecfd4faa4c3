//! The clients: a closed loop on one thread. Every answer is read whole and its status is checked.
//!
//! A client that waits for its answer before it asks again can't show how long others would have waited: p50 and p99
//! of a round compare peers under the same full load, [`crate::latency`] measures what visitors see.

use std::cell::Cell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tokio::task::{JoinSet, LocalSet};

use crate::ground::Ground;
use crate::scenario::{Request, Scenario};

pub mod held;
mod http1;
mod http2;
mod tls;
mod tunnel;

/// What one round showed.
pub struct Outcome {
    pub requests: u64,
    pub wall: Duration,
    pub spent: Spent,
    /// Nanoseconds, sorted.
    pub latencies: Vec<u32>,
    /// Connections that a peer closed though they were to be kept.
    pub reconnects: u64,
}

/// Processor time.
#[derive(Clone, Copy)]
pub struct Spent {
    pub proxy: Duration,
    pub load: Duration,
}

/// How long a round goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measured,
    Over,
}

/// What all clients of a round share.
struct Shared {
    phase: Cell<Phase>,
    reconnects: Cell<u64>,
}

/// Keeps so many clients busy for `round`, after `warm_up`; `spent` tells the processor time so far.
pub fn round(
    scenario: Scenario,
    ground: &Ground,
    clients: usize,
    (warm_up, round): (Duration, Duration),
    spent: impl Fn() -> Spent,
) -> Result<Outcome> {
    let shared = Rc::new(Shared { phase: Cell::new(Phase::WarmUp), reconnects: Cell::new(0) });
    on_this_thread(async {
        let mut tasks = JoinSet::new();
        let clients = start(scenario, ground, clients, &shared).await?;
        for (number, mut client) in clients.into_iter().enumerate() {
            let shared = Rc::clone(&shared);
            tasks.spawn_local(async move {
                let mut latencies = Vec::with_capacity(16 * 1024);
                for n in number * 7.. {
                    let before = Instant::now();
                    client.once(n).await?;
                    match shared.phase.get() {
                        Phase::WarmUp => {}
                        Phase::Measured => {
                            latencies.push(u32::try_from(before.elapsed().as_nanos()).unwrap_or(u32::MAX));
                        }
                        Phase::Over => break,
                    }
                }
                Ok::<_, anyhow::Error>(latencies)
            });
        }
        tokio::time::sleep(warm_up).await;
        let (started, before) = (Instant::now(), spent());
        shared.phase.set(Phase::Measured);
        tokio::time::sleep(round).await;
        shared.phase.set(Phase::Over);
        let (wall, after) = (started.elapsed(), spent());
        let spent = Spent {
            proxy: after.proxy.saturating_sub(before.proxy),
            load: after.load.saturating_sub(before.load),
        };
        let mut latencies = Vec::new();
        while let Some(task) = tasks.join_next().await {
            latencies.append(&mut task?.with_context(|| format!("{scenario}"))?);
        }
        latencies.sort_unstable();
        let requests = latencies.len() as u64;
        Ok(Outcome { requests, wall, spent, latencies, reconnects: shared.reconnects.get() })
    })
}

/// So many requests of one client, one after the other.
pub fn exactly(scenario: Scenario, ground: &Ground, count: usize) -> Result<()> {
    let shared = Rc::new(Shared { phase: Cell::new(Phase::Measured), reconnects: Cell::new(0) });
    on_this_thread(async {
        let mut clients = start(scenario, ground, 1, &shared).await?;
        let client = clients.first_mut().context("a client")?;
        for n in 0..count {
            client.once(n).await?;
        }
        Ok(())
    })
}

fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let work = tokio::time::timeout(Duration::from_secs(180), work);
        work.await.map_err(|_| anyhow!("an answer never came"))?
    }))
}

/// One that asks, gets its answer, and asks again.
enum Client {
    Kept(http1::Kept),
    Opener(tunnel::Opener),
    Talker(tunnel::Talker),
    Tls(tls::Shaker),
    Http2(http2::Stream),
}

impl Client {
    async fn once(&mut self, n: usize) -> Result<()> {
        match self {
            Self::Kept(client) => client.once(n).await,
            Self::Opener(client) => client.once(n).await,
            Self::Talker(client) => client.once().await,
            Self::Tls(client) => client.once(n).await,
            Self::Http2(client) => client.once(n).await,
        }
    }
}

async fn start(
    scenario: Scenario,
    ground: &Ground,
    count: usize,
    shared: &Rc<Shared>,
) -> Result<Vec<Client>> {
    let requests = scenario.requests();
    let bytes: Rc<[Vec<u8>]> = requests.iter().map(Request::bytes).collect();
    let mut clients = Vec::with_capacity(count);
    match scenario {
        Scenario::Allowed | Scenario::Denied | Scenario::Cached | Scenario::Post => {
            for _ in 0..count {
                let (requests, shared) = (Rc::clone(&bytes), Rc::clone(shared));
                let client = http1::Kept::open(ground.plain, requests, scenario.status(), shared).await?;
                clients.push(Client::Kept(client));
            }
        }
        Scenario::Http2 | Scenario::Http2Denied | Scenario::Http2Post => {
            // Whole connections with eight streams each, or one with one.
            for _ in 0..count.div_ceil(8) {
                let (status, shared) = (scenario.status(), Rc::clone(shared));
                let stream = http2::Stream::open(ground.tls, &requests, status, shared).await?;
                clients.extend((0..count.min(8)).map(|_| Client::Http2(stream.clone())));
            }
        }
        Scenario::WebSocket => {
            let opener = || Client::Opener(tunnel::Opener::new(ground.plain, Rc::clone(&bytes)));
            clients.extend((0..count).map(|_| opener()));
        }
        Scenario::Message => {
            for n in 0..count {
                let talker = tunnel::Talker::open(ground.plain, &bytes[n % bytes.len()]).await?;
                clients.push(Client::Talker(talker));
            }
        }
        Scenario::Tls => {
            let shaker = tls::Shaker::new(ground.tls, bytes)?;
            clients.extend((0..count).map(|_| Client::Tls(shaker.clone())));
        }
        // Each with a memory of its own, as visitors have.
        Scenario::TlsResumed => {
            for _ in 0..count {
                clients.push(Client::Tls(tls::Shaker::resuming(ground.tls, Rc::clone(&bytes))?));
            }
        }
    }
    Ok(clients)
}

/// The statuses of requests over HTTP/2 on one new connection.
pub fn over_http2(addr: SocketAddr, requests: &[Request]) -> Result<Vec<u16>> {
    on_this_thread(http2::statuses(addr, requests))
}
