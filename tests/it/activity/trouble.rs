//! A file that is damaged, or can't be written: the edge serves all the same.

use std::fs;
use std::time::Duration;

use super::{FILE, SITE, counts, kept, load, spec};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_moved_aside_with_an_error() {
    let mut edge = Edge::start(spec()).await;
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    fs::write(edge.folder().join(FILE), "no database").unwrap();
    edge.restart().await;
    assert_eq!(load(&edge, SITE).await, 200);
    eventually("it is told", async || edge.log().contains("ERROR")).await;
    let log = edge.log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("ERROR")).collect();
    let says = "data/activity.redb: what was seen can't be read: ";
    assert!(told.len() == 1 && told[0].contains(says), "{told:?}");
    assert!(told[0].contains("it is now data/activity.redb.damaged, and a new file is begun"), "{told:?}");
    assert_eq!(fs::read_to_string(edge.folder().join("data/activity.redb.damaged")).unwrap(), "no database");
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    assert_eq!(counts(&kept(&edge), SITE), [1, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_can_not_be_written_is_told_once_and_tried_again() {
    let more = "[activity]\npath = \"conf/widgets.json/activity.redb\"\n".to_owned();
    let mut edge = Edge::start(EdgeSpec { more, ..spec() }).await;
    let obstacle = edge.folder().join("conf/widgets.json");
    let recorded = "embedgate_activity_sightings_total{outcome=\"recorded\"}";
    for _ in 0..3 {
        assert_eq!(load(&edge, SITE).await, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let told = |edge: &Edge| {
        let log = edge.log();
        log.lines().filter(|line| line.contains("activity.path: ")).map(str::to_owned).collect::<Vec<_>>()
    };
    let warned = told(&edge);
    assert!(warned.len() == 1 && warned[0].contains("WARN"), "{}", edge.log());
    assert!(warned[0].contains("until then, nothing of embedders is kept"), "{warned:?}");
    assert_eq!(edge.metric(recorded).await, 0.0);

    // A check says it, too, and makes nothing.
    let checked = Edge::command(edge.folder()).arg("check").output().unwrap();
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert!(said.contains("activity.path: conf/widgets.json/activity.redb: "), "{said}");

    fs::remove_file(&obstacle).unwrap();
    eventually("it is kept", async || edge.metric(recorded).await == 3.0).await;
    assert!(edge.log().contains("what is seen of embedders is kept again"), "{}", edge.log());
    assert_eq!(told(&edge).len(), 1);
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    fs::rename(obstacle.join("activity.redb"), edge.folder().join(FILE)).unwrap();
    assert_eq!(counts(&kept(&edge), SITE), [3, 0]);
}

#[tokio::test]
async fn a_check_makes_no_file() {
    let mut checked = Edge::prepare(spec()).run_in(|command| {
        command.arg("check");
    });
    assert_eq!(checked.exit_code().await, Some(0), "{}", checked.log());
    assert!(!checked.folder().join(FILE).exists());
}
