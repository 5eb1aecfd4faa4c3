//! Attacks over HTTP/2, at the edge and at its peers.

use std::time::Duration;

use anyhow::Result;

use super::attacker::{Attack, attack};
use super::floods;
use super::told::{Attacked, Wanted};
use crate::Settings;
use crate::load::on_this_thread;
use crate::rows::Rows;
use crate::subject::{Before, Subject};
use crate::witness::{Temper, Witness};

/// How long each goes on.
const TIME: Duration = Duration::from_millis(2500);

type Line = (&'static str, fn() -> Attack, Wanted);

const ATTACKS: [Line; 15] = [
    ("rapid reset, bursts (CVE-2023-44487)", floods::reset_in_bursts, Wanted::EndOfRequests),
    ("rapid reset, 50 each 50 ms (CVE-2023-44487)", floods::reset_paced, Wanted::EndOfRequests),
    ("resets by window overflow (CVE-2025-8671)", floods::made_you_reset_by_overflow, Wanted::EndOfRequests),
    (
        "resets by a window update of 0 (CVE-2025-8671)",
        floods::made_you_reset_by_nothing,
        Wanted::EndOfRequests,
    ),
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
    Subject::each(settings, &Before::server(witness.addr), |subject| {
        let mut attacked = Attacked::new(subject, &witness, time)?;
        for (name, make, wanted) in ATTACKS {
            let target = subject.target.clone();
            attacked.by(rows, name, "frames", wanted, move || on_this_thread(attack(&target, make, time)))?;
        }
        attacked.over(rows, "HTTP/2");
        Ok(())
    })
}
