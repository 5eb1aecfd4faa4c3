//! A disk that is full: the old rules serve, and saves go on when there is room.

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
