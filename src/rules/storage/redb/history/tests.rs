#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::rules::change::{Actor, ApplyOptions, Change, Outcome, Precondition};
use crate::rules::edit::{DomainsEdit, Edit};
use crate::rules::error::SaveError;
use crate::rules::fixtures::{delete, put, widget};
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Published, Publisher};
use crate::rules::source::SourceKind;
use crate::rules::source::store::StoreSource;
use crate::rules::storage::redb::handle::StoreUse;
use crate::rules::storage::redb::row;
use crate::rules::storage::redb::tables::{DELETED, DOCUMENTS, FORMAT, HISTORY, Meta, RULES};
use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::widget::{Widget, WidgetId};
use redb::ReadableDatabase;

struct Desk(TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> PathBuf {
        self.0.path().join("rules.redb")
    }

    fn open(&self) -> Publisher {
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "rules.redb");
        let suffixes = Arc::new(PublicSuffixes::shipped().clone());
        StoreSource::new(self.store(), "no seed").open_bulk(publisher, suffixes).unwrap()
    }
}

fn save(publisher: &Publisher, changes: Vec<Change>) -> Result<Published, SaveError> {
    // With so few widgets many a batch is a wide change.
    publisher.apply_confirmed(changes, ApplyOptions::default(), Some(usize::MAX), Actor::CommandLine)
}

fn edit(publisher: &Publisher, id: &str, edit: Edit) -> Result<Published, SaveError> {
    publisher.edit(WidgetId::parse(id).unwrap(), edit, Precondition::None, Actor::Token("ops".into()))
}

/// What the history says: the revisions, and `None` for a deletion.
fn history(publisher: &Publisher, id: &str) -> Vec<(u64, Option<Widget>)> {
    let entries = publisher.documents().history(id).unwrap().into_iter();
    let state = |entry: HistoryEntry| match entry.state {
        HistoryState::Document(widget) => (entry.revision, Some(widget)),
        HistoryState::Deleted => (entry.revision, None),
    };
    entries.map(state).collect()
}

fn revisions(publisher: &Publisher, id: &str) -> Vec<u64> {
    history(publisher, id).into_iter().map(|(revision, _)| revision).collect()
}

/// One of few widgets, so that each has a past.
const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Move {
    Put {
        id: usize,
        site: u8,
        restricted: bool,
    },
    Batch {
        site: u8,
    },
    Delete {
        id: usize,
    },
    Patch {
        id: usize,
        label: u8,
    },
    Domains {
        id: usize,
        add: u8,
        remove: u8,
    },
    Disable {
        id: usize,
    },
    /// So many revisions back.
    Revert {
        id: usize,
        back: u64,
    },
    Restart,
}

fn a_move() -> impl Strategy<Value = Move> {
    let (id, site) = (0..IDS.len(), 0..4_u8);
    prop_oneof![
        3 => (id.clone(), site.clone(), any::<bool>()).prop_map(|(id, site, restricted)| Move::Put { id, site, restricted }),
        1 => site.clone().prop_map(|site| Move::Batch { site }),
        1 => id.clone().prop_map(|id| Move::Delete { id }),
        2 => (id.clone(), 0..3_u8).prop_map(|(id, label)| Move::Patch { id, label }),
        2 => (id.clone(), site.clone(), site).prop_map(|(id, add, remove)| Move::Domains { id, add, remove }),
        1 => id.clone().prop_map(|id| Move::Disable { id }),
        3 => (id, 0..30_u64).prop_map(|(id, back)| Move::Revert { id, back }),
        1 => Just(Move::Restart),
    ]
}

fn entry(site: u8) -> Entry {
    Entry::parse(&format!("s{site}.example"), PublicSuffixes::shipped()).unwrap()
}

