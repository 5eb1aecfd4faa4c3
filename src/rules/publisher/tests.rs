#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::rules::change::Stale;
use crate::rules::fixtures::{Notebook, delete, put, widget};

const CAREFUL: ApplyOptions = ApplyOptions { stale: Stale::Refuse, absent: Absent::Keep };

fn publisher() -> (Publisher, Arc<Notebook>) {
    let notebook = Notebook::new();
    let publisher = Publisher::new(LiveRules::new(), SourceKind::Store, "rules.redb");
    (publisher.with_observer(notebook.clone()), notebook)
}

#[test]
fn an_answer_means_it_is_in_force_and_told() {
    let (publisher, notebook) = publisher();
    let published = publisher.apply(&[put("a", &["x.example"], ""), put("b", &[], "")], CAREFUL).unwrap();
    assert_eq!((published.generation, published.applied()), (1, 2));
    assert_eq!(publisher.live().load().get("a").unwrap().revision, 1);
    let swaps = notebook.swaps.lock().unwrap();
    let told: Vec<&str> = swaps[0].1.iter().map(|changed| changed.id.as_str()).collect();
    assert_eq!((swaps[0].0, told), (1, vec!["a", "b"]));
    assert!(publisher.status().last_applied_at.is_some());
}

#[test]
fn no_change_is_no_swap() {
    let (publisher, notebook) = publisher();
    let batch = [put("a", &["x.example"], "")];
    publisher.apply(&batch, CAREFUL).unwrap();
    let again = publisher.apply(&batch, CAREFUL).unwrap();
    assert_eq!((again.generation, again.applied(), again.unchanged(), again.skipped()), (1, 0, 1, 0));
    assert_eq!(notebook.generations(), [1]);
}

#[test]
fn a_refusal_changes_nothing_and_is_seen_until_the_next_good_update() {
    let (publisher, notebook) = publisher();
    publisher.apply(&[put("a", &["x.example"], "")], CAREFUL).unwrap();
    let error =
        publisher.apply(&[put("b", &["x.example"], ""), put("a", &[], ""), delete("c", None)], CAREFUL);
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

    publisher.apply(&[put("a", &["x.example"], "")], CAREFUL).unwrap();
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

#[test]
fn many_writers_lose_nothing_and_observers_see_generations_in_order() {
    let (publisher, notebook) = publisher();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let book = publisher.live().load();
                assert!(book.generation() >= last);
                last = book.generation();
                // Every save so far made one more revision of the one widget.
                assert_eq!(book.get("w").map_or(0, |rules| rules.revision), last);
            }
        });
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let publisher = &publisher;
                scope.spawn(move || {
                    for save in 0..50 {
                        let domain = format!("w{writer}-{save}.example");
                        let published = publisher.apply(&[put("w", &[&domain], "")], CAREFUL).unwrap();
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
    assert_eq!(notebook.generations(), (1..=200).collect::<Vec<u64>>());
}

#[test]
fn an_observer_that_panics_leaves_the_swap_done_and_the_publisher_usable() {
    struct Fragile;
    impl Observer for Fragile {
        fn swapped(&self, swap: &Swap<'_>) {
            assert_ne!(swap.book.generation(), 1, "on purpose");
        }
        fn rejected(&self, _: SourceKind, _: &RulesError) {}
    }
    let publisher = Publisher::new(LiveRules::new(), SourceKind::Store, "").with_observer(Arc::new(Fragile));
    let first = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        publisher.apply(&[put("a", &[], "")], CAREFUL).unwrap();
    }));
    assert!(first.is_err());
    assert_eq!(publisher.live().load().generation(), 1);
    assert_eq!(publisher.apply(&[put("b", &[], "")], CAREFUL).unwrap().generation, 2);
}
