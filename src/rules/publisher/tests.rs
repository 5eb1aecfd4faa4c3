#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::rules::audit::{AuditRecord, AuditedDocument, AuditedState};
use crate::rules::change::{Precondition, Stale};
use crate::rules::error::WideChange;
use crate::rules::fixtures::{Notebook, delete, put, widget};

const WHO: Actor = Actor::CommandLine;
const CAREFUL: ApplyOptions = ApplyOptions { stale: Stale::Refuse, absent: Absent::Keep, chunked: false };

fn publisher() -> (Publisher, Arc<Notebook>) {
    let notebook = Notebook::new();
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "rules.redb");
    (publisher.with_observer(notebook.clone()), notebook)
}

#[test]
fn an_answer_means_it_is_in_force_and_told() {
    let (publisher, notebook) = publisher();
    let published =
        publisher.apply(vec![put("a", &["x.example"], ""), put("b", &[], "")], CAREFUL, WHO).unwrap();
    assert_eq!((published.generation, published.applied()), (1, 2));
    assert_eq!(publisher.live().load().get("a").unwrap().revision, 1);
    let swaps = notebook.swaps.lock();
    let told: Vec<&str> = swaps[0].1.iter().map(|changed| changed.id.as_str()).collect();
    assert_eq!((swaps[0].0, told), (1, vec!["a", "b"]));
    assert!(publisher.status().last_applied_at.is_some());
}

#[test]
fn no_change_is_no_swap() {
    let (publisher, notebook) = publisher();
    let batch = [put("a", &["x.example"], "")];
    publisher.apply(batch.to_vec(), CAREFUL, WHO).unwrap();
    let again = publisher.apply(batch.to_vec(), CAREFUL, WHO).unwrap();
    assert_eq!((again.generation, again.applied(), again.unchanged(), again.skipped()), (1, 0, 1, 0));
    assert_eq!(notebook.generations(), [1]);
}

#[test]
fn a_refusal_changes_nothing_and_is_seen_until_the_next_good_update() {
    let (publisher, notebook) = publisher();
    publisher.apply(vec![put("a", &["x.example"], "")], CAREFUL, WHO).unwrap();
    let error = publisher.apply(
        vec![put("b", &["x.example"], ""), put("a", &[], ""), delete("c", None)],
        CAREFUL,
        WHO,
    );
    let error = error.unwrap_err();
    let told: Vec<(Option<usize>, &str)> =
        error.faults().iter().map(|fault| (fault.index, fault.code)).collect();
    assert_eq!(told, [(Some(1), "would_open_widget"), (Some(2), "unknown_widget")]);

    assert_eq!(publisher.live().load().generation(), 1);
    assert!(publisher.live().load().get("b").is_none());
    assert_eq!(notebook.generations(), [1]);
    assert_eq!(notebook.rejections(), [("would_open_widget", error.to_string())]);
    let standing = publisher.status().last_error.unwrap();
    assert_eq!((standing.code, standing.detail), ("would_open_widget", error.to_string()));

    publisher.apply(vec![put("a", &["x.example"], "")], CAREFUL, WHO).unwrap();
    assert_eq!(publisher.status().last_error, None);
}

