//! The command line, as people and programs use it: the real binary, its output and its exit codes.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::edge::{Edge, usual_routes};
use crate::support::ports;

mod activity;
mod asked;
mod check;
mod everyday;
mod explain;
mod export;
pub(crate) mod signals;
mod start;
mod usage;

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs a command in the folder of an edge.
fn at(edge: &Edge, arguments: &[&str]) -> Ran {
    finished(Edge::command(edge.folder()).args(arguments))
}

/// The same, which has to end with 0 and say nothing on standard error.
#[track_caller]
fn done(edge: &Edge, arguments: &[&str]) -> Ran {
    let ran = at(edge, arguments);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}: {ran:?}");
    ran
}

/// The same, which has to end with this code, print nothing, and say all this on standard error.
#[track_caller]
fn refused(edge: &Edge, code: i32, arguments: &[&str], says: &[&str]) {
    let ran = at(edge, arguments);
    assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{arguments:?}: {ran:?}");
    for says in says {
        assert!(
            ran.err.starts_with("embedgate: ") && ran.err.contains(says),
            "{arguments:?} {says}: {}",
            ran.err
        );
    }
}

/// A folder that holds `conf/`, and commands in it.
struct Desk(TempDir);

impl Desk {
    /// With the shipped configuration and rules.
    fn shipped() -> Self {
        let read = |name: &str| std::fs::read_to_string(format!("conf/{name}")).unwrap();
        Self::with(&on_free_ports(&read("embedgate.toml")), &read("widgets.json"))
    }

    /// With the usual routes on the demo, and these rules.
    fn on(rules: &Value) -> Self {
        Self::with(&config(""), &rules.to_string())
    }

    fn with(config: &str, rules: &str) -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(desk.path().join("conf")).unwrap();
        desk.write("conf/embedgate.toml", config);
        desk.write("conf/widgets.json", rules);
        desk
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.path().join(path), text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(&[], arguments)
    }

    fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let mut command = Edge::command(self.path());
        // A check tries them, and the usual ones may be somebody's.
        let config = std::fs::read_to_string(self.path().join("conf/embedgate.toml")).unwrap_or_default();
        if !config.contains("\nlisten = [") {
            command.env("EMBEDGATE__EDGE__LISTEN", format!("[\"{}\"]", ports::free()));
        }
        if !config.contains("\n[admin]") {
            command.env("EMBEDGATE__ADMIN__LISTEN", ports::free().to_string());
        }
        finished(command.args(arguments).envs(variables.iter().copied()))
    }
}

/// The shipped configuration, on free ports.
fn on_free_ports(shipped: &str) -> String {
    let [edge, admin] = [ports::free(), ports::free()].map(|addr| addr.to_string());
    shipped.replace("127.0.0.1:8080", &edge).replace("127.0.0.1:9090", &admin)
}

/// A configuration with the usual routes on the demo, and more of `[edge]` or other tables.
fn config(more: &str) -> String {
    format!(
        "[edge]\npublic_origins = [\"http://edge.example\"]\n{more}\n[upstreams.demo]\nbuiltin = true\n{}",
        usual_routes("demo")
    )
}

/// Runs a command to its end, which must come soon.
pub(crate) fn finished(command: &mut Command) -> Ran {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let read = |stream: &mut dyn Read| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    std::thread::scope(|scope| {
        let (out, err) = (scope.spawn(|| read(&mut stdout)), scope.spawn(|| read(&mut stderr)));
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            pause();
        };
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        let code = status.and_then(|status| status.code());
        Ran { code: code.unwrap_or_else(|| panic!("no end of {command:?}: {out}\n{err}")), out, err }
    })
}

#[expect(clippy::disallowed_methods, reason = "a child process can't be awaited here, and nobody else waits")]
fn pause() {
    std::thread::sleep(Duration::from_millis(5));
}
