//! An edge of a fleet that is replaced by a new process.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{Fleet, SITE, alike, assert_verdict, get, save_everywhere, verdict, widget};
use crate::life::upgrade::upgrade;
use crate::support::edge::Edge;
use crate::support::websocket::{SocketUpstream, closed, hears_itself, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[ignore = "takes long: make prove"]
async fn an_upgrade_loses_no_save_and_leaves_one_consumer() {
    let upstream = SocketUpstream::echo().await;
    let fleet = Fleet::new().await;
    let specs = ["edge-1", "edge-2"].map(|name| {
        let mut spec = fleet.spec(name);
        spec.more += &format!("[upstreams.app]\nservers = [\"{}\"]\n", upstream.addr);
        // An upstream that speaks WebSocket alone has sessions, and the demo has scripts.
        spec.routes = Some(
            "[[routes]]\npath = \"/w/{widget}/loader.js\"\nclass = \"asset\"\nupstream = \"demo\"\n\
             [[routes]]\npath = \"/w/{widget}/session\"\nclass = \"session\"\nupstream = \"app\"\n"
                .to_owned(),
        );
        spec
    });
    let [one, two] = specs;
    let edges = [Edge::start(one).await, Edge::start(two).await];
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    let (mut session, _) = open(edges[1].http, "/w/w/session", SITE).await.unwrap();
    hears_itself(&mut session).await;

    let ends = AtomicBool::new(false);
    let saves = async {
        let mut saved = 0_u64;
        while !ends.load(Ordering::Relaxed) {
            let (status, answer) =
                super::save(&edges[0], &json!({ "id": "n", "labels": { "n": saved.to_string() } }), "").await;
            assert!(matches!(status, 200 | 201), "{answer}");
            saved += 1;
            assert_eq!(verdict(&edges[1], "w", SITE).await, 200);
        }
        saved
    };
    let upgrades = async {
        let mut processes = Vec::new();
        for _ in 0..2 {
            processes.push(upgrade(&edges[1]).await);
        }
        ends.store(true, Ordering::Relaxed);
        processes
    };
    let (saved, _processes) = tokio::join!(saves, upgrades);
    assert!(saved > 0);
    alike(&edges).await;
    for edge in &edges {
        assert_eq!(get(edge, "/v1/widgets/n").await.1["revision"], saved, "each save is one revision");
    }
    fleet.bucket().await.is_followed_by(&["edge-1", "edge-2"]).await;
    // A save elsewhere cuts the session that the first process still holds.
    save_everywhere(&edges[0], &widget("w", &["other.example"])).await;
    assert_eq!(closed(&mut session).await, (1008, "origin no longer allowed".to_owned()));
    save_everywhere(&edges[1], &widget("w", &["third.example"])).await;
    assert_verdict(&edges, "w", "https://third.example", 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn an_upgrade_that_joins_a_fleet_has_its_rules_before_it_takes_over() {
    let fleet = Fleet::new().await;
    let mut spec = fleet.spec("edge-2");
    spec.more = spec.more.replacen("source = \"nats\"", "source = \"file\"", 1);
    let edges = [fleet.edge("edge-1").await, Edge::start(spec).await];
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    assert_eq!(verdict(&edges[1], "w", SITE).await, 403);
    let config = edges[1].folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replacen("source = \"file\"", "source = \"nats\"", 1)).unwrap();
    let _new = upgrade(&edges[1]).await;
    assert_eq!(verdict(&edges[1], "w", SITE).await, 200);
    alike(&edges).await;
}
