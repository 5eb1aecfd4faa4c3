//! The upstream of every peer, as a process of its own on one thread.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::client::{Connection, once};
use bench_support::upstream::{self, Answers};
use clap::Args;
use tokio::net::TcpListener;

use crate::process::{Running, Stop};
use crate::{command, ports};

/// How this program is told to be it.
#[derive(Args)]
pub struct Upstream {
    #[arg(long)]
    listen: SocketAddr,
}

/// A running one.
pub struct RunningUpstream {
    pub addr: SocketAddr,
    process: Running,
}

impl RunningUpstream {
    /// Starts it on these cores.
    pub fn start(cores: &str) -> Result<Self> {
        let addr = ports::free();
        let command = command![std::env::current_exe()?, "upstream", "--listen", addr.to_string()];
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut process = Running::start("upstream", cores, &command, folder, Stop::Terminate)?;
        process.wait_until(Duration::from_secs(10), || once(addr, COUNT).is_ok())?;
        Ok(Self { addr, process })
    }

    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    /// How many answers it has given.
    pub fn answers(&self) -> Result<u64> {
        let (_, body) = Connection::open(self.addr)?.ask(COUNT)?;
        body.trim().parse().context("a count")
    }
}

const COUNT: &[u8] = b"GET /count HTTP/1.1\r\nHost: upstream\r\n\r\n";

impl Upstream {
    /// Serves until a signal comes.
    pub fn run(self) -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let listener = TcpListener::bind(self.listen).await?;
            upstream::serve(&listener, Box::leak(Box::new(Answers::new("")))).await
        })
    }
}