/// Takes a step, and writes down what was answered: what each widget is from then on.
fn take(
    publisher: &Publisher,
    answered: &mut BTreeMap<&'static str, Vec<(u64, Option<Widget>)>>,
    step: &Move,
) {
    let document = |id: &str, site: u8, restricted: bool| {
        let more = if restricted { r#""access":"enforce""# } else { r#""access":"monitor""# };
        put(id, &[&format!("s{site}.example")], more)
    };
    let mut note = |id: &'static str, outcome: Outcome, document: Option<Widget>| {
        let past = answered.entry(id).or_default();
        match outcome {
            Outcome::Unchanged { revision } => assert_eq!(past.last().unwrap().0, revision),
            outcome => {
                let revision = outcome.revision();
                past.push((
                    revision,
                    document.map(|document| Widget { revision: Some(revision), ..document }),
                ));
            }
        }
    };
    let of_change = |change: &Change| match change {
        Change::Put { widget, .. } => Some(widget.clone()),
        Change::Delete { .. } => None,
    };
    let mut edited = |id: usize, what: Edit| {
        if let Ok(published) = edit(publisher, IDS[id], what) {
            assert!(published.durable);
            note(IDS[id], published.outcomes[0], published.document.map(|document| *document));
        }
    };
    match *step {
        Move::Put { id, site, restricted } => {
            let change = document(IDS[id], site, restricted);
            let published = save(publisher, vec![change.clone()]).unwrap();
            note(IDS[id], published.outcomes[0], of_change(&change));
        }
        Move::Batch { site } => {
            // Each widget twice, and one of them deleted in between.
            let mut batch: Vec<Change> = IDS.iter().map(|id| document(id, site, true)).collect();
            batch.push(delete(IDS[0], None));
            batch.extend(IDS.iter().map(|id| document(id, site.wrapping_add(1), true)));
            let published = save(publisher, batch.clone()).unwrap();
            for (change, outcome) in batch.iter().zip(published.outcomes) {
                let id = IDS.into_iter().find(|id| *id == change.id().as_str()).unwrap();
                note(id, outcome, of_change(change));
            }
        }
        Move::Delete { id } => {
            if let Ok(published) = save(publisher, vec![delete(IDS[id], None)]) {
                note(IDS[id], published.outcomes[0], None);
            }
        }
        Move::Patch { id, label } => edited(id, Edit::Patch(json!({ "labels": { "n": label.to_string() } }))),
        Move::Domains { id, add, remove } => {
            let add = vec![ListedEntry { entry: entry(add), expires_at: None, note: None }];
            edited(id, Edit::Domains(DomainsEdit { add, remove: vec![entry(remove)], may_restrict: false }));
        }
        Move::Disable { id } => edited(id, Edit::Disable),
        Move::Revert { id, back } => {
            let last = publisher.live().load();
            let last = last.get(IDS[id]).map(|rules| rules.revision).unwrap_or(back + 1);
            edited(id, Edit::Revert { revision: last.saturating_sub(back), may_open: true });
        }
        Move::Restart => {}
    }
}