#[test]
fn replacing_all_makes_the_book_exactly_that() {
    let (publisher, _) = publisher();
    let locate = |fault: RuleFault| RuleFault { pointer: format!("/widgets/0{}", fault.pointer), ..fault };
    let documents = |json: &[&str]| json.iter().map(|json| widget(json)).collect::<Vec<_>>();
    publisher.replace_all(documents(&[r#"{"id":"a","revision":4}"#, r#"{"id":"b"}"#]), locate).unwrap();

    let published = publisher.replace_all(documents(&[r#"{"id":"a"}"#]), locate).unwrap();
    assert_eq!((published.generation, published.unchanged()), (2, 1));
    let book = publisher.live().load_full();
    assert_eq!((book.len(), book.get("a").unwrap().revision), (1, 4));
    assert_eq!(published.changed[0].id.as_str(), "b");

    let error = publisher.replace_all(documents(&[r#"{"id":"a","enabled":false,"revision":4}"#]), locate);
    assert_eq!(
        error.unwrap_err().to_string(),
        "change 0 (a): /widgets/0/revision: revision 4 is not above 4, which is in force with another \
         document: raise it above 4 or leave it out"
    );
    assert_eq!(publisher.live().load().generation(), 2);
}

/// The brake is asked by the book that the change meets, with others in between.
#[test]
fn a_wide_change_is_held_and_seen() {
    let (publisher, notebook) = publisher();
    let who = || Actor::Token("deploy".into());
    let replace = ApplyOptions { absent: Absent::Delete, ..CAREFUL };
    publisher.apply(vec![put("a", &[], ""), put("b", &[], "")], CAREFUL, WHO).unwrap();
    for confirmed in [None, Some(1)] {
        let held = publisher.apply_confirmed(Vec::new(), replace, confirmed, who()).unwrap_err();
        assert_eq!(held.code(), "wide_change");
        assert_eq!(
            held.to_string(),
            "this would delete 2 of 2 widgets, so nothing was changed; if that is what is meant, confirm it by the \
             number: ?confirm=2"
        );
    }
    assert_eq!(publisher.apply(Vec::new(), replace, WHO).unwrap_err().code(), "wide_change");
    assert_eq!((publisher.live().load().len(), notebook.generations()), (2, vec![1]));
    assert_eq!(notebook.rejections().len(), 3);
    assert_eq!(publisher.status().last_error.unwrap().code, "wide_change");
    publisher.apply(vec![put("c", &[], "")], CAREFUL, WHO).unwrap();
    assert!(publisher.apply_confirmed(Vec::new(), replace, Some(2), who()).is_err(), "one more has come");
    assert_eq!(publisher.apply_confirmed(Vec::new(), replace, Some(3), who()).unwrap().changed.len(), 3);
}

#[test]
fn a_trial_tells_what_a_batch_would_do_and_does_nothing() {
    let (publisher, notebook) = publisher();
    let all = || (0..20).map(|n| put(&format!("w{n}"), &["a.example"], "")).collect::<Vec<_>>();
    publisher.apply(all(), CAREFUL, WHO).unwrap();
    let mut batch = all();
    batch.splice(
        0..3,
        [put("w0", &["b.example"], ""), put("w1", &[], r#""access":"open""#), put("new", &[], "")],
    );
    batch[3] = put("w3", &["a.example"], r#""enabled":false"#);
    batch[4] = put("w4", &["a.example"], r#""access":"monitor""#);
    batch[5] = delete("w5", None);
    let expected = BatchTrial {
        created: 1,
        updated: 4,
        deleted: 1,
        unchanged: 14,
        disabled: 1,
        restricted: 1,
        opened: 1,
        monitored: 1,
        ..BatchTrial::default()
    };
    assert_eq!(publisher.try_batch(batch.clone(), CAREFUL).unwrap(), expected);
    let replace = ApplyOptions { absent: Absent::Delete, ..CAREFUL };
    assert_eq!(publisher.try_batch(batch.clone(), replace).unwrap(), BatchTrial { removed: 1, ..expected });
    let emptied = publisher.try_batch(Vec::new(), replace).unwrap();
    let wide = WideChange { widgets: 20, deleted: 20, confirm: 20, ..WideChange::default() };
    assert_eq!(emptied, BatchTrial { removed: 20, wide: Some(wide), ..BatchTrial::default() });
    batch.extend((6..20).map(|n| delete(&format!("w{n}"), None)));
    assert_eq!(publisher.try_batch(batch, CAREFUL).unwrap().wide.unwrap().confirm, 19);
    // As a batch would: any share but the half.
    publisher.set_brake(BrakeShare::of_hundredths(10_000));
    let ten = (0..10).map(|n| delete(&format!("w{n}"), None)).collect();
    assert_eq!(publisher.try_batch(ten, CAREFUL).unwrap().wide, None);
    let refused = publisher.try_batch(vec![delete("none", None)], CAREFUL).unwrap_err();
    assert_eq!(refused.code(), "unknown_widget");
    assert_eq!((notebook.generations(), notebook.rejections()), (vec![1], vec![]));
}

#[test]
fn many_writers_lose_nothing_and_observers_see_generations_in_order() {
    let (publisher, notebook) = publisher();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = (0, 0);
            while !done.load(Ordering::Relaxed) {
                let book = publisher.live().load();
                let revision = book.get("w").map_or(0, |rules| rules.revision);
                // A generation holds one save or several that came together.
                assert!((book.generation(), revision) >= last && revision >= book.generation());
                last = (book.generation(), revision);
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let publisher = &publisher;
                scope.spawn(move || {
                    for save in 0..50 {
                        let domain = format!("w{writer}-{save}.example");
                        let published =
                            publisher.apply(vec![put("w", &[&domain], "")], CAREFUL, WHO).unwrap();
                        let now = publisher.live().load();
                        assert!(now.generation() >= published.generation);
                        assert!(now.get("w").unwrap().revision >= published.outcomes[0].revision());
                    }
                })
            })
            .collect();
        let results: Vec<_> = writers.into_iter().map(|writer| writer.join()).collect();
        done.store(true, Ordering::Relaxed);
        results.into_iter().for_each(|result| result.unwrap());
        reader.join().unwrap();
    });
    let swaps = notebook.generations().len() as u64;
    assert_eq!(notebook.generations(), (1..=swaps).collect::<Vec<u64>>());
    assert_eq!(publisher.live().load().get("w").unwrap().revision, 200);
}

/// Holds the writer in the first swap until it is let go.
struct Gate(Mutex<Option<std::sync::mpsc::Receiver<()>>>);

impl Observer for Gate {
    fn swapped(&self, _: &Swap<'_>) {
        if let Some(gate) = self.0.lock().take() {
            gate.recv().unwrap();
        }
    }
    fn rejected(&self, _: SourceKind, _: &RulesError) {}
}

#[test]
fn callers_who_wait_share_a_swap_and_fail_alone() {
    let (open, gate) = std::sync::mpsc::channel();
    let (publisher, notebook) = publisher();
    let publisher = publisher.with_observer(Arc::new(Gate(Mutex::new(Some(gate)))));
    let save = |change: Change| publisher.apply(vec![change], CAREFUL, WHO);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| save(put("a", &["x.example"], "")));
        while publisher.live().load().generation() == 0 {
            std::thread::yield_now();
        }
        let writers: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || save(put("a", &[&format!("n{n}.example")], "")).unwrap()))
            .collect();
        let refused = scope.spawn(|| save(put("a", &[], "")));
        let raced: Vec<_> = (0..4)
            .map(|n| {
                let change = put("b", &[&format!("n{n}.example")], "").only_if(Precondition::Absent);
                scope.spawn(move || save(change))
            })
            .collect();
        while publisher.queue.waiting() < 13 {
            std::thread::yield_now();
        }
        open.send(()).unwrap();
        assert_eq!(first.join().unwrap().unwrap().generation, 1);
        let mut revisions: Vec<u64> = writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .inspect(|published| assert_eq!(published.generation, 2))
            .map(|published| published.outcomes[0].revision())
            .collect();
        revisions.sort_unstable();
        assert_eq!(revisions, (2..=9).collect::<Vec<u64>>(), "each saw the ones before it");
        assert_eq!(refused.join().unwrap().unwrap_err().code(), "would_open_widget");
        let raced: Vec<_> = raced.into_iter().map(|writer| writer.join().unwrap()).collect();
        let lost = raced.iter().filter_map(|save| save.as_ref().err()).map(SaveError::code);
        assert_eq!(lost.collect::<Vec<_>>(), ["precondition_failed"; 3]);
    });
    assert_eq!(notebook.generations(), [1, 2]);
    let swaps = notebook.swaps.lock();
    let changed = &swaps[1].1;
    assert_eq!((changed.len(), changed[0].before, changed[0].after), (2, Some(1), Some(9)));
    assert_eq!((changed[1].before, changed[1].after), (None, Some(1)));
}

#[test]
fn nobody_is_refused_by_what_is_not_saved() {
    let (open, gate) = std::sync::mpsc::channel();
    let (publisher, ledger) = (publisher().0, Arc::new(Ledger::default()));
    let publisher = publisher.with_audit(ledger.clone());
    publisher.apply(vec![put("a", &["x.example"], "")], CAREFUL, WHO).unwrap();
    let publisher = publisher.with_observer(Arc::new(Gate(Mutex::new(Some(gate)))));
    let save = |change: Change| publisher.apply(vec![change], CAREFUL, WHO);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| save(put("other", &["x.example"], "")));
        while publisher.live().load().generation() < 2 {
            std::thread::yield_now();
        }
        let deletion = scope.spawn(|| save(delete("a", None)));
        while publisher.queue.waiting() < 1 {
            std::thread::yield_now();
        }
        let change = put("a", &["y.example"], "").only_if(Precondition::revision(1));
        let later = scope.spawn(|| save(change));
        while publisher.queue.waiting() < 2 {
            std::thread::yield_now();
        }
        ledger.full.store(true, Ordering::Relaxed);
        open.send(()).unwrap();
        first.join().unwrap().unwrap();
        for call in [deletion, later] {
            assert_eq!(call.join().unwrap().unwrap_err().code(), "audit_unavailable");
        }
    });
    assert_eq!(publisher.live().load().get("a").unwrap().revision, 1);
}

#[test]
fn preconditions_are_judged_with_the_change() {
    let (publisher, _) = publisher();
    let save =
        |change: Change| publisher.apply(vec![change], CAREFUL, WHO).map(|told| told.outcomes[0].revision());
    let revision = |revisions: &[u64]| Precondition::Revision(revisions.into());
    let table = [
        ("create only", put("a", &["x.example"], "").only_if(Precondition::Absent), Some(1)),
        ("create only, there", put("a", &["y.example"], "").only_if(Precondition::Absent), None),
        ("the same document, another revision", put("a", &["x.example"], "").only_if(revision(&[2])), None),
        ("matches", put("a", &["y.example"], "").only_if(revision(&[1])), Some(2)),
        ("lost race", put("a", &["z.example"], "").only_if(revision(&[1])), None),
        ("one of several", put("a", &["z.example"], "").only_if(revision(&[9, 2])), Some(3)),
        ("delete, lost race", delete("a", None).only_if(revision(&[2])), None),
        ("any", put("a", &["y.example"], "").only_if(Precondition::Present), Some(4)),
        ("delete", delete("a", None).only_if(Precondition::revision(4)), Some(5)),
        ("any, gone", put("a", &["y.example"], "").only_if(Precondition::Present), None),
        ("create again", put("a", &["y.example"], "").only_if(Precondition::Absent), Some(6)),
    ];
    for (name, change, expected) in table {
        let saved = save(change);
        assert_eq!(saved.as_ref().ok().copied(), expected, "{name}: {saved:?}");
        if let Err(error) = saved {
            assert_eq!(error.code(), "precondition_failed", "{name}");
        }
    }
}

#[test]
fn rules_from_files_are_changed_in_files() {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, "w.json").read_only();
    assert!(publisher.is_read_only());
    let error = publisher.apply(vec![put("a", &[], "")], CAREFUL, WHO).unwrap_err();
    assert_eq!(error.code(), "read_only_source");
    publisher.replace_all(vec![widget(r#"{"id":"a"}"#)], |fault| fault).unwrap();
}

#[test]
fn documents_are_what_was_answered() {
    let (publisher, _) = publisher();
    let batch = ["c", "a", "b", "d"].map(|id| put(id, &["EXAMPLE.com"], r#""labels":{"k":"v"}"#));
    publisher.apply(batch.to_vec(), CAREFUL, WHO).unwrap();
    publisher
        .apply(vec![delete("b", None), put("c", &[], r#""access":"open","revision":7"#)], CAREFUL, WHO)
        .unwrap();
    let documents = publisher.documents();
    let read = documents.get("c").unwrap().unwrap();
    assert_eq!((read.revision, read.allowed_domains.len()), (Some(7), 0));
    assert!(documents.get("b").unwrap().is_none());
    let ids = |after, limit| -> Vec<String> {
        documents.page(after, limit).unwrap().iter().map(|widget| widget.id.to_string()).collect()
    };
    assert_eq!(ids(None, 2), ["a", "c"]);
    assert_eq!(ids(Some("b"), 10), ["c", "d"]);
    assert_eq!(ids(Some("d"), 10), [""; 0]);
}

/// Writes down what it is told, or says no.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) lines: Mutex<Vec<String>>,
    pub(super) full: AtomicBool,
}

impl AuditLog for Ledger {
    fn record(&self, records: &[AuditRecord<'_>]) -> std::io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        let line = |record: &AuditRecord<'_>| {
            let revision = |document: AuditedDocument<'_>| document.revision;
            let after = match record.after {
                AuditedState::Document(document) => document.revision,
                AuditedState::Deleted { revision } => revision,
            };
            format!("{} {} {:?} {after}", record.actor, record.widget, record.before.map(revision))
        };
        self.lines.lock().extend(records.iter().map(line));
        Ok(())
    }

    fn record_unsynced(&self, records: &[AuditRecord<'_>]) -> std::io::Result<()> {
        self.record(records)
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn revoke(&self, _: &[AuditRecord<'_>]) {}
}

#[test]
fn what_cannot_be_recorded_is_not_saved() {
    let ledger = Arc::new(Ledger::default());
    let (publisher, notebook) = publisher();
    let publisher = publisher.with_audit(ledger.clone());
    let who = || Actor::Token("ops".into());
    publisher.apply(vec![put("a", &["x.example"], ""), put("b", &[], "")], CAREFUL, who()).unwrap();
    publisher.apply(vec![put("a", &["x.example"], "")], CAREFUL, who()).unwrap();
    publisher.apply(vec![put("a", &["y.example"], ""), delete("a", None)], CAREFUL, WHO).unwrap();

    ledger.full.store(true, Ordering::Relaxed);
    let error = publisher.apply(vec![put("b", &["y.example"], "")], CAREFUL, who()).unwrap_err();
    assert_eq!(error.code(), "audit_unavailable");
    assert_eq!(publisher.live().load().get("b").unwrap().revision, 1);
    assert_eq!(publisher.documents().get("b").unwrap().unwrap().revision, Some(1));
    assert_eq!((notebook.generations(), notebook.rejections()[0].0), (vec![1, 2], "audit_unavailable"));

    ledger.full.store(false, Ordering::Relaxed);
    publisher.apply(vec![put("b", &["y.example"], "")], CAREFUL, who()).unwrap();
    assert_eq!(
        *ledger.lines.lock(),
        [
            "token:ops a None 1",
            "token:ops b None 1",
            "command line a Some(1) 2",
            "command line a Some(2) 3",
            "token:ops b Some(1) 2"
        ]
    );
}

#[test]
fn an_observer_that_panics_is_left_behind() {
    struct Fragile;
    impl Observer for Fragile {
        fn swapped(&self, swap: &Swap<'_>) {
            assert_ne!(swap.book.generation(), 1, "on purpose");
        }
        fn rejected(&self, _: SourceKind, _: &RulesError) {}
    }
    let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "").with_observer(Arc::new(Fragile));
    // The change is in force, and so it is answered.
    assert_eq!(publisher.apply(vec![put("a", &[], "")], CAREFUL, WHO).unwrap().generation, 1);
    assert_eq!(publisher.live().load().generation(), 1);
    assert_eq!(publisher.apply(vec![put("b", &[], "")], CAREFUL, WHO).unwrap().generation, 2);
}
