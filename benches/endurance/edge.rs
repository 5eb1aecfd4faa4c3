//! The edge that endures: the real binary in a folder of its own, before an upstream.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench_support::client::once;
use bench_support::command;
use bench_support::ground::Ground;
use bench_support::process::{Running, Stop, signal};

use crate::admin::{Admin, WRITE_TOKEN};
use crate::load::Target;

/// The longest that a start may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest that an upgrade may take to say how it ended.
const UPGRADE: Duration = Duration::from_secs(180);

/// The page that may embed [`WIDGET`].
pub const SITE: &str = "www.example.com";
/// The widget that is asked for.
pub const WIDGET: &str = "wgt_load";

/// The configuration, in the edge's folder.
pub const CONFIGURATION: &str = "embedgate.toml";

/// What an edge's configuration has beside the usual.
#[derive(Clone, Copy, Default)]
pub struct Spec<'s> {
    /// More keys of `[edge]`, and of `[edge.bounds]`.
    pub edge: &'s str,
    pub bounds: &'s str,
    /// The keys of `[log]`, in place of the usual.
    pub log: Option<&'s str>,
    /// More keys of the loader's route.
    pub loader: &'s str,
    /// The upstream, in place of the ground's.
    pub upstream: Option<SocketAddr>,
    /// More servers of the upstream, and more of its keys.
    pub more_servers: &'s [SocketAddr],
    pub upstream_keys: &'s str,
    /// The most descriptors that the process may have, if that is not the usual.
    pub descriptors: Option<usize>,
    /// The cores that it may have, if those are not all (as `taskset` reads them).
    pub cores: Option<&'s str>,
}

impl Spec<'_> {
    pub fn configuration(&self, ground: &Ground) -> String {
        let Ground { plain, tls, control, .. } = ground;
        let first = self.upstream.unwrap_or(ground.upstream);
        let servers = std::iter::once(&first).chain(self.more_servers).map(|addr| format!("\"{addr}\""));
        let servers = servers.collect::<Vec<_>>().join(", ");
        let log = self.log.unwrap_or("level = \"warn\"\ndecisions = \"off\"\nrequests = \"off\"");
        format!(
            r#"[edge]
listen = ["{plain}"]
public_origins = ["https://edge.example"]
{}
# All clients have one address.
[edge.bounds]
connections_per_address = 20000
{}
[[edge.tls]]
listen = "{tls}"
certificates = [{{ cert = "site.pem", key = "site.key" }}]
[admin]
listen = "{control}"
token_file = "data/admin.tokens"
[rules]
source = "store"
store = {{ path = "data/rules.redb", seed = "seed.json" }}
[log]
{log}
audit = "data/audit.jsonl"
[upstreams.app]
servers = [{servers}]
{}
[[routes]]
path = "/w/{{widget}}/session"
class = "session"
upstream = "app"
[[routes]]
path = "/w/{{widget}}/session/{{*rest}}"
class = "session"
upstream = "app"
[[routes]]
path = "/w/{{widget}}/assets/{{*rest}}"
class = "asset"
upstream = "app"
[[routes]]
path = "/w/{{widget}}/loader.js"
class = "asset"
upstream = "app"
{}
"#,
            self.edge, self.bounds, self.upstream_keys, self.loader
        )
    }
}

/// What an edge needs, not started yet.
pub struct Prepared {
    pub ground: Ground,
    pub binary: PathBuf,
    descriptors: Option<usize>,
    cores: String,
}

