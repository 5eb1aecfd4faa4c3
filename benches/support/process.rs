//! Processes: started on given cores, watched, and ended by id, also when this program dies.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A running process with its children; ended when dropped.
pub struct Running {
    child: Child,
    name: String,
    log: PathBuf,
    stop: Stop,
}

/// On which signal a process ends at once, but in order: a profiler writes what it has seen.
#[derive(Clone, Copy)]
pub enum Stop {
    Interrupt,
    Terminate,
}

impl Stop {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "INT",
            Self::Terminate => "TERM",
        }
    }
}

/// A program and its arguments.
#[macro_export]
macro_rules! command {
    ($($part:expr),+ $(,)?) => { [$(std::ffi::OsString::from($part)),+] };
}

impl Running {
    /// Starts `command` in `folder` on `cores` (as `taskset` reads them); what it says is kept in the folder.
    pub fn start(name: &str, cores: &str, command: &[OsString], folder: &Path, stop: Stop) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| log.display().to_string())?;
        // If this program is killed the kernel ends what it started.
        let child = Command::new("taskset")
            .args(["-c", cores, "setpriv", "--pdeathsig", stop.name()])
            .args(command)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start taskset (util-linux)")?;
        Ok(Self { child, name: name.to_owned(), log, stop })
    }

    /// Waits until `ready` says so; an error with what the process said if it ends before, or takes too long.
    pub fn wait_until(&mut self, patience: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}): {}", self.name, self.said());
            }
            if started.elapsed() > patience {
                bail!("{} isn't ready after {patience:?}: {}", self.name, self.said());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// Processor time so far, of all threads and children.
    pub fn cpu(&self) -> Duration {
        self.ids().into_iter().map(cpu).sum()
    }

    /// Resident memory in bytes, pages that its processes share counted once.
    pub fn resident(&self) -> u64 {
        let of = |id: u32| {
            let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
            let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        self.ids().into_iter().filter_map(of).sum::<u64>() * 1024
    }

    /// The most memory that the main process has had resident, in bytes.
    pub fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
    }

    /// The main process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until a signal has stopped all threads of the main process, for a second at most.
    pub fn wait_until_stopped(&self) {
        let is_stopped = |task: PathBuf| {
            let status = fs::read_to_string(task.join("status")).unwrap_or_default();
            status.contains("\nState:\tT")
        };
        let deadline = Instant::now() + Duration::from_secs(1);
        while Instant::now() < deadline && !entries(&format!("/proc/{}/task", self.id())).all(is_stopped) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether the main process has ended.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it as fast as it can end in order, and if it doesn't, anyhow.
    pub fn end(&mut self) {
        let family = self.ids();
        for (name, patience) in [(self.stop.name(), 20), ("TERM", 5), ("KILL", 5)] {
            signal(name, if name == "KILL" { &family } else { &family[..1] });
            let deadline = Instant::now() + Duration::from_secs(patience);
            while Instant::now() < deadline {
                if self.has_ended() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }

    /// Its id and those of all its children.
    fn ids(&self) -> Vec<u32> {
        let mut ids = vec![self.child.id()];
        let mut next = 0;
        while let Some(id) = ids.get(next).copied() {
            ids.extend(children(id));
            next += 1;
        }
        ids
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended() {
            self.end();
        }
    }
}

/// The ids of a process's children, those that have ended and wait for it included.
pub fn children(id: u32) -> Vec<u32> {
    let of_a_task = |task: PathBuf| {
        let children = fs::read_to_string(task.join("children")).unwrap_or_default();
        children.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<u32>>()
    };
    entries(&format!("/proc/{id}/task")).flat_map(of_a_task).collect()
}

/// Processor time of all threads of one process.
pub fn cpu(id: u32) -> Duration {
    let nanos = entries(&format!("/proc/{id}/task")).filter_map(|task| {
        fs::read_to_string(task.join("schedstat")).ok()?.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanos.sum())
}

fn entries(folder: &str) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Sends a signal to each; those that are gone are none's business any more.
pub fn signal(name: &str, ids: &[u32]) {
    let ids = ids.iter().map(u32::to_string);
    let _ = Command::new("kill").arg(format!("-{name}")).args(ids).stderr(Stdio::null()).status();
}

/// Runs a command to its end, in `folder`, and gives back what it printed, on both streams.
pub fn output(command: &[OsString], folder: &Path) -> Result<String> {
    let (program, arguments) = command.split_first().context("a command")?;
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if !output.status.success() {
        bail!("{} ended with {}: {said}", program.display(), output.status);
    }
    Ok(said)
}

/// Keeps this thread, and those that it starts, on one core.
pub fn pin_self(core: usize) -> Result<()> {
    pin(std::process::id(), &core.to_string())
}

/// Keeps the main thread of a process, and those that it starts, on these cores.
pub fn pin(id: u32, cores: &str) -> Result<()> {
    output(&command!["taskset", "-cp", cores, id.to_string()], Path::new(".")).map(drop)
}

/// Whether a program can be found.
pub fn is_found(program: impl AsRef<OsStr>) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\" >/dev/null"]).arg(program).status();
    found.is_ok_and(|status| status.success())
}
