#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::sweep::FORGOTTEN;
use super::*;
use crate::activity::reader::{ActivityReader, RefusedEmbedder};
use crate::activity::seen::{EmbedderActivity, WidgetActivity};
use crate::activity::sighting::{Sighting, SightingKind};
use crate::notifications::notice::Notice;
use crate::rules::change::{Actor, ApplyOptions, Change};
use crate::rules::fixtures::{delete, put};
use crate::rules::publisher::Publisher;
use crate::rules::source::SourceKind;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::verdict::Reason;

const BYTES: u64 = 16 << 20;
const NOW: i64 = 1_800_000_000;
const ADMITTED: SightingKind = SightingKind::Admitted { reason: Reason::Exact, would_deny: None };
const REFUSED: SightingKind = SightingKind::Refused { reason: Reason::NotListed };

struct House {
    folder: TempDir,
    publisher: Publisher,
    metrics: Metrics,
}

impl House {
    fn new(widgets: impl IntoIterator<Item = Change>) -> Self {
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "");
        let house =
            Self { folder: tempfile::tempdir().unwrap(), publisher, metrics: Metrics::new().unwrap() };
        house.apply(widgets);
        house
    }

    fn apply(&self, changes: impl IntoIterator<Item = Change>) {
        let changes = changes.into_iter().collect();
        self.publisher.apply(changes, ApplyOptions::default(), Actor::CommandLine).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/activity.redb")
    }

    fn keeper(&self) -> ActivityKeeper {
        let rules = self.publisher.live().clone();
        ActivityKeeper::open(&self.path(), BYTES, rules, self.metrics.activity.clone())
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("{name}\n{text}")).parse().unwrap()
    }
}

fn see(keeper: &ActivityKeeper, widget: &str, embedder: &str, kind: SightingKind, at: i64) {
    let (client, at) = (None, Timestamp::from_second(at).unwrap());
    keeper.recorder().record(&Sighting { widget, embedder, kind, client, at });
}

/// Adds up and writes, as the keeper does in time.
fn keep(keeper: &ActivityKeeper) -> bool {
    keeper.look();
    keeper.try_write()
}

fn counts(embedders: &[EmbedderActivity]) -> Vec<(&str, u64)> {
    embedders.iter().map(|embedder| (&*embedder.origin, embedder.count)).collect()
}

#[test]
fn what_was_seen_is_kept_and_told() {
    let house = House::new([put("w", &["a.example"], ""), put("x", &["a.example"], "")]);
    let keeper = house.keeper();
    let since = keeper.since();
    for second in 0..3 {
        see(&keeper, "w", "https://a.example", ADMITTED, NOW + second);
        see(&keeper, "w", "https://b.example", REFUSED, NOW + second);
        see(&keeper, "nobody", "https://a.example", ADMITTED, NOW);
        assert!(keep(&keeper));
    }
    see(&keeper, "x", "https://c.example", REFUSED, NOW);
    // What was not written yet is, before another process gets the file.
    keeper.let_go();
    assert_eq!(house.metric("embedgate_activity_sightings_total{outcome=\"recorded\"}"), 7);
    drop(keeper);

    let keeper = house.keeper();
    assert_eq!(keeper.since(), since);
    let seen = keeper.widget("w").unwrap();
    assert_eq!(counts(&seen.admitted.embedders), [("https://a.example", 3)]);
    assert_eq!(counts(&seen.refused.embedders), [("https://b.example", 3)]);
    let entry = seen.entries["a.example"];
    assert_eq!((entry.count, entry.first.as_second(), entry.last.as_second()), (3, NOW, NOW + 2));
    assert_eq!(keeper.widget("nobody").unwrap(), WidgetActivity::default());
    let page = keeper.page(None, 10).unwrap();
    assert_eq!(page.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["w", "x"]);
    let refused = || {
        let of = |refused: RefusedEmbedder| (refused.widget.to_string(), refused.embedder.count);
        keeper.most_refused().into_iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(refused(), [("w".to_owned(), 3), ("x".to_owned(), 1)]);
    house.apply([delete("w", None)]);
    assert_eq!(refused(), [("x".to_owned(), 1)]);
}

#[test]
fn what_can_not_be_written_waits_in_bounded_memory() {
    let house = House::new([put("w", &["a.example"], "")]);
    let folder = house.path().parent().unwrap().to_owned();
    fs::write(&folder, "no folder").unwrap();
    let mut keeper = house.keeper();
    keeper.counting.get_mut().tally = SightingTally::new(4096);
    *keeper.gathered.get_mut() = SightingTally::new(4096);
    see(&keeper, "w", "https://a.example", ADMITTED, NOW);
    assert!(!keep(&keeper) && keeper.failing.load(Ordering::Relaxed));
    assert!(keeper.widget("w").unwrap_err().detail.contains("activity.redb: "));
    assert_eq!(keeper.since(), keeper.begun);
    let more = ROOM as u64 + 100;
    for name in 0..more {
        see(&keeper, "w", &format!("https://n{name}.example"), REFUSED, NOW);
        keeper.look();
    }
    assert!(!keep(&keeper));
    let dropped = house.metric("embedgate_activity_sightings_total{outcome=\"dropped\"}");
    assert!(
        (60..100).contains(&dropped),
        "{dropped}: the tallies have room for a few, the queue for the others"
    );

    fs::remove_file(&folder).unwrap();
    *keeper.gathered.get_mut() = SightingTally::new(BYTES / TALLY);
    keeper.counting.get_mut().tally = SightingTally::new(BYTES / TALLY);
    see(&keeper, "w", "https://a.example", ADMITTED, NOW);
    keeper.let_go();
    assert!(!keeper.failing.load(Ordering::Relaxed));
    keeper.take_back();
    let refused = keeper.widget("w").unwrap().refused;
    let seen = |embedder: &EmbedderActivity| embedder.count - embedder.error;
    assert_eq!(refused.embedders.iter().map(seen).max(), Some(1));
}

/// There is always more to write.
#[test]
fn the_file_is_let_go_of_under_steady_load() {
    let house = House::new([put("w", &["a.example"], "")]);
    let keeper = house.keeper();
    let begun = Instant::now();
    let limit = Duration::from_secs(30);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut seen = 0_u64;
            while !keeper.store.is_lent() && begun.elapsed() < limit {
                see(&keeper, "w", "https://a.example", ADMITTED, NOW);
                seen += 1;
            }
            seen
        });
        while keeper.look() == Look::Nothing {}
        keeper.let_go();
        assert!(load.join().unwrap() > 0 && begun.elapsed() < limit);
    });
    keeper.take_back();
    assert!(counts(&keeper.widget("w").unwrap().admitted.embedders)[0].1 > 0);
}

