//! Attacks over HTTP/2, at the edge and at its peers.

use std::time::Duration;

use anyhow::{Result, anyhow};

use super::attacker::{Attack, Outcome, attack};
use super::floods;
use crate::Settings;
use crate::honest::{self, Honest};
use crate::load::on_this_thread;
use crate::rows::{Rows, text};
use crate::subject::{Before, Memory, Subject, mebibytes};
use crate::witness::{Temper, Witness};

/// How long each goes on, and how long honest clients are timed without.
const TIME: Duration = Duration::from_secs(3);
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(50);
/// What one connection may cost.
pub const MEMORY: u64 = 16 << 20;
/// Requests at once that may reach the upstream: those of one connection, of honest clients, and of a connection that has
/// just ended.
const AT_ONCE: u64 = 120;

/// What an attack is to come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// The end of its connection.
    End,
    /// Nothing but a bound on memory.
    Bound,
}

type Line = (&'static str, fn() -> Attack, Wanted);

const ATTACKS: [Line; 15] = [
    ("rapid reset, bursts (CVE-2023-44487)", floods::reset_in_bursts, Wanted::End),
    ("rapid reset, 50 each 50 ms (CVE-2023-44487)", floods::reset_paced, Wanted::End),
    ("resets by window overflow (CVE-2025-8671)", floods::made_you_reset_by_overflow, Wanted::End),
    ("resets by a window update of 0 (CVE-2025-8671)", floods::made_you_reset_by_nothing, Wanted::End),
    ("PING (CVE-2019-9512)", floods::pings, Wanted::End),
    ("SETTINGS (CVE-2019-9515)", floods::settings_frames, Wanted::End),
    ("WINDOW_UPDATE", floods::window_updates, Wanted::End),
    ("PRIORITY", floods::priorities, Wanted::End),
    ("unknown frames", floods::unknown_frames, Wanted::End),
    ("empty DATA (CVE-2019-9518)", floods::empty_data, Wanted::End),
    ("CONTINUATION (CVE-2024-27316)", floods::continuations, Wanted::End),
    ("49,152 cookies by reference (CVE-2026-49975)", floods::bomb_of_cookies, Wanted::Bound),
    ("1,900 fields by reference (CVE-2026-49975)", floods::bomb_of_fields, Wanted::Bound),
    ("15 long fields by reference (CVE-2026-49975)", floods::bomb_of_lengths, Wanted::Bound),
    ("100 large answers, no window", floods::hoard, Wanted::Bound),
];

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let time = if settings.quick { TIME / 3 } else { TIME };
    let witness = Witness::start(Temper::Well)?;
    let before = Before::server(witness.addr);
    Subject::each(settings, &before, |subject| {
        let quiet = quiet(subject, time)?;
        for (name, make, wanted) in ATTACKS {
            witness.forget()?;
            let target = subject.target.clone();
            let told = beside(subject, move || on_this_thread(attack(&target, make, time)))?;
            let name = format!("attacks: {}, {name}", subject.title);
            let seen = witness.seen()?;
            let outcome = told.outcome.text("frames");
            if subject.as_edge().is_none() {
                rows.told(format!("{name}: first connection"), outcome);
                let costs = format!("{}; {}", mebibytes(told.memory.growth()), seen.most_at_once);
                rows.told(format!("{name}: memory; most requests at once upstream"), costs);
                rows.told(
                    format!("{name}: p99 of honest requests ({} without)", text(quiet)),
                    text(told.honest.p99()),
                );
                continue;
            }
            match wanted {
                Wanted::End => {
                    rows.judged(format!("{name}: first connection"), "ended", outcome, told.has_ended());
                }
                Wanted::Bound => rows.told(format!("{name}: first connection"), outcome),
            }
            rows.judged(
                format!("{name}: most requests at once upstream"),
                format!("<= {AT_ONCE}"),
                seen.most_at_once,
                seen.most_at_once <= AT_ONCE,
            );
            let rate = seen.accepted as f64 / time.as_secs_f64();
            rows.told(format!("{name}: new connections a second upstream"), format!("{rate:.0}"));
            told.judge(rows, &name, quiet);
        }
        Ok(())
    })
}

/// What honest requests take without an attack.
pub fn quiet(subject: &Subject, time: Duration) -> Result<Duration> {
    // Once more than needed: a server that has just started is slower.
    honest::ask_for(&subject.target, time / 3, || ())?;
    Ok(honest::ask_for(&subject.target, time, || ())?.p99())
}

/// An attack, with what it cost and what honest clients saw.
pub struct Told {
    pub outcome: Outcome,
    pub memory: Memory,
    pub honest: honest::Window,
}

impl Told {
    pub fn has_ended(&self) -> bool {
        self.outcome.end.as_ref().is_some_and(|end| !end.starts_with("stuck"))
    }

    pub fn judge(&self, rows: &mut Rows, name: &str, quiet: Duration) {
        let grown = self.memory.growth();
        rows.judged(
            format!("{name}: memory ({} connections, one at a time)", self.outcome.connections),
            format!("<= {}", mebibytes(MEMORY)),
            mebibytes(grown),
            grown <= MEMORY,
        );
        honest::judge(rows, name, quiet, self.honest.p99());
        rows.none(format!("{name}: honest requests lost"), self.honest.failed, &self.honest.first);
    }
}

/// Attacks on a thread of its own, beside honest clients.
pub fn beside(subject: &Subject, attack: impl FnOnce() -> Result<Outcome> + Send + 'static) -> Result<Told> {
    let honest = Honest::start(&subject.target);
    let mut memory = Memory::of(subject);
    let attacking = std::thread::spawn(attack);
    while !attacking.is_finished() {
        memory.look(subject);
        std::thread::sleep(LOOK);
    }
    let outcome = attacking.join().map_err(|_| anyhow!("the attack panicked"))??;
    Ok(Told { outcome, memory, honest: honest.stop()? })
}
