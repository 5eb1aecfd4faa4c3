//! Connections that wait: for how long, and what they take.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::{STRANGER, edge_on, one_widget, session};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::raw::{self, Connection};
use crate::support::upstream::Upstream;

#[tokio::test]
async fn a_head_that_begins_late_has_its_time_and_no_more() {
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    spec.edge = "header_timeout = \"500ms\"".to_owned();
    let edge = Edge::start(spec).await;
    let request = session(&edge, "GET", "");
    let (begin, rest) = request.split_at(10);
    // Right behind an answer, and once the connection has fallen idle.
    for wait in [0, 1500] {
        let mut connection = Connection::open(edge.http).await;
        assert_eq!(connection.ask(&request).await.status, 200);
        tokio::time::sleep(Duration::from_millis(wait)).await;
        connection.send(begin).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(connection.ask(rest).await.status, 200, "{wait}");
        tokio::time::sleep(Duration::from_millis(wait)).await;
        connection.send(begin).await;
        let began = Instant::now();
        assert!(connection.is_closed().await, "{wait}");
        assert!((450..2500).contains(&began.elapsed().as_millis()), "{wait} {:?}", began.elapsed());
    }
    let mut connection = Connection::open(edge.http).await;
    connection.send("\r\n").await;
    assert!(connection.is_closed().await, "an empty line is no head");
}

#[tokio::test]
async fn a_crowd_that_has_left_leaves_its_memory() {
    const MIB: usize = 1024 * 1024;
    let upstream = Upstream::start("app").await;
    let mut spec = EdgeSpec::on(upstream.addr, &one_widget());
    // What one thread has freed of another's is given back later.
    spec.edge = "workers = 1".to_owned();
    let edge = Edge::start(spec).await;
    let begin = format!("{}X-Filler: {}", session(&edge, "GET", "").trim_end(), "x".repeat(8 * 1024));
    let crowd = async || {
        let mut crowd = Vec::new();
        for _ in 0..400 {
            let mut connection = Connection::open(edge.http).await;
            connection.send(&begin).await;
            crowd.push(connection);
        }
        crowd
    };
    // What is made once is made by the first.
    drop(crowd().await);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = edge.resident_bytes();
    let here = crowd().await;
    eventually("they take memory", async || edge.resident_bytes() > before + 3 * MIB).await;
    drop(here);
    eventually("it is given back", async || edge.resident_bytes() < before + MIB).await;
}

#[tokio::test]
async fn without_room_for_another_connection_the_edge_waits_for_some() {
    const ROOM: usize = 10;
    let upstream = Upstream::start("app").await;
    let edge = edge_on(&upstream).await;
    let process = format!("/proc/{}", edge.id());
    let ask = async || {
        let mut connection = Connection::open(edge.http).await;
        connection.ask(raw::request("GET", edge.http, "/w/w/session", &[("Origin", STRANGER)])).await.status
    };
    assert_eq!(ask().await, 403);
    let limit = fs::read_dir(format!("{process}/fd")).unwrap().count() + ROOM;
    let limit = ["--pid", &edge.id().to_string(), &format!("--nofile={limit}")].map(str::to_owned);
    assert!(Command::new("prlimit").args(limit).status().unwrap().success());

    let mut clients = Vec::new();
    for _ in 0..ROOM * 3 {
        clients.push(TcpStream::connect(edge.http).await.unwrap());
    }
    let said = "can't accept connections";
    eventually("it is said", async || edge.log().contains(said)).await;
    let ticks = || {
        let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Of 100 a second.
    assert!(ticks() - before < 20, "{} ticks", ticks() - before);
    assert_eq!(edge.log().matches(said).count(), 1, "{}", edge.log());

    drop(clients);
    assert_eq!(ask().await, 403);
}