#[test]
fn where_writes_take_long_the_next_begins_sooner() {
    for (took, pause) in [(0, 600), (100, 600), (175, 600), (300, 350), (475, 0), (5000, 0)] {
        assert_eq!(pause_after(Duration::from_millis(took)), Duration::from_millis(pause), "{took}");
    }
}

#[test]
fn what_could_not_be_written_is_there_when_it_can() {
    let house = House::new([put("w", &["a.example"], "")]);
    let keeper = house.keeper();
    let folder = house.path().parent().unwrap().to_owned();
    fs::write(&folder, "no folder").unwrap();
    for _ in 0..3 {
        see(&keeper, "w", "https://a.example", ADMITTED, NOW);
        assert!(!keep(&keeper));
    }
    fs::remove_file(&folder).unwrap();
    assert!(keep(&keeper));
    assert_eq!(counts(&keeper.widget("w").unwrap().admitted.embedders), [("https://a.example", 3)]);
}

/// Taker that keeps the widgets that it is told of.
#[derive(Default)]
struct ToldWidgets(Mutex<Vec<String>>);

impl Notify for ToldWidgets {
    fn tell(&self, notice: Notice) {
        let Notice::EmbedderFirstDenied { widget, .. } = notice else { panic!("{notice:?}") };
        self.0.lock().push(widget);
    }

    fn is_wanted(&self) -> bool {
        true
    }
}

#[test]
fn first_sightings_are_told_once_over_failures_and_restarts() {
    let house = House::new([put("w", &["a.example"], ""), put("x", &["a.example"], "")]);
    let told = Arc::new(ToldWidgets::default());
    let taken = || mem::take(&mut *told.0.lock());
    let keeper = || house.keeper().telling(Arc::clone(&told) as Arc<dyn Notify>);
    let folder = house.path().parent().unwrap().to_owned();
    fs::write(&folder, "no folder").unwrap();
    let first = keeper();
    see(&first, "w", "https://b.example", REFUSED, NOW);
    see(&first, "x", "https://b.example", REFUSED, NOW);
    assert!(!keep(&first));
    fs::remove_file(&folder).unwrap();
    assert!(keep(&first));
    assert_eq!(taken(), ["w", "x"]);
    see(&first, "w", "https://b.example", REFUSED, NOW);
    assert!(keep(&first));
    drop(first);

    let second = keeper();
    see(&second, "w", "https://b.example", REFUSED, NOW + 1);
    see(&second, "x", "https://c.example", REFUSED, NOW + 1);
    assert!(keep(&second));
    assert_eq!(taken(), ["x"]);
    // A write that was told and has failed.
    see(&second, "w", "https://d.example", REFUSED, NOW + 2);
    second.look();
    let mut counting = second.counting.lock();
    mem::swap(&mut counting.tally, &mut second.gathered.lock());
    counting.is_told = true;
    drop(counting);
    assert!(second.try_write());
    assert_eq!(taken(), Vec::<String>::new());
    assert_eq!(counts(&second.widget("w").unwrap().refused.embedders).len(), 2);
}

