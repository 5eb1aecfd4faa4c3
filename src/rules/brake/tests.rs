#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::rules::change::Change;
use crate::rules::fixtures::{delete, put};

const SHARE: BrakeShare = BrakeShare::of_hundredths(1_000);

/// The states that count, as documents.
fn state(id: &str, state: &str) -> Change {
    let site = format!("{id}.example");
    match state {
        "deleted" => delete(id, None),
        "disabled" => put(id, &[&site], r#""enabled":false"#),
        "disabled, open" => put(id, &[], r#""access":"open","enabled":false"#),
        "open" => put(id, &[], r#""access":"open""#),
        "monitor" => put(id, &[&site], r#""access":"monitor""#),
        "locked" => put(id, &[], r#""access":"enforce""#),
        "enforce" => put(id, &[&site], ""),
        "wider" => put(id, &[&format!(".{site}"), "more.example"], ""),
        "other" => put(id, &["other.example"], ""),
        "expired" => {
            let entry = r#"{"pattern":"SITE","expires_at":"2020-01-01T00:00:00Z"}"#.replace("SITE", &site);
            let document = format!(r#"{{"id":"{id}","allowed_domains":[{entry}]}}"#);
            Change::put(crate::rules::fixtures::widget(&document))
        }
        other => panic!("{other}"),
    }
}

fn book(widgets: usize, of: &str) -> RuleBook {
    let changes: Vec<Change> = (0..widgets).map(|n| state(&format!("w{n}"), of)).collect();
    RuleBook::new().apply(&changes, ApplyOptions::default()).unwrap().book
}

/// Turns so many widgets into another state.
fn turn(before: &RuleBook, widgets: usize, to: &str) -> AppliedBatch {
    let changes: Vec<Change> = (0..widgets).map(|n| state(&format!("w{n}"), to)).collect();
    before.apply(&changes, ApplyOptions::default()).unwrap()
}

#[test]
fn each_kind_of_change_counts_and_no_other() {
    let kinds = [
        ("enforce", "deleted", "deleted"),
        ("open", "deleted", "deleted"),
        // Its rules are lost.
        ("disabled", "deleted", "deleted"),
        ("enforce", "disabled", "disabled"),
        ("open", "disabled, open", "disabled"),
        ("monitor", "disabled", "disabled"),
        ("disabled", "disabled, open", ""),
        ("disabled, open", "disabled", ""),
        ("enforce", "other", "restricted"),
        ("enforce", "locked", "restricted"),
        ("enforce", "expired", "restricted"),
        ("wider", "enforce", "restricted"),
        ("open", "enforce", "restricted"),
        ("monitor", "wider", "restricted"),
        ("enforce", "wider", ""),
        ("locked", "enforce", ""),
        ("expired", "other", ""),
        ("disabled", "enforce", ""),
        ("disabled", "locked", ""),
        ("enforce", "open", "opened"),
        ("monitor", "open", "opened"),
        ("disabled", "open", "opened"),
        ("disabled, open", "open", "opened"),
        ("enforce", "monitor", "monitored"),
        ("open", "monitor", "monitored"),
        ("disabled", "monitor", "monitored"),
        ("open", "open", ""),
        ("enforce", "enforce", ""),
    ];
    for (from, to, kind) in kinds {
        let before = book(100, from);
        for (widgets, held) in [(1, false), (10, false), (11, true), (100, true)] {
            let applied = turn(&before, widgets, to);
            let of = |name: &str| if kind == name { widgets } else { 0 };
            let expected = WideChange {
                widgets: 100,
                deleted: of("deleted"),
                disabled: of("disabled"),
                restricted: of("restricted"),
                opened: of("opened"),
                monitored: of("monitored"),
                confirm: if kind.is_empty() { 0 } else { widgets },
            };
            assert_eq!(touched(&before, &applied), expected, "{from} -> {to}");
            assert_eq!(between(&before, &applied.book), expected, "{from} -> {to}");
            let check = |confirmed| check(&before, &applied, ApplyOptions::default(), SHARE, confirmed);
            let held = held && !kind.is_empty();
            assert_eq!(check(None), if held { Err(expected) } else { Ok(()) }, "{from} -> {to}, {widgets}");
            assert_eq!(check(Some(widgets - 1)).is_err(), held, "{from} -> {to}, {widgets}");
            assert!(check(Some(widgets)).is_ok(), "{from} -> {to}, {widgets}");
        }
    }
}

#[test]
fn new_widgets_and_what_comes_and_goes_do_not_count() {
    let before = book(20, "enforce");
    let mut changes: Vec<Change> = (0..500).map(|n| state(&format!("new{n}"), "open")).collect();
    changes.extend(
        (0..20).flat_map(|n| {
            ["disabled", "other", "deleted", "wider"].map(|step| state(&format!("w{n}"), step))
        }),
    );
    let applied = before.apply(&changes, ApplyOptions::default()).unwrap();
    assert_eq!(touched(&before, &applied), WideChange::none(20));
    assert!(check(&before, &applied, ApplyOptions::default(), SHARE, None).is_ok());
    // Each of them once, by its end.
    changes.extend((0..20).flat_map(|n| ["other", "disabled"].map(|step| state(&format!("w{n}"), step))));
    let applied = before.apply(&changes, ApplyOptions::default()).unwrap();
    let expected = WideChange { disabled: 20, confirm: 20, ..WideChange::none(20) };
    assert_eq!(touched(&before, &applied), expected);
}

#[test]
fn the_share_and_the_half_decide() {
    let all = |all, touched| WideChange { confirm: touched, ..WideChange::none(all) };
    for (widgets, touched, hundredths, wide) in [
        (1000, 100, 1_000, false),
        (1000, 101, 1_000, true),
        (1000, 11, 100, true),
        (1000, 10, 100, false),
        (1000, 10, 0, false),
        (1000, 11, 0, true),
        (1000, 26, 250, true),
        (1000, 25, 250, false),
        (1_000_000, 100_000, 1_000, false),
        (1_000_000, 100_001, 1_000, true),
        (20, 10, 0, false),
        (20, 11, 0, true),
        // More than half, however few and whatever the share.
        (1000, 500, 10_000, false),
        (1000, 501, 10_000, true),
        (1, 1, 1_000, false),
        (2, 1, 1_000, false),
        (2, 2, 1_000, true),
        (3, 2, 1_000, true),
        (4, 2, 1_000, false),
        (5, 3, 10_000, true),
        (0, 0, 0, false),
    ] {
        let share = BrakeShare::of_hundredths(hundredths);
        assert_eq!(is_wide(&all(widgets, touched), share), wide, "{touched} of {widgets}, {hundredths}");
    }
    assert_eq!(BrakeShare::default(), SHARE);
    assert_eq!(BrakeShare::of_hundredths(u16::MAX).hundredths(), 10_000);
}

#[test]
fn what_would_leave_nothing_is_always_confirmed() {
    let (one, two) = (book(1, "open"), book(2, "disabled"));
    let gone = [delete("w0", None), delete("w1", None)];
    for (before, changes, absent, confirmed, passes) in [
        (&one, &[][..], Absent::Delete, None, false),
        (&one, &[], Absent::Delete, Some(0), false),
        (&one, &[], Absent::Delete, Some(1), true),
        (&two, &[], Absent::Delete, Some(1), false),
        (&two, &[], Absent::Delete, Some(usize::MAX), true),
        (&two, &gone, Absent::Delete, None, false),
        (&two, &gone[..1], Absent::Delete, Some(2), true),
        // A rules file says what it holds.
        (&one, &[], Absent::Withdraw, None, true),
        (&two, &[], Absent::Withdraw, None, false),
        (&one, &[], Absent::Keep, None, true),
    ] {
        let options = ApplyOptions { absent, ..ApplyOptions::default() };
        let applied = before.apply(changes, options).unwrap();
        let checked = check(before, &applied, options, SHARE, confirmed);
        assert_eq!(checked.is_ok(), passes, "{changes:?} {absent:?} {confirmed:?}");
    }
    let empty = RuleBook::new();
    let replace = ApplyOptions { absent: Absent::Delete, ..ApplyOptions::default() };
    assert!(check(&empty, &empty.apply(&[], replace).unwrap(), replace, SHARE, None).is_ok());
}

/// The work grows with the batch, not with the square of it or with the book.
#[test]
fn a_batch_of_many_lines_is_judged_in_linear_time() {
    use tokio::time::Instant;
    let time = |widgets: usize, before: &RuleBook| {
        let applied = turn(before, widgets, "wider");
        let mut took: Vec<_> = (0..5)
            .map(|_| {
                let started = Instant::now();
                assert_eq!(touched(before, &applied).confirm, 0);
                started.elapsed()
            })
            .collect();
        took.sort();
        took[0]
    };
    let before = book(20_000, "enforce");
    let (small, large) = (time(2_000, &before), time(20_000, &before));
    println!("2,000 of 20,000 widgets in {small:?}, 20,000 in {large:?}");
    assert!(large < small * 40, "{small:?}, {large:?}");
}
