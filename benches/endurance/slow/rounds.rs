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
use crate::rows::Rows;
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

const ROUNDS: usize = 9;
/// Each edge's part of a round.
const PART: Duration = Duration::from_millis(500);
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
    let edges = [start()?, start()?];
    // The first round makes them warm.
    Rounds::at(&edges, 1)?;
    // Two processes of one program are not as fast as each other to the percent, so it is known by how much they differ.
    let first = Rounds::at(&edges, rounds)?.ratios();
    let mut all = Vec::new();
    for kind in Kind::value_variants() {
        let [_, loaded] = &edges;
        let crowd = Crowd::start(*kind, kind.addr(loaded), counts.of(*kind))?;
        while !crowd.is_there()? {
            std::thread::sleep(LOOK);
        }
        all.push((kind, Rounds::at(&edges, rounds)?));
    }
    let last = Rounds::at(&edges, rounds)?.ratios();
    let alone = median([first.clone(), last.clone()].concat())?;
    rows.told(
        "slow: processor time of an honest request at the other edge, none having slow clients",
        format!("{alone:.3} ({:.3} before, {:.3} after)", median(first)?, median(last)?),
    );
    for (kind, beside) in all {
        beside.judge(rows, &format!("slow: beside {} {}", counts.of(*kind), kind.title()), alone)?;
    }
    Ok(())
}

/// Rounds at an edge without slow clients, and at one that may have them.
struct Rounds {
    without: Vec<Part>,
    with: Vec<Part>,
}

impl Rounds {
    fn at([quiet, loaded]: &[Subject; 2], rounds: usize) -> Result<Self> {
        let mut this = Self { without: Vec::new(), with: Vec::new() };
        for round in 0..rounds {
            // In turn, so that none always comes after the other.
            if round % 2 == 0 {
                this.without.push(Part::at(quiet)?);
                this.with.push(Part::at(loaded)?);
            } else {
                this.with.push(Part::at(loaded)?);
                this.without.push(Part::at(quiet)?);
            }
        }
        Ok(this)
    }

    /// What a request costs at the second by what it costs at the first, round by round: the machine may be slower in one
    /// than in another.
    fn ratios(&self) -> Vec<f64> {
        self.without.iter().zip(&self.with).map(|(without, with)| with.cost / without.cost).collect()
    }

    /// `alone`: the ratio when neither had slow clients.
    fn judge(&self, rows: &mut Rows, name: &str, alone: f64) -> Result<()> {
        let p99 = |parts: &[Part]| median(parts.iter().map(|part| part.p99).collect());
        let cost = median(self.without.iter().map(|part| part.cost).collect())?;
        let answered: u64 = self.with.iter().map(|part| part.answered).sum();
        let more = (median(self.ratios())? / alone - 1.0) * 100.0;
        rows.judged(
            format!("{name}: processor time of an honest request ({cost:.1} us without)"),
            format!("<= +{MORE} %"),
            format!("{more:+.1} % ({answered} requests)"),
            more <= MORE,
        );
        honest::judge(rows, name, p99(&self.without)?, p99(&self.with)?);
        let failed = self.with.iter().map(|part| part.failed).sum();
        let first = self.with.iter().map(|part| part.first.as_str()).find(|first| !first.is_empty());
        rows.none(format!("{name}: honest requests lost"), failed, first.unwrap_or_default());
        Ok(())
    }
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
