//! Edges that may not serve rules of any age.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    Fleet, SITE, Shared, alike, assert_verdict, fleet, in_time, save, save_everywhere, state, verdict, widget,
};
use crate::support::edge::Edge;
use crate::support::eventually;
use crate::support::nats::NatsServer;
use crate::support::raw::{Connection, request};
use crate::support::relay::Relay;
use crate::support::websocket::{SocketUpstream, closed, exchange, hears_itself, open};

const MAX_STALENESS: Duration = Duration::from_secs(2);
const POLICY: &str = "[policy]\nmax_staleness = \"2s\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
    fleet.relay.cut();
    let since = Instant::now();
    assert_eq!(closed(&mut socket).await.0, 1008);
    let after = since.elapsed();
    // The last contact is at most a quarter older than the cut.
    assert!(
        after > MAX_STALENESS / 2 && after < MAX_STALENESS + Duration::from_secs(1),
        "cut after {after:?}"
    );
    for origin in [SITE, "https://stranger.example"] {
        assert_eq!(verdict(edge, "w", origin).await, 503);
    }
    assert!(open(edge.http, "/w/w/session", SITE).await.is_err());
    let stale = "embedgate_decisions_total{class=\"asset\",reason=\"stale_rules\",verdict=\"denied\"}";
    assert!(edge.admin("/metrics").await.text().await.unwrap().contains("reason=\"stale_rules\""), "{stale}");
    // What everybody may read needs no rules.
    let public = request("GET", edge.http, "/w/w/trust", &[("Origin", SITE)]);
    let public = Connection::open(edge.http).await.ask(public).await;
    assert_ne!(public.status, 503, "{public:?}");

    fleet.relay.heal();
    eventually("it serves again", async || verdict(edge, "w", SITE).await != 503).await;
    let mut socket = session().await;
    // Contact goes on, so it stays.
    tokio::time::sleep(MAX_STALENESS * 2).await;
    exchange(&mut socket, "still there").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
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
        edges[1].signal("STOP");
        let (status, answer) =
            save(&edges[0], &widget("w", &["other.example"]), "?wait=fleet&timeout=1500ms").await;
        assert_eq!((status, &answer["behind"]), (202, &json!(["edge-2"])), "{answer}");
        // Nobody waits for it any longer, once it denies by itself.
        let timed = Instant::now();
        in_time("it is stale", MAX_STALENESS + Duration::from_secs(3), async || {
            *state(&fleet(&edges[0]).await, "edge-2") == "stale"
        })
        .await;
        assert!(timed.elapsed() > MAX_STALENESS / 2);
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
        edges[1].signal("CONT");
        for connection in &mut waiting {
            let status = connection.answer().await.status;
            assert!(if is_cut_off { status == 503 } else { matches!(status, 503 | 403) }, "{status}");
        }
        relay.heal();
        eventually("it has the new rules", async || {
            let status = verdict(&edges[1], "w", SITE).await;
            assert!(matches!(status, 503 | 403), "{status}");
            status == 403
        })
        .await;
        alike(&edges).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_contact_remembers_how_old_its_rules_are() {
    let fleet = Fleet::new().await;
    let mut edges = [Edge::start(fleet.shared.spec("edge-1", &[fleet.relay.url()], POLICY)).await];
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    super::kill(&mut edges[0]).await;
    fleet.relay.cut();
    // Time has to pass while nothing runs that could deny.
    tokio::time::sleep(MAX_STALENESS + Duration::from_millis(100)).await;
    edges[0].restart().await;
    assert_verdict(&edges, "w", SITE, 503).await;
    fleet.relay.heal();
    eventually("it serves", async || verdict(&edges[0], "w", SITE).await == 200).await;
}
