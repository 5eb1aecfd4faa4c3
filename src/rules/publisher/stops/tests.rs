#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use serde_json::json;

use super::*;
use crate::rules::change::{ApplyOptions, Change};
use crate::rules::documents::{Documents, HistoryEntry, HistoryState};
use crate::rules::edit::Edit;
use crate::rules::fixtures::{Notebook, delete, put, widget};
use crate::rules::live::LiveRules;
use crate::rules::publisher::queue::{Call, Request};
use crate::rules::publisher::tests::Ledger;
use crate::rules::shared::SharedEntry;
use crate::rules::source::SourceKind;
use crate::rules::storage::memory::InMemory;
use crate::rules::storage::share::{KeptContact, KeptShare, SharedKey};
use crate::rules::storage::{Pending, StoredDocument};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

/// Storage on a disk that is full, or can't be read, or has one widget on a page that is damaged.
#[derive(Default)]
struct BadDisk {
    kept: InMemory,
    is_full: AtomicBool,
    is_unreadable: AtomicBool,
    has_damage: AtomicBool,
    /// Its document can't be read, and another can be written in its place.
    has_unreadable_document: AtomicBool,
    lent: AtomicBool,
}

/// The widget on the damaged page.
const DAMAGED: &str = "damaged";

impl BadDisk {
    fn document_readable(&self, id: &str) -> Result<(), StoreError> {
        if self.has_unreadable_document.load(Relaxed) && id == DAMAGED {
            return Err(StoreError::Failed { source: Arc::from(Box::from("the document can't be read")) });
        }
        self.readable(id)
    }

    fn readable(&self, id: &str) -> Result<(), StoreError> {
        let damaged = self.has_damage.load(Relaxed) && id == DAMAGED;
        if !damaged && !self.is_unreadable.load(Relaxed) {
            return Ok(());
        }
        Err(StoreError::Failed { source: Arc::from(Box::from("the page can't be read")) })
    }
}

impl Documents for BadDisk {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        self.document_readable(id)?;
        self.kept.get(id)
    }
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        self.readable(DAMAGED)?;
        self.kept.page(after, limit)
    }
    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        self.readable(DAMAGED)?;
        self.kept.ids(after, limit)
    }
    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        self.readable(id)?;
        self.kept.history(id)
    }
}

impl Storage for BadDisk {
    fn documents(&self) -> &dyn Documents {
        self
    }
    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        self.document_readable(id)?;
        self.kept.stored(id)
    }
    fn suffixes(&self) -> &PublicSuffixes {
        self.kept.suffixes()
    }
    fn lend(&self) -> Result<(), StoreError> {
        self.lent.store(true, Relaxed);
        Ok(())
    }
    fn share(&self) -> KeptShare {
        self.kept.share()
    }
    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        self.kept.shared_keys(ids)
    }
    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        self.kept.entries(after, limit)
    }
    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.kept.keep_contact(contact)
    }

    fn edges(&self) -> Result<Vec<u8>, StoreError> {
        self.kept.edges()
    }

    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.kept.keep_edges(edges)
    }
    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        if self.is_full.load(Relaxed) {
            return Err(StoreError::Full { source: Arc::new(io::Error::from(io::ErrorKind::StorageFull)) });
        }
        for signed in &commit.writes {
            self.readable(signed.write.id.as_str())?;
        }
        self.kept.prepare(commit)
    }
}

struct Desk {
    disk: Arc<BadDisk>,
    ledger: Arc<Ledger>,
    notebook: Arc<Notebook>,
    publisher: Publisher,
}

impl Desk {
    /// Some widgets on a disk that is well.
    fn new() -> Self {
        let (disk, ledger, notebook) =
            (Arc::new(BadDisk::default()), Arc::new(Ledger::default()), Notebook::new());
        let publisher = Publisher::new(LiveRules::new(), SourceKind::STORE, "rules.redb")
            .with_observer(notebook.clone())
            .with_audit(ledger.clone())
            .with_storage(disk.clone(), RuleBook::new());
        let desk = Self { disk, ledger, notebook, publisher };
        for id in ["a", "b", DAMAGED] {
            desk.save(put(id, &["x.example"], "")).unwrap();
        }
        desk
    }

    fn save(&self, change: Change) -> Result<Published, SaveError> {
        self.publisher.apply(vec![change], ApplyOptions::default(), Actor::CommandLine)
    }

    fn edit(&self, id: &str, edit: Edit) -> Result<Published, SaveError> {
        self.publisher.edit(
            WidgetId::parse(id).unwrap(),
            edit,
            Precondition::None,
            Actor::Token("ops".into()),
        )
    }

