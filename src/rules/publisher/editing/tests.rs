#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::rules::change::{Actor, ApplyOptions, Change, Outcome, Precondition};
use crate::rules::documents::HistoryState;
use crate::rules::edit::{DomainsEdit, Edit};
use crate::rules::error::SaveError;
use crate::rules::fixtures::{Notebook, put, widget};
use crate::rules::live::LiveRules;
use crate::rules::publisher::{Observer, Published, Publisher, Swap};
use crate::rules::source::SourceKind;
use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{MAX_REVISION, WidgetId};

fn publisher() -> Publisher {
    Publisher::new(LiveRules::new(), SourceKind::STORE, "rules.redb")
}

fn save(publisher: &Publisher, change: Change) -> Result<u64, SaveError> {
    let saved = publisher.apply(vec![change], ApplyOptions::default(), Actor::CommandLine);
    saved.map(|published| published.outcomes[0].revision())
}

fn edit_if(
    publisher: &Publisher,
    id: &str,
    edit: Edit,
    only_if: Precondition,
) -> Result<Published, SaveError> {
    publisher.edit(WidgetId::parse(id).unwrap(), edit, only_if, Actor::CommandLine)
}

fn edit(publisher: &Publisher, id: &str, edit: Edit) -> Result<Published, SaveError> {
    edit_if(publisher, id, edit, Precondition::None)
}

fn adding(entry: &str) -> Edit {
    let entry = Entry::parse(entry, PublicSuffixes::shipped()).unwrap();
    let add = vec![ListedEntry { entry, expires_at: None, note: None }];
    Edit::Domains(DomainsEdit { add, ..DomainsEdit::default() })
}

fn domains(publisher: &Publisher, id: &str) -> Value {
    publisher.documents().get(id).unwrap().unwrap().to_json()["allowed_domains"].clone()
}

/// The one fault: code, pointer.
fn fault<T: std::fmt::Debug>(result: Result<T, SaveError>) -> (&'static str, String) {
    let error = result.unwrap_err();
    let [fault] = error.faults() else { panic!("{error}") };
    assert_eq!(fault.index, None);
    assert_eq!(fault.widget.as_ref().map(WidgetId::as_str), Some("a"));
    (fault.code, fault.pointer.clone())
}

#[test]
fn of_many_entries_that_are_added_at_once_none_is_lost() {
    let publisher = publisher();
    save(&publisher, put("a", &["a.example"], "")).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let publisher = &publisher;
            scope.spawn(move || {
                for n in 0..25 {
                    let added = edit(publisher, "a", adding(&format!("n{thread}-{n}.example"))).unwrap();
                    // What is answered is the document at that revision, with the entry in it.
                    let document = added.document.unwrap();
                    assert_eq!(document.revision, Some(added.outcomes[0].revision()));
                    assert!(
                        document
                            .allowed_domains
                            .iter()
                            .any(|l| l.entry.to_string() == format!("n{thread}-{n}.example"))
                    );
                }
            });
        }
    });
    let rules = publisher.documents().get("a").unwrap().unwrap();
    assert_eq!((rules.allowed_domains.len(), rules.revision), (201, Some(201)));
    assert!(publisher.live().load().holds(&rules));
}

