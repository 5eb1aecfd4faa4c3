//! Several edges in one process, and a bucket that puts their messages in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::json;

use self::bus::{Bus, Edge};
use super::*;
use crate::rules::change::{ApplyOptions, Change, Outcome, Precondition};
use crate::rules::documents::HistoryState;
use crate::rules::edit::DomainsEdit;
use crate::rules::fixtures::{delete, put, widget};
use crate::rules::shared::{SharedBatch, SharedChange, SharedState, Taking};
use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::suffix::PublicSuffixes;

mod bus;
mod convergence;
mod keeping;
mod lost;
mod stops;

const REPLACE: ApplyOptions =
    ApplyOptions { stale: crate::rules::change::Stale::Refuse, absent: Absent::Delete, chunked: false };

fn id(text: &str) -> WidgetId {
    WidgetId::parse(text).unwrap()
}

fn add(origin: &str) -> Edit {
    let entry = Entry::parse(origin, PublicSuffixes::shipped()).unwrap();
    let entry = ListedEntry { entry, expires_at: None, note: None };
    Edit::Domains(DomainsEdit { add: vec![entry], ..DomainsEdit::default() })
}

#[test]
fn a_change_is_in_force_everywhere_in_one_order() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    let first = one.save(vec![put("a", &["a.example"], ""), put("b", &[], "")]).unwrap();
    assert_eq!((first.sequence, first.applied(), first.durable), (Some(2), 2, true));
    assert_eq!(first.generation, one.publisher.live().load().generation());
    assert!(one.publisher.live().load().get("a").is_some(), "in force here when it is answered");
    let second = two.save(vec![put("a", &["b.example"], "")]).unwrap();
    assert_eq!((second.sequence, second.outcomes[0]), (Some(3), Outcome::Updated { revision: 2 }));
    bus.settle(&[&one, &two]);
    for edge in [&one, &two] {
        assert_eq!(
            edge.document("a"),
            Some(widget(r#"{"id":"a","allowed_domains":["b.example"],"revision":2}"#))
        );
        assert_eq!(
            (edge.publisher.known_keys(), edge.publisher.position().map(|position| position.sequence)),
            (2, Some(3))
        );
        let history = edge.publisher.documents().history("a").unwrap();
        let entries: Vec<_> = history.iter().map(|entry| (entry.revision, entry.actor.as_deref())).collect();
        assert_eq!(entries, [(2, Some("token:two")), (1, Some("token:one"))], "{}", edge.name);
        edge.wait_until_kept();
        let lines = edge.ledger.lines.lock().clone();
        assert_eq!(
            lines,
            ["token:one a None 1", "token:one b None 1", "token:two a Some(1) 2"],
            "{}",
            edge.name
        );
        // A batch is one swap.
        assert_eq!(edge.notebook.generations(), [1, 2], "{}", edge.name);
    }
    assert_eq!(one.publisher.digest(), two.publisher.digest());
    assert_ne!(one.publisher.digest(), 0);

    // What changes nothing is answered at once.
    let again = one.save(vec![put("a", &["b.example"], "")]).unwrap();
    assert_eq!((again.sequence, again.applied(), bus.last()), (Some(3), 0, 3));
    // Of several changes to one widget, the last is published.
    let both = one.save(vec![put("c", &["c.example"], ""), delete("c", None), put("c", &["d.example"], "")]);
    let both = both.unwrap();
    assert_eq!((both.sequence, both.outcomes[2].revision(), bus.last()), (Some(4), 3, 4));
}

#[test]
fn whoever_was_late_is_judged_again() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    // `two` publishes by an older book than that of the bucket.
    two.port.hold(true);
    one.save(vec![put("a", &["b.example"], "")]).unwrap();
    let edit = std::thread::scope(|scope| {
        let edit = scope.spawn(|| two.edit("a", add("c.example"), Precondition::None));
        two.port.wait_for_conflict();
        two.port.hold(false);
        edit.join().unwrap().unwrap()
    });
    assert_eq!((edit.sequence, edit.outcomes[0]), (Some(3), Outcome::Updated { revision: 3 }));
    let document = r#"{"id":"a","allowed_domains":["b.example","c.example"],"revision":3}"#;
    assert_eq!(edit.document.as_deref(), Some(&widget(document)));

    // A precondition that no longer holds is refused, also where this edge doesn't know of it yet.
    bus.settle(&[&one, &two]);
    two.port.hold(true);
    one.save(vec![put("a", &["d.example"], "")]).unwrap();
    let refused = std::thread::scope(|scope| {
        let edit = scope.spawn(|| two.edit("a", add("e.example"), Precondition::revision(3)));
        two.port.wait_for_conflict();
        two.port.hold(false);
        edit.join().unwrap().unwrap_err()
    });
    assert_eq!(refused.code(), "precondition_failed");
    assert_eq!(bus.last(), 4);
}

