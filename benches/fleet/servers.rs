//! NATS servers: one, or a cluster, each a real process with a folder of its own.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, context::Context as JetStream};
use bench_support::process::{Running, Stop, is_found, output, signal};
use bench_support::{command, ports};
use tempfile::TempDir;

use crate::bucket::until;
use crate::certificates::Authority;

/// The longest that a server may take to accept connections.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest that a cluster may take to agree on who leads.
const ELECTION: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The program: this one, or that of the environment.
pub fn program(named: Option<PathBuf>) -> Result<PathBuf> {
    let variable = || std::env::var_os("EMBEDGATE_NATS_SERVER").map(PathBuf::from);
    let named = named.or_else(variable).unwrap_or_else(|| "nats-server".into());
    ensure!(
        is_found(&named),
        "no program {}: run `make setup-nats`, or name one with --nats or EMBEDGATE_NATS_SERVER",
        named.display()
    );
    Ok(if named.components().count() > 1 { named.canonicalize()? } else { named })
}

/// Servers that know each other; ended when dropped.
pub struct Servers {
    program: PathBuf,
    folder: TempDir,
    all: Vec<Server>,
    /// With it they speak TLS alone, and ask for certificates.
    pub authority: Option<Authority>,
}

struct Server {
    addr: SocketAddr,
    route: SocketAddr,
    store: PathBuf,
    running: Option<Running>,
}

impl Servers {
    /// So many, running, with JetStream ready. `store`: the folder of their data, if not their own.
    pub async fn start(program: &Path, count: usize, tls: bool, store: Option<&Path>) -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let server = |number: usize| Server {
            addr: ports::free(),
            route: ports::free(),
            store: store.unwrap_or(folder.path()).join(format!("store-{number}")),
            running: None,
        };
        let all = (0..count).map(server).collect();
        let authority = tls.then(Authority::new).transpose()?;
        if let Some(authority) = &authority {
            authority.write(folder.path())?;
            authority.issue(folder.path(), "server", YEAR)?;
            authority.issue(folder.path(), "bench", YEAR)?;
        }
        let mut this = Self { program: program.to_owned(), folder, all, authority };
        for number in 0..count {
            this.begin(number)?;
        }
        this.wait_until_accepting()?;
        this.jetstream().await?;
        Ok(this)
    }

    pub fn count(&self) -> usize {
        self.all.len()
    }

    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.all.iter().map(|server| server.addr).collect()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a server's data.
    pub fn store(&self, number: usize) -> &Path {
        &self.all[number].store
    }

    /// Starts one that has ended.
    pub fn begin(&mut self, number: usize) -> Result<()> {
        let configuration = self.folder.path().join(format!("nats-{number}.conf"));
        fs::write(&configuration, self.configuration(number))?;
        let name = format!("nats-{number}");
        let command = command![&self.program, "-c", configuration];
        let running = Running::start(&name, &crate::cores(), &command, self.folder.path(), Stop::Terminate)?;
        self.all[number].running = Some(running);
        Ok(())
    }

    /// Waits until all that run accept connections.
    pub fn wait_until_accepting(&mut self) -> Result<()> {
        for server in &mut self.all {
            let addr = server.addr;
            if let Some(running) = &mut server.running {
                running.wait_until(PATIENCE, || TcpStream::connect(addr).is_ok())?;
            }
        }
        Ok(())
    }

    /// Whether one that was started has ended by itself.
    pub fn has_ended(&mut self, number: usize) -> bool {
        self.all[number].running.as_mut().is_some_and(Running::has_ended)
    }

    /// Ends one in order.
    pub fn stop(&mut self, number: usize) {
        drop(self.all[number].running.take());
    }

    /// Ends one as a power cut does, but for its disk.
    pub fn kill(&mut self, number: usize) {
        if let Some(running) = self.all[number].running.take() {
            signal("KILL", &[running.id()]);
        }
    }

    pub fn stop_all(&mut self) {
        (0..self.count()).for_each(|number| self.stop(number));
    }

    pub fn begin_all(&mut self) -> Result<()> {
        (0..self.count()).try_for_each(|number| self.begin(number))?;
        self.wait_until_accepting()
    }

    /// Copies the data of all, which have ended.
    pub fn copy_stores(&self, to: &Path) -> Result<()> {
        self.all
            .iter()
            .enumerate()
            .try_for_each(|(number, server)| copy(&server.store, &to.join(number.to_string())))
    }

    /// Puts a copy of the data in place of it.
    pub fn put_back_stores(&self, from: &Path) -> Result<()> {
        self.all.iter().enumerate().try_for_each(|(number, server)| {
            fs::remove_dir_all(&server.store)?;
            copy(&from.join(number.to_string()), &server.store)
        })
    }

    /// A new connection to all of them, once JetStream answers.
    pub async fn jetstream(&self) -> Result<JetStream> {
        let urls: Vec<String> =
            self.addrs().iter().map(|addr| format!("{}://{addr}", self.scheme())).collect();
        let mut options = async_nats::ConnectOptions::new().name("bench");
        if self.authority.is_some() {
            let file = |name: &str| self.folder.path().join(name);
            options = options
                .add_root_certificates(file("ca.pem"))
                .add_client_certificate(file("bench.pem"), file("bench.key"))
                .require_tls(true);
        }
        let client = options.retry_on_initial_connect().connect(urls).await?;
        let jetstream = jetstream::new(client);
        until("JetStream answers", ELECTION, async || jetstream.query_account().await.is_ok()).await?;
        Ok(jetstream)
    }

    pub fn scheme(&self) -> &'static str {
        if self.authority.is_some() { "tls" } else { "nats" }
    }

    fn configuration(&self, number: usize) -> String {
        let Server { addr, route, store, .. } = &self.all[number];
        let routes = self.all.iter().map(|server| format!("\"nats-route://{}\"", server.route));
        let cluster = format!(
            "cluster {{ name: fleet, listen: \"{route}\", no_advertise: true, routes: [{}] }}\n",
            routes.collect::<Vec<_>>().join(", ")
        );
        let tls = "tls { cert_file: server.pem, key_file: server.key, ca_file: ca.pem, verify: true }\n";
        // A limit of its own would be met before the disk is full.
        format!(
            "server_name: nats-{number}\nlisten: \"{addr}\"\n\
             jetstream {{ store_dir: \"{}\", sync_interval: always, max_file_store: 100GB }}\n{}{}",
            store.display(),
            if self.count() > 1 { &cluster } else { "" },
            if self.authority.is_some() { tls } else { "" },
        )
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    output(&command!["cp", "-a", from, to], Path::new(".")).context("a copy of a store").map(drop)
}
