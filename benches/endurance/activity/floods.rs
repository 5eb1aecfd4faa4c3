//! A million forged origins, each seen once, and the embedders among them that are not.

use std::collections::BTreeMap;

use anyhow::Result;

use super::asks::{Ask, ask_all};
use super::million::{RATE, mix};
use super::seen::{Seen, Site};
use super::{Watch, judge_answers, plain, settle};
use crate::admin::{Admin, document};
use crate::edge::{Edge, Spec};
use crate::load::on_this_thread;
use crate::rows::Rows;
use crate::{Settings, upstreams};

/// Embedders that ask more than once and are not listed, and those of them that are shown.
const TRUE: usize = 60;
const SHOWN: usize = 50;
/// Embedders that are listed.
const LISTED: usize = 10;
/// Widgets with such embedders, where the flood is spread.
const WATCHED: usize = 20;
/// Saves of widgets in one batch.
const BATCH: usize = 20_000;

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let (forged, spread) = (settings.count(1_000_000, 100_000), settings.count(100_000, 5_000));
    // One widget has one record, however fast they come. Many have as many to write.
    Flood { forged, widgets: 1, watched: 1, least: 100, step: 20, a_second: None }.show(settings, rows)?;
    let a_second = Some(RATE);
    Flood { forged, widgets: spread, watched: WATCHED, least: 10, step: 4, a_second }.show(settings, rows)
}

/// Forged origins over so many widgets, at some of which true embedders ask `least` times and more, in steps.
#[derive(Clone, Copy)]
struct Flood {
    forged: usize,
    widgets: usize,
    watched: usize,
    least: usize,
    step: usize,
    a_second: Option<u32>,
}

impl Flood {
    fn show(self, settings: &Settings, rows: &mut Rows) -> Result<()> {
        let Self { forged, widgets, watched, a_second, .. } = self;
        let rate = a_second.map_or("as fast as it goes".to_owned(), |rate| format!("{rate} a second"));
        let what = format!("activity, {forged} forged origins at {widgets} widgets, {rate}");
        let edge = Edge::start(&settings.binary, upstreams::start()?, Spec::default())?;
        let admin = edge.admin();
        save_all(admin, widgets)?;
        let watch = Watch::start(&edge)?;
        let asks = self.shuffled().into_iter().map(move |number| self.ask(number));
        let tally = on_this_thread(ask_all(plain(&edge), asks, a_second, |_| ()))?;
        settle(admin)?;
        watch.judge(&what, rows)?;
        judge_answers(&what, &tally, admin, rows)?;

        let (mut missing, mut off) = (Vec::new(), Vec::new());
        let mut greatest_error = 0;
        for widget in 0..watched {
            let seen = Seen::of(admin, &id(widget))?;
            let shown: BTreeMap<&str, &Site> =
                seen.refused.sites.iter().map(|site| (site.origin.as_str(), site)).collect();
            for embedder in 0..TRUE {
                let (origin, count) = (format!("https://{}", stranger(embedder)), self.count(embedder));
                match shown.get(origin.as_str()) {
                    Some(site) => {
                        greatest_error = greatest_error.max(site.error);
                        if !site.may_be(count) {
                            off.push(format!(
                                "{origin}: {}, {} too many, not {count}",
                                site.count, site.error
                            ));
                        }
                    }
                    None if embedder >= TRUE - SHOWN => missing.push(format!("{}: {origin}", id(widget))),
                    None => {}
                }
            }
            // No stranger takes the place of a page that is listed.
            for (embedder, entry) in seen.entries.iter().enumerate() {
                if entry.count != self.count(embedder) {
                    off.push(format!("{}: {}, not {}", site(embedder), entry.count, self.count(embedder)));
                }
            }
        }
        let mut none = |row: String, faults: &[String]| {
            rows.none(row, faults.len() as u64, faults.first().map_or("", String::as_str));
        };
        none(format!("{what}: of the {SHOWN} most frequent, not told"), &missing);
        none(format!("{what}: counts beyond the error that is told"), &off);
        rows.told(format!("{what}: greatest error that is told"), greatest_error);
        Ok(())
    }

    /// How often this embedder asks.
    fn count(self, embedder: usize) -> u64 {
        (self.least + self.step * embedder) as u64
    }

    /// Requests in no order: below `forged` those of forged origins, above those of embedders, `TRUE` and `LISTED` of each
    /// watched widget.
    fn shuffled(self) -> Vec<u32> {
        let mut numbers: Vec<u32> = (0..self.forged as u32).collect();
        let embedders = 0..self.watched * (TRUE + LISTED);
        for (embedder, number) in embedders.zip(self.forged as u32..) {
            let nth = embedder % (TRUE + LISTED);
            let count = self.count(if nth < TRUE { nth } else { nth - TRUE });
            numbers.extend((0..count).map(|_| number));
        }
        for last in (1..numbers.len()).rev() {
            let other = mix(last as u64) as usize % (last + 1);
            numbers.swap(last, other);
        }
        numbers
    }

    fn ask(self, number: u32) -> Ask {
        let number = number as usize;
        if let Some(embedder) = number.checked_sub(self.forged) {
            let (widget, nth) = (embedder / (TRUE + LISTED), embedder % (TRUE + LISTED));
            let is_listed = nth >= TRUE;
            let page = if is_listed { site(nth - TRUE) } else { stranger(nth) };
            return Ask { number, widget: id(widget), page, is_listed };
        }
        let page = format!("f{number:x}.flood.example");
        Ask { number, widget: id(number % self.widgets), page, is_listed: false }
    }
}

fn id(widget: usize) -> String {
    format!("wgt_flooded_{widget}")
}

fn stranger(embedder: usize) -> String {
    format!("true{embedder}.stranger.example")
}

fn site(embedder: usize) -> String {
    format!("site{embedder}.example")
}

/// Saves so many widgets with the same list.
fn save_all(admin: Admin, widgets: usize) -> Result<()> {
    let sites: Vec<String> = (0..LISTED).map(site).collect();
    let numbers: Vec<usize> = (0..widgets).collect();
    let mut batches = numbers.chunks(BATCH);
    batches.try_for_each(|batch| admin.save_all(batch.iter().map(|number| document(&id(*number), &sites))))
}
