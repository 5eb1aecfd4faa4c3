//! Mistakes that people make: each is told with its place and what would be right, and `check` and `run` say the same.
//! What `check` passes starts.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::cli::{Ran, finished};
use crate::support::certificates::Authority;
use crate::support::edge::{Edge, write_tokens};
use crate::support::ports;

mod disks;
mod files;
mod good;
mod rules;
mod running;
mod settings;

/// Folder with a configuration, rules and all else that a start reads, to make a mistake in.
struct Site {
    folder: TempDir,
    config: String,
    rules: Vec<u8>,
    variables: Vec<(String, String)>,
    /// Arguments before the command.
    arguments: Vec<String>,
    /// Runs as a user who may only do what modes allow, although the tests run as root.
    confined: bool,
}

const RULES: &str = "{\"widgets\": [\n  {\"id\": \"w\", \"allowed_domains\": [\"example.com\"]}\n]}\n";

impl Site {
    /// One without a mistake.
    fn new() -> Self {
        let config = format!(
            "[edge]\nlisten = [\"{}\"]\npublic_origins = [\"https://edge.example\"]\ntrusted_proxies = [\"10.0.0.0/8\"]\n\n\
             [admin]\nlisten = \"{}\"\n\n[upstreams.app]\nservers = [\"127.0.0.1:7001\"]\n\n\
             [[routes]]\npath = \"/w/{{widget}}/frame\"\nclass = \"frame\"\nupstream = \"app\"\n",
            ports::free(),
            ports::free(),
        );
        Self {
            folder: tempfile::tempdir().unwrap(),
            config,
            rules: RULES.as_bytes().to_vec(),
            variables: Vec::new(),
            arguments: Vec::new(),
            confined: false,
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and its folder.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(name).parent().unwrap()).unwrap();
        fs::write(self.at(name), text).unwrap();
    }

    /// Writes a file that only its owner may read.
    fn secret(&self, name: &str, text: &str) {
        write_tokens(&self.at(name), text);
    }

    fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.at(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    /// Changes a text of the configuration, which must be there.
    fn change(&mut self, from: &str, to: &str) {
        assert!(self.config.contains(from), "{from}: {}", self.config);
        self.config = self.config.replacen(from, to, 1);
    }

    /// Puts lines at the end of `[edge]`.
    fn edge(&mut self, lines: &str) {
        self.change("trusted_proxies = ", &format!("{lines}\ntrusted_proxies = "));
    }

    /// Puts lines at the end of `[admin]`.
    fn admin(&mut self, lines: &str) {
        self.change("\n\n[upstreams.app]", &format!("\n{lines}\n\n[upstreams.app]"));
    }

    /// Puts lines at the end of `[upstreams.app]`.
    fn upstream(&mut self, lines: &str) {
        self.change("\n\n[[routes]]", &format!("\n{lines}\n\n[[routes]]"));
    }

    /// Puts tables, or the last route's keys, at the end.
    fn more(&mut self, text: &str) {
        self.config.push_str(text);
    }

    fn rules(&mut self, text: impl AsRef<[u8]>) {
        self.rules = text.as_ref().to_vec();
    }

    fn variable(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// A TLS listener with these files.
    fn tls(&mut self, cert: &str, key: &str) {
        let listen = ports::free();
        let table = format!(
            "[[edge.tls]]\nlisten = \"{listen}\"\ncertificates = [{{ cert = \"{cert}\", key = \"{key}\" }}]\n\n[admin]"
        );
        self.change("[admin]", &table);
    }

    /// A certificate with its key, for the public origin.
    fn pair(&self, name: &str) {
        Authority::new().issue(&["edge.example"]).write(self.folder.path(), name);
    }

    /// Writes the configuration and the rules.
    fn settle(&self) {
        self.write("conf/embedgate.toml", &self.config);
        if !self.rules.is_empty() {
            self.write("conf/widgets.json", &self.rules);
        }
    }

    fn command(&self, command: &str) -> Command {
        let mut called = Edge::command(self.folder.path());
        if self.confined {
            let binary = called.get_program().to_owned();
            called = Command::new("setpriv");
            called.current_dir(self.folder.path()).stdin(Stdio::null()).env_clear();
            let without = "-dac_override,-dac_read_search";
            called.arg(format!("--bounding-set={without}")).arg(format!("--inh-caps={without}")).arg(binary);
        }
        called.args(&self.arguments).arg(command).envs(self.variables.iter().cloned());
        called
    }

    fn run(&self, command: &str) -> Ran {
        finished(&mut self.command(command))
    }
}

/// Mistake: its name, how it is made, the place that must be named, and a piece of what would be right.
type Mistake = (&'static str, fn(&mut Site), &'static str, &'static str);

/// Makes each of these mistakes, and says all that is not as it should be.
#[track_caller]
fn tell(mistakes: &[Mistake]) {
    let wrong = Mutex::new(Vec::new());
    in_turns(mistakes, |(name, make, place, says)| {
        let mut site = Site::new();
        make(&mut site);
        site.settle();
        wrong.lock().unwrap().extend(told(&site, place, says).map(|wrong| format!("{name}: {wrong}")));
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is not as it should be where a mistake was made.
fn told(site: &Site, place: &str, says: &str) -> Option<String> {
    let before = listing(site.folder.path());
    let checked = site.run("check");
    let after = listing(site.folder.path());
    if before != after {
        return Some(format!("check changed the folder: {before:#?} {after:#?}"));
    }
    let faults: Vec<&str> = checked.out.lines().filter_map(|line| line.strip_prefix("error: ")).collect();
    let [fault] = faults[..] else { return Some(format!("not one fault: {checked:?}")) };
    if checked.code != 1 || !fault.starts_with(place) || !fault.contains(says) {
        return Some(format!("check: wanted {place}, {says}: {checked:?}"));
    }
    let ran = site.run("run");
    if ran.code != 1 || ran.err.contains("ready on") {
        return Some(format!("run: {ran:?}"));
    }
    let last = ran.err.find("embedgate: ").and_then(|at| ran.err.get(at..)).unwrap_or_default();
    let same = last.lines().any(|line| line.strip_prefix("embedgate: ").unwrap_or(line) == fault);
    (!same).then(|| format!("check says {fault}\nrun says {last}"))
}

/// Does something with each, several at once.
fn in_turns<T: Sync>(all: &[T], each: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    each(one);
                }
            });
        }
    });
}

/// Everything in a folder: names, modes, sizes and times.
fn listing(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let of = |path: &Path| {
            let found = fs::symlink_metadata(path).unwrap();
            let modified = found.modified().unwrap();
            format!("{} {:o} {} {modified:?}", path.display(), found.permissions().mode(), found.len())
        };
        all.push(of(&folder));
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { all.push(of(&path)) }
        }
    }
    all.sort();
    all
}

/// Starts an edge and stops it once it is ready. `None` where it was ready, otherwise what it said.
fn starts(site: &Site) -> Option<String> {
    let mut process = site.command("run").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let stderr = process.stderr.take().unwrap();
    let (say, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Nobody listens any more once the edge is ready.
        BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| say.send(line))
    });
    let (mut said, mut ready) = (String::new(), false);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready && let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        ready = line.contains("edge ready on");
        said.push_str(&line);
        said.push('\n');
    }
    let id = process.id().to_string();
    let _ = Command::new("kill").args(["-KILL", &id]).status();
    process.wait().unwrap();
    (!ready).then_some(said)
}
