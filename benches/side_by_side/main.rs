//! Side by side: what a verdict costs here, and what it costs in nginx and HAProxy, which people would pick
//! instead, and what the proxy library costs with no verdict at all. `make bench-peers` prepares and runs it.
//!
//! | part | what it measures |
//! |---|---|
//! | [`verdicts`] | first of all: that every peer gives the same verdicts on one table |
//! | [`rounds`] | processor time a request, requests/s, p50 and p99: short rounds, the peers taking turns |
//! | [`instructions`] | user-space instructions a request, by callgrind |
//! | [`latency`] | p50 and p99 at a constant rate, half of the slowest peer's peak, by oha |
//! | [`memory`] | what an open connection takes, by what it waits for, and what is given back |
//! | [`scale`] | a million widgets: start, memory, change to enforced, the stall it causes |
//!
//! The peers ([`peers`]) enforce the same rules ([`rules`]), one worker each, no access log, connections to the
//! upstream kept. In rounds a peer has the first core for itself; load ([`load`]) and upstream ([`upstream`]) have
//! the second. Everything runs from a temporary folder, on loopback, and is ended by process id ([`process`]).
//! [`report`] holds the raw figures (JSON), [`tables`] and [`plot`] show them, [`targets`] holds them against what they
//! are to be: `--only instructions,rounds,memory` prints just that.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, clippy::panic)]
#![allow(
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a program of its own"
)]

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bench_support::{command, ground, ports, process};
use clap::{Parser, Subcommand, ValueEnum};
use peers::Peer;
use report::Report;
use scenario::Scenario;
use settings::Settings;

mod instructions;
mod latency;
mod load;
mod machine;
mod memory;
mod peers;
mod plot;
mod report;
mod rounds;
mod rules;
mod scale;
mod scenario;
mod settings;
mod spread;
mod tables;
mod targets;
mod upstream;
mod verdicts;

/// Measures embedgate side by side with nginx, HAProxy and a bare pingora proxy.
#[derive(Parser)]
struct Arguments {
    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Measure only these peers.
    #[arg(long, value_enum, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Measure only these scenarios.
    #[arg(long, value_enum, value_delimiter = ',')]
    scenarios: Vec<Scenario>,
    /// Keep figures and plots in docs/bench, too: docs/performance.md shows them.
    #[arg(long)]
    docs: bool,
    /// Keep callgrind's profiles in this folder: `callgrind_annotate` reads them.
    #[arg(long)]
    profiles: Option<PathBuf>,
    /// Measure nothing: print the last run's figures as the tables of docs/performance.md.
    #[arg(long)]
    markdown: bool,
    /// Measure nothing: draw the last run's plots again, with --docs into docs/bench.
    #[arg(long)]
    plot: bool,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The processes that this program starts of itself.
#[derive(Subcommand)]
enum Role {
    /// The proxy library, enforcing nothing.
    #[command(hide = true)]
    Bare(peers::bare::Bare),
    /// The upstream of every peer.
    #[command(hide = true)]
    Upstream(upstream::Upstream),
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Rounds,
    Instructions,
    Latency,
    Memory,
    Scale,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Bare(bare)) => bare.run(),
        Some(Role::Upstream(upstream)) => upstream.run(),
        None if arguments.markdown => {
            println!("{}", tables::markdown(&Report::read(&report::latest())?));
            Ok(())
        }
        None if arguments.plot => keep(&Report::read(&report::latest())?, arguments.docs),
        None => measure(&arguments),
    }
}

fn measure(arguments: &Arguments) -> Result<()> {
    let settings = Settings::from_environment()?;
    let peers = or_all(&arguments.peers);
    let scenarios = or_all(&arguments.scenarios);
    let parts = or_all(&arguments.only);
    peers.iter().try_for_each(|peer| peer.is_installed())?;
    if let Some(folder) = &arguments.profiles {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    process::pin_self(settings.cores.load)?;
    let mut report = Report::new(&settings, machine::describe(&peers)?);
    println!("{}\n", tables::machine(&report));

    let wrong = verdicts::check(&peers, settings.cores)?;
    if !wrong.is_empty() {
        bail!("the peers don't enforce the same rules:\n{}", wrong.join("\n"));
    }
    println!("verdicts: {} requests, the same answer from every peer\n", verdicts::count());
    if parts.contains(&Part::Instructions) {
        report.instructions =
            instructions::measure(&settings, &peers, &scenarios, arguments.profiles.as_deref())?;
        println!("{}", tables::instructions(&report));
    }
    if parts.contains(&Part::Rounds) {
        report.rounds = rounds::measure(&settings, &peers, &scenarios)?;
        println!("{}\n{}", tables::rounds(&report), tables::cpu(&report));
    }
    if parts.contains(&Part::Memory) {
        report.memory = memory::measure(&settings, &peers)?;
        println!("{}", tables::memory(&report));
    }
    if peers.contains(&Peer::Embedgate) {
        println!("{}", tables::targets(&report));
    }
    if parts.contains(&Part::Latency) {
        report.latency = latency::measure(&settings, &peers, &report.rounds)?;
        println!("{}", tables::latency(&report));
    }
    if parts.contains(&Part::Scale) {
        report.scale = scale::measure(&settings, &peers)?;
        println!("{}", tables::scale(&report));
    }
    keep(&report, arguments.docs)
}

/// Writes figures and plots, and says where.
fn keep(report: &Report, docs: bool) -> Result<()> {
    let mut folders = vec![report::latest()];
    if docs {
        if report.settings.quick {
            bail!("a quick run's figures are worth nothing, docs/bench keeps those of a full one");
        }
        folders.push(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/bench")));
    }
    for folder in folders {
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        report.write(&folder)?;
        plot::draw(report, &folder)?;
        println!("figures and plots: {}", folder.display());
    }
    Ok(())
}

fn or_all<T: ValueEnum + Clone>(chosen: &[T]) -> Vec<T> {
    if chosen.is_empty() { T::value_variants().to_vec() } else { chosen.to_vec() }
}
