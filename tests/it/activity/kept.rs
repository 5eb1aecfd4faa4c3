//! What is kept over restarts, crashes and upgrades.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use super::{FILE, SITE, STRANGER, counts, kept, load, spec};
use crate::life::upgrade::{ended, upgrade};
use crate::support::edge::Edge;
use crate::support::{eventually, raw, scale};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_before_a_stop_is_kept_over_restarts() {
    let mut edge = Edge::start(spec()).await;
    let mode = || fs::metadata(edge.folder().join(FILE)).unwrap().permissions().mode() & 0o777;
    eventually("the file is made", async || edge.folder().join(FILE).exists()).await;
    assert_eq!(mode(), 0o600);
    for round in 1..=3 {
        for _ in 0..5 {
            assert_eq!(load(&edge, SITE).await, 200);
            load(&edge, STRANGER).await;
        }
        // At once, before anything was written for a while.
        edge.signal("TERM");
        assert_eq!(edge.exit_code().await, Some(0));
        let seen = kept(&edge);
        assert_eq!((counts(&seen, SITE), counts(&seen, STRANGER)), ([5 * round, 0], [0, 5 * round]));
        assert_eq!(seen.entries["example.com"].count, 5 * round);
        edge.restart().await;
    }
    assert!(!edge.log().contains("activity"), "{}", edge.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_loses_less_than_a_second() {
    let mut edge = Edge::start(spec()).await;
    let (mut before, mut slow) = (0, 0);
    for _ in 0..scale(20).max(2) {
        let mut connection = raw::Connection::open(edge.http).await;
        let request = raw::request("GET", edge.http, "/w/w/loader.js", &[("Origin", SITE)]);
        let (begun, mut answered) = (Instant::now(), Vec::new());
        while begun.elapsed() < Duration::from_millis(2_300) {
            assert_eq!(connection.ask(&request).await.status, 200);
            answered.push(Instant::now());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let killed = Instant::now();
        edge.signal("KILL");
        assert_eq!(edge.exit_code().await, None);
        let [count, refused] = counts(&kept(&edge), SITE);
        let early =
            answered.iter().filter(|at| killed.duration_since(**at) >= Duration::from_secs(1)).count();
        let (early, all) = (before + early as u64, before + answered.len() as u64);
        let what = format!("{count} of {all}, {early} of them early");
        assert!((before..=all).contains(&count) && refused == 0, "{what}");
        // A disk may be slow for a moment; not each time.
        slow += u32::from(count < early);
        assert!(slow <= 2, "{what}");
        println!("{} of {} were lost", all - count, answered.len());
        before = count;
        edge.restart().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_before_and_after_an_upgrade_is_lost() {
    let mut edge = Edge::start(spec()).await;
    for _ in 0..7 {
        assert_eq!(load(&edge, SITE).await, 200);
    }
    let new = upgrade(&edge).await;
    for _ in 0..4 {
        assert_eq!(load(&edge, SITE).await, 200);
    }
    assert_eq!(edge.exit_code().await, Some(0));
    new.signal("TERM");
    ended(&new).await;
    assert_eq!(counts(&kept(&edge), SITE), [11, 0]);
    assert!(!edge.log().contains("activity"), "{}", edge.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_that_is_given_up_changes_nothing() {
    let mut edge = Edge::start(spec()).await;
    assert_eq!(load(&edge, SITE).await, 200);
    // The new process is given the store, and fails then: it wants another one, which is none.
    fs::write(edge.folder().join("damaged.redb"), "no store").unwrap();
    let config = edge.folder().join("conf/embedgate.toml");
    let good = fs::read_to_string(&config).unwrap();
    let rules = "[rules]\nstore = { path = \"damaged.redb\" }\n";
    fs::write(edge.folder().join("conf/kept.toml"), &good).unwrap();
    fs::write(&config, good.replacen("[rules]\n", rules, 1)).unwrap();
    let mut command = Edge::command(edge.folder());
    command.args(["upgrade", "--config", "conf/kept.toml"]);
    let asking = tokio::task::spawn_blocking(move || command.output().unwrap());
    assert_eq!(load(&edge, SITE).await, 200);
    let ran = asking.await.unwrap();
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.code() == Some(1) && said.contains("ended while it took over the store"), "{said}");
    assert_eq!(load(&edge, SITE).await, 200);
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    assert_eq!(counts(&kept(&edge), SITE), [3, 0]);
}
