#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use redb::{Database, TableDefinition};
use tempfile::TempDir;

use super::*;
use crate::database::PRIVATE_MODE;

const CACHE: u64 = 1 << 20;

struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("data/activity.redb")
    }

    fn store(&self) -> ActivityStore {
        ActivityStore::new(&self.path(), CACHE)
    }

    fn aside(&self) -> PathBuf {
        self.folder.path().join("data/activity.redb.damaged")
    }
}

fn keep(store: &ActivityStore, ids: &[&str]) -> Result<(), ActivityError> {
    store.write(|batch| {
        ids.iter().try_for_each(|id| {
            let mut record = batch.widget(id)?.unwrap_or_default();
            record.last = 7;
            batch.keep(id, &record)
        })
    })
}

fn ids(store: &ActivityStore) -> Vec<String> {
    store.ids(None, 1000).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_kept_is_there_when_it_is_opened_again() {
    let disk = Disk::new();
    let store = disk.store();
    assert!(!disk.path().exists(), "nothing is made before it is used");
    keep(&store, &["b", "a", "c"]).unwrap();
    let mode = fs::metadata(disk.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, PRIVATE_MODE);
    let about = store.about(About::clone).unwrap();
    assert!(about.bytes > 3 && about.since > 1_700_000_000);
    drop(store);

    let store = disk.store();
    assert_eq!(store.about(About::clone).unwrap(), about);
    assert_eq!(store.widget("b").unwrap().map(|record| record.last), Some(7));
    assert_eq!(store.widget("d").unwrap(), None);
    let page = store.page(Some("a"), 1).unwrap();
    assert_eq!(page.iter().map(|(id, _)| &**id).collect::<Vec<_>>(), ["b"]);
    // Records that are replaced and taken away are not counted any more.
    keep(&store, &["a"]).unwrap();
    assert_eq!(store.about(|about| about.bytes).unwrap(), about.bytes);
    store.write(|batch| ["a", "b", "c", "d"].iter().try_for_each(|id| batch.forget(id))).unwrap();
    assert_eq!((store.about(|about| about.bytes).unwrap(), ids(&store)), (0, Vec::new()));
}

#[test]
fn a_write_that_fails_changes_nothing() {
    let disk = Disk::new();
    let store = disk.store();
    keep(&store, &["a"]).unwrap();
    let about = store.about(About::clone).unwrap();
    let failed = store.write(|batch| {
        batch.keep("b", &KeptWidget::default())?;
        Err(DatabaseFault::Failed("the disk is full".to_owned()))
    });
    assert!(failed.unwrap_err().detail.ends_with("activity.redb: the disk is full"));
    assert_eq!((ids(&store), store.about(About::clone).unwrap()), (vec!["a".to_owned()], about));
}

#[test]
fn another_process_has_it_while_it_is_lent() {
    let disk = Disk::new();
    let (old, new) = (disk.store(), disk.store());
    keep(&old, &["a"]).unwrap();
    let error = keep(&new, &["b"]).unwrap_err();
    assert!(error.detail.ends_with("another process has it open"), "{error}");
    assert!(!disk.aside().exists());
    old.let_go();
    assert!(old.is_lent());
    assert!(keep(&old, &["c"]).unwrap_err().detail.contains("has taken over"));
    keep(&new, &["b"]).unwrap();
    new.let_go();
    old.take_back();
    keep(&old, &["c"]).unwrap();
    assert_eq!(ids(&old), ["a", "b", "c"]);
}

/// Whatever is in the file, it is moved aside, and a new one begun.
#[test]
fn a_file_that_is_no_store_is_moved_aside() {
    let foreign: [fn(&Path); 4] = [
        |path| fs::write(path, "notes").unwrap(),
        |path| fs::write(path, vec![7; 100_000]).unwrap(),
        |path| {
            let database = Database::create(path).unwrap();
            let writing = database.begin_write().unwrap();
            writing.open_table(TableDefinition::<u64, u64>::new("another")).unwrap().insert(1, 2).unwrap();
            writing.commit().unwrap();
        },
        |path| {
            let store = ActivityStore::new(path, CACHE);
            keep(&store, &["a"]).unwrap();
            drop(store);
            fs::OpenOptions::new().write(true).open(path).unwrap().set_len(5000).unwrap();
        },
    ];
    for (index, make) in foreign.iter().enumerate() {
        let disk = Disk::new();
        fs::create_dir(disk.path().parent().unwrap()).unwrap();
        make(&disk.path());
        let found = fs::read(disk.path()).unwrap();
        let store = disk.store();
        keep(&store, &["b"]).unwrap_or_else(|error| panic!("{index}: {error}"));
        assert_eq!(ids(&store), ["b"], "{index}");
        // The library notes in a file of its own kind that it was opened.
        assert_eq!(fs::read(disk.aside()).unwrap().len(), found.len(), "{index}");
    }
}

#[test]
fn a_record_that_is_none_is_replaced_alone() {
    let disk = Disk::new();
    let store = disk.store();
    keep(&store, &["a", "b"]).unwrap();
    store.let_go();
    let database = Database::open(disk.path()).unwrap();
    let writing = database.begin_write().unwrap();
    writing.open_table(WIDGETS).unwrap().insert("a", &b"no record"[..]).unwrap();
    writing.commit().unwrap();
    drop(database);
    store.take_back();
    assert_eq!(store.widget("a").unwrap(), None);
    let last = || {
        let page = store.page(None, 10).unwrap();
        page.iter().map(|(id, record)| (id.to_string(), record.last)).collect::<Vec<_>>()
    };
    assert_eq!(last(), [("a".to_owned(), 0), ("b".to_owned(), 7)]);
    keep(&store, &["a"]).unwrap();
    assert_eq!(last(), [("a".to_owned(), 7), ("b".to_owned(), 7)]);
    assert!(!disk.aside().exists());
}

#[test]
fn pages_that_were_overwritten_end_no_thread() {
    let disk = Disk::new();
    let store = disk.store();
    let names: Vec<String> = (0..2000).map(|n| format!("w{n}")).collect();
    keep(&store, &names.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    store.let_go();
    let length = fs::metadata(disk.path()).unwrap().len();
    let mut file = fs::OpenOptions::new().write(true).open(disk.path()).unwrap();
    // The library's header stays.
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; usize::try_from(length - 4096).unwrap()]).unwrap();
    drop(file);
    store.take_back();
    // It is found when it is opened, or when it is read.
    let _ = keep(&store, &["w7"]);
    keep(&store, &["w8"]).unwrap();
    assert!(disk.aside().exists() && ids(&store).len() <= 2);
}
