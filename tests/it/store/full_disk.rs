//! A disk that is full: the old rules serve, and saves go on when there is room.

use std::fs;
use std::sync::Arc;

use embedgate::rules::audit::FileAuditLog;
use embedgate::rules::change::{Actor, Precondition};
use embedgate::rules::edit::Edit;
use embedgate::rules::error::SaveError;
use embedgate::rules::publisher::Publisher;

use embedgate_policy::widget::WidgetId;

use super::{open, put, revision, save};
use crate::support::disk::SmallDisk;

/// A document of some 100 KB.
fn large(id: &str, n: usize) -> String {
    format!(
        r#"{{"id":"{id}","allowed_domains":["n{n}.example"],"labels":{{"filler":"{}"}}}}"#,
        "x".repeat(100_000)
    )
}

#[test]
fn old_rules_serve_and_saves_go_on_when_there_is_room() {
    let disk = SmallDisk::mount("8m");
    let publisher = open(&disk.at("rules.redb")).unwrap();
    save(&publisher, vec![put(r#"{"id":"first","allowed_domains":["first.example"]}"#)]).unwrap();

    for round in 0..3 {
        // Batches, so that one that doesn't fit is large: two documents that both must be or not be there.
        let (saved, error) = (0..)
            .map(|n| {
                let batch =
                    vec![put(&large(&format!("r{round}n{n}"), n)), put(&large(&format!("r{round}m{n}"), n))];
                (n, save(&publisher, batch))
            })
            .find_map(|(n, saved)| saved.err().map(|error| (n, error)))
            .unwrap();
        assert_eq!(error.code(), "storage_full", "round {round}: {error}");
        let generation = publisher.live().load().generation();
        for _ in 0..3 {
            let again =
                save(&publisher, vec![put(&large("again", round)), put(&large("more", round))]).unwrap_err();
            assert_eq!(again.code(), "storage_full", "round {round}: {again}");
        }
        assert_eq!(publisher.live().load().generation(), generation);
        assert_eq!(revision(&publisher, "first"), 1 + round as u64);
        assert_eq!(revision(&publisher, &format!("r{round}n{saved}")), 0);

        disk.resize(&format!("{}m", 16 + 8 * round));
        let document = format!(r#"{{"id":"first","allowed_domains":["round{round}.example"]}}"#);
        save(&publisher, vec![put(&document)]).unwrap();
        assert_eq!(publisher.documents().get("first").unwrap().unwrap().revision, Some(2 + round as u64));
        assert!(publisher.documents().get(&format!("r{round}n{saved}")).unwrap().is_none());
    }

    let (generation, widgets) = (publisher.live().load().generation(), publisher.live().load().len());
    drop(publisher);
    let publisher = open(&disk.at("rules.redb")).unwrap();
    assert_eq!((publisher.live().load().generation(), publisher.live().load().len()), (generation, widgets));
    assert_eq!(revision(&publisher, "first"), 4);
}

#[test]
fn the_kill_switch_is_in_force_and_is_kept_when_there_is_room() {
    let disk = SmallDisk::mount("8m");
    let audit = disk.at("audit.jsonl");
    let publisher = open(&disk.at("rules.redb")).unwrap();
    let publisher = publisher.with_audit(Arc::new(FileAuditLog::new(audit.clone())));
    let stop = |id: &str| {
        let id = WidgetId::parse(id).unwrap();
        publisher.edit(id, Edit::Disable, Precondition::None, Actor::CommandLine).unwrap()
    };
    let lines = |id: &str| {
        let log = fs::read_to_string(&audit).unwrap();
        let of_widget = log.lines().filter(|line| line.contains(&format!("\"widget\":\"{id}\""))).count();
        assert!(log.is_empty() || log.ends_with('\n'), "half a line");
        of_widget
    };
    let ids: Vec<String> = (0..500).map(|n| format!("w{n:03}")).collect();
    save(
        &publisher,
        ids.iter().map(|id| put(&format!(r#"{{"id":"{id}","allowed_domains":["a.example"]}}"#))).collect(),
    )
    .unwrap();
    let is_full = |error: &SaveError| matches!(error.code(), "storage_full" | "audit_unavailable");
    let mut saved = 0;
    // To the last byte: a small change may have room in pages that are free, and its line in that of the log.
    for bytes in [100_000, 10_000, 1_000, 1] {
        let full = loop {
            let filler = "x".repeat(bytes);
            match save(
                &publisher,
                vec![put(&format!(r#"{{"id":"n{saved}","labels":{{"filler":"{filler}"}}}}"#))],
            ) {
                Ok(_) => saved += 1,
                Err(error) => break error,
            }
        };
        assert!(is_full(&full), "{full}");
    }

    let full = ids.iter().position(|id| !stop(id).durable).unwrap();
    let [_, first, second, ..] = &ids[full..] else { panic!("{full} had room") };
    for id in [first, second] {
        let stopped = stop(id);
        assert_eq!((stopped.durable, stopped.outcomes[0].revision()), (false, 2));
        assert!(!publisher.live().load().get(id).unwrap().enabled);
        assert!(!publisher.documents().get(id).unwrap().unwrap().enabled);
        let history: Vec<u64> =
            publisher.documents().history(id).unwrap().iter().map(|entry| entry.revision).collect();
        assert_eq!(history, [2, 1]);
        assert_eq!(lines(id), 1, "its line is not written before it is kept");
    }
    assert_eq!(publisher.not_kept().len(), 3);
    assert!(is_full(&save(&publisher, vec![put(&large("more", 0))]).unwrap_err()));
    assert!(is_full(&publisher.keep_stops().unwrap_err()));
    assert!(publisher.lend().is_err(), "another process would not know it");
    assert!(!stop(first).durable);

    disk.resize("32m");
    // By itself, and with the next save.
    publisher.keep_stops().unwrap();
    assert_eq!((publisher.not_kept(), lines(first), lines(second)), (vec![], 2, 2));
    save(&publisher, vec![put(&format!(r#"{{"id":"{first}","allowed_domains":["a.example"]}}"#))]).unwrap();
    assert!(stop(second).durable);
    let book = contents(&publisher);
    drop(publisher);
    let publisher = open(&disk.at("rules.redb")).unwrap();
    assert_eq!(contents(&publisher), book);
    let rules = publisher.live().load();
    assert_eq!((rules.get(first).unwrap().revision, rules.get(second).unwrap().revision), (3, 2));
    assert!(rules.get(first).unwrap().enabled && !rules.get(second).unwrap().enabled);
    assert_eq!(publisher.documents().history(first).unwrap().len(), 3);
}

fn contents(publisher: &Publisher) -> Vec<String> {
    let book = publisher.live().load();
    let mut all: Vec<String> = book.widgets().map(|rules| format!("{rules:?}")).collect();
    all.sort_unstable();
    all
}
