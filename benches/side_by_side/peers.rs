//! Who is compared: each prepared with the same rules, and started.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bench_support::client::once;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::command;
use crate::ground::Ground;
use crate::process::{self, Running, Stop};
use crate::rules;
use crate::scenario::{Kind, Request};

pub mod bare;
mod embedgate;
mod haproxy;
mod nginx;

pub use embedgate::WRITE_TOKEN;
pub use nginx::Rules as NginxRules;

/// One of those that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum Peer {
    NginxMap,
    NginxLua,
    Haproxy,
    Bare,
    Embedgate,
}

impl Peer {
    pub fn title(self) -> &'static str {
        match self {
            Self::NginxMap => "nginx, map",
            Self::NginxLua => "nginx, lua",
            Self::Haproxy => "HAProxy, map file",
            Self::Bare => "pingora, bare",
            Self::Embedgate => "embedgate",
        }
    }

    /// Whether it enforces anything.
    pub fn enforces(self) -> bool {
        self != Self::Bare
    }

    /// An error that says what is missing.
    pub fn is_installed(self) -> Result<()> {
        let (is_there, package) = match self {
            Self::NginxMap => (process::is_found("nginx"), "nginx"),
            Self::NginxLua => (nginx::lua_modules().is_some(), "libnginx-mod-http-lua"),
            Self::Haproxy => (process::is_found("haproxy"), "haproxy"),
            Self::Bare | Self::Embedgate => (true, ""),
        };
        if is_there {
            Ok(())
        } else {
            bail!("{self} is missing: install {package}, or run `make bench-peers`")
        }
    }

    /// What it says its version is.
    pub fn version(self) -> Result<String> {
        let first = |command: &[OsString]| {
            let said = process::output(command, Path::new("."))?;
            Ok::<_, anyhow::Error>(said.lines().next().unwrap_or_default().to_owned())
        };
        match self {
            Self::NginxMap | Self::NginxLua => first(&command!["nginx", "-v"]),
            Self::Haproxy => first(&command!["haproxy", "-v"]),
            Self::Bare => bare::version(),
            Self::Embedgate => first(&command![embedgate::binary(), "--version"]),
        }
    }

    /// Writes its configuration and the rules of so many widgets, and gives back the command that starts it.
    pub fn prepare(self, ground: &Ground, widgets: usize, process: Process) -> Result<Vec<OsString>> {
        match self {
            Self::NginxMap => nginx::prepare(ground, nginx::Rules::Map, widgets, process),
            Self::NginxLua => nginx::prepare(ground, nginx::Rules::Lua, widgets, process),
            Self::Haproxy => haproxy::prepare(ground, widgets),
            Self::Bare => bare::prepare(ground),
            Self::Embedgate => embedgate::prepare(ground, widgets),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.title())
    }
}

/// In which way it is run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// As in production.
    Usual,
    /// In one process: a profiler counts that one.
    Single,
}

/// A peer that answers.
pub struct Proxy {
    pub peer: Peer,
    pub ground: Ground,
    pub running: Running,
    /// From the start of the process to the first right answer.
    pub started_in: Duration,
}

impl Proxy {
    /// Starts `command` on `cores` and waits until a listed site gets its widget.
    pub fn start(peer: Peer, ground: Ground, cores: &str, command: &[OsString]) -> Result<Self> {
        let started = Instant::now();
        // pingora takes its time on TERM.
        let stop = match peer {
            Peer::Bare | Peer::Embedgate => Stop::Interrupt,
            Peer::NginxMap | Peer::NginxLua | Peer::Haproxy => Stop::Terminate,
        };
        let name = format!("{peer:?}").to_lowercase();
        let mut running = Running::start(&name, cores, command, ground.folder(), stop)?;
        let request = Request {
            kind: Kind::Get,
            path: format!("/w/{}/loader.js", rules::id(0)),
            origin: Some("https://site0.example.com".to_owned()),
        };
        let request = request.bytes();
        running.wait_until(Duration::from_secs(300), || {
            once(ground.plain, &request).is_ok_and(|status| status == 200)
        })?;
        Ok(Self { peer, ground, running, started_in: started.elapsed() })
    }

    /// Prepares and starts it with few rules, as in production.
    pub fn with_few_rules(peer: Peer, upstream: std::net::SocketAddr, cores: &str) -> Result<Self> {
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), upstream)?;
        let command = peer.prepare(&ground, rules::FEW, Process::Usual)?;
        Self::start(peer, ground, cores, &command)
    }
}
