#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;

use embedgate_policy::limits::{LimitKind, Limits};

use super::*;
use crate::limits::opening::{Opened, OpenedAt, Opening};
use crate::limits::shares::Budget;
use crate::notifications::notifier::Notifier;
use crate::telemetry::metrics::Metrics;

const SITE: &str = "https://site.example";
const OTHER: &str = "https://other.example";

fn limiter() -> Arc<Limiter> {
    Limiter::new(Notifier::new(), Metrics::new().unwrap().limits)
}

fn days(path: &Path) -> (Arc<Limiter>, Arc<LimitDays>) {
    let limiter = limiter();
    let days = LimitDays::open(path, Arc::clone(&limiter), false);
    days.write();
    (limiter, days)
}

fn open(limiter: &Arc<Limiter>, widget: &str, embedder: &str, is_kept: bool) {
    let limits = Limits::default();
    let opening = Opening {
        widget,
        limits: &limits,
        embedder,
        is_listed: &|| true,
        address: None,
        is_open: true,
        is_session: false,
        may_wait: false,
    };
    let Opened::Admitted { mut charge, .. } = limiter.open(&opening, OpenedAt::now()) else { panic!() };
    if is_kept {
        charge.keep();
    }
}

fn today(limiter: &Limiter, widget: &str, embedder: Option<&str>) -> u32 {
    limiter.used(&Budget { widget, embedder, kind: LimitKind::OpensPerDay, is_newcomer: false })
}

fn all_of(limiter: &Limiter) -> [u32; 4] {
    [("w", None), ("w", Some(SITE)), ("w", Some(OTHER)), ("v", None)]
        .map(|(widget, embedder)| today(limiter, widget, embedder))
}

#[test]
fn a_day_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (limiter, keeper) = days(&path);
    assert!(!path.exists(), "an edge whose widgets have no limits has no file");
    for _ in 0..3 {
        open(&limiter, "w", SITE, true);
    }
    open(&limiter, "w", SITE, false);
    open(&limiter, "w", OTHER, true);
    open(&limiter, "v", SITE, true);
    assert!(keeper.write());
    open(&limiter, "w", SITE, true);
    // As when the process is killed: the last open is lost.
    drop(keeper);
    let (limiter, keeper) = days(&path);
    assert_eq!(all_of(&limiter), [4, 3, 1, 1]);
    assert!(limiter.widgets.find("w").unwrap().find(SITE).unwrap().is_listed);
    open(&limiter, "w", SITE, true);
    keeper.let_go();
    assert!(!keeper.write(), "another process has it");
    let (next, _keeper) = days(&path);
    assert_eq!(all_of(&next), [5, 4, 1, 1]);
}

#[test]
fn another_day_begins_with_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (limiter, keeper) = days(&path);
    open(&limiter, "w", SITE, true);
    assert!(keeper.write());
    let tomorrow = limiter.clock.now().day.number() + 1;
    limiter.clock.adopt(tomorrow);
    assert_eq!(today(&limiter, "w", None), 0);
    // Yesterday's rows go, even where nobody opens anything.
    assert!(keeper.write());
    assert_eq!(keeper.file.read().unwrap(), KeptDay { day: tomorrow, opens: Vec::new() });
    open(&limiter, "w", OTHER, true);
    assert!(keeper.write());
    drop(keeper);
    // A clock that was set back over the restart gives the day of the file no second time.
    let (limiter, _keeper) = days(&path);
    assert_eq!(limiter.clock.now().day.number(), tomorrow);
    assert_eq!((today(&limiter, "w", None), today(&limiter, "w", Some(SITE))), (1, 0));
}

#[test]
fn rows_of_an_earlier_day_count_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let opens = KeptOpens { widget: "w".into(), embedder: SITE.into(), opens: 7, is_listed: true };
    DayFile::new(&path).write(limiter().clock.now().day.number() - 1, std::iter::once(opens)).unwrap();
    let (limiter, keeper) = days(&path);
    assert_eq!(today(&limiter, "w", None), 0);
    assert_eq!(keeper.file.read().unwrap().opens, []);
}

