//! How much is measured: read once, from the environment.

use std::env::{VarError, var};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

/// Sizes of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// Just enough of everything to see that it works; the figures mean nothing.
    pub quick: bool,
    /// How often every peer has its turn.
    pub rounds: usize,
    pub warm_up: Duration,
    pub round: Duration,
    /// Of the closed loop, each with one request under way.
    pub connections: usize,
    pub latency_rounds: usize,
    pub latency_round: Duration,
    /// Connections of the memory part: each takes two descriptors of a peer.
    pub held: usize,
    /// Widgets of the scale part, four entries each.
    pub widgets: usize,
    /// Changes of the rules where one takes milliseconds, and where one takes half a minute.
    pub changes: usize,
    pub reloads: usize,
    pub cores: Cores,
}

/// Who runs where in rounds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cores {
    pub proxy: usize,
    pub load: usize,
}

impl Settings {
    /// `EMBEDGATE_BENCH_QUICK=1` makes everything small, `..._ROUNDS`, `..._LATENCY_ROUNDS` and `..._WIDGETS` set one.
    pub fn from_environment() -> Result<Self> {
        let quick = number("EMBEDGATE_BENCH_QUICK", 0)? != 0;
        let of = |full: usize, small: usize| if quick { small } else { full };
        Ok(Self {
            quick,
            rounds: number("EMBEDGATE_BENCH_ROUNDS", of(11, 3))?,
            warm_up: millis("EMBEDGATE_BENCH_WARM_UP_MS", of(100, 50))?,
            round: millis("EMBEDGATE_BENCH_ROUND_MS", of(400, 150))?,
            connections: 32,
            latency_rounds: number("EMBEDGATE_BENCH_LATENCY_ROUNDS", of(11, 1))?,
            latency_round: millis("EMBEDGATE_BENCH_LATENCY_ROUND_MS", of(3000, 1000))?,
            held: of(2_000, 100),
            widgets: number("EMBEDGATE_BENCH_WIDGETS", of(1_000_000, 10_000))?,
            changes: of(200, 20),
            reloads: of(2, 1),
            cores: Cores::allowed()?,
        })
    }
}

fn number(name: &str, or: usize) -> Result<usize> {
    match var(name) {
        Ok(text) => text.parse().with_context(|| format!("{name}={text} is no number that fits")),
        Err(VarError::NotPresent) => Ok(or),
        Err(error) => Err(error).with_context(|| name.to_owned()),
    }
}

fn millis(name: &str, or: usize) -> Result<Duration> {
    Ok(Duration::from_millis(number(name, or)? as u64))
}

impl Cores {
    /// The first two that this process may run on.
    fn allowed() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status").context("needs Linux")?;
        let list =
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
        let mut cores = list.trim().split(',').flat_map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            first.parse().unwrap_or(0)..=last.parse::<usize>().unwrap_or(0)
        });
        match (cores.next(), cores.next()) {
            (Some(proxy), Some(load)) => Ok(Self { proxy, load }),
            _ => bail!("needs two cores: one for the proxy, one for load and upstream"),
        }
    }

    /// As `taskset` reads it.
    pub fn both(self) -> String {
        format!("{},{}", self.proxy, self.load)
    }
}
