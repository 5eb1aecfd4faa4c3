//! A disk that is full: the old rules serve, and saves go on when there is room.

use std::path::PathBuf;
use std::process::Command;

use super::{open, put, revision, save};

/// A small file system of its own.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path())
            .status()
            .unwrap();
        assert!(mounted.success(), "this test mounts a small tmpfs: run it as root");
        Self(folder)
    }

    fn grow(&self, size: &str) {
        let grown =
            Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.0.path()).status();
        assert!(grown.unwrap().success());
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

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

        disk.grow(&format!("{}m", 16 + 8 * round));
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
