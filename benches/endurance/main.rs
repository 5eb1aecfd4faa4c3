//! Endurance: what a running edge goes through without anybody noticing. `make endurance` prepares and runs it.
//!
//! | scene | what it shows |
//! |---|---|
//! | [`drill`] | first of all: that the load counts what a server drops |
//! | [`upgrade`] | binary upgrades under load |
//! | [`upgrade_fails`] | upgrades to what can't take over |
//! | [`peers`] | reloads of nginx and HAProxy under the same load |
//! | [`restart`] | stops, and the gap of a restart |
//! | [`reload`] | reloads of routes under load, some of them faulty |
//! | [`logs`] | logs that nobody takes |
//! | [`wear`] | what a million sessions and a hundred thousand saves leave behind |
//! | [`slow`] | slow clients of each kind, in thousands: when they are gone |
//! | `beside-slow` | the same clients: what honest ones notice of them |
//! | [`attacks`] | attacks by one client, of the known classes |
//! | [`descriptors`] | the limit on descriptors, taken up by clients |
//! | [`sick`] | sick servers, and what their requests become |
//! | [`activity`] | what is kept of who embeds: a million widgets, floods of forged origins, `kill -9` |
//! | [`limits`] | floods of forged opens, and what they leave to honest visitors |
//! | [`notifications`] | a receiver that is away while the edge is killed |
//! | [`remembered`] | sessions that have left the edge: how soon a save tells of them, and their memory |
//! | [`page`] | the operator's page: its first view with a million widgets, and what open pages cost requests |
//!
//! It prints one table and fails if a row is missed. Everything runs from a temporary folder, on loopback, and is ended
//! by process id.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, clippy::expect_used, clippy::panic)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a program of its own")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use bench_support::rows::{self, Rows};
use clap::{Parser, Subcommand, ValueEnum};

mod activity;
mod admin;
mod attacks;
mod crowd;
mod descriptors;
mod drill;
mod edge;
mod honest;
mod http2;
mod limits;
mod load;
mod logs;
mod notifications;
mod page;
mod peers;
mod proc;
mod reload;
mod remembered;
mod restart;
mod saver;
mod sick;
mod slow;
mod subject;
mod upgrade;
mod upgrade_fails;
mod upstreams;
mod wear;
mod witness;

/// Shows what a running edge endures.
#[derive(Parser)]
struct Arguments {
    /// Show only these scenes.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Scene>,
    /// Use small counts, to try it.
    #[arg(long)]
    quick: bool,
    /// Use this binary instead of target/release/embedgate.
    #[arg(long)]
    edge: Option<PathBuf>,
    /// What `cargo bench` says to every bench.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// The processes that this program starts of itself.
#[derive(Subcommand)]
enum Role {
    /// What connects to an upgrade's socket, and leaves.
    #[command(hide = true)]
    Impostor(upgrade_fails::Impostor),
    /// An upstream that tells what has reached it.
    #[command(hide = true)]
    Witness(witness::Role),
    /// Slow clients.
    #[command(hide = true)]
    Crowd(crowd::Role),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scene {
    Drill,
    Upgrade,
    UpgradeFails,
    Peers,
    Restart,
    Reload,
    Logs,
    Wear,
    Slow,
    BesideSlow,
    Attacks,
    Descriptors,
    Sick,
    Activity,
    Limits,
    Notifications,
    Remembered,
    Page,
}

/// What every scene is told.
struct Settings {
    binary: PathBuf,
    quick: bool,
}

impl Settings {
    /// A count: a small one in a quick run.
    fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(role) = arguments.role {
        let ran = match role {
            Role::Impostor(impostor) => impostor.run(),
            Role::Witness(witness) => witness.run(),
            Role::Crowd(crowd) => crowd.run(),
        };
        return ran.map(|()| ExitCode::SUCCESS);
    }
    proc::raise_descriptors()?;
    let built = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("release").join("embedgate");
    let binary = arguments.edge.unwrap_or_else(built);
    let binary = binary.canonicalize().with_context(|| format!("{}: run `make build`", binary.display()))?;
    let settings = Settings { binary, quick: arguments.quick };
    let scenes = match arguments.only.is_empty() {
        true => Scene::value_variants().to_vec(),
        false => arguments.only,
    };
    let mut rows = Rows::new();
    for scene in scenes {
        let shown = match scene {
            Scene::Drill => drill::show(&mut rows),
            Scene::Upgrade => upgrade::show(&settings, &mut rows),
            Scene::UpgradeFails => upgrade_fails::show(&settings, &mut rows),
            Scene::Peers => peers::show(&settings, &mut rows),
            Scene::Restart => restart::show(&settings, &mut rows),
            Scene::Reload => reload::show(&settings, &mut rows),
            Scene::Logs => logs::show(&settings, &mut rows),
            Scene::Wear => wear::show(&settings, &mut rows),
            Scene::Slow => slow::show(&settings, &mut rows),
            Scene::BesideSlow => slow::show_beside(&settings, &mut rows),
            Scene::Attacks => attacks::show(&settings, &mut rows),
            Scene::Descriptors => descriptors::show(&settings, &mut rows),
            Scene::Sick => sick::show(&settings, &mut rows),
            Scene::Activity => activity::show(&settings, &mut rows),
            Scene::Limits => limits::show(&settings, &mut rows),
            Scene::Notifications => notifications::show(&settings, &mut rows),
            Scene::Remembered => remembered::show(&settings, &mut rows),
            Scene::Page => page::show(&settings, &mut rows),
        };
        if let Err(error) = shown {
            let name = scene.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            rows.judged(format!("{name}: shown to its end"), "yes", format!("{error:#}"), false);
        }
    }
    Ok(if rows.are_met() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All cores, as `taskset` reads them.
fn cores() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    list.map_or_else(|| "0".to_owned(), |list| list.trim().to_owned())
}