#[test]
fn no_entry_is_lost_that_was_added_at_once() {
    let bus = Bus::new();
    let edges = ["one", "two", "three"].map(|name| Edge::start(&bus, name));
    edges[0].save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&edges.iter().collect::<Vec<_>>());
    std::thread::scope(|scope| {
        for edge in &edges {
            scope.spawn(|| {
                for n in 0..5 {
                    let origin = format!("n{n}.{}.example", edge.name);
                    while let Err(error) = edge.edit("a", add(&origin), Precondition::None) {
                        assert_eq!(error.code(), "contended");
                    }
                }
            });
        }
    });
    bus.settle(&edges.iter().collect::<Vec<_>>());
    for edge in &edges {
        assert_eq!(edge.document("a").unwrap().allowed_domains.len(), 16, "{}", edge.name);
        assert_eq!(edge.publisher.digest(), edges[0].publisher.digest());
    }
}

/// What a batch doesn't name is what nobody has made in the meantime, either.
#[test]
fn a_batch_that_replaces_all_sees_what_was_just_created() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.save(vec![put("a", &["a.example"], "")]).unwrap();
    bus.settle(&[&one, &two]);
    two.port.hold(true);
    one.save(vec![put("new", &["a.example"], "")]).unwrap();
    let replaced = std::thread::scope(|scope| {
        let replace = scope.spawn(|| {
            let batch = vec![put("a", &["a.example"], ""), put("b", &["b.example"], "")];
            two.publisher.apply_confirmed(batch, REPLACE, Some(1), two.actor())
        });
        two.port.wait_for_conflict();
        two.port.hold(false);
        replace.join().unwrap().unwrap()
    });
    assert_eq!(replaced.removed, 1);
    bus.settle(&[&one, &two]);
    for edge in [&one, &two] {
        assert_eq!(edge.ids(), ["a", "b"]);
        assert!(edge.publisher.live().load().tombstone("new").is_some());
    }
}

#[test]
fn each_failure_has_its_name_and_saves_nothing() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    let failures = [
        (PublishError::Unavailable("it is away".into()), "bucket_unavailable"),
        (PublishError::Faulted("it is another one".into()), "fleet_fault"),
        (PublishError::Uncertain("no answer".into()), "save_uncertain"),
        (PublishError::TooLarge { most: 1 }, "too_large"),
    ];
    for (failure, code) in failures {
        edge.port.fail(Some(failure));
        let error = edge.save(vec![put("a", &[], ""), put("b", &[], "")]).unwrap_err();
        assert_eq!((error.code(), edge.ids().len(), bus.last()), (code, 0, 0));
        assert_eq!(edge.publisher.status().last_error.unwrap().code, code);
    }
    edge.port.fail(None);
    edge.save(vec![put("a", &[], "")]).unwrap();
    assert_eq!(edge.publisher.status().last_error, None);
    // Refusals come from judging.
    assert_eq!(edge.save(vec![delete("nobody", None)]).unwrap_err().code(), "unknown_widget");
    let restrict = edge.edit("a", add("a.example"), Precondition::None).unwrap_err();
    assert_eq!((restrict.code(), bus.last()), ("would_restrict_widget", 1));
}

