//! Limits that edges share: whatever happens to edges and to NATS, no more is let through than the limit and the stated
//! error, and demand gets what nobody else uses.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{Fleet, SITE, alike, connected, kill, save_everywhere, widget};
use crate::support::edge::{Edge, EdgeSpec, usual_routes};
use crate::support::raw::{Connection, request};
use crate::support::upstream::Upstream;
use crate::support::{LONG, well_before_midnight};

#[path = "../../../benches/support/opens.rs"]
mod opens;

/// Pause after a refusal: a share may be on its way.
const PAUSE: Duration = Duration::from_millis(100);

/// Requests that are under way at once.
const AT_ONCE: usize = 8;

/// An edge of this name, with a route whose requests are opens.
fn spec(fleet: &Fleet, name: &str, upstream: SocketAddr) -> EdgeSpec {
    let more = format!("[upstreams.app]\nservers = [\"{upstream}\"]\n");
    let mut spec = fleet.shared.spec(name, &[fleet.relay.url()], &more);
    spec.routes = Some(
        usual_routes("app")
            + "[[routes]]\npath = \"/w/{widget}/token\"\nclass = \"session\"\nupstream = \"app\"\nopens = true\n",
    );
    spec
}

/// A server with three edges on it, and an upstream.
async fn three() -> (Fleet, [Edge; 3], Upstream) {
    let (fleet, upstream) = (Fleet::new().await, Upstream::start("app").await);
    let specs = (1..=3).map(|n| spec(&fleet, &format!("edge-{n}"), upstream.addr));
    let edges = <[Edge; 3]>::try_from(join_all(specs.map(Edge::start)).await);
    let Ok(edges) = edges else { panic!("not three edges") };
    alike(&edges).await;
    (fleet, edges, upstream)
}

/// A widget with these limits.
fn limited(id: &str, limits: Value) -> Value {
    let mut document = widget(id, &["site.example"]);
    document["limits"] = limits;
    document
}

/// What was opened: when each request that was let through was sent, and when it was answered.
#[derive(Default)]
struct Opens {
    admitted: Vec<(Instant, Instant)>,
    refused: usize,
}

impl Opens {
    fn add(&mut self, other: Self) {
        self.admitted.extend(other.admitted);
        self.refused += other.refused;
    }

    fn count(&self) -> usize {
        self.admitted.len()
    }

    /// The most that were let through within one minute for certain.
    fn most_in_a_minute(&self) -> usize {
        let Some(first) = self.admitted.iter().map(|(sent, _)| *sent).min() else { return 0 };
        opens::most_in_a_minute(
            self.admitted.iter().map(|(sent, answered)| (*sent - first, *answered - first)),
        )
    }
}

/// Opens at an edge, one after the other.
async fn open(edge: &Edge, widget: &str, count: usize) -> Opens {
    let (mut opens, path) = (Opens::default(), format!("/w/{widget}/token"));
    for _ in 0..count {
        let sent = Instant::now();
        let asked = request("GET", edge.http, &path, &[("Origin", SITE)]);
        match Connection::open(edge.http).await.ask(asked).await.status {
            200 => opens.admitted.push((sent, Instant::now())),
            429 => opens.refused += 1,
            other => panic!("{other}"),
        }
    }
    opens
}

/// Many opens at these edges, several at once.
async fn flood(edges: &[&Edge], widget: &str, each: usize) -> Opens {
    let floods = edges.iter().flat_map(|edge| (0..AT_ONCE).map(|_| open(edge, widget, each / AT_ONCE)));
    let mut all = Opens::default();
    join_all(floods).await.into_iter().for_each(|opens| all.add(opens));
    all
}