fn check(publisher: &Publisher, answered: &BTreeMap<&'static str, Vec<(u64, Option<Widget>)>>) {
    let book = publisher.live().load();
    for id in IDS {
        let past = answered.get(id).map_or(&[][..], Vec::as_slice);
        let expected: Vec<_> = past.iter().rev().take(MOST_ENTRIES).cloned().collect();
        assert_eq!(history(publisher, id), expected, "{id}");
        let newest = expected.into_iter().next().and_then(|(_, document)| document);
        assert_eq!(publisher.documents().get(id).unwrap(), newest);
        match newest {
            Some(document) => assert!(book.holds(&document), "{id}"),
            None => assert!(book.get(id).is_none(), "{id}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn history_is_what_was_answered(steps in prop::collection::vec(a_move(), 1..70)) {
        let desk = Desk::new();
        let mut publisher = desk.open();
        let mut answered = BTreeMap::new();
        for step in &steps {
            if let Move::Restart = step {
                drop(publisher);
                publisher = desk.open();
            }
            take(&publisher, &mut answered, step);
            check(&publisher, &answered);
        }
        // From the oldest that is left, the history leads to the same book.
        for id in IDS {
            let mut replayed = None;
            for (_, document) in history(&publisher, id).into_iter().rev() {
                replayed = document;
            }
            let book = publisher.live().load();
            prop_assert_eq!(replayed.is_some(), book.get(id).is_some());
            prop_assert!(replayed.is_none_or(|document| book.holds(&document)));
        }
    }
}

#[test]
fn a_history_is_bounded_by_its_bytes_and_keeps_what_was_just_replaced() {
    let desk = Desk::new();
    let publisher = desk.open();
    let filler = |n: usize, bytes: usize| {
        put("a", &[&format!("n{n}.example")], &format!(r#""labels":{{"f":"{}"}}"#, "x".repeat(bytes)))
    };
    for n in 1..=25 {
        save(&publisher, vec![filler(n, 100_000)]).unwrap();
    }
    assert_eq!(revisions(&publisher, "a"), (16..=25).rev().collect::<Vec<u64>>(), "ten of 100 KB");
    for n in 26..=30 {
        save(&publisher, vec![filler(n, 250_000)]).unwrap();
    }
    assert_eq!(revisions(&publisher, "a"), [30, 29, 28, 27], "four of 250 KB");
    save(&publisher, vec![delete("a", None)]).unwrap();
    assert_eq!(revisions(&publisher, "a"), [31, 30, 29, 28, 27]);
    // One that no history holds beside another.
    let (long, longer) = ("l".repeat(MOST_BYTES), "r".repeat(MOST_BYTES));
    let database = StoreUse::Edge.builder().create(desk.0.path().join("other.redb")).unwrap();
    let author = Author::now(Actor::CommandLine, 1);
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(HISTORY).unwrap();
        for text in [long, longer] {
            let replaced = (1, Box::from(text.as_bytes()));
            let step = super::HistoryStep {
                document: Some(&replaced),
                deletion: None,
                writes: Some(10),
                deletes: None,
                author: &author,
            };
            follow(&mut table, "a", &step).unwrap();
        }
        let rows: Vec<u64> =
            table.range(("a", 0)..=("a", u64::MAX)).unwrap().map(|row| row.unwrap().0.value().1).collect();
        assert_eq!(rows, [1]);
    }
}

#[test]
fn a_deleted_widget_keeps_its_history_for_good_and_comes_back() {
    let desk = Desk::new();
    let publisher = desk.open();
    save(&publisher, vec![put("a", &["a.example"], r#""labels":{"k":"v"}"#)]).unwrap();
    edit(&publisher, "a", Edit::Disable).unwrap();
    save(&publisher, vec![delete("a", None)]).unwrap();
    drop(publisher);
    let publisher = desk.open();
    assert_eq!(revisions(&publisher, "a"), [3, 2, 1]);
    let actors: Vec<_> =
        publisher.documents().history("a").unwrap().into_iter().map(|entry| entry.actor).collect();
    assert_eq!(actors, ["command line", "token:ops", "command line"].map(|actor| Some(actor.into())));

    let refused = |revision| edit(&publisher, "a", Edit::Revert { revision, may_open: false }).unwrap_err();
    assert!(refused(3).to_string().contains("use DELETE"), "{}", refused(3));
    assert_eq!(refused(9).code(), "unknown_revision");
    // As it was, its switch and all.
    let back = edit(&publisher, "a", Edit::Revert { revision: 2, may_open: false }).unwrap();
    assert_eq!(back.outcomes, [Outcome::Created { revision: 4 }]);
    assert!(!back.document.unwrap().enabled);
    edit(&publisher, "a", Edit::Revert { revision: 1, may_open: false }).unwrap();
    assert_eq!(publisher.documents().get("a").unwrap().unwrap().labels["k"], "v");
    assert_eq!(revisions(&publisher, "a"), [5, 4, 3, 2, 1]);
}

#[test]
fn a_revert_opens_nothing_in_silence() {
    let desk = Desk::new();
    let publisher = desk.open();
    let revert = |revision, may_open| edit(&publisher, "a", Edit::Revert { revision, may_open });
    save(&publisher, vec![put("a", &[], "")]).unwrap();
    save(&publisher, vec![put("a", &["a.example"], r#""access":"open""#)]).unwrap();
    save(&publisher, vec![put("a", &["a.example"], "")]).unwrap();
    for revision in [1, 2] {
        assert_eq!(revert(revision, false).unwrap_err().code(), "would_open_widget", "{revision}");
    }
    save(&publisher, vec![delete("a", None)]).unwrap();
    for revision in [1, 2] {
        assert_eq!(revert(revision, false).unwrap_err().code(), "would_open_widget", "{revision}, deleted");
    }
    assert_eq!(revert(1, true).unwrap().outcomes, [Outcome::Created { revision: 5 }]);
    // Open as it is, there is nothing to confirm.
    revert(2, false).unwrap();
    assert_eq!(revisions(&publisher, "a"), [6, 5, 4, 3, 2, 1]);
}

/// As a version before signatures and history has left it.
fn make_format_1(desk: &Desk, documents: &[&str], deleted: &[(&str, u64)]) {
    let database = redb::Builder::new().create(desk.store()).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = Meta { format: 1, generation: 7, ..Meta::new() };
    {
        let mut table = transaction.open_table(DOCUMENTS).unwrap();
        let mut rules = transaction.open_table(RULES).unwrap();
        for text in documents {
            let mut widget = widget(text);
            let json = crate::rules::documents::canonical(&mut widget);
            table.insert(widget.id.as_str(), (widget.revision.unwrap(), &*json)).unwrap();
            let compiled = widget.compile();
            let record = crate::rules::book::WidgetRecord {
                rules: compiled.as_rules(),
                fingerprint: meta.key.fingerprint(&json),
            };
            let mut bytes = Vec::new();
            row::write(widget.id.as_str(), &record.write(), &mut bytes);
            rules.insert(widget.id.as_str(), bytes.as_slice()).unwrap();
        }
        let mut table = transaction.open_table(DELETED).unwrap();
        for (id, revision) in deleted {
            table.insert(*id, (*revision, true, None)).unwrap();
        }
    }
    meta.write(&transaction).unwrap();
    transaction.commit().unwrap();
}

fn format(desk: &Desk) -> u64 {
    let database = redb::Builder::new().open(desk.store()).unwrap();
    Meta::read(&database).unwrap().unwrap().format
}

#[test]
fn a_store_of_format_1_is_read_as_it_is_and_gets_a_history_with_its_first_save() {
    let desk = Desk::new();
    make_format_1(
        &desk,
        &[r#"{"id":"a","allowed_domains":["a.example"],"revision":4}"#, r#"{"id":"b","revision":2}"#],
        &[("gone", 5)],
    );
    let publisher = desk.open();
    assert_eq!(publisher.live().load().generation(), 7);
    let first = publisher.documents().history("a").unwrap();
    let a = widget(r#"{"id":"a","allowed_domains":["a.example"],"revision":4}"#);
    let unknown = |revision, state| HistoryEntry { revision, at: None, actor: None, state };
    assert_eq!(first, [unknown(4, HistoryState::Document(a.clone()))]);
    assert_eq!(publisher.documents().history("gone").unwrap(), [unknown(5, HistoryState::Deleted)]);
    assert_eq!(publisher.documents().page(None, 9).unwrap().len(), 2);
    drop(publisher);
    assert_eq!(format(&desk), 1, "nothing was saved");

    let publisher = desk.open();
    edit(&publisher, "a", Edit::Disable).unwrap();
    assert_eq!(save(&publisher, vec![put("gone", &["g.example"], "")]).unwrap().generation, 9);
    drop(publisher);
    assert_eq!(format(&desk), FORMAT);
    let publisher = desk.open();
    let entries = publisher.documents().history("a").unwrap();
    assert_eq!((entries.len(), entries[0].revision, entries[0].at.is_some()), (2, 5, true));
    assert_eq!(entries[1], unknown(4, HistoryState::Document(a)));
    assert_eq!(revisions(&publisher, "gone"), [6, 5]);
    assert_eq!(publisher.documents().history("gone").unwrap()[1], unknown(5, HistoryState::Deleted));
    let back = edit(&publisher, "a", Edit::Revert { revision: 4, may_open: false }).unwrap();
    assert_eq!(back.outcomes, [Outcome::Updated { revision: 6 }]);
}

#[test]
fn a_first_save_writes_no_history() {
    let desk = Desk::new();
    let publisher = desk.open();
    save(&publisher, (0..100).map(|n| put(&format!("w{n}"), &["a.example"], "")).collect()).unwrap();
    drop(publisher);
    let database = redb::Builder::new().open(desk.store()).unwrap();
    let table = database.begin_read().unwrap().open_table(HISTORY).unwrap();
    assert_eq!(redb::ReadableTableMetadata::len(&table).unwrap(), 0);
}

#[test]
fn a_document_of_the_greatest_size_can_be_read_again() {
    let desk = Desk::new();
    let publisher = desk.open();
    // What its writer leaves out is stated in the canonical document.
    let fixed = r#"{"id":"a","labels":{"f":""}}"#.len();
    let text = format!(r#"{{"id":"a","labels":{{"f":"{}"}}}}"#, "x".repeat(256 * 1024 - fixed));
    save(&publisher, vec![Change::put(widget(&text))]).unwrap();
    assert_eq!(publisher.documents().get("a").unwrap().unwrap().labels["f"].len(), 256 * 1024 - fixed);
    edit(&publisher, "a", Edit::Disable).unwrap();
    edit(&publisher, "a", Edit::Patch(json!({ "enabled": true }))).unwrap();
    let grown = edit(&publisher, "a", Edit::Patch(json!({ "labels": { "g": "h" } }))).unwrap_err();
    assert_eq!(grown.code(), "document_too_large");
    edit(&publisher, "a", Edit::Patch(json!({ "labels": { "f": "short" } }))).unwrap();
}