/// Messages as they are, whatever was in force.
#[test]
fn a_bucket_is_obeyed() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.port.hold(true);
    let change = |name: &str, sequence: u64, state: SharedState| SharedChange {
        id: id(name),
        sequence,
        state,
        actor: "somebody".into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    };
    let document = |name: &str, sequence: u64, rest: &str| {
        let widget = widget(&format!(r#"{{"id":"{name}"{rest}}}"#));
        change(name, sequence, SharedState::Document(Box::new(widget)))
    };
    let obey = |changes: Vec<SharedChange>, sequence: u64| {
        let position = Some(bus::position(sequence));
        edge.publisher
            .obey(SharedBatch { changes, gone: Vec::new(), position, taking: Taking::Newer })
            .unwrap();
    };
    let revision = |name: &str| edge.publisher.live().load().get(name).map(|rules| rules.revision);
    let generation = || edge.publisher.live().load().generation();
    obey(
        vec![
            document("a", 1, r#","allowed_domains":["a.example"],"revision":9"#),
            document("b", 2, r#","revision":1"#),
            document("a", 3, r#","allowed_domains":["b.example"],"revision":10"#),
        ],
        3,
    );
    assert_eq!((generation(), revision("a"), edge.publisher.known_keys()), (1, Some(10), 2));
    assert_eq!(edge.publisher.documents().history("a").unwrap().len(), 2);
    // A lower revision, and one that opens a widget without a word.
    obey(vec![document("a", 4, r#","revision":2"#)], 4);
    assert_eq!((generation(), revision("a")), (2, Some(2)));
    let digest = edge.publisher.digest();
    // Messages that are known, and one that changes nothing.
    obey(vec![document("a", 3, r#","revision":10"#), document("b", 5, r#","revision":1"#)], 5);
    assert_eq!((generation(), edge.publisher.position()), (2, Some(bus::position(5))));
    assert_eq!(edge.publisher.digest(), digest);
    assert_eq!(edge.storage.shared_keys(&["a", "b"]).unwrap().map_sequences(), [4, 5]);
    // What says nothing that can be taken leaves the widget, and whoever writes it next knows of the message.
    obey(vec![change("b", 5, SharedState::Unreadable), change("a", 6, SharedState::Unreadable)], 6);
    assert_eq!((generation(), revision("a"), edge.publisher.digest()), (2, Some(2), digest));
    assert_eq!(edge.storage.shared_keys(&["a", "b"]).unwrap().map_sequences(), [6, 5]);
    // A deletion with its own facts, of a widget that nobody knows, too.
    let deleted = |was_restricted| SharedState::Deleted { revision: 7, was_restricted };
    obey(vec![change("b", 7, deleted(false)), change("c", 8, deleted(true))], 8);
    let book = edge.publisher.live().load_full();
    let restricted = |name: &str| book.tombstone(name).map(|tombstone| tombstone.was_restricted);
    assert_eq!((restricted("b"), restricted("c"), edge.publisher.known_keys()), (Some(false), Some(true), 3));
    obey(Vec::new(), 9);
    assert_eq!((generation(), edge.publisher.position()), (3, Some(bus::position(9))));

    // Another bucket, in which the counting has begun again. It knows nothing of `c`.
    let position = Some(crate::rules::shared::BucketPosition { created: 2, followed: 1, ..bus::position(3) });
    let changes = vec![document("a", 1, r#","revision":2"#), document("b", 3, r#","revision":8"#)];
    edge.publisher.obey(SharedBatch { changes, gone: vec![id("c")], position, taking: Taking::All }).unwrap();
    assert_eq!((generation(), revision("b"), edge.publisher.position()), (4, Some(8), position));
    assert_eq!(
        (edge.publisher.known_keys(), edge.publisher.position().map(|position| position.sequence)),
        (2, Some(3))
    );
    assert_eq!(edge.storage.shared_keys(&["a", "b", "c"]).unwrap().map_sequences(), [1, 3, 0]);
    // What is in force and what is kept are of one opinion.
    assert_eq!(edge.kept().digest, edge.publisher.digest());
    // A widget that is gone can't come back open in silence, although the bucket doesn't know it.
    let gone =
        SharedBatch { changes: Vec::new(), gone: vec![id("a")], position: None, taking: Taking::Newer };
    obey(vec![document("a", 4, r#","allowed_domains":["a.example"],"revision":3"#)], 4);
    edge.publisher.obey(gone).unwrap();
    assert_eq!((revision("a"), edge.publisher.known_keys()), (None, 1));
    assert!(edge.publisher.live().load().tombstone("a").unwrap().was_restricted);
    assert_eq!(edge.publisher.documents().history("a").unwrap()[0].state, HistoryState::Deleted);
    assert_eq!(edge.publisher.entries(None, 9).unwrap().len(), 3);
}

trait Sequences {
    fn map_sequences(&self) -> Vec<u64>;
}

impl Sequences for Vec<Option<crate::rules::storage::share::SharedKey>> {
    fn map_sequences(&self) -> Vec<u64> {
        self.iter().map(|key| key.map_or(0, |key| key.sequence)).collect()
    }
}

#[test]
fn another_process_takes_over() {
    let bus = Bus::new();
    let [one, two] = [Edge::start(&bus, "one"), Edge::start(&bus, "two")];
    one.publisher.lend().unwrap();
    two.save(vec![put("a", &[], "")]).unwrap();
    assert_eq!(one.publisher.position(), None, "whoever obeys waits");
    one.publisher.take_back().unwrap();
    bus.settle(&[&one, &two]);
    assert_eq!(one.ids(), ["a"]);

    // Published, and then it is another process that puts it in force.
    one.port.hold(true);
    let error = std::thread::scope(|scope| {
        let save = scope.spawn(|| one.save(vec![put("b", &[], "")]));
        bus.wait_for(2);
        one.publisher.lend().unwrap();
        one.publisher.hand_over();
        save.join().unwrap().unwrap_err()
    });
    assert_eq!(error.code(), "not_in_force_yet");
    assert_eq!(one.save(vec![put("c", &[], "")]).unwrap_err().code(), "handed_over");
    let batch = SharedBatch { changes: Vec::new(), gone: Vec::new(), position: None, taking: Taking::Newer };
    assert_eq!(one.publisher.obey(batch).unwrap_err().code(), "handed_over");
    assert_eq!(bus.last(), 2);
}

#[test]
fn a_patch_is_made_of_what_is_in_force() {
    let bus = Bus::new();
    let edge = Edge::start(&bus, "one");
    edge.save(vec![put("a", &["a.example"], "")]).unwrap();
    let patched = edge.edit("a", Edit::Patch(json!({ "labels": { "k": "v" } })), Precondition::None).unwrap();
    assert_eq!((patched.sequence, patched.document.unwrap().labels["k"].as_str()), (Some(2), "v"));
    let reverted = edge.edit("a", Edit::Revert { revision: 1, may_open: false }, Precondition::None).unwrap();
    assert_eq!((reverted.sequence, reverted.outcomes[0]), (Some(3), Outcome::Updated { revision: 3 }));
    let disabled = edge.edit("a", Edit::Disable, Precondition::None).unwrap();
    assert_eq!((disabled.sequence, disabled.durable), (Some(4), true));
    let again = edge.edit("a", Edit::Disable, Precondition::None).unwrap();
    assert_eq!((again.sequence, again.durable, bus.last()), (Some(4), true, 4));
    assert_eq!(
        edge.publisher
            .try_batch(vec![Change::delete(id("a"), None)], ApplyOptions::default())
            .unwrap()
            .deleted,
        1
    );
}
