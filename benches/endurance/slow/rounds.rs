//! What honest clients notice of slow ones: rounds at an edge that has them and at one that hasn't, in turn.
//!
//! The slow ones are let stay here, by deadlines that are longer than the rounds: what each costs while it is there does
//! not depend on when it has to go.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use super::Counts;
use crate::Settings;
use crate::crowd::{Crowd, Kind};
use crate::honest::{self, ask_for, median};
use crate::rows::{Rows, counted};
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

const ROUNDS: usize = 9;
/// Each edge's part of a round.
const PART: Duration = Duration::from_millis(600);
/// Between two looks at whether the slow ones are all there.
const LOOK: Duration = Duration::from_millis(50);
/// What a request may cost more, in percent.
const MORE: f64 = 5.0;
/// Deadlines that let slow clients stay, as the end of `[edge]` and the beginning of `[edge.bounds]`.
const PATIENT: &str = "header_timeout = \"10m\"";
const PATIENT_BOUNDS: &str = "tls_handshake_timeout = \"10m\"\nbody_timeout = \"10m\"\n";

pub fn show(settings: &Settings, rows: &mut Rows, counts: Counts) -> Result<()> {
    let rounds = settings.count(ROUNDS, 3);
    let witness = Witness::start(Temper::Well)?;
    let before = Before::server(witness.addr);
    let start = || Subject::edge_with(settings, &before, PATIENT, PATIENT_BOUNDS);
    let quiet = start()?;
    for kind in Kind::value_variants() {
        let loaded = start()?;
        // Both have served before they are held against each other.
        for subject in [&quiet, &loaded] {
            Part::at(subject)?;
        }
        let crowd = Crowd::start(*kind, kind.addr(&loaded), counts.of(*kind))?;
        while !crowd.is_there()? {
            std::thread::sleep(LOOK);
        }
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            without.push(Part::at(&quiet)?);
            with.push(Part::at(&loaded)?);
        }
        let name = format!("slow: beside {} {}", counts.of(*kind), kind.title());
        judge(rows, &name, &without, &with)?;
    }
    Ok(())
}

fn judge(rows: &mut Rows, name: &str, without: &[Part], with: &[Part]) -> Result<()> {
    let cost = |parts: &[Part]| median(parts.iter().map(|part| part.cost).collect());
    let p99 = |parts: &[Part]| median(parts.iter().map(|part| part.p99).collect());
    let quiet = cost(without)?;
    // Round by round, because the machine may be slower in one than in another.
    let rounds = without.iter().zip(with).map(|(without, with)| (with.cost / without.cost - 1.0) * 100.0);
    let more = median(rounds.collect())?;
    rows.judged(
        format!("{name}: processor time of an honest request ({quiet:.1} us without)"),
        format!("<= +{MORE} %"),
        format!("{more:+.1} %"),
        more <= MORE,
    );
    honest::judge(rows, name, p99(without)?, p99(with)?);
    let failed = with.iter().map(|part| part.failed).sum();
    let first = with.iter().map(|part| part.first.as_str()).find(|first| !first.is_empty());
    rows.none(format!("{name}: honest requests lost"), failed, first.unwrap_or_default());
    rows.told(
        format!("{name}: honest requests answered"),
        counted(with.iter().map(|part| part.answered).sum(), ""),
    );
    Ok(())
}

/// One edge's part of a round.
struct Part {
    /// Microseconds of processor time a request.
    cost: f64,
    p99: Duration,
    answered: u64,
    failed: u64,
    first: String,
}

impl Part {
    fn at(subject: &Subject) -> Result<Self> {
        let mut before = (Duration::ZERO, Instant::now());
        let window = ask_for(&subject.target, PART, || before = (subject.cpu(), Instant::now()))?;
        let took = subject.cpu() - before.0;
        let answered = window.times.len() as u64;
        Ok(Self {
            cost: took.as_secs_f64() * 1e6 / answered.max(1) as f64,
            p99: window.p99(),
            answered,
            failed: window.failed,
            first: window.first,
        })
    }
}