impl Prepared {
    /// Writes its files before this upstream.
    pub fn new(binary: &Path, upstream: SocketAddr, spec: Spec<'_>) -> Result<Self> {
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), upstream)?;
        ground.write(CONFIGURATION, &spec.configuration(&ground))?;
        let seed = format!(r#"{{"widgets": [{{"id": "{WIDGET}", "allowed_domains": ["{SITE}"]}}]}}"#);
        ground.write("seed.json", &seed)?;
        let tokens = ground.write("data/admin.tokens", &format!("write {WRITE_TOKEN}\n"))?;
        fs::set_permissions(tokens, fs::Permissions::from_mode(0o600))?;
        let cores = spec.cores.map_or_else(crate::cores, str::to_owned);
        Ok(Self { ground, binary: binary.to_owned(), descriptors: spec.descriptors, cores })
    }

    pub fn command(&self) -> Vec<OsString> {
        let limit = self.descriptors.map(|most| command!["prlimit", format!("--nofile={most}:{most}")]);
        let command = command![&self.binary, "--config", CONFIGURATION];
        limit.into_iter().flatten().chain(command).collect()
    }

    pub fn target(&self) -> Target {
        let (widget, site) = (WIDGET.to_owned(), SITE.to_owned());
        Target { plain: self.ground.plain, tls: self.ground.tls, widget, site }
    }

    pub fn admin(&self) -> Admin {
        Admin { addr: self.ground.control }
    }

    /// Whether it serves.
    pub fn is_ready(&self) -> bool {
        let request = self.target().request("loader.js", "Connection: close\r\n");
        once(self.ground.plain, &request).is_ok_and(|status| status == 200)
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Result<Edge> {
        let running = self.run()?;
        let current = running.id();
        Ok(Edge { prepared: self, running, successors: Vec::new(), current })
    }

    fn run(&self) -> Result<Running> {
        let mut running =
            Running::start("edge", &self.cores, &self.command(), self.ground.folder(), Stop::Terminate)?;
        running.wait_until(PATIENCE, || self.is_ready())?;
        Ok(running)
    }
}

/// A running edge, with all processes that took over from it; ended when dropped.
pub struct Edge {
    pub prepared: Prepared,
    running: Running,
    successors: Vec<u32>,
    current: u32,
}

impl Edge {
    pub fn start(binary: &Path, upstream: SocketAddr, spec: Spec<'_>) -> Result<Self> {
        Prepared::new(binary, upstream, spec)?.start()
    }

    pub fn target(&self) -> Target {
        self.prepared.target()
    }

    pub fn admin(&self) -> Admin {
        self.prepared.admin()
    }

    /// The process that was started.
    pub fn running(&self) -> &Running {
        &self.running
    }

    /// The process that serves.
    pub fn id(&self) -> u32 {
        self.current
    }

    /// Kills the process, which can do nothing more, and starts it again; when it was killed.
    pub fn kill_and_start(&mut self) -> Result<Instant> {
        let killed = Instant::now();
        signal("KILL", &[self.running.id()]);
        while !self.running.has_ended() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.running = self.prepared.run()?;
        self.current = self.running.id();
        Ok(killed)
    }

    /// Replaces the running process; the time that the command took.
    pub fn upgrade(&mut self, by: &Path) -> Result<Duration> {
        let started = Instant::now();
        let output = self.try_upgrade(by, CONFIGURATION)?;
        let took = started.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let log = self.running.said();
            let last = log.lines().last().unwrap_or_default();
            bail!("upgrade: {}: {said}{} ({last})", output.status, String::from_utf8_lossy(&output.stderr));
        }
        let answer: serde_json::Value = serde_json::from_str(&said).with_context(|| said.to_string())?;
        let id = answer["pid"].as_u64().and_then(|id| u32::try_from(id).ok());
        self.current = id.with_context(|| format!("no pid in {said}"))?;
        self.successors.push(self.current);
        Ok(took)
    }

    /// Asks for an upgrade, with this configuration; how the command ended, for better or worse.
    pub fn try_upgrade(&self, by: &Path, configuration: &str) -> Result<Output> {
        let mut child = Command::new(by)
            .args(["upgrade", "--config", configuration, "--json"])
            .current_dir(self.prepared.ground.folder())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("embedgate upgrade")?;
        let deadline = Instant::now() + UPGRADE;
        while child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                child.kill()?;
                bail!("upgrade: not over after {UPGRADE:?}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(child.wait_with_output()?)
    }

    /// The ids of all processes that are still there.
    pub fn living(&self) -> Vec<u32> {
        let all = std::iter::once(self.running.id()).chain(self.successors.iter().copied());
        all.filter(|id| is_alive(*id)).collect()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Twice: a second signal ends at once.
        for _ in 0..2 {
            signal("TERM", &self.successors);
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.successors.iter().any(|id| is_alive(*id)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let left: Vec<u32> = self.successors.iter().copied().filter(|id| is_alive(*id)).collect();
        if !left.is_empty() {
            signal("KILL", &left);
        }
    }
}

/// Whether this process runs: one that has ended and waits for its parent does not.
pub fn is_alive(id: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
