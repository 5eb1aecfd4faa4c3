//! An upstream that tells what has reached it: a process of its own, so that thousands of connections to it take nobody
//! else's descriptors.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench_support::client::Connection;
use bench_support::process::{self, Running, Stop};
use bench_support::{command, ports};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

mod connection;
mod request;
mod state;

/// The length of what `.../large` answers: more than a client and the system keep for a client that takes nothing, but
/// little more, because thousands are kept at once.
pub const LARGE: usize = 112 * 1024;
/// How long `.../late` takes.
pub const LATE: Duration = Duration::from_millis(300);

/// How often it is asked for what it has seen.
const TRIES: usize = 20;

/// How it treats requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Temper {
    /// Answers.
    Well,
    /// Answers, and remembers the heads.
    Remembers,
    /// Takes requests and says nothing.
    Hangs,
    /// Takes requests and closes.
    Closes,
    /// Closes now and then, at any moment.
    Fickle,
}

/// The process's arguments.
#[derive(Args)]
pub struct Role {
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long, value_enum)]
    temper: Temper,
}

impl Role {
    /// Serves until it is ended.
    pub fn run(&self) -> Result<()> {
        crate::load::on_this_thread(connection::accept(self.listen, self.temper))
    }
}

/// What has reached it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Seen {
    /// Connections now, at most, and in all.
    pub connections: u64,
    pub most_connections: u64,
    pub accepted: u64,
    /// Requests at once at most, and in all.
    pub most_at_once: u64,
    pub requests: u64,
    /// How often each id came that a request said.
    pub ids: BTreeMap<String, u64>,
    /// Heads, if they are remembered.
    pub heads: Vec<String>,
}

/// A running one; ended when dropped.
pub struct Witness {
    pub addr: SocketAddr,
    running: Running,
    _folder: TempDir,
}

impl Witness {
    pub fn start(temper: Temper) -> Result<Self> {
        let addr = ports::free();
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let name = temper.to_possible_value().context("a name")?.get_name().to_owned();
        let program = std::env::current_exe()?;
        let command = command![program, "witness", "--listen", addr.to_string(), "--temper", name];
        let mut running =
            Running::start("witness", &crate::cores(), &command, folder.path(), Stop::Terminate)?;
        running.wait_until(Duration::from_secs(10), || Connection::open(addr).is_ok())?;
        Ok(Self { addr, running, _folder: folder })
    }

    /// Keeps it on these cores.
    pub fn keep_on(&self, cores: &str) -> Result<()> {
        process::pin(self.running.id(), cores)
    }

    pub fn seen(&self) -> Result<Seen> {
        Ok(serde_json::from_str(&self.ask("/seen")?)?)
    }

    /// Counts from now on.
    pub fn forget(&self) -> Result<()> {
        self.ask("/forget").map(drop)
    }

    /// Again and again: a fickle one closes on whom it likes.
    fn ask(&self, path: &str) -> Result<String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: witness\r\n\r\n");
        let ask = || Connection::open(self.addr)?.ask(request.as_bytes());
        let answer = (0..TRIES).find_map(|_| ask().ok());
        let (status, body) = answer.with_context(|| format!("no answer from a witness to {path}"))?;
        ensure!(status == 200, "{path}: {status}");
        Ok(body)
    }
}