#[test]
fn what_can_not_be_written_is_written_later() {
    let folder = tempfile::tempdir().unwrap();
    let obstacle = folder.path().join("deep");
    fs::write(&obstacle, "no folder").unwrap();
    let path = obstacle.join("limits.redb");
    let (limiter, keeper) = days(&path);
    open(&limiter, "w", SITE, true);
    assert!(!keeper.write() && !keeper.write());
    open(&limiter, "w", SITE, true);
    fs::remove_file(&obstacle).unwrap();
    assert!(keeper.write());
    assert_eq!(today(&limiter, "w", Some(SITE)), 2);
    drop(keeper);
    assert_eq!(today(&days(&path).0, "w", Some(SITE)), 2);
}

#[test]
fn what_was_opened_before_the_file_could_be_read_is_added_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (first, keeper) = days(&path);
    open(&first, "w", SITE, true);
    assert!(keeper.write());
    // The first keeper has it open.
    let (second, late) = days(&path);
    open(&second, "w", SITE, true);
    assert!(!late.write());
    drop(keeper);
    assert!(late.write());
    assert_eq!((today(&second, "w", Some(SITE)), today(&second, "w", None)), (2, 2));
    drop(late);
    assert_eq!(today(&days(&path).0, "w", Some(SITE)), 2);
}

#[test]
fn counts_that_were_handed_over_are_written_whole_and_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (old, keeper) = days(&path);
    open(&old, "w", SITE, true);
    assert!(keeper.write());
    let new = limiter();
    let _ledger = new.take_over(old.hand_over());
    let next = LimitDays::open(&path, Arc::clone(&new), true);
    open(&new, "w", SITE, true);
    keeper.let_go();
    assert!(next.write());
    assert_eq!(next.file.read().unwrap().opens[0].opens, 2);
    // Taken back after all.
    drop(next);
    keeper.take_back();
    open(&old, "w", SITE, true);
    open(&old, "w", SITE, true);
    assert!(keeper.write());
    assert_eq!(keeper.file.read().unwrap().opens[0].opens, 3);
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, "no database").unwrap();
    let (limiter, keeper) = days(&path);
    open(&limiter, "w", SITE, true);
    assert!(keeper.write());
    assert_eq!(fs::read_to_string(folder.path().join("limits.redb.damaged")).unwrap(), "no database");
    assert_eq!(keeper.file.read().unwrap().opens.len(), 1);
}

#[tokio::test]
async fn it_is_written_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (limiter, keeper) = days(&path);
    let running = tokio::spawn(Arc::clone(&keeper).run());
    open(&limiter, "w", SITE, true);
    tokio::time::sleep(Duration::from_millis(990)).await;
    assert_eq!(keeper.file.read().unwrap().opens.len(), 1);
    running.abort();
}

#[test]
fn a_file_that_is_moved_aside_while_the_edge_runs_gets_all_rows_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (limiter, keeper) = days(&path);
    open(&limiter, "w", SITE, true);
    open(&limiter, "v", SITE, true);
    assert!(keeper.write());
    // It is lent to another process, damaged, and taken back.
    keeper.let_go();
    fs::write(&path, "no database").unwrap();
    keeper.take_back();
    open(&limiter, "w", OTHER, true);
    assert!(keeper.write());
    drop(keeper);
    assert_eq!(all_of(&days(&path).0), [2, 1, 1, 1]);
}

#[test]
fn a_day_that_a_wrong_clock_has_told_counts_as_today() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let today_is = limiter().clock.now().day.number();
    let opens = KeptOpens { widget: "w".into(), embedder: SITE.into(), opens: 7, is_listed: true };
    DayFile::new(&path).write(today_is + 400, std::iter::once(opens.clone())).unwrap();
    let (limiter, keeper) = days(&path);
    assert_eq!((today(&limiter, "w", None), limiter.clock.now().day.number()), (7, today_is));
    assert_eq!(keeper.file.read().unwrap(), KeptDay { day: today_is, opens: vec![opens] });
}

#[test]
fn a_file_that_was_not_read_before_a_handover_is_read_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let (first, keeper) = days(&path);
    open(&first, "w", SITE, true);
    assert!(keeper.write() && first.hand_over().has_kept_day());
    // It is open elsewhere, so it can't be read.
    let (old, _unread) = days(&path);
    open(&old, "w", SITE, true);
    let counts = old.hand_over();
    assert!(!counts.has_kept_day());
    let new = limiter();
    let _ledger = new.take_over(counts);
    drop(keeper);
    let next = LimitDays::open(&path, Arc::clone(&new), false);
    assert!(next.write());
    assert_eq!((today(&new, "w", Some(SITE)), today(&new, "w", None)), (2, 2));
}
