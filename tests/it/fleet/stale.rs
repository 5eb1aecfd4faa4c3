//! Edges that may not serve rules of any age.

use std::time::{Duration, Instant};

use super::{
    Fleet, NOTICED, SITE, Shared, alike, assert_verdict, get, in_time, kill, save_behind, save_everywhere,
    state, verdict, widget,
};
use crate::support::edge::Edge;
use crate::support::nats::NatsServer;
use crate::support::raw::{Connection, request};
use crate::support::relay::Relay;
use crate::support::websocket::{SocketUpstream, closed, exchange, hears_itself, open};

const MAX_STALENESS: Duration = Duration::from_secs(6);
const POLICY: &str = "[policy]\nmax_staleness = \"6s\"\n";

/// Announcements are a quarter of the limit apart, and late on a busy machine: the last contact may be this old.
const CONTACT: Duration = Duration::from_secs(3);

/// Time for what is due at an instant, on a busy machine.
const LATE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_without_contact_for_too_long_denies_and_serves_again() {
    let upstream = SocketUpstream::echo().await;
    let fleet = Fleet::new().await;
    let mut spec = fleet.shared.spec("edge-1", &[fleet.relay.url()], POLICY);
    spec.more += &format!("[upstreams.app]\nservers = [\"{}\"]\n", upstream.addr);
    spec.upstream = "app".to_owned();
    let edges = [Edge::start(spec).await];
    alike(&edges).await;
    let edge = &edges[0];
    save_everywhere(edge, &widget("w", &["site.example"])).await;
    let session = async || {
        let (mut socket, _) = open(edge.http, "/w/w/session", SITE).await.unwrap();
        hears_itself(&mut socket).await;
        socket
    };
    let mut socket = session().await;
    let since = Instant::now();
    fleet.relay.cut();
    assert_eq!(closed(&mut socket).await.0, 1008);
    let after = since.elapsed();
    assert!(after > MAX_STALENESS - CONTACT && after < MAX_STALENESS + LATE, "cut after {after:?}");
    for origin in [SITE, "https://stranger.example"] {
        assert_eq!(verdict(edge, "w", origin).await, 503);
    }
    assert!(open(edge.http, "/w/w/session", SITE).await.is_err());
    let stale = "embedgate_decisions_total{class=\"asset\",reason=\"stale_rules\",verdict=\"deny\"}";
    assert_eq!(edge.metric(stale).await, 2.0);
    // What everybody may read needs no rules.
    let public = request("GET", edge.http, "/w/w/trust", &[("Origin", SITE)]);
    let public = Connection::open(edge.http).await.ask(public).await;
    assert_ne!(public.status, 503, "{public:?}");

    fleet.relay.heal();
    in_time("it serves again", NOTICED, async || verdict(edge, "w", SITE).await != 503).await;
    let (mut socket, since) = (session().await, Instant::now());
    // Contact goes on, so it stays.
    while since.elapsed() < MAX_STALENESS * 3 / 2 {
        exchange(&mut socket, "still there").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_edge_that_slept_never_answers_by_what_was_replaced() {
    let nats = NatsServer::start().await;
    let (shared, relay) = (Shared::new(), Relay::start(nats.addr));
    let edges = [
        Edge::start(shared.spec("edge-1", &[nats.url()], POLICY)).await,
        Edge::start(shared.spec("edge-2", &[relay.url()], POLICY)).await,
    ];
    alike(&edges).await;
    for is_cut_off in [true, false] {
        save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
        assert_verdict(&edges, "w", SITE, 200).await;
        let since = Instant::now();
        edges[1].freeze().await;
        save_behind(&edges[0], &widget("w", &["other.example"]), "edge-2").await;
        // Nobody waits for it any longer, once it denies by itself.
        in_time("it is stale", MAX_STALENESS + LATE, async || {
            let seen = get(&edges[0], "/v1/fleet?timeout=200ms").await.1;
            *state(&seen, "edge-2") == "stale"
        })
        .await;
        assert!(since.elapsed() > MAX_STALENESS - CONTACT);
        save_everywhere(&edges[0], &widget("w", &["third.example"])).await;

        if is_cut_off {
            relay.silence();
        }
        // They lie in its sockets before it wakes up.
        let mut waiting = Vec::new();
        for _ in 0..10 {
            let mut connection = Connection::open(edges[1].http).await;
            connection.send(request("GET", edges[1].http, "/w/w/loader.js", &[("Origin", SITE)])).await;
            waiting.push(connection);
        }
        edges[1].thaw();
        for connection in &mut waiting {
            let status = connection.answer().await.status;
            assert!(if is_cut_off { status == 503 } else { matches!(status, 503 | 403) }, "{status}");
        }
        relay.heal();
        in_time("it has the new rules", NOTICED, async || {
            let status = verdict(&edges[1], "w", SITE).await;
            assert!(matches!(status, 503 | 403), "{status}");
            status == 403
        })
        .await;
        alike(&edges).await;
    }
}

/// Sets another limit in the configuration of an edge.
fn limit(edge: &Edge, from: &str, to: &str) {
    let path = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let limit = |time: &str| format!("max_staleness = \"{time}\"");
    assert!(text.contains(&limit(from)), "{text}");
    std::fs::write(path, text.replace(&limit(from), &limit(to))).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn a_start_without_contact_remembers_how_old_its_rules_are() {
    let fleet = Fleet::new().await;
    let policy = "[policy]\nmax_staleness = \"300s\"\n";
    let mut edges = [Edge::start(fleet.shared.spec("edge-1", &[fleet.relay.url()], policy)).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    fleet.relay.cut();
    let since = Instant::now();
    // Under a limit that they don't reach.
    kill(&mut edges[0]).await;
    edges[0].restart().await;
    assert_verdict(&edges, "w", SITE, 200).await;
    // Under one that they have reached before it starts.
    kill(&mut edges[0]).await;
    limit(&edges[0], "300s", "1s");
    in_time("the limit is over", LATE, async || since.elapsed() > Duration::from_secs(1)).await;
    edges[0].restart().await;
    assert_verdict(&edges, "w", SITE, 503).await;
    // Another limit is in force at once, without a contact.
    for (from, to, status) in [("1s", "300s", 200), ("300s", "1s", 503), ("1s", "300s", 200)] {
        limit(&edges[0], from, to);
        edges[0].signal("HUP");
        in_time("the limit is another one", NOTICED, async || verdict(&edges[0], "w", SITE).await == status)
            .await;
    }
    fleet.relay.heal();
    alike(&edges).await;
    assert_verdict(&edges, "w", SITE, 200).await;
}
