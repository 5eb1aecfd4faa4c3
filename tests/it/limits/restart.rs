//! Opens of a day over restarts and crashes, and a file of them that is damaged or can't be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use redb::{ReadableDatabase, TableDefinition};
use serde_json::json;

use super::{A, B, edge_with, spec, token, widget};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::upstream::Upstream;
use crate::support::{eventually, well_before_midnight};

const FILE: &str = "data/limits.redb";

/// The opens of the first page in a copy of the file, which the edge has open.
fn kept(file: &Path) -> Option<u32> {
    let copy = file.with_extension("copy");
    fs::copy(file, &copy).ok()?;
    let database = redb::Database::open(&copy).ok()?;
    let reading = database.begin_read().ok()?;
    let opens = reading.open_table(TableDefinition::<(&str, &str), (u32, bool)>::new("opens")).ok()?;
    Some(opens.get(("w", A)).ok()??.value().0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_goes_on_after_a_crash_and_after_a_stop() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let limits = json!({ "widget": { "opens_per_day": 6 }, "embedder": { "opens_per_day": 4 } });
    let mut edge = edge_with(upstream.addr, &limits).await;
    let file = edge.folder().join(FILE);
    assert!(!file.exists(), "nothing was opened");
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 200]);
    eventually("both are on disk", async || kept(&file) == Some(2)).await;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    edge.signal("KILL");
    assert_eq!(edge.exit_code().await, None);
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, B).await], [200, 200]);
    // At once, before a second has passed: a stop writes what is there.
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429], "four of the page");
    assert_eq!([token(&edge, B).await, token(&edge, B).await], [200, 429], "six of the widget");
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, B).await], [429, 429]);
    assert!(!edge.log().contains("limits.path"), "{}", edge.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_moved_aside() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let mut edge = edge_with(upstream.addr, &json!({ "widget": { "opens_per_day": 1 } })).await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429]);
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    fs::write(edge.folder().join(FILE), "no database").unwrap();
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429]);
    let says = "data/limits.redb: the opens of the day can't be read: ";
    eventually("it is told", async || edge.log().contains(says)).await;
    assert!(
        edge.log().contains("it is now data/limits.redb.damaged, and a new file is begun"),
        "{}",
        edge.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_can_not_be_written_is_told_once_and_tried_again() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let limits = json!({ "widget": { "opens_per_day": 2 } });
    let mut spec: EdgeSpec = spec(upstream.addr, &json!([widget(&limits)]));
    spec.more += "[limits]\npath = \"conf/widgets.json/limits.redb\"\n";
    let mut edge = Edge::start(spec).await;
    assert_eq!(token(&edge, A).await, 200);
    let told = |edge: &Edge| edge.log().lines().filter(|line| line.contains("limits.path: ")).count();
    eventually("it is told", async || told(&edge) == 1).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(told(&edge), 1, "{}", edge.log());
    let checked = Edge::command(edge.folder()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("limits.path: conf/widgets.json/limits.redb: "), "{said}");

    fs::remove_file(edge.folder().join("conf/widgets.json")).unwrap();
    eventually("it is kept", async || edge.log().contains("opens of the day are kept again")).await;
    edge.signal("KILL");
    assert_eq!(edge.exit_code().await, None);
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429]);
}
