//! The real binary, started in a folder of its own, and ended by process id.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use tempfile::TempDir;

use super::disk::quick_folder;
use super::{LONG, eventually, in_time, ports};

/// A token of every edge here that may look.
pub const READ_TOKEN: &str = "read-0123456789abcdef0123456789abcdef";
/// One that may change rules.
pub const WRITE_TOKEN: &str = "write-0123456789abcdef0123456789abcdef";

/// How to start an edge. What is left out is as in the shipped configuration, on free ports.
pub struct EdgeSpec {
    /// More keys of `[edge]`.
    pub edge: String,
    /// More keys of `[admin]`.
    pub admin: String,
    /// More tables: upstreams beside `demo`, policy, log, TLS listeners.
    pub more: String,
    /// The routes, or `None` for the usual ones on `upstream`.
    pub routes: Option<String>,
    /// The upstream of the usual routes.
    pub upstream: String,
    /// The rules file.
    pub rules: String,
    /// Where rules come from: `file`, or `store` with the rules file as its seed.
    pub source: &'static str,
    /// Its folder is in memory, where there is room.
    pub in_memory: bool,
    /// `public_origins`; `None`: `http://localhost:PORT`.
    pub public_origins: Option<String>,
}

impl Default for EdgeSpec {
    fn default() -> Self {
        Self {
            edge: String::new(),
            admin: String::new(),
            more: String::new(),
            routes: None,
            upstream: "demo".to_owned(),
            rules: fs::read_to_string("conf/widgets.json").unwrap(),
            source: "file",
            in_memory: false,
            public_origins: None,
        }
    }
}

impl EdgeSpec {
    /// The usual routes on an upstream at this address, with these widgets.
    pub fn on(upstream: SocketAddr, widgets: &Value) -> Self {
        Self {
            upstream: "app".to_owned(),
            more: format!(
                "[upstreams.app]\nservers = [\"{upstream}\"]\n[log]\ndecisions = \"all\"\ndecisions_per_second = 0\n"
            ),
            rules: serde_json::json!({ "widgets": widgets }).to_string(),
            ..Self::default()
        }
    }

    /// The demo behind the usual routes, rules written through the control plane, these to begin with.
    pub fn stored(widgets: &Value) -> Self {
        Self {
            rules: serde_json::json!({ "widgets": widgets }).to_string(),
            source: "store",
            ..Self::default()
        }
    }
}

/// A running edge.
pub struct Edge {
    /// The plain HTTP listener.
    pub http: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
    folder: TempDir,
    process: Child,
}

impl Edge {
    /// Starts an edge and waits until it is ready.
    pub async fn start(spec: EdgeSpec) -> Self {
        let edge = Self::spawn(spec);
        edge.ready().await;
        edge
    }

    /// Starts an edge by this path, and waits until it is ready.
    pub async fn start_as(program: &Path, spec: EdgeSpec) -> Self {
        let change = |command: &mut Command| {
            let folder = command.get_current_dir().unwrap().to_owned();
            *command = Command::new(program);
            let out = File::create(folder.join("out.log")).unwrap();
            command.current_dir(folder).stdin(Stdio::null()).stdout(out).env_clear();
        };
        Self::start_with(change, spec).await
    }

    /// Starts an edge by a command that is changed before, and waits until it is ready.
    pub async fn start_with(change: impl FnOnce(&mut Command), spec: EdgeSpec) -> Self {
        Self::prepare(spec).start_in(change).await
    }

    /// Prepares the folder of an edge.
    pub fn prepare(spec: EdgeSpec) -> PreparedEdge {
        let folder = if spec.in_memory { quick_folder() } else { tempfile::tempdir().unwrap() };
        let (http, admin) = (ports::free(), ports::free());
        write_config(folder.path(), http, admin, &spec);
        PreparedEdge { http, admin, folder }
    }

    /// Starts an edge, ready or not.
    pub fn spawn(spec: EdgeSpec) -> Self {
        Self::prepare(spec).run_in(|_| {})
    }

    /// Starts an edge with other ends of its standard output and error, and waits until it is ready. Returns what
    /// reads them.
    pub async fn start_on(
        spec: EdgeSpec,
        ends: impl FnOnce() -> (Stdio, Stdio),
    ) -> (Self, (Option<ChildStdout>, Option<ChildStderr>)) {
        let PreparedEdge { http, admin, folder } = Self::prepare(spec);
        // For whoever reads the logs that are elsewhere.
        fs::write(folder.path().join("err.log"), "").unwrap();
        let (out, err) = ends();
        let mut process = Self::command(folder.path()).stdout(out).stderr(err).spawn().unwrap();
        let pipes = (process.stdout.take(), process.stderr.take());
        let edge = Self { http, admin, folder, process };
        edge.ready().await;
        (edge, pipes)
    }