/// Opens at an edge until so many were let through, with a pause after each refusal: where the machine is busy, a share may come
/// later than a request waits.
async fn open_all(edge: &Edge, widget: &str, count: usize) -> Opens {
    let (mut opens, until) = (Opens::default(), Instant::now() + LONG);
    while opens.count() < count {
        let opened = open(edge, widget, 1).await;
        if opened.refused > 0 {
            sleep(PAUSE).await;
        }
        opens.add(opened);
        let (admitted, refused) = (opens.count(), opens.refused);
        assert!(Instant::now() < until, "{admitted} of {count} were let through, and {refused} refused");
    }
    opens
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_through_three_edges_passes_a_budget_by_two_at_most() {
    well_before_midnight().await;
    let (_fleet, edges, _upstream) = three().await;
    let edges: Vec<&Edge> = edges.iter().collect();
    for (id, limits, limit) in [
        ("minute", json!({ "widget": { "opens_per_minute": 300 } }), 300),
        ("day", json!({ "embedder": { "opens_per_day": 50 } }), 50),
        ("one", json!({ "widget": { "opens_per_day": 1 } }), 1),
    ] {
        save_everywhere(edges[0], &limited(id, limits)).await;
        let opens = flood(&edges, id, 2 * limit + 10 * AT_ONCE).await;
        let (most, refused) = (opens.most_in_a_minute(), opens.refused);
        println!("{id}: {most} of {limit} let through within a minute, {refused} refused");
        assert!(most <= limit + 2, "{id}: {most} of {limit}");
        assert!(opens.count() >= limit - limit / 20, "{id}: only {} of {limit}", opens.count());
        assert!(refused > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn demand_gets_what_nobody_else_uses_wherever_it_is() {
    well_before_midnight().await;
    let (_fleet, edges, _upstream) = three().await;
    save_everywhere(&edges[0], &limited("w", json!({ "widget": { "opens_per_day": 200 } }))).await;
    let mut all = open_all(&edges[0], "w", 100).await;
    all.add(open_all(&edges[1], "w", 90).await);
    all.add(open_all(&edges[2], "w", 8).await);
    println!("{} of 200 let through, {} refused while something was left", all.count(), all.refused);
    assert!(all.refused < 50, "{} refused while others use nothing", all.refused);
    let edges: Vec<&Edge> = edges.iter().collect();
    all.add(flood(&edges, "w", 5 * AT_ONCE).await);
    assert!((200..=202).contains(&all.count()), "{} of 200", all.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_edge_that_comes_back_and_a_cut_pass_a_budget_by_no_more() {
    well_before_midnight().await;
    let (fleet, [one, two, mut three], _upstream) = three().await;
    save_everywhere(&one, &limited("minute", json!({ "widget": { "opens_per_minute": 300 } }))).await;
    save_everywhere(&one, &limited("day", json!({ "widget": { "opens_per_day": 300 } }))).await;
    let (mut minute, mut day) = (Opens::default(), Opens::default());
    let both = async |edges: &[&Edge], each| {
        let (of_minute, of_day) = tokio::join!(flood(edges, "minute", each), flood(edges, "day", each));
        (of_minute, of_day)
    };
    let mut add = |(of_minute, of_day): (Opens, Opens)| {
        minute.add(of_minute);
        day.add(of_day);
        // Two edges beside one, or one in a hundred.
        let (most, count) = (minute.most_in_a_minute(), day.count());
        println!("{most} within a minute, {count} within a day, of 300");
        assert!(most <= 303 && count <= 303, "{most} within a minute, {count} within a day, of 300");
    };
    add(both(&[&one, &two, &three], 40).await);
    let others = [&one, &two];
    let (flooded, ()) = tokio::join!(both(&others, 24), kill(&mut three));
    add(flooded);
    let (flooded, ()) = tokio::join!(both(&others, 24), three.restart());
    add(flooded);
    add(both(&[&three], 24).await);

    fleet.relay.cut();
    add(both(&[&one, &two, &three], 24).await);
    fleet.relay.heal();
    for edge in [&one, &two, &three] {
        connected(edge, true).await;
    }
    add(both(&[&one, &two, &three], 400).await);
    assert!(day.count() >= 240, "{} of 300: more was lost than the share of the killed edge", day.count());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edge_that_is_stopped_gives_back_what_it_has_not_used() {
    well_before_midnight().await;
    let (_fleet, [mut one, two, _three], _upstream) = three().await;
    save_everywhere(&one, &limited("w", json!({ "widget": { "opens_per_day": 200 } }))).await;
    let mut all = open_all(&one, "w", 100).await;
    one.signal("TERM");
    assert_eq!(one.exit_code().await, Some(0));
    all.add(open_all(&two, "w", 99).await);
    one.restart().await;
    connected(&one, true).await;
    all.add(flood(&[&one, &two], "w", 2 * AT_ONCE).await);
    assert!((199..=202).contains(&all.count()), "{} of 200", all.count());
}
