//! `kill -9` under load: how old the oldest sighting is that is gone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::asks::{Ask, ask_all};
use super::plain;
use super::seen::Seen;
use crate::edge::{Edge, SITE, Spec};
use crate::load::on_this_thread;
use crate::rows::Rows;
use crate::{Settings, upstreams};

/// What may be lost.
const LOST: Duration = Duration::from_secs(1);
const WIDGETS: usize = 50;
/// Requests a second.
const RATE: u32 = 5_000;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let rounds = settings.count(10, 3);
    let mut edge = Edge::start(&settings.binary, upstreams::start()?, Spec::default())?;
    for number in 0..WIDGETS {
        edge.admin().save(&id(number), &[SITE.to_owned()])?;
    }
    let (mut oldest, mut invented, mut all, mut gone) = (Duration::ZERO, 0, 0, 0);
    for round in 0..rounds {
        let before = told(&edge)?;
        let answers = Arc::new(Mutex::new(BTreeMap::<usize, Vec<Instant>>::new()));
        let (addr, noted) = (plain(&edge), Arc::clone(&answers));
        let load = std::thread::spawn(move || {
            let answered = move |ask: &Ask| {
                noted.lock().unwrap().entry(ask.number).or_default().push(Instant::now());
            };
            on_this_thread(ask_all(addr, (0..).map(ask), Some(RATE), answered)).map(|tally| tally.lost())
        });
        // Each round at another point of the second.
        std::thread::sleep(Duration::from_millis(3_000 + 1_000 * round as u64 / rounds as u64));
        let killed = edge.kill_and_start()?;
        // Those that were asked and not answered may have been recorded.
        let unanswered = load.join().map_err(|_| anyhow!("the load panicked"))??;
        let mut recorded_unanswered = 0;
        for (number, now) in told(&edge)? {
            let times = answers.lock().unwrap().remove(&number).unwrap_or_default();
            let kept = now.saturating_sub(before.get(&number).copied().unwrap_or_default());
            let kept = usize::try_from(kept)?;
            all += times.len();
            gone += times.len().saturating_sub(kept);
            recorded_unanswered += kept.saturating_sub(times.len()) as u64;
            // They were kept in the order in which they were made.
            if let Some(lost) = times.get(kept) {
                oldest = oldest.max(killed.saturating_duration_since(*lost));
            }
        }
        invented += recorded_unanswered.saturating_sub(unanswered);
    }
    rows.at_most(
        format!("activity, kill -9 under load: oldest sighting lost, worst of {rounds}"),
        LOST,
        oldest,
    );
    rows.told("activity, kill -9 under load: sightings lost, of all", format!("{gone} of {all}"));
    rows.none("activity, kill -9 under load: sightings that nobody made", invented, "");
    Ok(())
}

fn id(number: usize) -> String {
    format!("wgt_killed_{number}")
}

fn ask(nth: usize) -> Ask {
    let number = nth % WIDGETS;
    Ask { number, widget: id(number), page: "stranger.example".to_owned(), is_listed: false }
}

/// Requests of each widget, as the edge tells them.
fn told(edge: &Edge) -> Result<BTreeMap<usize, u64>> {
    let admin = edge.admin();
    (0..WIDGETS).map(|number| Ok((number, Seen::of(admin, &id(number))?.requests()))).collect()
}
