//! Stores that can't be used, as the person at the command line meets them.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{Desk, put, save};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::{ports, scale};

/// The whole of a start that must fail: its standard error.
async fn refused(prepare: impl FnOnce(&Path)) -> String {
    let donor = Desk::new();
    let publisher = donor.open();
    let batch =
        (0..100).map(|n| put(&format!(r#"{{"id":"w{n}","allowed_domains":["w{n}.example"]}}"#))).collect();
    save(&publisher, batch).unwrap();
    drop(publisher);
    prepare(&donor.store());
    let folder = donor.0.path().display();
    let edge = Edge::spawn(EdgeSpec {
        source: "store",
        more: format!("[rules.store]\npath = \"{folder}/rules.redb\"\n"),
        ..EdgeSpec::default()
    });
    let (fine, log) = edge.ended().await;
    assert!(!fine && !log.contains("ready on"), "{log}");
    log
}

#[tokio::test]
async fn a_damaged_store_keeps_the_edge_from_starting() {
    let whole = |path: &Path| fs::read(path).unwrap();
    let cut = refused(|path| fs::write(path, &whole(path)[..5000]).unwrap()).await;
    assert!(
        cut.contains("rules.redb: this store is damaged")
            && cut.contains("put back a copy with `embedgate restore FILE`"),
        "{cut}"
    );
    let empty = refused(|path| fs::write(path, "").unwrap()).await;
    assert!(empty.contains("rules.redb: this store is damaged"), "{empty}");
}

#[tokio::test]
async fn a_store_in_use_names_the_other_way() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    fs::write(edge.folder().join("one.ndjson"), r#"{"id":"one"}"#).unwrap();
    for command in [&["widgets", "import", "one.ndjson"][..], &["run"]] {
        let ran = Edge::command(edge.folder()).args(command).output().unwrap();
        let err = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success(), "{command:?}");
        assert!(
            err.contains("another process has this store open") && err.contains("admin listener"),
            "{command:?}: {err}"
        );
    }
    // What only reads asks the edge that has it, and says so.
    let note =
        "embedgate: data/rules.redb: another process has this store open, so the running edge is asked\n";
    for (command, says) in
        [(&["check"][..], "fine, 3 widgets in data/rules.redb\n"), (&["widgets", "export"], "\"wgt_demo\"")]
    {
        let ran = Edge::command(edge.folder()).args(command).output().unwrap();
        assert!(ran.status.success() && String::from_utf8_lossy(&ran.stderr) == note, "{command:?}: {ran:?}");
        let out = String::from_utf8_lossy(&ran.stdout);
        assert!(out.contains(says), "{command:?}: {out}");
    }
    // Where the edge of the configuration isn't the one that has it.
    let nobody = ports::free().to_string();
    let mut check = Edge::command(edge.folder());
    let ran = check.env("EMBEDGATE__ADMIN__LISTEN", &nobody).args(["check"]).output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.code() == Some(3) && out.contains("the widgets were not checked: "), "{out}");
    assert!(out.contains("is the edge running?"), "{out}");
    assert!(out.ends_with(": no errors, but the widgets in data/rules.redb were not checked\n"), "{out}");
    let told: serde_json::Value =
        serde_json::from_slice(&check.arg("--json").output().unwrap().stdout).unwrap();
    assert_eq!((&told["ok"], &told["widgets"], &told["faults"]), (&json!(false), &json!(null), &json!([])));
    // An error that was found comes first.
    let ran = check.env("EMBEDGATE__ADMIN__TOKEN_FILE", "conf").output().unwrap();
    assert_eq!(ran.status.code(), Some(1), "{ran:?}");
}

#[test]
fn a_start_on_many_widgets_is_quick() {
    let desk = Desk::new();
    let publisher = desk.open();
    let count = scale(100_000);
    let batch =
        (0..count).map(|n| put(&format!(r#"{{"id":"w{n}","allowed_domains":["w{n}.example"]}}"#))).collect();
    save(&publisher, batch).unwrap();
    drop(publisher);
    let started = std::time::Instant::now();
    let publisher = desk.open();
    assert_eq!(publisher.live().load().len(), count);
    assert!(started.elapsed() < std::time::Duration::from_secs(2), "{:?}", started.elapsed());
}
