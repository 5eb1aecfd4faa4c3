//! A crowd of slow clients: a process of its own, which keeps as many connections open as it is let.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bench_support::client::tls::connector;
use bench_support::command;
use bench_support::process::{Running, Stop};
use clap::{Args, ValueEnum};
use rustls::client::Resumption;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

mod client;
mod kind;

pub use kind::Kind;

/// Connections that are opened at once.
const AT_ONCE: usize = 64;
/// Between two reports.
const REPORT: Duration = Duration::from_millis(250);
/// The longest that opening all of them may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process's arguments.
#[derive(Args)]
pub struct Role {
    #[arg(long, value_enum)]
    kind: Kind,
    #[arg(long)]
    addr: SocketAddr,
    #[arg(long)]
    count: usize,
}

impl Role {
    /// Opens them and holds them until it is ended.
    pub fn run(&self) -> Result<()> {
        crate::load::on_this_thread(hold(self.kind, self.addr, self.count))
    }
}

/// What has become of the clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Report {
    /// Clients that were let in, and those that were not.
    pub opened: usize,
    pub refused: usize,
    /// Those of the first that know that it is over, and how it ended.
    pub ended: usize,
    pub said: BTreeMap<String, usize>,
}

async fn hold(kind: Kind, addr: SocketAddr, count: usize) -> Result<()> {
    let report = Rc::new(RefCell::new(Report::default()));
    let gate = Rc::new(Semaphore::new(AT_ONCE));
    let connector = connector(b"h2", Resumption::disabled())?;
    let mut clients = JoinSet::new();
    for number in 0..count {
        let (report, gate, connector) = (Rc::clone(&report), Rc::clone(&gate), connector.clone());
        clients.spawn_local(async move { client::run(kind, addr, number, &gate, &connector, &report).await });
    }
    let mut last = Report::default();
    loop {
        tokio::time::sleep(REPORT).await;
        let now = report.borrow().clone();
        if now != last {
            println!("{}", serde_json::to_string(&now)?);
            last = now;
        }
    }
}

/// A running one; its connections end with it.
pub struct Crowd {
    running: Running,
    started: Instant,
    count: usize,
    _folder: TempDir,
}

impl Crowd {
    pub fn start(kind: Kind, addr: SocketAddr, count: usize) -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let name = kind.to_possible_value().context("a name")?.get_name().to_owned();
        let command = command![
            std::env::current_exe()?,
            "crowd",
            "--kind",
            name,
            "--addr",
            addr.to_string(),
            "--count",
            count.to_string()
        ];
        let running = Running::start("crowd", &crate::cores(), &command, folder.path(), Stop::Terminate)?;
        Ok(Self { running, started: Instant::now(), count, _folder: folder })
    }

    /// The last report.
    pub fn report(&self) -> Report {
        let said = self.running.said();
        let last = said.lines().rev().find_map(|line| serde_json::from_str(line).ok());
        last.unwrap_or_default()
    }

    /// Whether each client was let in or turned away; an error if that takes too long.
    pub fn is_there(&self) -> Result<bool> {
        let report = self.report();
        let is_there = report.opened + report.refused >= self.count;
        ensure!(
            is_there || self.started.elapsed() < PATIENCE,
            "of {} clients only {report:?} after {PATIENCE:?}",
            self.count
        );
        Ok(is_there)
    }
}
