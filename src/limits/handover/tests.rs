#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::Ipv4Addr;
use std::num::NonZeroU32;
use std::time::Duration;

use embedgate_policy::limits::{LimitKind, LimitPart, Limits, PartLimits};
use tokio::time::advance;

use super::*;
use crate::limits::charge::Charge;
use crate::limits::opening::{Opened, OpenedAt, Opening};
use crate::limits::usage::LimitReader;
use crate::limits::widgets::NEWCOMERS;
use crate::notifications::notifier::Notifier;
use crate::telemetry::metrics::Metrics;

const SITE: &str = "https://site.example";

fn limiter() -> Arc<Limiter> {
    Limiter::new(Notifier::new(), Metrics::new().unwrap().limits)
}

fn most() -> Limits {
    let most = NonZeroU32::new(1_000_000);
    let part = PartLimits { sessions: most, opens_per_minute: most, opens_per_day: most };
    Limits { widget: part, embedder: part, address: part, ..Limits::default() }
}

fn opened(limiter: &Arc<Limiter>, embedder: &str, address: u32) -> Charge {
    let opening = Opening {
        widget: "w",
        limits: &most(),
        embedder,
        is_listed: &|| embedder == SITE,
        address: Some(IpAddr::V4(Ipv4Addr::from_bits(address))),
        is_open: true,
        is_session: true,
        may_wait: false,
    };
    let Opened::Admitted { charge, .. } = limiter.open(&opening, OpenedAt::now()) else { panic!() };
    charge
}

fn open(limiter: &Arc<Limiter>, embedder: &str, address: u32) -> Charge {
    let mut charge = opened(limiter, embedder, address);
    charge.keep();
    charge
}

/// Sessions, opens of the minute and of the day, by part.
fn used(limiter: &Limiter, embedder: Option<&str>) -> [[u32; 3]; 3] {
    let usage = limiter.usage("w", &most(), embedder);
    let of = |part| {
        LimitKind::ALL
            .map(|kind| usage.iter().find(|usage| (usage.part, usage.kind) == (part, kind)).unwrap().used)
    };
    LimitPart::ALL.map(of)
}

/// Passes counts as a message does.
fn sent(counts: PassedCounts) -> PassedCounts {
    serde_json::from_slice(&serde_json::to_vec(&counts).unwrap()).unwrap()
}

