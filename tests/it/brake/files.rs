//! Edits of rules files, however they are made.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::*;
use crate::support::edge::IN_FORCE;
use crate::support::eventually;

/// Way to edit the rules.
#[derive(Clone, Copy)]
enum Edit {
    InPlace,
    Renamed,
    Folder,
}

/// Files of a folder.
const FILES: usize = 4;

impl Edit {
    fn write(self, at: &Path, documents: &[Value]) {
        match self {
            Self::InPlace => fs::write(at, rules(documents)).unwrap(),
            Self::Renamed => {
                fs::write(at.with_extension("new"), rules(documents)).unwrap();
                fs::rename(at.with_extension("new"), at).unwrap();
            }
            // All files at once, by a link to another folder, as a deployment turns it.
            Self::Folder => {
                let (new, link) =
                    (tempfile::tempdir_in(at.parent().unwrap()).unwrap().keep(), at.with_extension("new"));
                for (file, part) in documents.chunks(documents.len().div_ceil(FILES).max(1)).enumerate() {
                    fs::write(new.join(format!("{file}.json")), rules(part)).unwrap();
                }
                if documents.is_empty() {
                    fs::write(new.join("none.json"), rules(documents)).unwrap();
                }
                symlink(new, &link).unwrap();
                fs::rename(link, at).unwrap();
            }
        }
    }
}

async fn last_error(edge: &Edge) -> Value {
    let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
    status["rules"]["last_error"].clone()
}

/// Waits until the status says why the files are not in force.
async fn held(edge: &Edge, count: usize) -> String {
    let told = format!("--confirm {count}`");
    let mut detail = String::new();
    eventually("the edit is held", async || {
        let error = last_error(edge).await;
        detail = error["detail"].as_str().unwrap_or_default().to_owned();
        error["code"] == "wide_change" && detail.contains(&told)
    })
    .await;
    detail
}

async fn in_force(edge: &Edge, kind: &str, touched: usize) {
    let since = Instant::now();
    while count(edge, kind).await != touched || !last_error(edge).await.is_null() {
        assert!(since.elapsed() < 3 * IN_FORCE, "{kind} {touched}: {}", last_error(edge).await);
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

/// An edge whose rules are at this path, with all widgets as they are at first.
async fn started(edit: Edit) -> (Edge, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("widgets.json");
    edit.write(&at, &book("deleted", 0));
    let more = format!("[rules]\nsource = \"file\"\nfile = {{ path = \"{}\" }}\n", at.display());
    (Edge::start(EdgeSpec { more, ..EdgeSpec::default() }).await, at, folder)
}

async fn passes_and_is_held(road: usize, edit: Edit) {
    let (edge, at, _folder) = started(edit).await;
    for kind in kinds(road) {
        edit.write(&at, &book(kind, 90));
        in_force(&edge, kind, 90).await;
        edit.write(&at, &book(kind, 0));
        in_force(&edge, kind, 0).await;
        let before = generation(&edge).await;
        for touched in [110, ALL] {
            edit.write(&at, &book(kind, touched));
            let told = held(&edge, touched).await;
            let says = match kind {
                "deleted" => format!("would delete {touched} of 1000 widgets"),
                "disabled" => format!("would disable {touched} of 1000 widgets"),
                "restricted" => format!("would restrict {touched} of 1000 widgets"),
                "opened" => format!("would open {touched} of 1000 widgets"),
                _ => format!("would set {touched} to monitor of 1000 widgets"),
            };
            assert!(told.contains(&says) && told.contains("embedgate apply"), "{told}");
            eventually("the log says the same", async || edge.log().contains(&told)).await;
            assert_eq!((generation(&edge).await, count(&edge, kind).await), (before, 0), "nothing half");
            // Taken back, it leaves nothing.
            edit.write(&at, &book(kind, 0));
            in_force(&edge, kind, 0).await;
            assert_eq!(generation(&edge).await, before, "as it was");
        }
        confirmed(&edge, edit, &at, kind).await;
    }
    assert!(edge.metric("embedgate_brake_refusals_total{road=\"file\"}").await >= 6.0);
}

/// An edit of all widgets that is confirmed is done once, and so is the way back.
async fn confirmed(edge: &Edge, edit: Edit, at: &Path, kind: &str) {
    let before = generation(edge).await;
    let apply = async |confirm: usize| {
        let path = format!("/v1/rules/apply?confirm={confirm}");
        edge.api(Method::POST, &path).send().await.unwrap().status().as_u16()
    };
    edit.write(at, &book(kind, ALL));
    held(edge, ALL).await;
    assert_eq!((apply(ALL - 1).await, generation(edge).await), (422, before), "{kind}");
    assert_eq!((apply(ALL).await, generation(edge).await), (200, before + 1), "{kind}");
    assert_eq!((count(edge, kind).await, last_error(edge).await), (ALL, Value::Null), "{kind}");
    assert_eq!((apply(ALL).await, generation(edge).await), (200, before + 1), "{kind}: once");
    edit.write(at, &book(kind, 0));
    if matches!(kind, "opened" | "monitored") {
        // What was confirmed before leaves nothing open: now they are restricted.
        held(edge, ALL).await;
        assert_eq!(apply(ALL).await, 200);
    }
    in_force(edge, kind, 0).await;
    assert_eq!(generation(edge).await, before + 2, "{kind}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_edited_in_place_is_held() {
    passes_and_is_held(3, Edit::InPlace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_took_the_place_of_another_is_held() {
    passes_and_is_held(4, Edit::Renamed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_held() {
    passes_and_is_held(5, Edit::Folder).await;
}

/// Where nothing is in force, nothing is lost: a start takes the files as they are.
#[tokio::test]
async fn a_start_knows_no_brake() {
    let (mut edge, at, _folder) = started(Edit::InPlace).await;
    Edit::InPlace.write(&at, &book("disabled", ALL));
    held(&edge, ALL).await;
    edge.signal("KILL");
    edge.exit_code().await;
    edge.restart().await;
    assert_eq!((count(&edge, "disabled").await, last_error(&edge).await), (ALL, Value::Null));
}
