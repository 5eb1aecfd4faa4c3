#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::rules::change::{Absent, ApplyOptions, Change, ChangedWidget, Outcome, Stale};
use crate::rules::fingerprint::Fingerprint;
use crate::rules::fixtures::{delete, put, widget};
use crate::rules::tombstone::Tombstone;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::{Access, Environment, MAX_REVISION, RevisionTooHigh, Widget};

const OPEN: &str = r#""access":"open""#;
const LISTED: &[&str] = &["example.com"];
const CAREFUL: ApplyOptions = ApplyOptions { stale: Stale::Refuse, absent: Absent::Keep, chunked: false };

/// The book after these batches, all of which must be fine.
fn book(batches: &[&[Change]]) -> RuleBook {
    batches.iter().fold(RuleBook::new(), |book, batch| book.apply(batch, CAREFUL).unwrap().book)
}

fn outcome(book: &RuleBook, change: Change) -> Result<Outcome, ChangeError> {
    match book.apply(&[change], CAREFUL) {
        Ok(applied) => {
            let is_change = applied.outcomes[0].is_change();
            assert_eq!(applied.book.generation() - book.generation(), u64::from(is_change));
            assert_eq!(applied.changed.len(), usize::from(is_change));
            Ok(applied.outcomes[0])
        }
        Err(rejections) => Err(rejections[0].error),
    }
}

