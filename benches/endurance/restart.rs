//! Stops, and restarts as an operator makes them: SIGTERM, and a start once the process is gone.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use bench_support::client::once;
use bench_support::ground::HOST;
use bench_support::ports;
use bench_support::process::signal;
use tempfile::TempDir;

use crate::Settings;
use crate::rows::Rows;

/// From SIGTERM until the process is gone, with nothing open.
const STOP: Duration = Duration::from_millis(100);
/// From the last answer of the old process to the first of the new one.
const GAP: Duration = Duration::from_millis(300);
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let rounds = settings.count(20, 3);
    let demo = Demo::new(&settings.binary)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds {
        let mut process = demo.start()?;
        slowest = slowest.max(process.stop()?);
    }
    rows.at_most(
        format!("restart: SIGTERM with nothing open until the process is gone, worst of {rounds}"),
        STOP,
        slowest,
    );

    let mut process = demo.start()?;
    let (mut widest, mut wrong) = (Duration::ZERO, 0);
    for _ in 0..rounds {
        let prober = Prober::start(demo.plain, demo.request());
        let before = prober.hears_an_answer()?;
        process.stop()?;
        process = demo.spawn()?;
        let (gap, others) = prober.stop_after(&mut process, before)?;
        (widest, wrong) = (widest.max(gap), wrong + others);
    }
    process.stop()?;
    rows.at_most(
        format!("restart: gap between the last answer and the next, worst of {rounds}"),
        GAP,
        widest,
    );
    rows.none("restart: answers other than 200", wrong, "");
    Ok(())
}

/// The demo as it is shipped, on ports of its own.
struct Demo<'b> {
    binary: &'b Path,
    folder: TempDir,
    plain: SocketAddr,
    admin: SocketAddr,
}

impl<'b> Demo<'b> {
    fn new(binary: &'b Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let shipped = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../conf"));
        fs::create_dir(folder.path().join("conf"))?;
        for name in ["embedgate.toml", "widgets.json", "public_suffix_list.dat"] {
            fs::copy(shipped.join(name), folder.path().join("conf").join(name)).context(name)?;
        }
        Ok(Self { binary, folder, plain: ports::free(), admin: ports::free() })
    }

    /// What a page that is listed asks for.
    fn request(&self) -> Vec<u8> {
        format!(
            "GET /w/wgt_demo/loader.js HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://example.com\r\n\
             Connection: close\r\n\r\n"
        )
        .into()
    }

    fn spawn(&self) -> Result<Process> {
        let log = fs::File::create(self.folder.path().join("log"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(self.binary)
            .env("EMBEDGATE__EDGE__LISTEN", format!("[\"{}\"]", self.plain))
            .env("EMBEDGATE__ADMIN__LISTEN", format!("\"{}\"", self.admin))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start setpriv (util-linux)")?;
        Ok(Process(child))
    }

    /// Starts it and waits until it serves.
    fn start(&self) -> Result<Process> {
        let mut process = self.spawn()?;
        let started = Instant::now();
        while !once(self.plain, &self.request()).is_ok_and(|status| status == 200) {
            process
                .is_running()
                .with_context(|| fs::read_to_string(self.folder.path().join("log")).unwrap_or_default())?;
            ensure!(started.elapsed() < PATIENCE, "the demo isn't ready");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(process)
    }
}

/// A process of the demo; killed when dropped.
struct Process(Child);

impl Process {
    fn is_running(&mut self) -> Result<()> {
        match self.0.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the demo ended: {status}"),
        }
    }

    /// Ends it in order; how long that took.
    fn stop(&mut self) -> Result<Duration> {
        let asked = Instant::now();
        signal("TERM", &[self.0.id()]);
        while self.0.try_wait()?.is_none() {
            ensure!(asked.elapsed() < PATIENCE, "SIGTERM does not end the demo");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(asked.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client that tries all the time, each time on a new connection.
struct Prober {
    over: Arc<AtomicBool>,
    answers: std::sync::mpsc::Receiver<(Instant, u16)>,
    thread: std::thread::JoinHandle<()>,
}

impl Prober {
    fn start(addr: SocketAddr, request: Vec<u8>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (sender, answers) = std::sync::mpsc::channel();
        let watched = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !watched.load(Ordering::Relaxed) {
                match once(addr, &request) {
                    Ok(status) => drop(sender.send((Instant::now(), status))),
                    Err(_) => std::thread::sleep(Duration::from_micros(500)),
                }
            }
        });
        Self { over, answers, thread }
    }

    fn hears_an_answer(&self) -> Result<(Instant, u16)> {
        self.answers.recv_timeout(PATIENCE).context("no answer")
    }

    /// Waits until `new` has answered; the widest gap between two answers from `first` on, and how many were not 200.
    fn stop_after(self, new: &mut Process, first: (Instant, u16)) -> Result<(Duration, u64)> {
        let started = Instant::now();
        let mut seen: Vec<(Instant, u16)> = std::iter::once(first).chain(self.answers.try_iter()).collect();
        while seen.last().is_none_or(|(at, _)| *at < started) {
            new.is_running()?;
            seen.push(self.answers.recv_timeout(PATIENCE).context("no answer of the new process")?);
        }
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the prober panicked"))?;
        let gaps = seen.windows(2).map(|pair| match pair {
            [(before, _), (after, _)] => after.duration_since(*before),
            _ => Duration::ZERO,
        });
        let others = seen.iter().filter(|(_, status)| *status != 200).count();
        Ok((gaps.max().context("answers")?, others as u64))
    }
}