    fn run(folder: &Path, change: impl FnOnce(&mut Command)) -> Child {
        let mut command = Self::command(folder);
        command.stdout(File::create(folder.join("out.log")).unwrap());
        change(&mut command);
        command.stderr(File::create(folder.join("err.log")).unwrap()).spawn().unwrap()
    }

    /// Starts it again after its process has ended, in the same folder, and waits until it is ready.
    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with these arguments.
    pub async fn restart_with(&mut self, arguments: &[&str]) {
        self.process = Self::run(self.folder.path(), |command| {
            command.args(arguments);
        });
        self.ready().await;
    }

    /// Starts it again after its process has ended, ready or not.
    pub fn respawn(&mut self) {
        self.process = Self::run(self.folder.path(), |_| {});
    }

    /// Waits until it is ready.
    pub async fn ready(&self) {
        in_time("the edge is ready", LONG, async || self.is_ready().await).await;
    }

    /// Whether it is ready: one that isn't may have no listener yet.
    pub async fn is_ready(&self) -> bool {
        let answer = reqwest::get(format!("http://{}/readyz", self.admin)).await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// The binary, in a folder that holds `conf/`.
    pub fn command(folder: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_embedgate"));
        command.current_dir(folder).stdin(Stdio::null()).env_clear();
        command
    }

    /// Waits for the process to end by itself; its success and its standard error.
    pub async fn ended(mut self) -> (bool, String) {
        (self.exit_code().await == Some(0), self.log())
    }

    /// Waits for the process to end by itself; its exit code, `None` where a signal killed it.
    pub async fn exit_code(&mut self) -> Option<i32> {
        let mut status = None;
        eventually("the process ends", async || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        })
        .await;
        status.unwrap().code()
    }

    /// An address of the edge.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.http)
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The rules file.
    pub fn rules(&self) -> PathBuf {
        self.folder.path().join("conf/widgets.json")
    }

    /// The operational log so far, with everything that the process has said until now.
    pub fn log(&self) -> String {
        let path = self.folder.path().join("err.log");
        let read = || fs::read_to_string(&path).unwrap();
        let marks = |log: &str| log.matches(MARK).count();
        // Its lines wait in a queue, so a line that is asked for shows that those before it are written.
        let before = marks(&read());
        if self.hears_user_signals() {
            self.signal("USR1");
            let until = Instant::now() + MARKED;
            while marks(&read()) == before && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        read().split_inclusive('\n').filter(|line| !line.contains(MARK)).collect()
    }

    /// Whether the process runs and listens to SIGUSR1, which would end it otherwise.
    fn hears_user_signals(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        status.starts_with("Name:\tembedgate\n") && caught & 1 << 9 != 0
    }

    /// The decision log so far, once nothing more is on its way.
    pub fn decisions(&self) -> Vec<Value> {
        self.lines_of("decisions")
    }

    /// The request log so far, once nothing more is on its way.
    pub fn requests(&self) -> Vec<Value> {
        self.lines_of("requests")
    }

    fn lines_of(&self, log: &str) -> Vec<Value> {
        self.standard_output().into_iter().filter(|line| line["log"] == log).collect()
    }

    /// The lines of both so far, once nothing more is on its way: they wait in queues.
    fn standard_output(&self) -> Vec<Value> {
        let read = || fs::read_to_string(self.folder.path().join("out.log")).unwrap();
        let mut text = read();
        loop {
            std::thread::park_timeout(QUIET);
            let more = read();
            if more == text {
                break;
            }
            text = more;
        }
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Sends a signal to the process.
    pub fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args([format!("-{name}"), id]).status().unwrap().success());
    }

    /// Stops the process where it stands, with all its threads.
    pub async fn freeze(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.id());
        eventually("the process stands still", async || {
            let mut tasks = fs::read_dir(&tasks).unwrap().flatten();
            tasks.all(|task| {
                let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
                status.contains("\nState:\tT")
            })
        })
        .await;
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The process's resident memory.
    pub fn resident_bytes(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// The answer of the admin listener.
    pub async fn admin(&self, path: &str) -> reqwest::Response {
        let url = format!("http://{}{path}", self.admin);
        reqwest::Client::new().get(url).bearer_auth(READ_TOKEN).send().await.unwrap()
    }

    /// A call of the control plane that may change rules.
    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let client = reqwest::Client::new();
        client.request(method, format!("http://{}{path}", self.admin)).bearer_auth(WRITE_TOKEN)
    }

