//! Real NATS servers with JetStream, one or a cluster, in folders of their own, and a look into their buckets.

pub mod bucket;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::disk::quick_folder;
use super::{LONG, in_time, ports, python};
use bucket::Bucket;

/// How to start a server. What is left out: no TLS, no passwords, alone.
#[derive(Default)]
pub struct NatsSpec {
    /// Where it stores streams; `None`: in a folder of its own.
    pub store: Option<PathBuf>,
    /// More of its configuration: `tls { … }`, `authorization { … }`.
    pub more: String,
    /// Its name, which others of its cluster know it by.
    pub name: Option<String>,
}

/// A NATS server, ended when this is dropped.
pub struct NatsServer {
    /// Where it listens for clients.
    pub addr: SocketAddr,
    name: String,
    store: PathBuf,
    folder: TempDir,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts a server.
    pub async fn start() -> Self {
        Self::start_with(NatsSpec::default()).await
    }

    /// Starts a server like this.
    pub async fn start_with(spec: NatsSpec) -> Self {
        let mut server = Self::prepare(ports::free(), spec);
        server.run().await;
        server
    }

    /// Prepares its folder.
    pub fn prepare(addr: SocketAddr, spec: NatsSpec) -> Self {
        let folder = quick_folder();
        let store = spec.store.unwrap_or_else(|| folder.path().join("store"));
        let name = spec.name.unwrap_or_else(|| "alone".to_owned());
        // What is acknowledged is to be there after any end: without the interval it may not be.
        let config = format!(
            "listen: \"{addr}\"\nserver_name: {name:?}\n\
             jetstream {{ store_dir: {store:?}, sync_interval: always, max_file_store: 1GB }}\n{}\n",
            spec.more
        );
        fs::write(folder.path().join("server.conf"), config).unwrap();
        Self { addr, name, store, folder, process: None }
    }

    /// Starts it, at first or again on the same folder and port, and waits until it answers.
    pub async fn run(&mut self) {
        self.spawn();
        in_time("the NATS server answers", LONG, async || greets(self.addr).await).await;
    }

    /// Starts it, and doesn't wait.
    pub fn spawn(&mut self) {
        let said = File::options().create(true).append(true).open(self.folder.path().join("server.log"));
        let mut command = Command::new(program());
        command.current_dir(self.folder.path()).args(["-c", "server.conf"]).env_clear();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said.unwrap());
        self.process = Some(command.spawn().unwrap());
    }

    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// The folder of its streams.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// A look into a bucket, past every edge.
    pub async fn bucket(&self, name: &str) -> Bucket {
        Bucket::open(&self.url(), name).await
    }

    /// Sends a signal to it.
    pub fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

    /// Stops it as an operator does.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    /// Stops it as a power failure does.
    pub async fn kill(&mut self) {
        self.end("KILL").await;
    }

    async fn end(&mut self, signal: &str) {
        self.signal(signal);
        let mut process = self.process.take().unwrap();
        in_time("the NATS server ends", LONG, async || process.try_wait().unwrap().is_some()).await;
    }

    /// What it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(10).collect();
            eprintln!("the NATS server {} said last, latest first:\n{}", self.name, last.join("\n"));
        }
    }
}

/// Three servers that store everything three times.
pub struct NatsCluster {
    /// The servers.
    pub servers: Vec<NatsServer>,
}

impl NatsCluster {
    /// Starts three servers, and waits until they have a leader.
    pub async fn start() -> Self {
        let (clients, routes) = ([0; 3].map(|_| ports::free()), [0; 3].map(|_| ports::free()));
        let all: Vec<String> = routes.iter().map(|addr| format!("\"nats://{addr}\"")).collect();
        let mut servers = Vec::new();
        for (n, (client, route)) in clients.into_iter().zip(routes).enumerate() {
            // Clients keep to the addresses that they were told: some lead through a relay.
            let more = format!(
                "cluster {{ name: tests, listen: \"{route}\", no_advertise: true, routes: [{}] }}",
                all.join(", ")
            );
            let name = Some(format!("server-{}", n + 1));
            servers.push(NatsServer::prepare(client, NatsSpec { more, name, ..NatsSpec::default() }));
        }
        for server in &mut servers {
            server.spawn();
        }
        let cluster = Self { servers };
        cluster.is_whole().await;
        cluster
    }

    /// Waits until all servers answer, and streams can be made.
    pub async fn is_whole(&self) {
        for server in &self.servers {
            in_time("a server of the cluster answers", LONG, async || greets(server.addr).await).await;
            let bucket = server.bucket("none").await;
            // An election takes up to nine seconds.
            in_time("the cluster has a leader", LONG, async || bucket.server_is_ready().await).await;
        }
    }

    /// Where clients find it.
    pub fn urls(&self) -> Vec<String> {
        self.servers.iter().map(NatsServer::url).collect()
    }

    /// The name of a server that is not this one.
    pub fn other_than(&self, name: &str) -> &NatsServer {
        self.servers.iter().find(|server| server.name != name).unwrap()
    }

    /// The server of this name.
    pub fn named(&mut self, name: &str) -> &mut NatsServer {
        self.servers.iter_mut().find(|server| server.name == name).unwrap()
    }
}

/// Whether a server says there what it is, as servers do first.
async fn greets(addr: SocketAddr) -> bool {
    let mut greeting = [0; 5];
    let greeted = async {
        let mut stream = TcpStream::connect(addr).await.ok()?;
        stream.read_exact(&mut greeting).await.ok()
    };
    tokio::time::timeout(Duration::from_secs(1), greeted).await.is_ok_and(|read| read.is_some())
        && &greeting == b"INFO "
}

/// The program.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| python::installed("EMBEDGATE_NATS_SERVER", "nats", "nats-server"))
}