#[test]
fn an_edit_of_a_group_builds_on_the_calls_before_it() {
    let (open, gate) = std::sync::mpsc::channel::<()>();
    struct Gate(parking_lot::Mutex<Option<std::sync::mpsc::Receiver<()>>>);
    impl Observer for Gate {
        fn swapped(&self, _: &Swap<'_>) {
            if let Some(gate) = self.0.lock().take() {
                gate.recv().unwrap();
            }
        }
        fn rejected(&self, _: SourceKind, _: &crate::rules::error::RulesError) {}
    }
    let notebook = Notebook::new();
    let publisher = publisher().with_observer(notebook.clone());
    let publisher = publisher.with_observer(Arc::new(Gate(parking_lot::Mutex::new(Some(gate)))));
    std::thread::scope(|scope| {
        let publisher = &publisher;
        let first = scope.spawn(|| save(publisher, put("x", &[], "")));
        while publisher.live().load().generation() == 0 {
            std::thread::yield_now();
        }
        let mut calls = Vec::new();
        let mut call = |work: Box<dyn FnOnce() -> Result<Published, SaveError> + Send>| {
            let waiting = publisher.queue.waiting();
            calls.push(scope.spawn(work));
            while publisher.queue.waiting() == waiting {
                std::thread::yield_now();
            }
        };
        call(Box::new(|| {
            publisher.apply(vec![put("a", &["a.example"], "")], ApplyOptions::default(), Actor::CommandLine)
        }));
        call(Box::new(|| edit(publisher, "a", adding("b.example"))));
        call(Box::new(|| edit(publisher, "a", Edit::Disable)));
        call(Box::new(|| edit(publisher, "a", Edit::Patch(json!({ "labels": { "k": "v" } })))));
        call(Box::new(|| edit(publisher, "b", Edit::Disable)));
        call(Box::new(|| edit(publisher, "a", Edit::Revert { revision: 2, may_open: false })));
        open.send(()).unwrap();
        first.join().unwrap().unwrap();
        let answers: Vec<_> = calls.into_iter().map(|call| call.join().unwrap()).collect();
        let revisions: Vec<Option<u64>> = answers
            .iter()
            .map(|answer| answer.as_ref().ok().map(|answer| answer.outcomes[0].revision()))
            .collect();
        assert_eq!(revisions, [Some(1), Some(2), Some(3), Some(4), None, Some(5)]);
        assert_eq!(answers[4].as_ref().unwrap_err().code(), "unknown_widget");
        let patched = answers[3].as_ref().unwrap().document.as_ref().unwrap();
        assert_eq!((patched.enabled, patched.allowed_domains.len(), &*patched.labels["k"]), (false, 2, "v"));
    });
    let reverted = publisher.documents().get("a").unwrap().unwrap();
    assert_eq!((reverted.enabled, reverted.labels.len()), (true, 0));
    assert_eq!(domains(&publisher, "a"), json!(["a.example", "b.example"]));
    assert_eq!(notebook.generations(), [1, 2]);
}

#[test]
fn unknown_widgets_preconditions_and_nothing_to_do() {
    let publisher = publisher();
    let edits = || {
        [
            ("patch", Edit::Patch(json!({ "enabled": false }))),
            ("domains", adding("b.example")),
            ("disable", Edit::Disable),
            ("revert", Edit::Revert { revision: 1, may_open: false }),
        ]
    };
    for (name, unknown) in edits() {
        let refused = fault(edit_if(&publisher, "a", unknown, Precondition::revision(7)));
        assert_eq!(refused, ("unknown_widget", String::new()), "{name}");
    }
    save(&publisher, put("a", &["a.example"], "")).unwrap();
    for (name, raced) in edits() {
        let refused = fault(edit_if(&publisher, "a", raced, Precondition::revision(7)));
        assert_eq!(refused, ("precondition_failed", String::new()), "{name}");
    }
    assert_eq!(
        fault(edit_if(&publisher, "a", Edit::Patch(json!([])), Precondition::revision(7))).0,
        "precondition_failed"
    );
    let generation = publisher.live().load().generation();
    for (name, nothing) in [
        ("patch", Edit::Patch(json!({ "enabled": true, "access": null }))),
        ("domains", adding("https://A.example")),
        ("removing", Edit::Domains(DomainsEdit::default())),
        ("revert", Edit::Revert { revision: 1, may_open: false }),
    ] {
        let published = edit_if(&publisher, "a", nothing, Precondition::revision(1)).unwrap();
        assert_eq!(published.outcomes, [Outcome::Unchanged { revision: 1 }], "{name}");
        assert_eq!((published.generation, published.durable), (generation, true), "{name}");
        assert_eq!(published.document.unwrap().revision, Some(1), "{name}");
    }
}

#[test]
fn an_edit_opens_nothing_in_silence() {
    let publisher = publisher();
    save(&publisher, put("a", &["a.example"], "")).unwrap();
    save(&publisher, put("open", &[], "")).unwrap();
    let opening = Edit::Patch(json!({ "allowed_domains": [] }));
    assert_eq!(fault(edit(&publisher, "a", opening)), ("would_open_widget", String::new()));
    let last = DomainsEdit {
        remove: vec![Entry::parse("a.example", PublicSuffixes::shipped()).unwrap()],
        ..DomainsEdit::default()
    };
    assert_eq!(
        fault(edit(&publisher, "a", Edit::Domains(last))),
        ("would_open_widget", "/remove".to_owned())
    );
    let refused = edit(&publisher, "open", adding("b.example")).unwrap_err();
    assert_eq!(refused.code(), "would_restrict_widget");
    edit(&publisher, "a", Edit::Patch(json!({ "allowed_domains": [], "access": "open" }))).unwrap();
}