    fn is_enabled(&self, id: &str) -> bool {
        self.publisher.live().load().get(id).unwrap().enabled
    }

    fn not_kept(&self) -> Vec<(String, u64)> {
        self.publisher.not_kept().into_iter().map(|stop| (stop.id.to_string(), stop.revision)).collect()
    }

    /// What the disk has.
    fn kept(&self, id: &str) -> Widget {
        self.disk.kept.get(id).unwrap().unwrap()
    }

    fn lines(&self) -> Vec<String> {
        self.ledger.lines.lock().clone()
    }
}

#[test]
fn a_kill_switch_is_in_force_on_a_full_disk_and_kept_when_there_is_room() {
    for spoiled in ["disk", "audit"] {
        let desk = Desk::new();
        let spoil = |on: bool| match spoiled {
            "disk" => desk.disk.is_full.store(on, Relaxed),
            _ => desk.ledger.full.store(on, Relaxed),
        };
        let before = desk.lines().len();
        spoil(true);
        assert!(desk.edit("a", Edit::Patch(json!({ "enabled": false }))).is_err(), "{spoiled}");
        assert!(desk.is_enabled("a"));

        let stopped = desk.edit("a", Edit::Disable).unwrap();
        assert_eq!((stopped.durable, stopped.generation), (false, 4), "{spoiled}");
        assert_eq!(stopped.outcomes, [Outcome::Updated { revision: 2 }]);
        assert_eq!(stopped.changed.len(), 1);
        assert_eq!((desk.is_enabled("a"), desk.notebook.generations().last()), (false, Some(&4)));
        assert_eq!(desk.not_kept(), [("a".to_owned(), 2)]);
        // Whoever reads sees it.
        let document = widget(r#"{"id":"a","enabled":false,"allowed_domains":["x.example"],"revision":2}"#);
        assert_eq!(stopped.document.as_deref(), Some(&document));
        let documents = desk.publisher.documents();
        assert_eq!(documents.get("a").unwrap().as_ref(), Some(&document));
        assert_eq!(documents.page(None, 9).unwrap()[0], document);
        let history = documents.history("a").unwrap();
        let entries: Vec<_> = history.iter().map(|entry| (entry.revision, entry.actor.as_deref())).collect();
        assert_eq!(entries, [(2, Some("token:ops")), (1, Some("command line"))]);
        assert_eq!(history[0].state, HistoryState::Document(document));
        assert_eq!(history[0].at, Some(desk.publisher.not_kept()[0].since));
        // Nothing else is saved, it is found as it is, and it can't be kept yet.
        assert!(desk.save(put("b", &["y.example"], "")).is_err());
        assert!(desk.edit("a", Edit::Patch(json!({ "enabled": true }))).is_err());
        let again = desk.edit("a", Edit::Disable).unwrap();
        assert_eq!((again.outcomes[0], again.durable), (Outcome::Unchanged { revision: 2 }, false));
        assert!(desk.publisher.keep_stops().is_err());
        assert!(desk.publisher.lend().is_err());
        assert!(!desk.disk.lent.load(Relaxed));
        assert_eq!((desk.kept("a").enabled, desk.lines().len()), (true, before), "{spoiled}");

        spoil(false);
        desk.publisher.keep_stops().unwrap();
        assert_eq!(desk.not_kept(), []);
        assert_eq!((desk.kept("a").enabled, desk.kept("a").revision), (false, Some(2)));
        assert_eq!(desk.lines()[before..], ["token:ops a Some(1) 2"]);
        assert_eq!(desk.publisher.live().load().generation(), 4, "nothing was changed by it");
        assert_eq!(desk.publisher.documents().history("a").unwrap()[0].at, history[0].at);
        assert!(desk.edit("a", Edit::Disable).unwrap().durable);
        let on = desk.edit("a", Edit::Patch(json!({ "enabled": true }))).unwrap();
        assert_eq!((on.outcomes[0].revision(), on.generation), (3, 5));
        desk.publisher.lend().unwrap();
    }
}

#[test]
fn the_next_save_keeps_it_too() {
    let desk = Desk::new();
    desk.disk.is_full.store(true, Relaxed);
    desk.edit("a", Edit::Disable).unwrap();
    desk.edit("b", Edit::Disable).unwrap();
    desk.disk.is_full.store(false, Relaxed);
    // Of another widget, and of its own.
    let saved = desk.edit("b", Edit::Patch(json!({ "enabled": true }))).unwrap();
    assert_eq!(saved.outcomes, [Outcome::Updated { revision: 3 }]);
    assert_eq!((desk.not_kept(), desk.kept("a").enabled, desk.kept("b").revision), (vec![], false, Some(3)));
    let own: Vec<String> = desk.lines().split_off(3);
    assert_eq!(own, ["token:ops a Some(1) 2", "token:ops b Some(1) 2", "token:ops b Some(2) 3"]);
}

#[test]
fn a_lend_keeps_it_first() {
    let desk = Desk::new();
    desk.disk.is_full.store(true, Relaxed);
    desk.edit("a", Edit::Disable).unwrap();
    let refused = desk.publisher.lend().unwrap_err().to_string();
    assert!(refused.contains("the kill switch of `a` is in force and can't be kept"), "{refused}");
    desk.disk.is_full.store(false, Relaxed);
    desk.publisher.lend().unwrap();
    assert_eq!((desk.not_kept(), desk.kept("a").enabled), (vec![], false));
}

#[test]
fn a_widget_whose_document_cannot_be_read_is_stopped_by_its_record() {
    let desk = Desk::new();
    desk.disk.has_damage.store(true, Relaxed);
    let stopped = desk.edit(DAMAGED, Edit::Disable).unwrap();
    assert_eq!((stopped.durable, stopped.document), (false, None));
    assert_eq!((desk.is_enabled(DAMAGED), desk.not_kept()), (false, vec![(DAMAGED.to_owned(), 2)]));
    assert!(desk.publisher.documents().get(DAMAGED).is_err());
    assert!(
        desk.publisher
            .keep_stops()
            .unwrap_err()
            .to_string()
            .contains("the document of `damaged` can't be read")
    );
    // The others don't suffer.
    assert!(desk.save(put("b", &["y.example"], "")).unwrap().durable);
    assert!(desk.edit("a", Edit::Disable).unwrap().durable);
    assert_eq!((desk.kept("b").revision, desk.kept("a").revision), (Some(2), Some(2)));
    // The document that was in force enables it again, and is a change.
    desk.disk.has_damage.store(false, Relaxed);
    let again = desk.edit(DAMAGED, Edit::Disable).unwrap();
    assert_eq!((again.outcomes[0], again.durable), (Outcome::Unchanged { revision: 2 }, false));
    assert!(!again.document.unwrap().enabled);
    let on = desk.save(put(DAMAGED, &["x.example"], "")).unwrap();
    assert_eq!((on.outcomes[0], desk.not_kept()), (Outcome::Updated { revision: 3 }, vec![]));
    assert!(desk.is_enabled(DAMAGED));
}

#[test]
fn a_document_that_can_be_read_again_is_kept() {
    let desk = Desk::new();
    desk.disk.is_unreadable.store(true, Relaxed);
    desk.edit("a", Edit::Disable).unwrap();
    desk.edit(DAMAGED, Edit::Disable).unwrap();
    desk.disk.is_unreadable.store(false, Relaxed);
    desk.disk.has_damage.store(true, Relaxed);
    // The one that can't be read keeps the other from nothing.
    assert!(desk.publisher.keep_stops().is_err());
    assert_eq!(desk.not_kept(), [(DAMAGED.to_owned(), 2)]);
    assert_eq!((desk.kept("a").enabled, desk.kept("a").revision), (false, Some(2)));
    assert!(desk.publisher.lend().is_err());
    // One that can be read and not written doesn't keep others from being saved, either.
    desk.disk.has_damage.store(false, Relaxed);
    assert!(!desk.publisher.documents().get(DAMAGED).unwrap().unwrap().enabled);
    desk.publisher.keep_stops().unwrap();
    assert_eq!((desk.not_kept(), desk.kept(DAMAGED).enabled), (vec![], false));
}

#[test]
fn what_cannot_be_written_fails_alone_beside_it() {
    let desk = Desk::new();
    desk.disk.is_full.store(true, Relaxed);
    desk.edit(DAMAGED, Edit::Disable).unwrap();
    desk.disk.is_full.store(false, Relaxed);
    desk.disk.has_damage.store(true, Relaxed);
    assert!(desk.save(put("b", &["y.example"], "")).unwrap().durable);
    assert_eq!((desk.kept("b").revision, desk.not_kept().len()), (Some(2), 1));
    assert!(desk.save(put(DAMAGED, &["y.example"], "")).is_err());
}

#[test]
fn a_save_that_mends_the_widget_stays() {
    for mend in [put(DAMAGED, &["y.example"], ""), delete(DAMAGED, None)] {
        let desk = Desk::new();
        desk.disk.has_unreadable_document.store(true, Relaxed);
        assert!(!desk.edit(DAMAGED, Edit::Disable).unwrap().durable);
        assert!(desk.publisher.keep_stops().is_err());
        assert_eq!(desk.not_kept(), [(DAMAGED.to_owned(), 2)]);

        let mended = desk.save(mend).unwrap();
        assert_eq!((mended.durable, mended.outcomes[0].revision()), (true, 3));
        assert_eq!(desk.not_kept(), []);
        desk.disk.has_unreadable_document.store(false, Relaxed);
        desk.publisher.keep_stops().unwrap();
        let stored = desk.disk.kept.get(DAMAGED).unwrap();
        let found = desk.publisher.documents().get(DAMAGED).unwrap();
        assert_eq!(found, stored, "what is in force is what is kept");
        let is_deleted = matches!(mended.outcomes[0], Outcome::Deleted { .. });
        assert_eq!(
            stored.map(|widget| (widget.enabled, widget.revision)),
            match is_deleted {
                true => None,
                false => Some((true, Some(3))),
            }
        );
        assert_eq!(desk.lines().len(), 4, "nothing was written after it");
        desk.publisher.lend().unwrap();
    }
}

#[test]
fn one_that_cannot_be_written_keeps_no_other_from_it() {
    let stopped = || {
        let desk = Desk::new();
        desk.disk.is_full.store(true, Relaxed);
        for id in ["a", "b", DAMAGED] {
            desk.edit(id, Edit::Disable).unwrap();
        }
        desk.disk.is_full.store(false, Relaxed);
        desk.disk.has_damage.store(true, Relaxed);
        desk
    };
    let desk = stopped();
    assert!(desk.publisher.keep_stops().is_err());
    assert_eq!(desk.not_kept(), [(DAMAGED.to_owned(), 2)]);
    assert_eq!([desk.kept("a").enabled, desk.kept("b").enabled], [false, false]);

    // A save of a widget that is stopped keeps its own kill switch, and comes after it.
    let desk = stopped();
    let saved = desk.save(put("a", &["y.example"], "")).unwrap();
    assert_eq!((saved.outcomes[0], saved.durable), (Outcome::Updated { revision: 3 }, true));
    assert_eq!(desk.not_kept(), [("b".to_owned(), 2), (DAMAGED.to_owned(), 2)]);
    assert_eq!((desk.kept("a").enabled, desk.kept("a").revision), (true, Some(3)));
    assert_eq!(desk.lines()[3..], ["token:ops a Some(1) 2", "command line a Some(2) 3"]);
}

#[test]
fn calls_of_its_group_fail_alone() {
    let desk = Desk::new();
    desk.disk.is_full.store(true, Relaxed);
    let answers: Vec<Arc<AnswerSlot>> = (0..5).map(|_| Arc::default()).collect();
    let edit = |id: &str, edit: Edit, only_if: Precondition| Request::Edit {
        id: WidgetId::parse(id).unwrap(),
        edit,
        only_if,
        actor: Actor::CommandLine,
    };
    let requests = [
        edit("a", Edit::Patch(json!({ "labels": { "k": "v" } })), Precondition::None),
        edit("a", Edit::Disable, Precondition::revision(1)),
        edit("nobody", Edit::Disable, Precondition::None),
        edit("b", Edit::Disable, Precondition::revision(7)),
        edit("b", Edit::Disable, Precondition::Present),
    ];
    let calls = requests.into_iter().zip(&answers);
    desk.publisher.write(
        calls
            .map(|(request, answer)| Call { work: Work::Request(request), answer: answer.clone() })
            .collect(),
    );
    let answers: Vec<_> = answers.iter().map(|answer| answer.take().unwrap()).collect();
    let code = |answer: &Result<Published, CallFailure>| match answer {
        Ok(published) => {
            (if published.durable { "kept" } else { "in force" }, published.outcomes[0].revision())
        }
        Err(CallFailure::NotSaved(error)) => (error.code(), 0),
        Err(CallFailure::Rejected(_)) => ("rejected", 0),
    };
    let codes: Vec<_> = answers.iter().map(code).collect();
    // Judged with a patch that came to nothing, the second is judged again without it.
    let expected = [
        ("storage_full", 0),
        ("in force", 2),
        ("unknown_widget", 0),
        ("precondition_failed", 0),
        ("in force", 2),
    ];
    assert_eq!(codes, expected);
    assert!(desk.publisher.documents().get("a").unwrap().unwrap().labels.is_empty());
    assert_eq!(desk.notebook.generations(), [1, 2, 3, 4]);
}
