//! What honest clients notice of slow ones: rounds at one edge, with the slow ones and without them in turn.
//!
//! It is one edge, because two processes of one program differ by more than what is looked for. The slow ones are let
//! stay here, by deadlines that are longer than the rounds: what each costs while it is there does not depend on when it
//! has to go. The honest ones keep the edge's core busy, so that a request isn't dear or cheap by what wakes the edge, and a
//! part in which the host of this machine took its processors away is taken again.

use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bench_support::process;
use clap::ValueEnum;

use super::Counts;
use crate::Settings;
use crate::crowd::{Crowd, Kind};
use crate::edge::Spec;
use crate::honest::{self, ask_for, median};
use crate::proc;
use crate::rows::Rows;
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

const ROUNDS: usize = 9;
/// Each half of a round, in seconds.
const PART: usize = 3;
/// Honest clients, each with a request under way at any time.
const HONEST: usize = 32;
/// The most that the host may take away of a part, by the time of one processor, and how often a part is taken again.
const STOLEN: f64 = 0.02;
const AGAIN: usize = 8;
/// Between two looks at whether the slow ones are all there, or all gone.
const LOOK: Duration = Duration::from_millis(50);
/// How long the edge may take to notice that slow clients have gone.
const LEAVE: Duration = Duration::from_secs(30);
/// How long the edge is left alone before a part, so that coming and going is not counted.
const REST: Duration = Duration::from_millis(500);
/// Descriptors that may come and go by themselves.
const STRAY: usize = 50;
/// What a request may cost more, in percent.
const MORE: f64 = 5.0;
/// Deadlines that let slow clients stay, as the end of `[edge]` and the beginning of `[edge.bounds]`.
const PATIENT: &str = "header_timeout = \"10m\"";
const PATIENT_BOUNDS: &str = "tls_handshake_timeout = \"10m\"\nbody_timeout = \"10m\"\n";

pub fn show(settings: &Settings, rows: &mut Rows, counts: Counts) -> Result<()> {
    let plan =
        Plan { rounds: settings.count(ROUNDS, 3), part: Duration::from_secs(settings.count(PART, 1) as u64) };
    let witness = Witness::start(Temper::Well)?;
    let before = Before::server(witness.addr);
    let spec = Spec { edge: PATIENT, bounds: PATIENT_BOUNDS, ..Spec::default() };
    let Some((edge_s, others)) = divided_cores() else {
        return at(&Subject::edge_with(settings, &before, spec)?, plan, rows, counts);
    };
    // What a request costs depends on who wakes whom on which core, and the system may change its mind on that.
    let all = crate::cores();
    witness.keep_on(&others)?;
    process::pin(std::process::id(), &others)?;
    let cores = Some(edge_s.as_str());
    let shown = at(&Subject::edge_with(settings, &before, Spec { cores, ..spec })?, plan, rows, counts);
    process::pin(std::process::id(), &all)?;
    shown
}

#[derive(Clone, Copy)]
struct Plan {
    rounds: usize,
    part: Duration,
}

/// A core for the edge, and the others for everything else; `None` where there is only one.
fn divided_cores() -> Option<(String, String)> {
    let count = available_parallelism().map_or(1, usize::from);
    (count > 1).then(|| ("0".to_owned(), format!("1-{}", count - 1)))
}

fn at(edge: &Subject, plan: Plan, rows: &mut Rows, counts: Counts) -> Result<()> {
    // The first makes it warm.
    Part::at(edge, plan.part)?;
    let empty = edge.descriptors();
    // What the rounds find where there is nothing to find.
    let alone = Rounds::at(edge, plan, &mut |_| Ok(()))?;
    rows.told(
        "slow: processor time of an honest request in the second halves, without slow clients",
        format!("{:+.1} %", (median(alone.ratios())? - 1.0) * 100.0),
    );
    for kind in Kind::value_variants() {
        let mut crowd = None;
        let beside = Rounds::at(edge, plan, &mut |wanted| {
            match (wanted, crowd.is_some()) {
                (true, false) => {
                    let new = Crowd::start(*kind, kind.addr(edge), counts.of(*kind))?;
                    while !new.is_there()? {
                        std::thread::sleep(LOOK);
                    }
                    crowd = Some(new);
                }
                (false, true) => {
                    crowd = None;
                    leave(edge, empty)?;
                }
                _ => {}
            }
            std::thread::sleep(REST);
            Ok(())
        })?;
        drop(crowd);
        leave(edge, empty)?;
        beside.judge(rows, &format!("slow: beside {} {}", counts.of(*kind), kind.title()))?;
    }
    Ok(())
}

