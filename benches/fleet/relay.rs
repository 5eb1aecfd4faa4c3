//! The link of an edge to the NATS servers: a relay that can be cut, can swallow everything, and counts what it carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bench_support::ports;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub use carried::{Carried, Counter};

mod carried;

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Carries.
    Open,
    /// Takes connections and bytes, and carries nothing until it is open again: as a network that loses packets.
    Swallowing,
    /// Ends every connection at once.
    Cut,
}

#[derive(Clone, Copy)]
struct State {
    mode: Mode,
    /// Grows when all connections are to end.
    age: u64,
}

impl State {
    fn has_ended(&self, born: u64) -> bool {
        self.mode == Mode::Cut || self.age != born
    }
}

/// A link with an address for each server.
pub struct Link {
    /// Where the edge connects.
    pub addrs: Vec<SocketAddr>,
    state: Arc<watch::Sender<State>>,
    down: Arc<Counter>,
    up: Arc<Counter>,
    accepted: Arc<AtomicU64>,
}

impl Link {
    /// One to these servers, open.
    pub async fn open(servers: &[SocketAddr]) -> Result<Self> {
        let state = Arc::new(watch::Sender::new(State { mode: Mode::Open, age: 0 }));
        let (down, up) = (Arc::<Counter>::default(), Arc::<Counter>::default());
        let accepted = Arc::<AtomicU64>::default();
        let mut addrs = Vec::new();
        for server in servers.iter().copied() {
            let addr = ports::free();
            let listener = TcpListener::bind(addr).await?;
            addrs.push(addr);
            let counters = [Arc::clone(&down), Arc::clone(&up)];
            tokio::spawn(accept(listener, server, state.subscribe(), counters, Arc::clone(&accepted)));
        }
        Ok(Self { addrs, state, down, up, accepted })
    }

    pub fn set(&self, mode: Mode) {
        self.state.send_modify(|state| state.mode = mode);
    }

    /// Ends all connections; new ones are carried.
    pub fn sever(&self) {
        self.state.send_modify(|state| state.age += 1);
    }

    /// How many connections it has accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// What it has carried so far: toward the edge, and from it.
    pub fn carried(&self) -> [Carried; 2] {
        [self.down.carried(), self.up.carried()]
    }
}

/// Ends when the link is dropped.
async fn accept(
    listener: TcpListener,
    server: SocketAddr,
    mut state: watch::Receiver<State>,
    counters: [Arc<Counter>; 2],
    accepted: Arc<AtomicU64>,
) {
    loop {
        let stream = tokio::select! {
            stream = listener.accept() => stream,
            gone = closed(state.clone()) => return gone,
        };
        let Ok((stream, _)) = stream else { return };
        accepted.fetch_add(1, Ordering::Relaxed);
        let now = *state.borrow_and_update();
        if now.mode != Mode::Cut {
            tokio::spawn(connection(stream, server, state.clone(), now.age, counters.clone()));
        }
    }
}

/// Waits until nobody changes the state any more.
async fn closed(mut state: watch::Receiver<State>) {
    while state.changed().await.is_ok() {}
}

async fn connection(
    client: TcpStream,
    server: SocketAddr,
    state: watch::Receiver<State>,
    born: u64,
    [down, up]: [Arc<Counter>; 2],
) {
    let mut ends = state.clone();
    let carried = async {
        wait_until_open(&mut state.clone()).await?;
        let server = TcpStream::connect(server).await.ok()?;
        client.set_nodelay(true).ok()?;
        server.set_nodelay(true).ok()?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            () = carry(from_client, to_server, state.clone(), &up) => {}
            () = carry(from_server, to_client, state.clone(), &down) => {}
        }
        Some(())
    };
    tokio::select! {
        _ = carried => {}
        _ = ends.wait_for(|state| state.has_ended(born)) => {}
    }
}

/// Carries bytes one way until one side ends.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut state: watch::Receiver<State>,
    counter: &Counter,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut reader = carried::Reader::default();
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let bytes = buffer.get(..read).unwrap_or_default();
        if wait_until_open(&mut state).await.is_none() {
            return;
        }
        counter.count(bytes.len(), reader.messages(bytes));
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// `None`: the link is gone.
async fn wait_until_open(state: &mut watch::Receiver<State>) -> Option<()> {
    state.wait_for(|state| state.mode == Mode::Open).await.ok().map(drop)
}