#[test]
fn a_write_that_has_happened_is_not_done_again() {
    let house = House::new([put("w", &["a.example"], "")]);
    let keeper = house.keeper();
    see(&keeper, "w", "https://a.example", ADMITTED, NOW);
    assert!(keep(&keeper));
    let writes = keeper.store.about(|about| about.writes).unwrap();
    for (uncertain, count) in [(writes + 1, 2), (writes + 1, 2)] {
        // The second time, the write of that number is there.
        see(&keeper, "w", "https://a.example", ADMITTED, NOW);
        keeper.look();
        let mut counting = keeper.counting.lock();
        mem::swap(&mut counting.tally, &mut keeper.gathered.lock());
        counting.uncertain = Some(uncertain);
        drop(counting);
        assert!(keeper.try_write());
        assert_eq!(counts(&keeper.widget("w").unwrap().admitted.embedders), [("https://a.example", count)]);
    }
}

#[test]
fn records_of_deleted_widgets_go_in_time() {
    let now = Timestamp::now().as_second();
    let house = House::new(["old", "new", "there"].map(|id| put(id, &["a.example"], "")));
    let keeper = house.keeper();
    let old = now - FORGOTTEN.as_secs() - 60;
    see(&keeper, "old", "https://a.example", ADMITTED, old);
    see(&keeper, "there", "https://a.example", ADMITTED, old);
    see(&keeper, "new", "https://a.example", ADMITTED, now - 60);
    see(&keeper, "new", "https://b.example", REFUSED, now - 60);
    see(&keeper, "there", "https://b.example", REFUSED, now - 60);
    assert!(keep(&keeper));
    let about = |keeper: &ActivityKeeper| keeper.store.about(|about| about.clone()).unwrap();
    let writes = about(&keeper).writes;
    let ids = || keeper.store.ids(None, 10).unwrap();
    keeper.sweep();
    assert_eq!(ids().len(), 3);
    house.apply([delete("old", None)]);
    house.apply([delete("new", None)]);
    // After all of them, it begins again.
    assert_eq!(keeper.counting.lock().swept.as_deref(), Some("there"));
    keeper.sweep();
    assert_eq!(keeper.counting.lock().swept, None);
    keeper.sweep();
    assert_eq!(ids(), [Box::from("new"), Box::from("there")]);
    // Places of those that were refused most often are free at once, and only sightings count as a write.
    assert!(!about(&keeper).most_refused.has_unknown(|id| id == "there"));
    assert_eq!(about(&keeper).writes, writes);
}

/// Every embedder comes once, at several widgets, as fast as it can be added up.
#[test]
fn a_flood_stays_within_the_memory() {
    let widgets = 300;
    let house = House::new((0..widgets).map(|n| put(&format!("w{n}"), &["a.example"], "")));
    let measured = allocation_counter::measure(|| {
        let keeper = house.keeper();
        for forged in 0..30_000 {
            // Half of all at one widget.
            let widget = if forged % 2 == 0 { 0 } else { forged % widgets };
            let name = format!("https://a-rather-long-name-of-a-forged-page-{forged}.example");
            see(&keeper, &format!("w{widget}"), &name, REFUSED, NOW);
            if forged % 1000 == 999 && keeper.look() == Look::Full {
                assert!(keeper.try_write());
            }
        }
        assert!(keep(&keeper));
        let told = house.metric("embedgate_activity_bytes");
        assert!((3 << 20..BYTES).contains(&told), "{told}");
        assert_eq!(house.metric("embedgate_activity_sightings_total{outcome=\"dropped\"}"), 0);
        let seen = keeper.widget("w0").unwrap().refused;
        assert!(seen.embedders.len() == 128 && seen.untracked >= 1);
    });
    assert!(measured.bytes_max < BYTES, "{measured:?}");
}

#[test]
fn lists_of_strangers_stop_growing_before_those_of_customers() {
    let house = House::new([put("w", &[], r#""access":"open""#)]);
    let mut keeper = house.keeper();
    keeper.bytes = 500;
    let embedders = |kind| {
        for name in 0..100 {
            see(&keeper, "w", &format!("https://n{name}.example"), kind, NOW);
            assert!(keep(&keeper));
        }
        let seen = keeper.widget("w").unwrap();
        (seen.admitted.embedders.len(), seen.refused.embedders.len(), seen.refused.untracked)
    };
    let (_, strangers, untracked) = embedders(REFUSED);
    assert!((10..90).contains(&strangers) && untracked >= 1, "{strangers}, {untracked}");
    let (customers, more_strangers, _) = embedders(ADMITTED);
    assert!((10..90).contains(&customers) && more_strangers == strangers, "{customers}");
    let on_disk = keeper.store.about(|about| about.bytes).unwrap();
    assert!(on_disk < 500 * ON_DISK + 200, "{on_disk}");
}