/// Waits until the edge has only as many descriptors as without slow clients.
fn leave(edge: &Subject, empty: usize) -> Result<()> {
    let begun = Instant::now();
    while edge.descriptors() > empty + STRAY {
        ensure!(
            begun.elapsed() < LEAVE,
            "slow clients left {LEAVE:?} ago, and the edge still has their sockets"
        );
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Rounds at an edge, each with a part without slow clients and one with them.
struct Rounds {
    without: Vec<Part>,
    with: Vec<Part>,
}

impl Rounds {
    /// `crowd` sees to it that the slow clients are there, or gone.
    fn at(edge: &Subject, plan: Plan, crowd: &mut dyn FnMut(bool) -> Result<()>) -> Result<Self> {
        let mut this = Self { without: Vec::new(), with: Vec::new() };
        for round in 0..plan.rounds {
            // In turn, so that none always comes after the other.
            let order = if round % 2 == 0 { [false, true] } else { [true, false] };
            for with in order {
                crowd(with)?;
                let part = Part::undisturbed(edge, plan.part)?;
                if with { this.with.push(part) } else { this.without.push(part) }
            }
        }
        Ok(this)
    }

    /// What a request costs with slow clients by what it costs without, round by round: the machine may be slower in one
    /// than in another.
    fn ratios(&self) -> Vec<f64> {
        self.without.iter().zip(&self.with).map(|(without, with)| with.cost / without.cost).collect()
    }

    /// How often a part was taken again.
    fn again(&self) -> usize {
        self.without.iter().chain(&self.with).map(|part| part.again).sum()
    }

    fn judge(&self, rows: &mut Rows, name: &str) -> Result<()> {
        let p99 = |parts: &[Part]| median(parts.iter().map(|part| part.p99).collect());
        let cost = median(self.without.iter().map(|part| part.cost).collect())?;
        let answered: u64 = self.with.iter().map(|part| part.answered).sum();
        let more = (median(self.ratios())? - 1.0) * 100.0;
        rows.judged(
            format!("{name}: processor time of an honest request ({cost:.1} us without)"),
            format!("<= +{MORE} %"),
            format!("{more:+.1} % ({answered} requests, {} parts taken again)", self.again()),
            more <= MORE,
        );
        honest::judge(rows, name, p99(&self.without)?, p99(&self.with)?);
        let failed = self.with.iter().map(|part| part.failed).sum();
        let first = self.with.iter().map(|part| part.first.as_str()).find(|first| !first.is_empty());
        rows.none(format!("{name}: honest requests lost"), failed, first.unwrap_or_default());
        Ok(())
    }
}

/// Half of a round.
struct Part {
    /// Microseconds of processor time a request.
    cost: f64,
    p99: Duration,
    answered: u64,
    failed: u64,
    first: String,
    /// What the host took away, by the time of one processor.
    stolen: f64,
    /// How often it was taken again.
    again: usize,
}

impl Part {
    /// One that the host left alone, or else the last.
    fn undisturbed(subject: &Subject, time: Duration) -> Result<Self> {
        let mut part = Self::at(subject, time)?;
        for again in 1..=AGAIN {
            if part.stolen <= STOLEN {
                break;
            }
            part = Self { again, ..Self::at(subject, time)? };
        }
        Ok(part)
    }

    fn at(subject: &Subject, time: Duration) -> Result<Self> {
        let stolen = proc::stolen()?;
        let mut before = Duration::ZERO;
        let window = ask_for(&subject.target, HONEST, time, || before = subject.cpu())?;
        let (took, stolen) = (subject.cpu() - before, proc::stolen()? - stolen);
        let answered = window.times.len() as u64;
        Ok(Self {
            cost: took.as_secs_f64() * 1e6 / answered.max(1) as f64,
            p99: window.p99(),
            answered,
            failed: window.failed,
            first: window.first,
            stolen: stolen.as_secs_f64() / time.as_secs_f64(),
            again: 0,
        })
    }
}