#[test]
fn a_patch_states_a_revision_as_a_document_does() {
    let publisher = publisher();
    save(&publisher, put("a", &["a.example"], r#""revision":5"#)).unwrap();
    let patch =
        |revision: u64, note: &str| Edit::Patch(json!({ "revision": revision, "labels": { "note": note } }));
    assert_eq!(fault(edit(&publisher, "a", patch(5, "late"))), ("stale_revision", "/revision".to_owned()));
    assert_eq!(edit(&publisher, "a", patch(9, "ok")).unwrap().outcomes, [Outcome::Updated { revision: 9 }]);
    assert_eq!(fault(edit(&publisher, "a", patch(MAX_REVISION + 1, "high"))).0, "invalid_revision");
}

#[test]
fn what_was_read_can_be_edited_and_put_back() {
    let publisher = publisher();
    let document = |site: &str, revision: u64| put("a", &[site], &format!(r#""revision":{revision}"#));
    save(&publisher, document("a.example", 7)).unwrap();
    let on = |change: Change, revisions: &[u64]| {
        save(&publisher, change.only_if(Precondition::Revision(revisions.into())))
    };
    let code = |saved: Result<u64, SaveError>| saved.unwrap_err().code();
    assert_eq!(on(document("b.example", 7), &[7]).unwrap(), 8, "read, edited, put back");
    assert_eq!(code(on(document("c.example", 7), &[7])), "precondition_failed");
    assert_eq!(
        code(on(document("c.example", 7), &[7, 8])),
        "stale_revision",
        "it was read before somebody else saved"
    );
    assert_eq!(on(document("b.example", 8), &[8]).unwrap(), 8, "nothing was edited");
    assert_eq!(on(document("c.example", 12), &[8]).unwrap(), 12, "a revision of the writer's own");
    assert_eq!(code(save(&publisher, document("d.example", 12))), "stale_revision", "based on nothing");
    assert_eq!(
        code(save(&publisher, document("d.example", 12).only_if(Precondition::Present))),
        "stale_revision"
    );
}

#[test]
fn the_kill_switch_has_a_next_revision_always() {
    let publisher = publisher();
    save(&publisher, put("a", &["a.example"], &format!(r#""revision":{MAX_REVISION}"#))).unwrap();
    let stopped = edit(&publisher, "a", Edit::Disable).unwrap();
    assert_eq!(stopped.outcomes, [Outcome::Updated { revision: MAX_REVISION + 1 }]);
    assert!(!publisher.live().load().get("a").unwrap().enabled);
    let document = stopped.document.unwrap();
    assert_eq!(publisher.documents().get("a").unwrap().as_ref(), Some(&*document));
    assert!(publisher.live().load().holds(&document), "its fingerprint is that of the same document put");
    let again = edit(&publisher, "a", Edit::Disable).unwrap();
    assert_eq!(again.outcomes, [Outcome::Unchanged { revision: MAX_REVISION + 1 }]);
    assert_eq!((again.durable, publisher.not_kept()), (true, Vec::new()));
}

#[test]
fn a_swap_tells_who_has_changed_what() {
    struct Names(parking_lot::Mutex<Vec<(String, Option<String>)>>);
    impl Observer for Names {
        fn swapped(&self, swap: &Swap<'_>) {
            for (changed, actor) in swap.changes() {
                assert_eq!(swap.actor(changed.id.as_str()), actor);
                self.0.lock().push((changed.id.to_string(), actor.map(str::to_owned)));
            }
            assert_eq!(swap.actor("nobody"), None);
        }
        fn rejected(&self, _: SourceKind, _: &crate::rules::error::RulesError) {}
    }
    let names = Arc::new(Names(parking_lot::Mutex::default()));
    let publisher = publisher().with_observer(names.clone());
    let who = || Actor::Token("deploy".into());
    publisher
        .apply(vec![put("b", &[], ""), put("a", &["a.example"], "")], ApplyOptions::default(), who())
        .unwrap();
    edit(&publisher, "a", Edit::Disable).unwrap();
    let named = |id: &str, who: &str| (id.to_owned(), Some(who.to_owned()));
    assert_eq!(
        *names.0.lock(),
        [named("a", "token:deploy"), named("b", "token:deploy"), named("a", "command line")]
    );
}

#[test]
fn rules_from_files_are_edited_in_files_and_have_the_history_of_today() {
    let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, "w.json").read_only();
    publisher.replace_all(vec![widget(r#"{"id":"a","revision":3}"#)], |fault| fault).unwrap();
    assert_eq!(edit(&publisher, "a", Edit::Disable).unwrap_err().code(), "read_only_source");
    let history = publisher.documents().history("a").unwrap();
    assert_eq!(
        (history.len(), history[0].revision, history[0].actor.as_deref()),
        (1, 3, Some("source:file"))
    );
    assert!(history[0].at.is_some());
    assert_eq!(history[0].state, HistoryState::Document(widget(r#"{"id":"a","revision":3}"#)));
    assert_eq!(publisher.documents().history("b").unwrap(), []);
}