fn revised(entries: &[&str], revision: u64) -> Change {
    put("w", entries, &format!(r#""revision":{revision}"#))
}

#[test]
fn revisions_only_grow() {
    let stored = book(&[&[revised(LISTED, 7)]]);
    let gone = book(&[&[revised(LISTED, 7)], &[delete("w", None)]]);
    let stale = |given, stored, deleted| Err(ChangeError::Stale { given, stored, deleted });
    let too_high = |given| Err(ChangeError::RevisionTooHigh(RevisionTooHigh(given)));
    let stored_at = |revision| book(&[&[revised(LISTED, revision)]]);
    // A program's own, which no document was parsed for.
    let stating = |revision| Change::put(Widget { revision: Some(revision), ..widget(r#"{"id":"w"}"#) });
    let other = &["other.example"];
    let table = [
        ("first", RuleBook::new(), put("w", LISTED, ""), Ok(Outcome::Created { revision: 1 })),
        ("first, its own", RuleBook::new(), revised(LISTED, 7), Ok(Outcome::Created { revision: 7 })),
        ("next", stored.clone(), put("w", other, ""), Ok(Outcome::Updated { revision: 8 })),
        ("higher", stored.clone(), revised(other, 90), Ok(Outcome::Updated { revision: 90 })),
        ("equal, another document", stored.clone(), revised(other, 7), stale(7, 7, false)),
        ("lower, another document", stored.clone(), revised(other, 6), stale(6, 7, false)),
        ("the same", stored.clone(), revised(LISTED, 7), Ok(Outcome::Unchanged { revision: 7 })),
        ("the same, none", stored.clone(), put("w", LISTED, ""), Ok(Outcome::Unchanged { revision: 7 })),
        ("the same, lower", stored.clone(), revised(LISTED, 3), Ok(Outcome::Unchanged { revision: 7 })),
        ("the same, higher", stored.clone(), revised(LISTED, 9), Ok(Outcome::Updated { revision: 9 })),
        ("delete", stored.clone(), delete("w", None), Ok(Outcome::Deleted { revision: 8 })),
        ("delete, its own", stored.clone(), delete("w", Some(12)), Ok(Outcome::Deleted { revision: 12 })),
        ("delete, equal", stored.clone(), delete("w", Some(7)), stale(7, 7, false)),
        ("delete, lower", stored, delete("w", Some(6)), stale(6, 7, false)),
        ("delete twice", gone.clone(), delete("w", None), Err(ChangeError::Unknown)),
        ("the same deletion", gone.clone(), delete("w", Some(8)), Ok(Outcome::Unchanged { revision: 8 })),
        ("a later deletion", gone.clone(), delete("w", Some(9)), Ok(Outcome::Deleted { revision: 9 })),
        ("an older deletion", gone.clone(), delete("w", Some(7)), stale(7, 8, true)),
        ("back, none", gone.clone(), put("w", LISTED, ""), Ok(Outcome::Created { revision: 9 })),
        ("back, higher", gone.clone(), revised(LISTED, 9), Ok(Outcome::Created { revision: 9 })),
        ("back, equal", gone.clone(), revised(LISTED, 8), stale(8, 8, true)),
        ("back, a late push", gone, revised(LISTED, 7), stale(7, 8, true)),
        ("delete the unknown", RuleBook::new(), delete("w", None), Err(ChangeError::Unknown)),
        ("delete ahead", RuleBook::new(), delete("w", Some(4)), Ok(Outcome::Deleted { revision: 4 })),
        (
            "the highest",
            stored_at(7),
            revised(other, MAX_REVISION),
            Ok(Outcome::Updated { revision: MAX_REVISION }),
        ),
        (
            "after it",
            stored_at(MAX_REVISION),
            put("w", other, ""),
            Ok(Outcome::Updated { revision: MAX_REVISION + 1 }),
        ),
        (
            "delete after it",
            stored_at(MAX_REVISION),
            delete("w", None),
            Ok(Outcome::Deleted { revision: MAX_REVISION + 1 }),
        ),
        ("too high to delete", stored_at(7), delete("w", Some(u64::MAX)), too_high(u64::MAX)),
        ("too high to delete ahead", RuleBook::new(), delete("w", Some(1 << 53)), too_high(1 << 53)),
        ("too high to save", stored_at(7), stating(MAX_REVISION + 1), too_high(MAX_REVISION + 1)),
        ("too high, the same again", stored_at(7), stating(u64::MAX), too_high(u64::MAX)),
    ];
    for (name, book, change, expected) in table {
        assert_eq!(outcome(&book, change), expected, "{name}");
    }
}

#[test]
fn no_widget_opens_silently() {
    let enforced = || put("w", LISTED, "");
    let locked = || put("w", &[], r#""access":"enforce""#);
    let monitored = || put("w", &[], r#""access":"monitor""#);
    let open = || put("w", LISTED, OPEN);
    let unstated = || put("w", &[], "");
    let gone = || delete("w", None);
    let table: [(&str, Vec<Change>, bool); 12] = [
        ("fresh", vec![], true),
        ("open before", vec![open()], true),
        ("unstated before", vec![put("w", &[], r#""enabled":false"#)], true),
        ("enforced before", vec![enforced()], false),
        ("locked before", vec![locked()], false),
        ("monitored before", vec![monitored()], false),
        ("enforced, deleted", vec![enforced(), gone()], false),
        ("enforced, deleted, deleted again", vec![enforced(), gone(), delete("w", Some(9))], false),
        ("open, deleted", vec![open(), gone()], true),
        ("enforced, opened, deleted", vec![enforced(), open(), gone()], true),
        ("deleted before it was known", vec![delete("w", Some(1))], false),
        ("opened, enforced", vec![open(), enforced()], false),
    ];
    for (name, history, may_open) in table {
        let apart = history.iter().fold(RuleBook::new(), |book, change| {
            book.apply(std::slice::from_ref(change), CAREFUL).unwrap().book
        });
        let applied = outcome(&apart, unstated());
        assert_eq!(applied.is_ok(), may_open, "{name}: {applied:?}");
        if !may_open {
            assert_eq!(applied.unwrap_err().code(), "would_open_widget", "{name}");
            // Said aloud it is fine.
            outcome(&apart, put("w", &[], OPEN)).expect(name);
        }

        let mut together = history;
        together.push(unstated());
        assert_eq!(RuleBook::new().apply(&together, CAREFUL).is_ok(), may_open, "{name}, in one batch");
    }
}

#[test]
fn a_batch_is_refused_whole_with_all_its_errors() {
    let before = book(&[&[put("a", LISTED, ""), put("b", LISTED, ""), put("c", LISTED, "")]]);
    let batch = [
        put("new", LISTED, ""),
        put("a", &["x.example"], r#""revision":1"#),
        put("b", &[], ""),
        delete("none", None),
        put("c", &["x.example"], ""),
    ];
    let rejections = before.apply(&batch, CAREFUL).unwrap_err();
    let told: Vec<(usize, &str, &str)> =
        rejections.iter().map(|told| (told.index, told.id.as_str(), told.error.code())).collect();
    assert_eq!(
        told,
        [(1, "a", "stale_revision"), (2, "b", "would_open_widget"), (3, "none", "unknown_widget")]
    );
    assert!(before.get("new").is_none());
    assert_eq!(before.get("c").unwrap().revision, 1);
}

#[test]
fn late_changes_can_be_skipped_and_nothing_else() {
    let before = book(&[&[revised(LISTED, 7)]]);
    let skip = ApplyOptions { stale: Stale::Skip, ..CAREFUL };
    let applied = before.apply(&[revised(&["x.example"], 6), put("v", LISTED, "")], skip).unwrap();
    assert_eq!(applied.outcomes, [Outcome::Skipped { revision: 7 }, Outcome::Created { revision: 1 }]);
    assert_eq!(applied.changed.len(), 1);
    assert!(before.apply(&[put("w", &[], "")], skip).is_err());
}

#[test]
fn changes_to_one_widget_apply_in_order_and_are_told_once() {
    let before = book(&[&[revised(LISTED, 7)]]);
    let batch = [revised(&["x.example"], 8), delete("w", None), revised(&["y.example"], 10)];
    let applied = before.apply(&batch, CAREFUL).unwrap();
    let id = embedgate_policy::widget::WidgetId::parse("w").unwrap();
    assert_eq!(applied.changed, [ChangedWidget { id, before: Some(7), after: Some(10) }]);
    assert_eq!(applied.book.generation(), 2);
    assert!(applied.book.tombstone("w").is_none());
}

#[test]
fn what_a_batch_does_not_name_stays_goes_or_is_withdrawn() {
    let before = book(&[&[revised(LISTED, 7), put("v", LISTED, "")]]);
    let after = |absent| before.apply(&[put("v", LISTED, "")], ApplyOptions { absent, ..CAREFUL }).unwrap();

    assert!(after(Absent::Keep).changed.is_empty());

    let deleted = after(Absent::Delete);
    assert_eq!((deleted.changed[0].before, deleted.changed[0].after), (Some(7), None));
    assert_eq!(deleted.book.tombstone("w").unwrap().revision, 8);
    assert_eq!(outcome(&deleted.book, revised(LISTED, 7)).unwrap_err().code(), "stale_revision");

    let withdrawn = after(Absent::Withdraw).book;
    assert!(withdrawn.get("w").is_none());
    assert_eq!(outcome(&withdrawn, revised(LISTED, 7)), Ok(Outcome::Created { revision: 7 }));
    assert_eq!(outcome(&withdrawn, put("w", LISTED, "")), Ok(Outcome::Created { revision: 8 }));
    assert_eq!(outcome(&withdrawn, revised(&["x.example"], 7)).unwrap_err().code(), "stale_revision");
    assert_eq!(outcome(&withdrawn, put("w", &[], "")), Err(ChangeError::WouldOpen { deleted: true }));
    // A real deletion at that revision closes the way back.
    let deleted = withdrawn.apply(&[delete("w", Some(7))], CAREFUL).unwrap().book;
    assert_eq!(outcome(&deleted, revised(LISTED, 7)).unwrap_err().code(), "stale_revision");
}

#[test]
fn old_books_stay_as_they_were() {
    let many: Vec<Change> = (0..200).map(|n| put(&format!("w{n}"), LISTED, "")).collect();
    let first = book(&[&many]);
    let second = first.apply(&[put("w7", &["x.example"], ""), delete("w8", None)], CAREFUL).unwrap().book;
    assert_eq!((first.len(), second.len()), (200, 199));
    assert_eq!((first.get("w7").unwrap().revision, second.get("w7").unwrap().revision), (1, 2));
    assert!(first.get("w8").is_some() && second.get("w8").is_none());
    assert!(second.get("").is_none() && second.get("no id at all").is_none());
}

/// What a book holds, to compare: revision and fingerprint of each widget, revision of each deletion. Not whether
/// a deleted widget was restricted: that is what this book saw of it, and out of order it sees less.
type Contents = (BTreeMap<String, (u64, Access, Fingerprint)>, BTreeMap<String, u64>);

fn contents(book: &RuleBook) -> Contents {
    let widget = |rules: WidgetRules<'_>| {
        let stored = book.stored(rules.id).unwrap();
        (rules.id.to_string(), (rules.revision, rules.access, stored.fingerprint))
    };
    let deletion = |(id, tombstone): (&str, Tombstone)| (id.to_owned(), tombstone.revision);
    (book.widgets().map(widget).collect(), book.tombstones().map(deletion).collect())
}

/// The census, counted anew.
fn assert_census(book: &RuleBook) {
    for environment in Environment::ALL {
        for access in Access::ALL {
            let count = book.widgets().filter(|w| (w.environment, w.access) == (environment, access)).count();
            assert_eq!(book.census().widgets(environment, access), count, "{environment} {access}");
        }
        let open = book.census().widgets(environment, Access::Open);
        assert_eq!(book.census().unrestricted(environment), open);
    }
}

/// What a writer with few documents in mind pushes for a widget, at each revision: several come again, all state
/// what opens them.
fn pushes() -> impl Strategy<Value = Vec<Change>> {
    let document = prop_oneof![Just(None), (0..4_usize).prop_map(Some)];
    prop::collection::vec((0..5_u8, document), 1..60).prop_map(|pushes| {
        let mut next = BTreeMap::new();
        pushes
            .into_iter()
            .map(|(widget, document)| {
                let revision: &mut u64 = next.entry(widget).or_default();
                *revision += 1;
                let (id, revision) = (format!("w{widget}"), *revision);
                let (entries, more): (&[&str], &str) = match document {
                    None => return delete(&id, Some(revision)),
                    Some(0) => (LISTED, ""),
                    Some(1) => (&["b.example"], r#""environment":"staging","#),
                    Some(2) => (&[], r#""access":"open","#),
                    Some(_) => (LISTED, r#""access":"monitor","#),
                };
                put(&id, entries, &format!(r#"{more}"revision":{revision}"#))
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn shuffled_repeated_pushes_end_in_the_same_book(
        (ordered, shuffled) in pushes().prop_flat_map(|pushes| {
            let again: Vec<Change> = pushes.iter().chain(&pushes).cloned().collect();
            (Just(pushes), Just(again).prop_shuffle())
        })
    ) {
        let skip = ApplyOptions { stale: Stale::Skip, ..CAREFUL };
        let in_order = RuleBook::new().apply(&ordered, skip).unwrap().book;
        let mut at_random = RuleBook::new();
        for change in shuffled {
            at_random = at_random.apply(&[change], skip).unwrap().book;
        }
        prop_assert_eq!(contents(&in_order), contents(&at_random));
        assert_census(&in_order);
        assert_census(&at_random);
    }
}
