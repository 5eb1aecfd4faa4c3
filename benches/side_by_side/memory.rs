//! Memory a connection: thousands of one kind are opened and left alone, and what the peer's processes have resident
//! more is divided by them. Then they are closed, and some seconds later it is seen what was given back. Linux only.
//!
//! What a system's sockets take is not in it: that is the kernel's, and the same for every peer.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::load::held;
use crate::peers::{Peer, Proxy};
use crate::settings::Settings;
use crate::upstream::RunningUpstream;

/// From the last connection's close to the look at what was given back.
pub const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(5);

/// How long connections are left alone before they are counted.
const SETTLED: Duration = Duration::from_secs(3);

/// Opened and closed beforehand, so that what a peer makes once is no connection's.
const BEFORE: usize = 100;

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Held {
    /// Its next request; it had one.
    Idle,
    /// The next event of a stream that had one.
    Events,
    /// The rest of a body, of which 1 KiB was sent.
    Upload,
    /// The next message of a WebSocket that had one.
    WebSocket,
    /// The same over TLS.
    SecureWebSocket,
}

impl Held {
    pub fn title(self) -> &'static str {
        match self {
            Self::Idle => "kept connection, idle",
            Self::Events => "event stream, silent",
            Self::Upload => "POST, stalled",
            Self::WebSocket => "WebSocket, idle",
            Self::SecureWebSocket => "WebSocket over TLS, idle",
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}

/// What one peer had resident, in bytes; pages that its processes share are counted once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Memory {
    pub peer: Peer,
    pub held: Held,
    pub connections: usize,
    pub before: u64,
    pub open: u64,
    /// Some seconds after the connections were closed.
    pub closed: u64,
}

impl Memory {
    /// Of one connection.
    pub fn kib(&self) -> f64 {
        self.open.saturating_sub(self.before) as f64 / 1024.0 / self.connections as f64
    }

    /// How much of it was given back, from 0 to 1.
    pub fn given_back(&self) -> f64 {
        let taken = self.open.saturating_sub(self.before).max(1);
        self.open.saturating_sub(self.closed.max(self.before)) as f64 / taken as f64
    }
}

/// The figure of a peer.
pub fn of(all: &[Memory], peer: Peer, held: Held) -> Option<&Memory> {
    all.iter().find(|memory| memory.peer == peer && memory.held == held)
}

pub fn measure(settings: &Settings, peers: &[Peer]) -> Result<Vec<Memory>> {
    let upstream = RunningUpstream::start(&settings.cores.both())?;
    let peers = peers.iter().filter(|peer| peer.enforces());
    let all = peers.flat_map(|peer| Held::value_variants().iter().map(|held| (*peer, *held)));
    all.map(|(peer, held)| one(settings, &upstream, peer, held).with_context(|| format!("{peer}: {held}")))
        .collect()
}

/// In a process of its own: what one kind leaves behind is no other's.
fn one(settings: &Settings, upstream: &RunningUpstream, peer: Peer, held: Held) -> Result<Memory> {
    let proxy = Proxy::with_few_rules(peer, upstream.addr, &settings.cores.both())?;
    let resident_after = |pause: Duration| {
        std::thread::sleep(pause);
        proxy.running.resident()
    };
    held::while_open(held, &proxy.ground, BEFORE, || ())?;
    let connections = settings.held;
    let before = resident_after(SETTLED);
    let open = held::while_open(held, &proxy.ground, connections, || resident_after(SETTLED))?;
    let closed = resident_after(GIVEN_BACK_WITHIN);
    Ok(Memory { peer, held, connections, before, open, closed })
}
