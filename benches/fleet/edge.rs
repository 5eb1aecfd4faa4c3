//! An edge of the fleet: the real binary in a folder of its own, with a name of its own.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bench_support::command;
use bench_support::ground::Ground;
use bench_support::process::{Running, Stop, signal};

use crate::admin::{Admin, WRITE_TOKEN};
use crate::bucket::BUCKET;
use crate::relay::Link;
use crate::verdict::Asker;

const CONFIGURATION: &str = "embedgate.toml";
/// Between two looks whether it is ready.
const PAUSE: Duration = Duration::from_millis(2);

/// An edge; ended when dropped.
pub struct Edge {
    pub name: String,
    pub ground: Ground,
    binary: PathBuf,
    /// Its link to the servers, where it has one.
    pub link: Option<Link>,
    running: Option<Running>,
}

/// What an edge of a fleet is made of.
pub struct Parts<'p> {
    pub name: String,
    pub binary: &'p Path,
    pub upstream: SocketAddr,
    /// URLs of the servers, or of the link to them.
    pub servers: Vec<String>,
    pub link: Option<Link>,
    /// The key file of all edges.
    pub ticket_keys: &'p Path,
    /// More keys of `rules.nats`.
    pub keys: &'p str,
    pub max_staleness: Option<&'p str>,
}

impl Edge {
    /// Writes its files.
    pub fn prepare(parts: Parts<'_>) -> Result<Self> {
        let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), parts.upstream)?;
        ground.write(CONFIGURATION, &configuration(&parts, &ground))?;
        let tokens = ground.write("data/admin.tokens", &format!("write {WRITE_TOKEN}\n"))?;
        fs::set_permissions(tokens, fs::Permissions::from_mode(0o600))?;
        let binary = parts.binary.to_owned();
        Ok(Self { name: parts.name, ground, binary, link: parts.link, running: None })
    }

    /// Starts it; it is not ready yet.
    pub fn begin(&mut self) -> Result<()> {
        let command = command![&self.binary, "--config", CONFIGURATION];
        let running =
            Running::start(&self.name, &crate::cores(), &command, self.ground.folder(), Stop::Terminate)?;
        self.running = Some(running);
        Ok(())
    }

    /// Waits until it is ready; how long that took.
    pub async fn ready(&mut self, patience: Duration) -> Result<Duration> {
        let started = Instant::now();
        let mut admin = self.admin();
        while !admin.is_ready().await {
            let running = self.running.as_mut().context("it was not started")?;
            if running.has_ended() || started.elapsed() > patience {
                bail!("{} isn't ready after {:?}: {}", self.name, started.elapsed(), self.last_words());
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(started.elapsed())
    }

    /// Ends it in order.
    pub fn stop(&mut self) {
        drop(self.running.take());
    }

    /// Kills the process, which can do nothing more.
    pub fn kill(&mut self) {
        self.signal("KILL");
        drop(self.running.take());
    }

    /// Stops the process where it stands, as a machine does that is out of memory or moved.
    pub fn freeze(&self) {
        self.signal("STOP");
        if let Some(running) = &self.running {
            running.wait_until_stopped();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let said = self.running.as_ref().map(Running::said).unwrap_or_default();
        said.lines().last().unwrap_or_default().to_owned()
    }

    pub fn admin(&self) -> Admin {
        Admin::new(self.ground.control)
    }

    pub fn asker(&self) -> Asker {
        Asker::new(&self.name, self.ground.plain)
    }

    fn signal(&self, name: &str) {
        if let Some(running) = &self.running {
            signal(name, &[running.id()]);
        }
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // A stopped process doesn't hear that it is to end.
        self.thaw();
    }
}

fn configuration(parts: &Parts<'_>, ground: &Ground) -> String {
    let Parts { name, upstream, servers, ticket_keys, keys, .. } = parts;
    let Ground { plain, control, .. } = ground;
    let limit = parts.max_staleness.map(|limit| format!("[policy]\nmax_staleness = \"{limit}\"\n"));
    let policy = limit.unwrap_or_default();
    format!(
        r#"[edge]
listen = ["{plain}"]
public_origins = ["https://edge.example"]
# All clients have one address.
[edge.bounds]
connections_per_address = 20000
[admin]
listen = "{control}"
token_file = "data/admin.tokens"
[rules]
source = "nats"
[rules.nats]
servers = {servers:?}
bucket = "{BUCKET}"
cache = "data/fleet.redb"
edge = "{name}"
{keys}
{policy}[tickets]
key_file = "{}"
[log]
level = "info"
decisions = "off"
requests = "off"
audit = "data/audit.jsonl"
[upstreams.app]
servers = ["{upstream}"]
[[routes]]
path = "/w/{{widget}}/loader.js"
class = "asset"
upstream = "app"
[[routes]]
path = "/w/{{widget}}/token"
class = "session"
upstream = "app"
opens = true
"#,
        ticket_keys.display()
    )
}
