#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::rules::source::SourceKind;
use embedgate_policy::widget::WidgetId;

struct Scene {
    folder: tempfile::TempDir,
    actor: Actor,
    widget: WidgetId,
}

impl Scene {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            actor: Actor::Token("write:ab12cd34".into()),
            widget: WidgetId::parse("w").unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("logs/audit.jsonl")
    }

    fn record<'a>(
        &'a self,
        before: Option<(u64, &'a str)>,
        after: Option<(u64, &'a str)>,
    ) -> AuditRecord<'a> {
        let document = |(revision, json): (u64, &'a str)| AuditedDocument { revision, json: json.as_bytes() };
        AuditRecord {
            at: Timestamp::UNIX_EPOCH,
            generation: 9,
            source: SourceKind::STORE,
            actor: &self.actor,
            widget: &self.widget,
            before: before.map(document),
            after: after.map_or(AuditedState::Deleted { revision: 8 }, |after| {
                AuditedState::Document(document(after))
            }),
        }
    }

    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

const FIRST: &str = r#"{"id":"w","enabled":true,"allowed_domains":["a.example","b.example"]}"#;
const SECOND: &str =
    r#"{"id":"w","enabled":false,"access":"enforce","allowed_domains":["b.example","c.example"]}"#;

#[test]
fn a_line_says_who_what_and_what_differs() {
    let scene = Scene::new();
    let log = FileAuditLog::new(scene.path());
    log.record(&[scene.record(None, Some((1, FIRST)))]).unwrap();
    log.record(&[scene.record(Some((1, FIRST)), Some((2, SECOND))), scene.record(Some((2, SECOND)), None)])
        .unwrap();
    let [created, updated, deleted] = &scene.lines()[..] else { panic!("{:?}", scene.lines()) };
    assert_eq!(
        created,
        &json!({"at": "1970-01-01T00:00:00.000000Z", "generation": 9, "source": "store", "actor": "token:write:ab12cd34",
            "widget": "w", "action": "create", "before": null, "after": 1,
            "document": {"id": "w", "enabled": true, "allowed_domains": ["a.example", "b.example"]}})
    );
    assert_eq!(
        (&updated["action"], &updated["before"], &updated["after"]),
        (&json!("update"), &json!(1), &json!(2))
    );
    assert_eq!(
        updated["changes"],
        json!({"access": {"before": null, "after": "enforce"},
            "allowed_domains": {"added": ["c.example"], "removed": ["a.example"]},
            "enabled": {"before": true, "after": false}})
    );
    assert_eq!((&deleted["action"], &deleted["after"]), (&json!("delete"), &json!(8)));
    assert_eq!(deleted["document"]["access"], "enforce");
    assert_eq!(fs::metadata(scene.path()).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn an_order_is_a_difference_too() {
    let was = r#"{"allowed_domains":["a","b"]}"#;
    let now = r#"{"allowed_domains":["b","a"]}"#;
    let differences = Value::Object(of_json(was.as_bytes(), now.as_bytes()).unwrap());
    assert_eq!(differences, json!({"allowed_domains": {"reordered": true}}));
}

#[test]
fn what_was_not_made_is_taken_back() {
    let scene = Scene::new();
    let log = FileAuditLog::new(scene.path());
    let first = [scene.record(None, Some((1, FIRST)))];
    log.record(&first).unwrap();
    let second = [scene.record(Some((1, FIRST)), Some((2, SECOND))), scene.record(Some((2, SECOND)), None)];
    log.record(&second).unwrap();
    log.revoke(&second);
    assert_eq!(scene.lines().len(), 1);
    log.record(&second).unwrap();
    assert_eq!(scene.lines().len(), 3);
}

#[test]
fn what_is_not_durable_yet_is_there_and_can_be_taken_back() {
    let scene = Scene::new();
    let log = FileAuditLog::new(scene.path());
    let is_unsynced = || log.lock().as_ref().is_some_and(|open| open.is_unsynced);
    let first = [scene.record(None, Some((1, FIRST)))];
    log.record_unsynced(&first).unwrap();
    assert_eq!((scene.lines().len(), is_unsynced()), (1, true));
    log.sync().unwrap();
    assert!(!is_unsynced());
    let second = [scene.record(Some((1, FIRST)), Some((2, SECOND)))];
    log.record_unsynced(&second).unwrap();
    log.revoke(&second);
    assert_eq!(scene.lines().len(), 1);
    // What is durable makes all before it durable.
    log.record_unsynced(&second).unwrap();
    log.record(&[scene.record(Some((2, SECOND)), None)]).unwrap();
    assert_eq!((scene.lines().len(), is_unsynced()), (3, false));
    log.record_unsynced(&first).unwrap();
    fs::rename(scene.path(), scene.path().with_extension("1")).unwrap();
    log.record_unsynced(&first).unwrap();
    assert_eq!((scene.lines().len(), is_unsynced()), (1, true));
}

#[test]
fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
    let scene = Scene::new();
    let log = FileAuditLog::new(scene.path());
    log.record(&[scene.record(None, Some((1, FIRST)))]).unwrap();
    fs::rename(scene.path(), scene.path().with_extension("1")).unwrap();
    log.record(&[scene.record(None, Some((1, FIRST)))]).unwrap();
    assert_eq!(scene.lines().len(), 1);
}

#[test]
fn a_log_tells_whose_changes_are_in_it() {
    let scene = Scene::new();
    let has = |kind| FileAuditLog::has_changes_of(&scene.path(), kind);
    assert!(!has(SourceKind::STORE).unwrap(), "there is none");
    FileAuditLog::new(scene.path()).record(&[scene.record(None, Some((1, FIRST)))]).unwrap();
    assert!(has(SourceKind::STORE).unwrap() && !has(SourceKind::FILE).unwrap());
    for (text, expected) in [
        ("", false),
        ("\n\n", false),
        (r#"{"source":"file","document":{"labels":{"source":"store"}}}"#, false),
        ("{\"source\":\"file\"}\n{\"source\":\"store\"", true),
        ("\u{0}", true),
    ] {
        fs::write(scene.path(), text).unwrap();
        assert_eq!(has(SourceKind::STORE).unwrap(), expected, "{text}");
    }
    fs::remove_file(scene.path()).unwrap();
    fs::create_dir(scene.path()).unwrap();
    assert!(!has(SourceKind::STORE).unwrap(), "a folder is no log");
    let beyond = scene.path().join("x/audit.jsonl");
    fs::remove_dir(scene.path()).unwrap();
    fs::write(scene.path(), "").unwrap();
    assert!(FileAuditLog::has_changes_of(&beyond, SourceKind::STORE).is_err(), "it can't be looked at");
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let scene = Scene::new();
    fs::create_dir_all(scene.path().parent().unwrap()).unwrap();
    std::os::unix::fs::symlink("/dev/full", scene.path()).unwrap();
    let log = FileAuditLog::new(scene.path());
    let error = log.record(&[scene.record(None, Some((1, FIRST)))]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    fs::remove_file(scene.path()).unwrap();
    log.record(&[scene.record(None, Some((1, FIRST)))]).unwrap();
    assert_eq!(scene.lines().len(), 1, "room again");
}