fn tell(old: &Limiter, ledger: &mut LimitLedger) {
    if let Some(changes) = old.changes() {
        ledger.add(sent(changes));
    }
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_counted_passes_over() {
    let old = limiter();
    let _open = open(&old, SITE, 1);
    drop(open(&old, SITE, 1));
    advance(Duration::from_secs(20)).await;
    let _other = open(&old, "https://other.example", 2);
    advance(Duration::from_secs(20)).await;
    let new = limiter();
    let ledger = new.take_over(sent(old.hand_over()));
    for embedder in [None, Some(SITE), Some("https://other.example")] {
        assert_eq!(used(&new, embedder), used(&old, embedder));
    }
    assert_eq!(used(&new, Some(SITE)), [[1, 2, 2], [1, 2, 2], [2, 3, 3]]);
    let listed = |embedder| new.widgets.find("w").unwrap().find(embedder).unwrap().is_listed;
    assert!(listed(SITE) && !listed("https://other.example"));
    // The minute goes on to the millisecond.
    advance(Duration::from_millis(20_000)).await;
    assert_eq!(used(&new, Some(SITE))[2], [2, 3, 3]);
    advance(Duration::from_millis(1)).await;
    assert_eq!(used(&new, Some(SITE)), [[1, 1, 2], [1, 0, 2], [2, 1, 3]]);
    assert_eq!(used(&new, None), used(&old, None));
    // The sessions of a process that is gone are over; its opens stay.
    drop(ledger);
    assert_eq!(used(&new, Some(SITE)), [[0, 1, 2], [0, 0, 2], [0, 1, 3]]);
}

#[tokio::test(start_paused = true)]
async fn what_the_old_process_still_opens_and_ends_is_told() {
    let old = limiter();
    let first = open(&old, SITE, 1);
    let new = limiter();
    let counts = old.hand_over();
    let between = open(&old, SITE, 1);
    let mut ledger = new.take_over(sent(counts));
    let own = open(&new, SITE, 1);
    assert_eq!(used(&new, None), [[2, 2, 2]; 3]);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[3, 3, 3]; 3]);
    assert_eq!(old.changes(), None);
    drop(first);
    drop(open(&old, SITE, 1));
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[2, 4, 4]; 3]);
    drop(between);
    tell(&old, &mut ledger);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[1, 4, 4]; 3]);
    drop(own);
    drop(ledger);
    assert_eq!(used(&new, None), [[0, 4, 4]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_the_snapshot_has_already_is_counted_once() {
    let (old, new) = (limiter(), limiter());
    old.hand_over();
    let charge = open(&old, SITE, 1);
    // The change is noted, and is in what is read after it.
    let mut ledger = new.take_over(sent(old.hand_over()));
    old.changed.note(
        &old.widgets.find("w").unwrap(),
        Some(&old.widgets.find("w").unwrap().find(SITE).unwrap()),
        None,
    );
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[1, 1, 1]; 3]);
    drop(charge);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[0, 1, 1]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_is_given_back_in_the_old_process_is_taken_off_the_day() {
    let (old, new) = (limiter(), limiter());
    let charge = opened(&old, SITE, 1);
    let mut ledger = new.take_over(sent(old.hand_over()));
    drop(charge);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[0, 1, 0]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_chain_of_processes_counts_like_one() {
    let (oldest, old, new) = (limiter(), limiter(), limiter());
    let first = open(&oldest, SITE, 1);
    let mut of_oldest = old.take_over(sent(oldest.hand_over()));
    let second = open(&old, SITE, 2);
    let mut of_old = new.take_over(sent(old.hand_over()));
    assert_eq!(used(&new, Some(SITE)), [[1, 1, 1], [2, 2, 2], [2, 2, 2]]);
    // From the oldest through the one between.
    drop(first);
    let third = open(&oldest, SITE, 3);
    tell(&oldest, &mut of_oldest);
    tell(&old, &mut of_old);
    assert_eq!(used(&new, Some(SITE))[1], [2, 3, 3]);
    drop(third);
    drop(of_oldest);
    tell(&old, &mut of_old);
    assert_eq!(used(&new, Some(SITE))[1], [1, 3, 3]);
    drop(second);
    tell(&old, &mut of_old);
    assert_eq!(used(&new, Some(SITE)), [[0, 1, 1], [0, 3, 3], [0, 3, 3]]);
}

#[tokio::test(start_paused = true)]
async fn an_upgrade_that_is_given_up_leaves_nothing_behind() {
    let (old, new) = (limiter(), limiter());
    old.hand_over();
    let charge = open(&old, SITE, 1);
    old.keep_counts();
    drop(charge);
    assert_eq!(old.changes(), None);
    drop(new.take_over(old.hand_over()));
    assert_eq!(used(&new, None), [[0, 1, 1]; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_day_that_began_in_between_is_counted_by_itself() {
    let (old, new, ahead) = (limiter(), limiter(), limiter());
    let _first = open(&old, SITE, 1);
    let counts = sent(old.hand_over());
    let mut ledger = new.take_over(counts.clone());
    drop(open(&old, "https://other.example", 2));
    tell(&old, &mut ledger);
    assert_eq!((ledger.embedders.len(), ledger.addresses.len()), (2, 2));
    let bytes = new.ledger_bytes.load(Ordering::Relaxed);
    // A new process whose clock is ahead keeps its own day. What the old one opens meanwhile is no open of it.
    ahead.clock.adopt(old.clock.now().day.number() + 1);
    let mut of_ahead = ahead.take_over(counts.clone());
    assert_eq!(used(&ahead, None), [[1, 1, 0]; 3]);
    let mut later = counts;
    let of_site = &mut later.widgets[0].embedders[0];
    (of_site.today, of_site.minute) = (of_site.today + 3, Vec::new());
    of_ahead.add(later);
    assert_eq!(used(&ahead, None), [[1, 1, 0]; 3]);

    old.clock.adopt(old.clock.now().day.number() + 1);
    let second = opened(&old, SITE, 1);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None), [[2, 2, 1], [2, 2, 1], [2, 3, 1]]);
    // Whoever has no session any more is not in the ledger, and holds no counter.
    assert_eq!((ledger.embedders.len(), ledger.addresses.len()), (1, 1));
    assert!(new.ledger_bytes.load(Ordering::Relaxed) < bytes);
    // What is given back on the new day is taken off it.
    drop(second);
    tell(&old, &mut ledger);
    assert_eq!(used(&new, None)[2], [1, 3, 0]);
    drop(ledger);
    assert_eq!(new.ledger_bytes.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn embedders_that_share_a_counter_share_it_in_the_new_process_too() {
    let (old, new) = (limiter(), limiter());
    let sites = (0..NEWCOMERS + 5).map(|site| format!("https://s{site}.example"));
    let open: Vec<Charge> = sites.map(|site| open(&old, &site, 1)).collect();
    let ledger = new.take_over(sent(old.hand_over()));
    assert_eq!(used(&new, None), used(&old, None));
    assert_eq!(used(&new, Some("https://late.example"))[1], [5, 5, 5]);
    drop(ledger);
    assert_eq!(used(&new, None)[2][0], 0);
    drop(open);
}

#[test]
fn counts_of_a_later_version_are_read_as_far_as_they_are_known() {
    let text = r#"{"day": 7, "more": 1, "widgets": [{"id": "w", "embedders": [{"key": "k", "later": {}}]}]}"#;
    let counts: PassedCounts = serde_json::from_str(text).unwrap();
    assert_eq!((counts.day, &*counts.widgets[0].embedders[0].key), (7, "k"));
    assert!(counts.widgets[0].addresses.is_empty());
}
