//! An attack beside honest clients: how it ended, what it cost, what they noticed.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::attacker::Outcome;
use crate::honest::{self, CLIENTS, Honest, ask_for};
use crate::rows::{Rows, text};
use crate::subject::{Memory, Subject, mebibytes};
use crate::witness::{Seen, Witness};

/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);
/// What one connection may cost.
const MEMORY: u64 = 16 << 20;
/// Requests at once that may reach the upstream: those of one connection, of honest clients, and of a connection that has
/// just ended.
const AT_ONCE: u64 = 120;

/// What an attack is to come to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The end of its connection.
    End,
    /// The same, and no more work of its requests than a client may have done.
    EndOfRequests,
    /// An answer that says so.
    Refusal,
    /// Nothing but a bound on memory.
    Bound,
}

/// The attacks on one subject, with what honest requests take without.
pub struct Attacked<'s> {
    subject: &'s Subject,
    witness: &'s Witness,
    time: Duration,
    quiet: Duration,
    lost: u64,
    first_lost: String,
}

impl<'s> Attacked<'s> {
    /// `time`: how long each goes on.
    pub fn new(subject: &'s Subject, witness: &'s Witness, time: Duration) -> Result<Self> {
        // Once before: a server that has just started is slower.
        ask_for(&subject.target, CLIENTS, time / 3, || ())?;
        let quiet = ask_for(&subject.target, CLIENTS, time, || ())?.p99();
        Ok(Self { subject, witness, time, quiet, lost: 0, first_lost: String::new() })
    }

    /// Attacks, and tells of it. `unit`: what is counted of what was sent.
    pub fn by(
        &mut self,
        rows: &mut Rows,
        name: &str,
        unit: &str,
        wanted: Wanted,
        attack: impl FnOnce() -> Result<Outcome> + Send + 'static,
    ) -> Result<()> {
        self.witness.forget()?;
        let honest = Honest::start(&self.subject.target);
        let mut memory = Memory::of(self.subject);
        let attacking = std::thread::spawn(attack);
        while !attacking.is_finished() {
            memory.look(self.subject);
            std::thread::sleep(LOOK);
        }
        let outcome = attacking.join().map_err(|_| anyhow!("the attack panicked"))??;
        let honest = honest.stop()?;
        let seen = self.witness.seen()?;
        self.lost += honest.failed;
        if self.first_lost.is_empty() && honest.failed > 0 {
            self.first_lost = format!("{name}: {}", honest.first);
        }
        let name = format!("attacks: {}, {name}", self.subject.title);
        let (said, grown, p99) = (outcome.text(unit), memory.growth(), honest.p99());
        if self.subject.as_edge().is_none() {
            let (grown, quiet) = (mebibytes(grown), text(self.quiet));
            rows.told(
                name,
                format!(
                    "{said}; {grown}; p99 {} ({quiet} without); upstream {}",
                    text(p99),
                    upstream(&seen, self.time)
                ),
            );
            return Ok(());
        }
        let what = format!("{name}: first of {} connections", outcome.connections);
        match wanted {
            Wanted::Bound => rows.told(what, said),
            Wanted::Refusal => rows.judged(what, "4xx", said, outcome.is_refused()),
            Wanted::End | Wanted::EndOfRequests => rows.judged(what, "ended", said, outcome.has_ended()),
        }
        if wanted == Wanted::EndOfRequests {
            let most = format!("<= {AT_ONCE}");
            let is_bounded = seen.most_at_once <= AT_ONCE;
            rows.judged(
                format!("{name}: requests at once upstream"),
                most,
                upstream(&seen, self.time),
                is_bounded,
            );
        }
        let most = format!("<= {}", mebibytes(MEMORY));
        rows.judged(format!("{name}: memory"), most, mebibytes(grown), grown <= MEMORY);
        honest::judge(rows, &name, self.quiet, p99);
        Ok(())
    }

    /// What honest clients have lost in all of them.
    pub fn over(self, rows: &mut Rows, what: &str) {
        let name = format!("attacks: {}, {what}: honest requests lost", self.subject.title);
        match self.subject.as_edge() {
            Some(_) => rows.none(name, self.lost, &self.first_lost),
            None => rows.told(name, self.lost),
        }
    }
}

fn upstream(seen: &Seen, time: Duration) -> String {
    let rate = seen.accepted as f64 / time.as_secs_f64();
    format!("{} at once, {rate:.0} new connections a second", seen.most_at_once)
}