    /// Saves a document and tells the status and the answer.
    pub async fn put(&self, document: &Value) -> (u16, Value) {
        let path = format!("/v1/widgets/{}", document["id"].as_str().unwrap());
        let answer = self.api(Method::PUT, &path).json(document).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// The token file.
    pub fn tokens(&self) -> PathBuf {
        self.folder.path().join("data/admin.tokens")
    }

    /// The value of one metric's line, 0 where there is none.
    pub async fn metric(&self, line: &str) -> f64 {
        let text = self.admin("/metrics").await.text().await.unwrap();
        let found = text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or(0.0)
    }

    /// The failed tries at its upstreams that it has counted, as lines of the metrics.
    pub async fn upstream_errors(&self) -> Vec<String> {
        let text = self.admin("/metrics").await.text().await.unwrap();
        let lines = text.lines().filter(|line| line.starts_with("embedgate_upstream_errors_total{"));
        lines.filter(|line| !line.ends_with(" 0")).map(str::to_owned).collect()
    }

    /// Waits until the rule book is at least at this generation.
    pub async fn generation(&self, at_least: u64) {
        eventually(&format!("generation {at_least}"), async || {
            let status: Value = self.admin("/v1/status").await.json().await.unwrap();
            status["generation"].as_u64().unwrap() >= at_least
        })
        .await;
    }
}

/// Edge that has a folder, and no process yet.
pub struct PreparedEdge {
    /// Where its plain HTTP listener will be.
    pub http: SocketAddr,
    /// Where its admin listener will be.
    pub admin: SocketAddr,
    folder: TempDir,
}

impl PreparedEdge {
    /// Starts it by a command that is changed before, ready or not.
    pub fn run_in(self, change: impl FnOnce(&mut Command)) -> Edge {
        let Self { http, admin, folder } = self;
        let process = Edge::run(folder.path(), change);
        Edge { http, admin, folder, process }
    }

    /// The same, and waits until it is ready.
    pub async fn start_in(self, change: impl FnOnce(&mut Command)) -> Edge {
        let edge = self.run_in(change);
        edge.ready().await;
        edge
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the edge's log:\n{}", self.log());
        }
    }
}

fn write_config(folder: &Path, http: SocketAddr, admin: SocketAddr, spec: &EdgeSpec) {
    let origins = spec.public_origins.clone().unwrap_or(format!("[\"http://localhost:{}\"]", http.port()));
    let routes = spec.routes.clone().unwrap_or_else(|| usual_routes(&spec.upstream));
    // A test that has a table of its own says there what it wants.
    let rules = match spec.more.contains("[rules]") {
        true => String::new(),
        false => format!("[rules]\nsource = \"{}\"\n", spec.source),
    };
    let config = format!(
        "[edge]\nlisten = [\"{http}\"]\npublic_origins = {origins}\n{}\n[admin]\nlisten = \"{admin}\"\n{}\n\
         {}[upstreams.demo]\nbuiltin = true\n{}\n{routes}",
        spec.edge, spec.admin, rules, spec.more
    );
    fs::create_dir_all(folder.join("conf")).unwrap();
    write_tokens(&folder.join("data/admin.tokens"), &format!("read {READ_TOKEN}\nwrite {WRITE_TOKEN}\n"));
    fs::write(folder.join("conf/embedgate.toml"), config).unwrap();
    fs::write(folder.join("conf/widgets.json"), &spec.rules).unwrap();
}

/// Writes a file of secrets as its owner would.
pub fn write_tokens(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The routes of the shipped configuration.
pub fn usual_routes(upstream: &str) -> String {
    [
        ("loader.js", "asset"),
        ("assets/{*rest}", "asset"),
        ("frame", "frame"),
        ("session", "session"),
        ("session/{*rest}", "session"),
        ("trust", "public"),
        ("trust/{*rest}", "public"),
    ]
    .map(|(path, class)| {
        format!(
            "[[routes]]\npath = \"/w/{{widget}}/{path}\"\nclass = \"{class}\"\nupstream = \"{upstream}\"\n"
        )
    })
    .concat()
}

/// What the log says of SIGUSR1.
const MARK: &str = "SIGUSR1 does nothing";

/// Time for it to be said, where the log's level lets it through.
const MARKED: Duration = Duration::from_millis(300);

/// Time without a line after which the decision log is whole.
const QUIET: Duration = Duration::from_millis(50);

/// Time that a change may take to be in force.
pub const IN_FORCE: Duration = Duration::from_secs(1);
