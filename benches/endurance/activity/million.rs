//! A million widgets that are all embedded: ten thousand requests a second, and what memory and counts come to.

use std::cell::RefCell;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Result;
use bench_support::command;
use bench_support::process::output;
use bench_support::rules::{document, id};

use super::asks::{Ask, ask_all};
use super::seen::Seen;
use super::{Watch, judge_answers, plain, settle, sightings};
use crate::admin::document as listing;
use crate::edge::{CONFIGURATION, Prepared, SITE, Spec, WIDGET};
use crate::load::on_this_thread;
use crate::rows::Rows;
use crate::{Settings, upstreams};

/// Requests a second.
pub const RATE: u32 = 10_000;
/// Pages that no widget lists.
const STRANGERS: usize = 1_000;
/// How many of them embed one widget. With more, lists would come to their bound on the disk, which is what floods are about.
const OF_ONE_WIDGET: usize = 4;
/// One of so many requests comes from a page that is listed.
const LISTED_EACH: usize = 10;
/// Widgets whose counts are read at the end.
const READ: usize = 1_000;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (widgets, seconds) = (settings.count(1_000_000, 10_000), settings.count(600, 10));
    let what = format!("activity of {widgets} widgets");
    let prepared = Prepared::new(&settings.binary, upstreams::start()?, Spec::default())?;
    import(&prepared, widgets)?;
    let edge = prepared.start()?;
    let admin = edge.admin();
    settle(admin)?;
    let before = sightings(admin, "recorded")?;

    // Before the first request, so that all that is seen is held against the bound.
    let watch = Watch::start(&edge)?;
    // Each has activity, so that every further one changes a record.
    let counts = Rc::new(RefCell::new(vec![0_u32; widgets]));
    let counted = {
        let counts = Rc::clone(&counts);
        move |ask: &Ask| {
            if let Some(count) = counts.borrow_mut().get_mut(ask.number) {
                *count += 1;
            }
        }
    };
    let begun = (0..widgets).map(|number| from_a_stranger(number, number));
    let seeded = on_this_thread(ask_all(plain(&edge), begun, Some(RATE), counted.clone()))?;
    judge_answers(&format!("{what}, one request each"), &seeded, admin, rows)?;
    settle(admin)?;

    let started = Instant::now();
    let asks = (0..RATE as usize * seconds).map(move |nth| any(nth, widgets));
    let tally = on_this_thread(ask_all(plain(&edge), asks, Some(RATE), counted))?;
    let rate = tally.answered.get() as f64 / started.elapsed().as_secs_f64();
    rows.judged(
        format!("{what}: requests a second, for {seconds} s"),
        format!(">= {}", RATE * 99 / 100),
        format!("{rate:.0}"),
        rate >= f64::from(RATE) * 0.99,
    );
    settle(admin)?;
    watch.judge(&what, rows)?;
    judge_answers(&what, &tally, admin, rows)?;
    let (all, recorded) =
        (seeded.answered.get() + tally.answered.get(), sightings(admin, "recorded")? - before);
    rows.judged(format!("{what}: sightings recorded"), all, recorded, recorded == all);

    let (mut off, mut first) = (0, String::new());
    for number in (0..widgets).step_by((widgets / READ).max(1)) {
        let told = Seen::of(admin, &id(number))?.requests();
        let asked = u64::from(counts.borrow().get(number).copied().unwrap_or_default());
        if told != asked {
            off += 1;
            first = if off == 1 { format!("{}: {told} of {asked}", id(number)) } else { first };
        }
    }
    rows.none(format!("{what}: widgets of {READ} whose counts are not as asked"), off, &first);
    Ok(())
}

/// Puts so many widgets into the store.
pub fn import(prepared: &Prepared, widgets: usize) -> Result<()> {
    let mut documents = listing(WIDGET, &[SITE.to_owned()]) + "\n";
    for number in 0..widgets {
        writeln!(documents, "{}", document(number, "site"))?;
    }
    prepared.ground.write("widgets.ndjson", &documents)?;
    let import = command![&prepared.binary, "widgets", "import", "widgets.ndjson", "--config", CONFIGURATION];
    output(&import, prepared.ground.folder()).map(drop)
}

fn from_a_stranger(number: usize, of: usize) -> Ask {
    let page = format!("www.stranger{}.example", of % STRANGERS);
    Ask { number, widget: id(number), page, is_listed: false }
}

/// A request for any of the widgets, from a page that is listed in one of three ways, or is not.
fn any(nth: usize, widgets: usize) -> Ask {
    let mixed = mix(nth as u64) as usize;
    let number = mixed % widgets;
    if !nth.is_multiple_of(LISTED_EACH) {
        return from_a_stranger(number, number + mixed / widgets % OF_ONE_WIDGET);
    }
    let page = match nth / LISTED_EACH % 3 {
        0 => format!("site{number}.example.com"),
        1 => format!("www.shop{number}.example.org"),
        _ => format!("pr-{}.preview{number}.example.net", mixed / widgets % 5),
    };
    Ask { number, widget: id(number), page, is_listed: true }
}

/// Numbers in no order, the same in each run (SplitMix64).
pub fn mix(number: u64) -> u64 {
    let z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
