//! User-space instructions a request: a peer runs under callgrind twice, the second time for more requests, and what
//! it executed more is divided by them. So start and end fall out, and load on the machine makes no difference.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde::{Deserialize, Serialize};

use crate::ground::Ground;
use crate::peers::{Peer, Process, Proxy};
use crate::scenario::Scenario;
use crate::settings::Settings;
use crate::upstream::RunningUpstream;
use crate::{command, load, rules};

/// What one peer needs for a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Count {
    pub peer: Peer,
    pub scenario: Scenario,
    pub instructions: u64,
    /// Requests and instructions of both runs.
    pub runs: [(usize, u64); 2],
}

/// Requests of both runs. A handshake costs fifty times as much as a request, and says as much with a tenth of them; a
/// message costs a tenth.
fn requests(scenario: Scenario) -> [usize; 2] {
    match scenario {
        Scenario::Tls | Scenario::TlsResumed => [30, 230],
        Scenario::Message => [300, 10_300],
        _ => [300, 2300],
    }
}

/// `profiles`: a folder to keep callgrind's profiles in.
pub fn measure(
    settings: &Settings,
    peers: &[Peer],
    scenarios: &[Scenario],
    profiles: Option<&Path>,
) -> Result<Vec<Count>> {
    let both = settings.cores.both();
    let upstream = RunningUpstream::start(&both)?;
    let mut counts = Vec::new();
    for scenario in scenarios {
        for peer in peers.iter().filter(|peer| scenario.includes(**peer)) {
            let run = |requests| {
                let profile = format!("{peer:?}-{scenario:?}-{requests}.callgrind");
                let profile = profiles.map(|folder| folder.join(profile));
                one(*peer, *scenario, &upstream, &both, requests, profile.as_deref())
                    .with_context(|| format!("{peer}, {scenario}, under callgrind"))
            };
            let [few, many] = requests(*scenario);
            // Each on a thread of its own; instructions don't mind.
            let (less, more) = std::thread::scope(|scope| {
                let less = scope.spawn(|| run(few));
                let more = run(many);
                (less.join(), more)
            });
            let (less, more) = (less.map_err(|_| anyhow!("a run that ended in a panic"))??, more?);
            let instructions = more.saturating_sub(less) / (many - few) as u64;
            counts.push(Count {
                peer: *peer,
                scenario: *scenario,
                instructions,
                runs: [(few, less), (many, more)],
            });
        }
    }
    Ok(counts)
}

fn one(
    peer: Peer,
    scenario: Scenario,
    upstream: &RunningUpstream,
    cores: &str,
    requests: usize,
    keep: Option<&Path>,
) -> Result<u64> {
    let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), upstream.addr)?;
    let plain = peer.prepare(&ground, rules::FEW, Process::Single)?;
    let counted = ground.path("callgrind.out");
    let mut file = std::ffi::OsString::from("--callgrind-out-file=");
    file.push(&counted);
    let mut command = Vec::from(command!["valgrind", "--tool=callgrind", "--fair-sched=yes", file]);
    command.extend(plain);
    let mut proxy = Proxy::start(peer, ground, cores, &command)?;
    // What the first answer set going is over.
    std::thread::sleep(Duration::from_millis(300));
    load::exactly(scenario, &proxy.ground, requests)?;
    proxy.running.end();
    let profile = std::fs::read_to_string(&counted)
        .with_context(|| format!("no profile; the process said: {}", proxy.running.said()))?;
    if let Some(to) = keep {
        std::fs::write(to, &profile).with_context(|| to.display().to_string())?;
    }
    let total = profile.lines().rev().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).context("a profile with its total")
}

/// The figure of a peer in a scenario.
pub fn of(counts: &[Count], peer: Peer, scenario: Scenario) -> Option<u64> {
    let count = counts.iter().find(|count| count.peer == peer && count.scenario == scenario)?;
    Some(count.instructions)
}
