//! Fleet: what several edges on real NATS servers keep, whatever is cut, stopped or lost. `make prove-fleet` runs it.
//!
//! | scene | what it shows |
//! |---|---|
//! | [`saves`] | how long after a save every edge enforces it, and that the answer is never early |
//! | [`drills`] | the same book everywhere after each fault, with every request served meanwhile |
//! | [`reconnects`] | as many consumers on the stream as live edges, however often connections are cut |
//! | [`scale`] | an empty edge, a resumed one, and what a link carries, at 200,000 widgets |
//! | [`limits`] | a budget that all edges share, under a flood, while an edge is killed and comes back |
//!
//! It prints one table and fails if a row is missed. Everything runs from temporary folders, on loopback, and is ended
//! by process id.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program of its own")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_support::rows::Rows;
use clap::{Parser, ValueEnum};

mod admin;
mod bucket;
mod certificates;
mod client;
mod disk;
mod drills;
mod edge;
mod fleet;
mod ledger;
mod limits;
mod load;
mod reconnects;
mod relay;
mod saves;
mod scale;
mod servers;
mod verdict;

/// Shows what a fleet of edges keeps.
#[derive(Parser)]
struct Arguments {
    /// Show only these scenes.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scene>,
    /// Show only the drills whose name has this in it.
    #[arg(long, value_name = "TEXT")]
    drill: Option<String>,
    /// Use small counts and short times, to try it.
    #[arg(long)]
    quick: bool,
    /// Show the scale at a million widgets, too.
    #[arg(long)]
    million: bool,
    /// Use this binary instead of target/release/embedgate.
    #[arg(long)]
    edge: Option<PathBuf>,
    /// Use this program instead of EMBEDGATE_NATS_SERVER, or nats-server: 2.12 or newer.
    #[arg(long)]
    nats: Option<PathBuf>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scene {
    Saves,
    Drills,
    Reconnects,
    Scale,
    Limits,
}

/// What every scene is told.
struct Settings {
    binary: PathBuf,
    nats: PathBuf,
    drill: Option<String>,
    quick: bool,
    million: bool,
}

impl Settings {
    /// A count, or a number of seconds: a small one in a quick run.
    fn count<N>(&self, full: N, quick: N) -> N {
        if self.quick { quick } else { full }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let built = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release").join("embedgate");
    let binary = arguments.edge.unwrap_or_else(built);
    let binary = binary.canonicalize().with_context(|| format!("{}: run `make build`", binary.display()))?;
    let settings = Settings {
        binary,
        nats: servers::program(arguments.nats)?,
        drill: arguments.drill,
        quick: arguments.quick,
        million: arguments.million,
    };
    let scenes = match arguments.only.is_empty() {
        true => Scene::value_variants().to_vec(),
        false => arguments.only,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let mut rows = Rows::new();
    for scene in scenes {
        // On this thread, which lives as long as the processes that it starts.
        let shown = runtime.block_on(async {
            match scene {
                Scene::Saves => saves::show(&settings, &mut rows).await,
                Scene::Drills => drills::show(&settings, &mut rows).await,
                Scene::Reconnects => reconnects::show(&settings, &mut rows).await,
                Scene::Scale => scale::show(&settings, &mut rows).await,
                Scene::Limits => limits::show(&settings, &mut rows).await,
            }
        });
        if let Err(error) = shown {
            let name = scene.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            rows.judged(format!("{name}: shown to its end"), "yes", format!("{error:#}"), false);
        }
    }
    Ok(if rows.are_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All cores, as `taskset` reads them.
fn cores() -> String {
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    format!("0-{}", count - 1)
}
