//! The logs: what is in them, and that they never stand in the way, whether or not somebody reads them.

use std::fs::File;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{self, Connection};
use crate::support::{eventually, ports};

mod lines;
mod requests;
mod shown;

const STRANGER: (&str, &str) = ("Origin", "https://stranger.example");
const LISTED: (&str, &str) = ("Origin", "https://example.com");

/// An edge whose upstream is not there, so that each forwarded request is a warning.
fn spec() -> EdgeSpec {
    let mut spec = EdgeSpec::on(ports::free(), &json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more.push_str("requests = \"all\"\n");
    spec
}

/// Asks this many times, half of it denied, half of it failing at the upstream.
async fn ask(edge: &Edge, count: usize) {
    let mut connection = Connection::open(edge.http).await;
    for number in 0..count {
        let (origin, status) = if number % 2 == 0 { (STRANGER, 403) } else { (LISTED, 502) };
        let answer = connection.ask(raw::request("GET", edge.http, "/w/w/session", &[origin])).await;
        assert_eq!(answer.status, status, "request {number}");
        if answer.field("connection") == "close" {
            connection = Connection::open(edge.http).await;
        }
    }
}

async fn dropped(edge: &Edge, log: &str) -> f64 {
    edge.metric(&format!("embedgate_log_lines_dropped_total{{log=\"{log}\"}}")).await
}

async fn stops(edge: &mut Edge, what: &str) {
    let since = Instant::now();
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0), "{what}");
    // The logs together have a second to be written.
    assert!(since.elapsed() < Duration::from_secs(2), "{what}: {:?}", since.elapsed());
}

/// Pipes that nobody reads take 64 KiB, and a queue its lines.
#[tokio::test]
async fn a_reader_that_stalls_holds_nothing_up() {
    let mut spec = spec();
    spec.more.push_str("requests_per_second = 0\n");
    let (mut edge, pipes) = Edge::start_on(spec, || (Stdio::piped(), Stdio::piped())).await;
    ask(&edge, 12_000).await;
    for log in ["decisions", "operational", "requests"] {
        assert!(dropped(&edge, log).await > 0.0, "{log}");
    }
    stops(&mut edge, "stalled").await;
    drop(pipes);
}

#[tokio::test]
async fn a_reader_that_left_and_a_full_disk_are_counted() {
    let full = || {
        let full = || Stdio::from(File::options().write(true).open("/dev/full").unwrap());
        (full(), full())
    };
    let (mut edge, _) = Edge::start_on(spec(), full).await;
    ask(&edge, 20).await;
    eventually("all are counted", async || {
        dropped(&edge, "decisions").await >= 20.0
            && dropped(&edge, "operational").await >= 10.0
            && dropped(&edge, "requests").await >= 20.0
    })
    .await;
    stops(&mut edge, "full").await;

    let (mut edge, pipes) = Edge::start_on(spec(), || (Stdio::piped(), Stdio::piped())).await;
    drop(pipes);
    ask(&edge, 20).await;
    eventually("all are counted", async || {
        dropped(&edge, "decisions").await >= 20.0
            && dropped(&edge, "operational").await >= 10.0
            && dropped(&edge, "requests").await >= 20.0
    })
    .await;
    stops(&mut edge, "left").await;
}

#[tokio::test]
async fn a_flood_is_summed_up_and_nothing_is_left_out_silently() {
    let mut spec = spec();
    spec.more = spec.more.replace("decisions_per_second = 0", "decisions_per_second = 5");
    let edge = Edge::start(spec).await;
    let mut connection = Connection::open(edge.http).await;
    for _ in 0..200 {
        connection.ask(raw::request("GET", edge.http, "/w/w/session", &[STRANGER])).await;
    }
    let mut sums = (0, 0);
    eventually("every decision is told or counted", async || {
        let lines = edge.decisions();
        let left_out = lines.iter().filter_map(|line| line["left_out"].as_u64()).sum::<u64>();
        let told = lines.iter().filter(|line| line["decision_id"].is_string()).count() as u64;
        sums = (told, left_out);
        told + left_out == 200
    })
    .await;
    assert!(sums.0 >= 5 && sums.1 > 100, "{sums:?}");
    let sum = edge.decisions().into_iter().find(|line| line["left_out"].is_u64()).unwrap();
    assert_eq!(sum["bound"], "log.decisions_per_second");
}
