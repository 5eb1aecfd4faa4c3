#![allow(clippy::unwrap_used)]

use super::*;
use crate::limits::clock::LimitClock;
use crate::limits::counter::Weight;

const OPEN: Weight = Weight { opens: 1, sessions: 0 };

fn site(number: usize) -> String {
    format!("https://site-{number}.example")
}

#[test]
fn newcomers_share_a_counter_where_there_is_no_room_and_listed_ones_never() {
    let table = WidgetTable::new();
    let widget = table.widget("w");
    let early = table.embedder(&widget, "https://early.example", &|| false);
    for number in 0..NEWCOMERS + 100 {
        table.embedder(&widget, &site(number), &|| false);
    }
    assert_eq!(widget.embedders().len(), NEWCOMERS + 1);
    let shared = table.embedder(&widget, "https://late.example", &|| false);
    assert_eq!(&*shared.key, SHARED);
    assert!(Arc::ptr_eq(&shared, &table.embedder(&widget, "https://later.example", &|| false)));
    assert!(Arc::ptr_eq(&early, &table.embedder(&widget, "https://early.example", &|| false)));
    let listed = table.embedder(&widget, "https://late.example", &|| true);
    assert_eq!((&*listed.key, listed.is_listed), ("https://late.example", true));
    // Those of another widget have their own.
    let other = table.widget("other");
    assert_eq!(&*table.embedder(&other, "https://late.example", &|| false).key, "https://late.example");
}

#[test]
fn newcomers_of_all_widgets_are_bounded_and_room_comes_back() {
    let (table, now) = (WidgetTable::new(), LimitClock::new().now());
    let widgets: Vec<_> =
        (0..ALL_NEWCOMERS / NEWCOMERS + 2).map(|number| table.widget(&format!("w{number}"))).collect();
    for widget in &widgets {
        for number in 0..NEWCOMERS {
            table.embedder(widget, &site(number), &|| false);
        }
    }
    let all: usize = widgets.iter().map(|widget| widget.embedders().len()).sum();
    assert_eq!(all, ALL_NEWCOMERS + 2, "those of two widgets share a counter each");
    // Nothing was opened, so all of them go.
    table.sweep(&now);
    assert!(widgets.iter().all(|widget| widget.embedders().is_empty()));
    assert_eq!(table.newcomers.load(Ordering::Relaxed), 0);
    drop(widgets);
    assert!(table.sweep(&now) > 0);
    assert!(table.all().is_empty());
    assert_eq!(table.sweep(&now), 0);
}

#[test]
fn newcomers_take_as_much_memory_as_the_documentation_says() {
    // A scheme, a host of 253 bytes and a port; and a minute with an open in it.
    let (longest, minute) = ("https://".len() + 253 + ":65535".len(), 4 * 8);
    let each = size_of::<EmbedderCounter>() + PLACE + longest + minute;
    assert!(ALL_NEWCOMERS * each <= 48 << 20, "{each}");
}

#[test]
fn counters_that_count_or_are_held_stay() {
    let (table, clock) = (WidgetTable::new(), LimitClock::new());
    let now = clock.now();
    let widget = table.widget("w");
    let held = table.embedder(&widget, "https://held.example", &|| false);
    let counts = table.embedder(&widget, "https://counts.example", &|| true);
    counts.counter.lock().used.add(&now, OPEN, usize::MAX);
    drop(counts);
    table.embedder(&widget, "https://idle.example", &|| false);
    table.sweep(&now);
    let mut left: Vec<_> = widget.embedders().iter().map(|embedder| embedder.key.clone()).collect();
    left.sort();
    assert_eq!(left, ["https://counts.example".into(), "https://held.example".into()]);
    drop((held, widget));
    table.sweep(&now);
    assert_eq!(table.find("w").unwrap().embedders().len(), 1);
    clock.adopt(now.day.number() + 1);
    let next = Moment { ms: now.ms + 60_001, ..clock.now() };
    table.sweep(&next);
    assert!(table.find("w").is_none());
}

#[test]
fn a_sweep_tells_the_memory() {
    let (table, now) = (WidgetTable::new(), LimitClock::new().now());
    let widget = table.widget("w");
    let before = table.sweep(&now);
    let held: Vec<_> = (0..100).map(|number| table.embedder(&widget, &site(number), &|| false)).collect();
    let own: usize =
        held.iter().map(|embedder| size_of::<EmbedderCounter>() + embedder.key.len() + PLACE).sum();
    assert_eq!(table.sweep(&now), before + own);
    for ms in 0..1_000 {
        let at = Moment { ms: now.ms + ms, ..now };
        held[0].counter.lock().used.add(&at, OPEN, usize::MAX);
    }
    let minute = table.sweep(&now) - before - own;
    assert!((8_000..=16_384).contains(&minute), "{minute}");
}
