//! A client that asks the same again and again, and notes how long each answer took.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use bench_support::client::Connection;

use crate::ground::Ground;
use crate::rules;
use crate::scenario::{Kind, Request};

/// Between two requests; with the answer's own time it bounds how exactly a change is seen.
const PAUSE: Duration = Duration::from_micros(200);
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// One answer.
pub struct Sample {
    pub ended: Instant,
    pub took: Duration,
    pub status: u16,
}

/// A running client.
pub struct Probe {
    samples: Receiver<Sample>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Probe {
    /// A page of `origin` with the `widget`-th widget.
    pub fn start(ground: &Ground, widget: usize, origin: String) -> Result<Self> {
        let path = format!("/w/{}/loader.js", rules::id(widget));
        let request = Request { kind: Kind::Get, path, origin: Some(origin) };
        let mut connection = Connection::open(ground.plain)?;
        let (sender, samples) = channel();
        let over = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&over);
        let thread = std::thread::spawn(move || ask_on(&mut connection, &request.bytes(), &sender, &is_over));
        Ok(Self { samples, over, thread })
    }

    /// The answers since this was asked last.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        self.samples.try_iter()
    }

    /// Lets go of the answers so far.
    pub fn forget(&self) {
        self.samples().for_each(drop);
    }

    /// The answers since this was asked last, up to one that was asked for after `instant`.
    pub fn samples_until(&self, instant: Instant) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        loop {
            let sample = self.samples.recv_timeout(PATIENCE).context("the probing client got no answer")?;
            let is_last = sample.ended - sample.took > instant;
            samples.push(sample);
            if is_last {
                return Ok(samples);
            }
        }
    }

    /// The first answer that is like this.
    pub fn wait_for(&self, like: impl Fn(&Sample) -> bool) -> Result<Sample> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let patience = deadline.saturating_duration_since(Instant::now());
            let sample = self.samples.recv_timeout(patience).context("the change was never enforced")?;
            if like(&sample) {
                return Ok(sample);
            }
        }
    }

    pub fn end(self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the probing client ended in a panic"))
    }
}

fn ask_on(connection: &mut Connection, request: &[u8], samples: &Sender<Sample>, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let started = Instant::now();
        // A connection that is closed between two answers is opened again, and the visitor's wait goes on.
        let status = loop {
            match connection.ask(request) {
                Ok((status, _)) => break status,
                Err(_) if over.load(Ordering::Relaxed) || started.elapsed() > PATIENCE => return,
                Err(_) => {
                    if connection.reopen().is_err() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        };
        let ended = Instant::now();
        if samples.send(Sample { ended, took: ended - started, status }).is_err() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
}
