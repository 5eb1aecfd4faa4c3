//! nginx and HAProxy reloaded under the same load, for what their clients lose.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};
use bench_support::client::once;
use bench_support::command;
use bench_support::ground::Ground;
use bench_support::process::{self, Running, Stop};

use crate::edge::{Edge, Spec};
use crate::load::{Load, Mix, Tally, Target};
use crate::rows::{Rows, counted, text};
use crate::upgrade::nothing_lost;
use crate::{Settings, edge, upstreams};

mod haproxy;
mod nginx;

/// Time before the first reload, and after each.
const PAUSE: Duration = Duration::from_secs(1);

/// One of those that embedgate is held against.
#[derive(Clone, Copy, Debug)]
pub enum Peer {
    Nginx,
    Haproxy,
}

/// How a peer is configured.
pub struct PeerSpec {
    /// The servers of its upstream.
    pub servers: Vec<SocketAddr>,
    /// The most connections of a process.
    pub connections: usize,
    /// nginx closes a connection after so many requests; `None`: after as many as it ships with.
    pub requests: Option<u64>,
    /// How long a silent server is waited for.
    pub read_timeout: Duration,
}

impl Peer {
    pub const ALL: [Self; 2] = [Self::Nginx, Self::Haproxy];

    pub fn title(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        }
    }

    fn prepare(self, ground: &Ground, spec: &PeerSpec) -> Result<Vec<std::ffi::OsString>> {
        match self {
            Self::Nginx => nginx::prepare(ground, spec),
            Self::Haproxy => haproxy::prepare(ground, spec),
        }
    }

    /// Starts it and waits until it serves.
    pub fn start(self, ground: &Ground, spec: &PeerSpec) -> Result<(Running, Target)> {
        let name = self.title().to_lowercase();
        if !process::is_found(&name) {
            bail!("{name} is missing: install it, or run `make endurance`");
        }
        let command = self.prepare(ground, spec)?;
        let (widget, site) = (edge::WIDGET.to_owned(), edge::SITE.to_owned());
        let target = Target { plain: ground.plain, tls: ground.tls, widget, site };
        let request = target.request("loader.js", "Connection: close\r\n");
        let mut running =
            Running::start(self.title(), &crate::cores(), &command, ground.folder(), Stop::Terminate)?;
        running.wait_until(Duration::from_secs(30), || {
            once(target.plain, &request).is_ok_and(|status| status == 200)
        })?;
        Ok((running, target))
    }

    fn reload(self, ground: &Ground, running: &Running) -> Result<()> {
        match self {
            Self::Nginx => process::output(
                &[&nginx::command(ground)[..], &command!["-s", "reload"]].concat(),
                ground.folder(),
            )
            .map(drop),
            Self::Haproxy => {
                process::signal("USR2", &[running.id()]);
                Ok(())
            }
        }
    }
}

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let reloads = settings.count(5, 2);
    for peer in Peer::ALL {
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), upstreams::start()?)?;
        let tally = reloaded(peer, &ground, reloads)?;
        tell(rows, &format!("peers: {}, {reloads} reloads", peer.title()), &tally);
    }
    let mut edge = Edge::start(&settings.binary, upstreams::start()?, Spec::default())?;
    let load = Load::start(&edge.target(), Mix::USUAL);
    std::thread::sleep(PAUSE);
    for _ in 0..reloads {
        edge.upgrade(&settings.binary)?;
        std::thread::sleep(PAUSE);
    }
    let tally = load.stop()?;
    let name = format!("peers: embedgate, {reloads} upgrades");
    rows.told(format!("{name}: requests answered"), tally.answered.get());
    nothing_lost(rows, &name, &tally);
    Ok(())
}

fn reloaded(peer: Peer, ground: &Ground, reloads: usize) -> Result<std::sync::Arc<Tally>> {
    let spec = PeerSpec {
        servers: vec![ground.upstream],
        connections: 4096,
        requests: Some(1_000_000_000),
        read_timeout: Duration::from_secs(60),
    };
    let (running, target) = peer.start(ground, &spec)?;
    let load = Load::start(&target, Mix::USUAL);
    std::thread::sleep(PAUSE);
    for _ in 0..reloads {
        peer.reload(ground, &running)?;
        std::thread::sleep(PAUSE);
    }
    load.stop()
}

/// What the clients saw, with nothing wanted of it.
fn tell(rows: &mut Rows, name: &str, tally: &Tally) {
    rows.told(format!("{name}: requests answered"), tally.answered.get());
    for (what, count) in [
        ("connections refused", &tally.refused),
        ("requests lost on reused connections", &tally.lost_reused),
        ("requests lost on new connections", &tally.lost_new),
        ("HTTP/2 requests turned away", &tally.turned_away),
        ("answers other than 200", &tally.wrong),
        ("sessions cut", &tally.cut),
    ] {
        rows.told(format!("{name}: {what}"), counted(count.get(), &count.first()));
    }
    rows.told(format!("{name}: slowest answer"), text(tally.slowest()));
}

/// A file of the ground, as text for a configuration.
fn read(ground: &Ground, name: &str) -> Result<String> {
    Ok(std::fs::read_to_string(Path::new(&ground.path(name)))?)
}
