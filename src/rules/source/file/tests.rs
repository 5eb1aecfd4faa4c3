//! On real folders: every way to save, and every way to get it wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

use tempfile::TempDir;

use super::*;
use crate::rules::audit::{AuditLog, AuditRecord};
use crate::rules::change::Actor;
use crate::rules::fixtures::Notebook;
use crate::rules::live::LiveRules;
use crate::rules::source::{RulesFile, SourceKind};

/// The promise.
const IN_FORCE: Duration = Duration::from_secs(1);
/// Long enough for an update that must not come to have come.
const QUIET: Duration = Duration::from_millis(700);

const TWO: &str = r#"{"widgets": [{"id": "a", "allowed_domains": ["a.example"]}, {"id": "b"}]}"#;

/// An audit log on a disk that may be full.
#[derive(Default)]
struct FullDisk(AtomicBool);

impl AuditLog for FullDisk {
    fn record(&self, _: &[AuditRecord<'_>]) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn record_unsynced(&self, records: &[AuditRecord<'_>]) -> io::Result<()> {
        self.record(records)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn revoke(&self, _: &[AuditRecord<'_>]) {}
}

/// Waits for longer than the files are left alone after a fault that may pass.
async fn eventually(is_so: impl Fn() -> bool) {
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(tokio::time::Instant::now() < until, "not within 30 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_edit_that_a_full_disk_keeps_out_is_in_force_once_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    fs::write(&path, TWO).unwrap();
    let (disk, notebook) = (Arc::new(FullDisk::default()), Notebook::new());
    let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, path.display().to_string())
        .with_audit(disk.clone())
        .with_observer(notebook.clone());
    let StartedSource { publisher, follower, .. } =
        FileSource::new(&path).start(publisher, suffixes()).unwrap();
    let (_stop, stopped) = watch::channel(false);
    let task = tokio::spawn(follower.unwrap().follow(stopped));
    disk.0.store(true, Ordering::Relaxed);
    fs::write(&path, r#"{"widgets": [{"id": "b"}]}"#).unwrap();
    eventually(|| !notebook.rejections().is_empty()).await;
    let live = publisher.live();
    assert!(live.load().get("a").is_some());
    disk.0.store(false, Ordering::Relaxed);
    // The file stays as it is.
    eventually(|| live.load().get("a").is_none()).await;
    task.abort();
}

fn suffixes() -> Arc<PublicSuffixes> {
    Arc::new(PublicSuffixes::shipped().clone())
}

/// A followed path in a folder of its own.
struct Followed {
    publisher: Arc<Publisher>,
    notebook: Arc<Notebook>,
    stop: Option<watch::Sender<bool>>,
    task: tokio::task::JoinHandle<()>,
    folder: TempDir,
    file: Arc<dyn RulesFile>,
}

impl Followed {
    /// Starts on `path` in a folder that `prepare` has filled.
    fn start(path: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let path = folder.path().join(path);
        let notebook = Notebook::new();
        let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, path.display().to_string())
            .with_observer(notebook.clone());
        let StartedSource { publisher, follower, file, .. } =
            FileSource::new(path).start(publisher, suffixes()).unwrap();
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(follower.unwrap().follow(stopped));
        let file = file.unwrap();
        Self { publisher, notebook, stop: Some(stop), task, folder, file }
    }

    fn file(text: &'static str) -> Self {
        Self::start("w.json", |folder| fs::write(folder.join("w.json"), text).unwrap())
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.at(path), text).unwrap();
    }

    /// Saves as editors do: another file, renamed over it.
    fn replace(&self, path: &str, text: &str) {
        self.write("new~", text);
        fs::rename(self.at("new~"), self.at(path)).unwrap();
    }

    fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> =
            self.publisher.live().load().widgets().map(|rules| rules.id.to_string()).collect();
        ids.sort();
        ids
    }

    /// Waits until exactly these widgets are in force, for as long as is promised.
    async fn in_force(&self, ids: &[&str]) {
        let since = Instant::now();
        while self.ids() != ids {
            assert!(
                since.elapsed() < IN_FORCE,
                "{:?} and not {ids:?}; {:?}",
                self.ids(),
                self.publisher.status()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for a refusal with this code and holds that the book didn't change, then or after.
    async fn refused(&self, code: &str) -> String {
        let before = self.publisher.live().load_full();
        let count = self.notebook.rejections().len();
        let since = Instant::now();
        while self.notebook.rejections().len() == count {
            assert!(since.elapsed() < IN_FORCE, "no refusal");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(QUIET).await;
        let rejections = self.notebook.rejections();
        assert_eq!(rejections.len(), count + 1, "told once: {rejections:?}");
        assert_eq!(rejections[count].0, code, "{rejections:?}");
        assert!(Arc::ptr_eq(&before, &self.publisher.live().load_full()), "the last good book stays");
        assert_eq!(self.publisher.status().last_error.unwrap().code, code);
        rejections[count].1.clone()
    }

    /// Waits until the source says what is in force again.
    async fn recovered(&self) {
        let since = Instant::now();
        while self.publisher.status().last_error.is_some() {
            assert!(since.elapsed() < IN_FORCE, "{:?}", self.publisher.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn stop(mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(2), &mut self.task).await.expect("stops").unwrap();
    }
}

fn only(id: &str) -> String {
    format!(r#"{{"widgets": [{{"id": "{id}"}}]}}"#)
}

/// The first of two widgets, and another one in the place of the second.
fn and(id: &str) -> String {
    TWO.replace("\"b\"", &format!("\"{id}\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_in_place_and_one_by_rename_are_in_force() {
    let followed = Followed::file(TWO);
    followed.in_force(&["a", "b"]).await;
    followed.write("w.json", &and("c"));
    followed.in_force(&["a", "c"]).await;
    followed.replace("w.json", &and("d"));
    followed.in_force(&["a", "d"]).await;
    // The new file is followed like the old one.
    followed.write("w.json", &and("e"));
    followed.in_force(&["a", "e"]).await;
    assert_eq!(followed.notebook.rejections(), []);
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_length_saves_in_quick_succession_are_all_seen() {
    let followed = Followed::file(TWO);
    for id in ["c", "d", "e", "f", "g", "h"] {
        followed.write("w.json", &and(id));
        followed.in_force(&["a", id]).await;
    }
    followed.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_turned_link_is_in_force_as_kubernetes_turns_it() {
    use std::os::unix::fs::symlink;

    let followed = Followed::start("w.json", |folder| {
        fs::create_dir(folder.join("..1")).unwrap();
        fs::write(folder.join("..1/w.json"), only("one")).unwrap();
        symlink("..1", folder.join("..data")).unwrap();
        symlink("..data/w.json", folder.join("w.json")).unwrap();
    });
    for version in ["2", "3"] {
        let (folder, old) = (format!("..{version}"), format!("..{}", version.parse::<u8>().unwrap() - 1));
        fs::create_dir(followed.at(&folder)).unwrap();
        followed.write(&format!("{folder}/w.json"), &only(version));
        symlink(&folder, followed.at("..data_tmp")).unwrap();
        fs::rename(followed.at("..data_tmp"), followed.at("..data")).unwrap();
        fs::remove_dir_all(followed.at(&old)).unwrap();
        followed.in_force(&[version]).await;
    }
    // And the real file, where it lies now.
    followed.write("..3/w.json", &only("four"));
    followed.in_force(&["four"]).await;
    assert_eq!(followed.notebook.rejections(), []);
    followed.stop().await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_link_above_and_a_folder_replaced_by_another_are_followed() {
    use std::os::unix::fs::symlink;

    let followed = Followed::start("current/rules", |folder| {
        for (release, id) in [("1", "one"), ("2", "two"), ("3", "three")] {
            fs::create_dir_all(folder.join(release).join("rules")).unwrap();
            fs::write(folder.join(release).join("rules/w.json"), only(id)).unwrap();
        }
        symlink("1", folder.join("current")).unwrap();
    });
    symlink("2", followed.at("tmp")).unwrap();
    fs::rename(followed.at("tmp"), followed.at("current")).unwrap();
    followed.in_force(&["two"]).await;

    fs::rename(followed.at("2"), followed.at("2.old")).unwrap();
    fs::rename(followed.at("3"), followed.at("2")).unwrap();
    followed.in_force(&["three"]).await;
    followed.write("2/rules/w.json", &only("four"));
    followed.in_force(&["four"]).await;
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_leaves_its_rules_until_it_is_back() {
    let followed = Followed::file(TWO);
    fs::remove_file(followed.at("w.json")).unwrap();
    let told = followed.refused("unreadable").await;
    assert!(told.contains("w.json"), "{told}");
    followed.write("w.json", TWO);
    followed.recovered().await;
    assert_eq!(followed.notebook.generations(), [1], "nothing changed");

    fs::remove_file(followed.at("w.json")).unwrap();
    followed.refused("unreadable").await;
    followed.write("w.json", &and("c"));
    followed.in_force(&["a", "c"]).await;
    assert_eq!(followed.publisher.status().last_error, None);
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_folder_leaves_its_rules_until_it_is_back() {
    let fill = |folder: &Path, id: &str| {
        fs::create_dir(folder.join("rules")).unwrap();
        fs::write(folder.join("rules/w.json"), only(id)).unwrap();
    };
    let followed = Followed::start("rules", |folder| fill(folder, "one"));
    fs::remove_dir_all(followed.at("rules")).unwrap();
    followed.refused("unreadable").await;
    fill(followed.folder.path(), "two");
    followed.in_force(&["two"]).await;
    // Listening to the new folder, too.
    followed.write("rules/x.json", &only("three"));
    followed.in_force(&["three", "two"]).await;

    fs::remove_file(followed.at("rules/x.json")).unwrap();
    followed.in_force(&["two"]).await;
    fs::remove_file(followed.at("rules/w.json")).unwrap();
    followed.refused("no_rules_files").await;
    followed.write("rules/w.json", &only("two"));
    followed.recovered().await;
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_changes_nothing_and_names_its_line() {
    let open_again = r#"{"widgets": [{"id": "a"}, {"id": "b"}]}"#;
    let revised = |text: &str, revision: u64| {
        text.replace(r#""id": "b""#, &format!(r#""id": "b", "revision": {revision}"#))
    };
    let start: &'static str = revised(TWO, 5).leak();
    let followed = Followed::file(start);
    let table = [
        ("torn", TWO[..40].to_owned(), "invalid_json", ":1:40: "),
        ("empty", String::new(), "invalid_json", ":1:1: "),
        ("an unknown key", format!("{}, \"x\": 1}}", &TWO[..TWO.len() - 1]), "unknown_field", "/x: "),
        ("twice", only(r#"a"}, {"id": "a"#), "duplicate_widget", ":1:34: /widgets/1/id: "),
        ("would open", open_again.to_owned(), "would_open_widget", ":1:14: /widgets/0: "),
        (
            "stale",
            revised(TWO, 4).replace("\"b\"", "\"b\", \"enabled\": false"),
            "stale_revision",
            "/widgets/1/revision: ",
        ),
        (
            "equal, another",
            revised(TWO, 5).replace("\"b\"", "\"b\", \"enabled\": false"),
            "stale_revision",
            "leave it out",
        ),
    ];
    for (name, text, code, says) in table {
        followed.write("w.json", &text);
        let told = followed.refused(code).await;
        assert!(told.contains("w.json:1:") && told.contains(says), "{name}: {told}");
        followed.write("w.json", start);
        followed.recovered().await;
        assert_eq!(followed.ids(), ["a", "b"], "{name}");
    }
    assert_eq!(followed.notebook.generations(), [1]);
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_entry_among_good_changes_is_refused_with_them() {
    let followed = Followed::start("rules", |folder| {
        fs::create_dir(folder.join("rules")).unwrap();
        fs::write(folder.join("rules/a.json"), only("a")).unwrap();
        fs::write(folder.join("rules/b.json"), r#"{"id": "b", "allowed_domains": ["b.example"]}"#).unwrap();
    });
    followed.replace("rules/a.json", "{\"id\": \"a\",\n \"allowed_domains\": [\"fine.example\", \"*.com\"]}");
    let told = followed.refused("public_suffix").await;
    assert!(told.contains("a.json:2:38: /allowed_domains/1: "), "{told}");
    // A second file, good in itself, waits with it.
    followed.write("rules/c.json", &only("c"));
    followed.refused("public_suffix").await;
    followed.replace("rules/a.json", "{\"id\": \"a\", \"allowed_domains\": [\"fine.example\"]}");
    followed.in_force(&["a", "b", "c"]).await;

    followed.write("rules/d.json", &only("b"));
    let told = followed.refused("duplicate_widget").await;
    assert!(told.contains("d.json:1:21") && told.contains("b.json:1:8"), "{told}");
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_writer_is_waited_for() {
    use std::io::Write;

    let followed = Followed::file(TWO);
    let text = and("slow");
    let mut file = fs::File::create(followed.at("w.json")).unwrap();
    for part in text.as_bytes().chunks(12) {
        file.write_all(part).unwrap();
        file.flush().unwrap();
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    followed.in_force(&["a", "slow"]).await;
    assert_eq!(followed.notebook.rejections(), []);
    followed.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_widget_comes_back_as_it_was() {
    let with = r#"{"widgets": [{"id": "a", "allowed_domains": ["a.example"], "revision": 7}, {"id": "b"}]}"#;
    let followed = Followed::file(with);
    followed.write("w.json", &only("b"));
    followed.in_force(&["b"]).await;
    followed.write("w.json", with);
    followed.in_force(&["a", "b"]).await;
    assert_eq!(followed.publisher.live().load().get("a").unwrap().revision, 7);
    assert_eq!(followed.publisher.live().load().get("b").unwrap().revision, 1, "unchanged is not bumped");
    followed.stop().await;
}

/// Documents of so many widgets, of which the first ones are off.
fn off(widgets: usize, off: usize) -> String {
    let document = |n: usize| format!(r#"{{"id": "w{n}", "enabled": {}}}"#, n >= off);
    format!(r#"{{"widgets": [{}]}}"#, (0..widgets).map(document).collect::<Vec<_>>().join(",\n"))
}

fn disabled(followed: &Followed) -> usize {
    followed.publisher.live().load().widgets().filter(|rules| !rules.enabled).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_edit_is_held_until_it_is_confirmed_or_taken_back() {
    let followed = Followed::start("w.json", |folder| fs::write(folder.join("w.json"), off(100, 0)).unwrap());
    let start = followed.file.in_force();
    let apply = async |confirm| {
        let file = Arc::clone(&followed.file);
        let actor = Actor::Token("deploy".into());
        tokio::task::spawn_blocking(move || file.apply(confirm, actor)).await.unwrap()
    };
    followed.write("w.json", &off(100, 11));
    let told = followed.refused("wide_change").await;
    assert!(
        told.contains("disable 11 of 100 widgets") && told.contains("`embedgate apply --confirm 11`"),
        "{told}"
    );
    assert_eq!((followed.file.held().unwrap().confirm, followed.file.in_force()), (11, start.clone()));

    // Taken back, it leaves nothing.
    followed.write("w.json", &off(100, 0));
    followed.recovered().await;
    assert_eq!((followed.file.held(), disabled(&followed)), (None, 0));

    // Too small a number, another file than was meant, and the right number.
    followed.write("w.json", &off(100, 12));
    followed.refused("wide_change").await;
    assert_eq!(apply(Some(11)).await.unwrap_err().code(), "wide_change");
    assert_eq!(apply(None).await.unwrap_err().code(), "wide_change");
    assert_eq!(disabled(&followed), 0);
    let published = apply(Some(12)).await.unwrap();
    assert_eq!((published.changed.len(), disabled(&followed)), (12, 12));
    assert_eq!((followed.file.held(), followed.publisher.status().last_error), (None, None));
    assert_ne!(followed.file.in_force(), start);
    assert_eq!(apply(Some(12)).await.unwrap().changed, [], "once");

    // Nothing stays open for what comes later.
    followed.write("w.json", &off(100, 24));
    followed.refused("wide_change").await;
    followed.write("w.json", &off(100, 22));
    let since = Instant::now();
    while disabled(&followed) != 22 {
        assert!(since.elapsed() < IN_FORCE);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(followed.notebook.generations(), [1, 2, 3]);

    // A fault is told before the brake, and an apply finds an edit that nobody was told of.
    followed.write("w.json", &off(100, 90).replace("\"w5\"", "\"w 5\""));
    followed.refused("invalid_id").await;
    followed.write("w.json", &off(100, 90));
    apply(Some(68)).await.unwrap();
    assert_eq!(disabled(&followed), 90);
    followed.stop().await;
}

/// An apply and the follower read at the same time: each edit is in force once, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn an_apply_and_the_follower_share_one_reader() {
    let followed = Followed::start("w.json", |folder| fs::write(folder.join("w.json"), off(100, 0)).unwrap());
    for round in 1..=10_u64 {
        let count = usize::try_from(round % 2).unwrap() * 10;
        followed.write("w.json", &off(100, count));
        let applies = (0..3).map(|_| {
            let file = Arc::clone(&followed.file);
            tokio::task::spawn_blocking(move || file.apply(None, Actor::CommandLine))
        });
        for applied in applies.collect::<Vec<_>>() {
            applied.await.unwrap().unwrap();
        }
        assert_eq!(disabled(&followed), count);
        assert_eq!(followed.publisher.live().load().generation(), round + 1);
    }
    tokio::time::sleep(QUIET).await;
    assert_eq!(followed.notebook.generations(), (1..=11).collect::<Vec<u64>>());
    assert_eq!(followed.notebook.rejections(), []);
    followed.stop().await;
}

#[test]
fn a_process_takes_over_what_is_in_force_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    fs::write(&path, off(100, 0)).unwrap();
    let start = |before: Option<&FilesInForce>| {
        let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, "w.json");
        FileSource::new(&path).taking_over(before).start(publisher, suffixes())
    };
    let before = start(None).unwrap().file.unwrap().in_force();
    assert!(start(Some(&before)).is_ok());
    fs::write(&path, off(100, 50)).unwrap();
    let error = start(Some(&before)).err().unwrap();
    assert_eq!(error.code(), "not_in_force");
    assert!(error.to_string().contains("w.json"), "{error}");
    // A start knows no brake, and other files are a start.
    assert!(start(None).is_ok());
    assert!(start(Some(&FilesInForce { path: "other.json".into(), ..before })).is_ok());
}

#[test]
fn a_start_on_bad_rules_is_an_error_and_puts_nothing_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    let start = || {
        let live = LiveRules::new();
        let publisher = Publisher::new(live.clone(), SourceKind::FILE, "w.json");
        let error = FileSource::new(&path).start(publisher, suffixes());
        assert_eq!(live.load().generation(), 0);
        error.err().unwrap().code()
    };
    assert_eq!(start(), "unreadable");
    fs::write(&path, "{").unwrap();
    assert_eq!(start(), "invalid_json");
    let error = FileSource::new(&path).read(PublicSuffixes::shipped()).unwrap_err();
    assert_eq!(error.code(), "invalid_json");
    fs::write(&path, TWO).unwrap();
    assert_eq!(FileSource::new(&path).read(PublicSuffixes::shipped()).unwrap().len(), 2);
}

#[test]
fn a_fault_is_believed_at_the_second_look() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    let count = |_, documents: FileDocuments<'_>| Ok::<_, SourceError>(documents.widgets.len());
    fs::write(&path, &TWO[..40]).unwrap();
    let halfway = FileReading::take(&path);
    fs::write(&path, TWO).unwrap();
    let (seen, result) = look(&path, halfway, PublicSuffixes::shipped(), count);
    assert_eq!(result.unwrap(), 2);
    assert_eq!(seen.contents, FileReading::take(&path).seen.contents);

    fs::remove_file(&path).unwrap();
    let (seen, result) = look(&path, FileReading::take(&path), PublicSuffixes::shipped(), count);
    assert_eq!(result.unwrap_err().code(), "unreadable");
    assert!(seen.contents.is_err());
}

#[test]
fn a_write_within_one_step_of_the_clock_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.json");
    fs::write(&path, only("one")).unwrap();
    let publisher = Publisher::new(LiveRules::new(), SourceKind::FILE, "w.json");
    let files = WatchedFiles::start(path.clone(), suffixes(), publisher, None).unwrap();

    fs::write(&path, only("two")).unwrap();
    // As if the second write had left the outside as it was.
    files.seen.lock().stamp = PathStamp::take(&path);
    files.check();
    assert!(files.publisher.live().load().get("two").is_some());
}
