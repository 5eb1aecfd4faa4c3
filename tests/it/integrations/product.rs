//! A product's own server, from its package, in a folder of its own, and ended by process id.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::support::ports;

/// The folder into which `make integrations` installs them.
const INSTALLED: &str = "EMBEDGATE_INTEGRATIONS";
const START: Duration = Duration::from_secs(90);

/// A running product; it ends when this is dropped.
pub struct Product {
    /// Where it listens.
    pub addr: SocketAddr,
    name: &'static str,
    command: String,
    folder: TempDir,
    process: Child,
}

impl Product {
    /// Starts the app of this name, by the command that `command` gives for an address, and waits until it listens.
    pub async fn start(name: &'static str, command: impl Fn(SocketAddr) -> String) -> Self {
        let (addr, folder) = (ports::free(), tempfile::tempdir().unwrap());
        fs::copy(format!("tests/data/integrations/{name}.py"), folder.path().join("app.py")).unwrap();
        let command = command(addr);
        let process = run(name, &command, &folder);
        let mut product = Self { addr, name, command, folder, process };
        product.listens().await;
        product
    }

    /// Ends it.
    pub fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again after it was stopped.
    pub async fn start_again(&mut self) {
        self.process = run(self.name, &self.command, &self.folder);
        self.listens().await;
    }

    async fn listens(&mut self) {
        let deadline = Instant::now() + START;
        while TcpStream::connect(self.addr).await.is_err() {
            let is_up = self.process.try_wait().unwrap().is_none();
            assert!(is_up && Instant::now() < deadline, "{} does not start", self.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("product.log")).unwrap()
    }
}

impl Drop for Product {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            eprintln!("the log of {}:\n{}", self.name, self.log());
        }
    }
}

/// A command of the shell: variables, a program of the product's package, arguments.
fn run(name: &str, command: &str, folder: &TempDir) -> Child {
    let installed =
        std::env::var_os(INSTALLED).unwrap_or_else(|| panic!("no {INSTALLED}: see `make integrations`"));
    let programs = PathBuf::from(installed).join(name).join("bin");
    let (variables, words): (Vec<&str>, Vec<&str>) = command
        .split_whitespace()
        .filter(|word| *word != "\\")
        .partition(|word| !word.starts_with('-') && word.contains('='));
    let log = File::create(folder.path().join("product.log")).unwrap();
    Command::new(programs.join(words[0]))
        .args(&words[1..])
        .env_clear()
        .envs(variables.iter().filter_map(|variable| variable.split_once('=')))
        // It keeps what it keeps there.
        .env("HOME", folder.path())
        .env("PATH", &programs)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{command}: {error}: see `make integrations`"))
}
