//! Edges on a cluster of three servers, of which some are lost.

use std::path::Path;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use super::{
    BUCKET, SITE, Shared, alike, assert_verdict, call, in_time, save, save_everywhere, verdict, widget,
};
use crate::support::LONG;
use crate::support::edge::Edge;
use crate::support::nats::NatsCluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn the_loss_of_a_leader_and_of_a_folder_loses_no_save() {
    let mut cluster = NatsCluster::start().await;
    let shared = Shared::new();
    let urls = cluster.urls();
    let specs = (1..=3).map(|n| shared.spec(&format!("edge-{n}"), &urls, ""));
    let edges: Vec<Edge> = join_all(specs.map(Edge::start)).await;
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    save_everywhere(&edges[0], &widget("gone", &["site.example"])).await;
    let (status, answer) =
        call(&edges[0], Method::DELETE, "/v1/widgets/gone?revision=9&wait=fleet&timeout=20s", None).await;
    assert_eq!(status, 200, "{answer}");
    let bucket = cluster.servers[0].bucket(BUCKET).await;
    assert_eq!(bucket.info().await.unwrap().config.num_replicas, 3);
    let leader = bucket.leader_after("").await;
    cluster.named(&leader).kill().await;
    // Requests are served meanwhile, and saves as soon as there is another leader.
    let mut tries = 0;
    in_time("saves go on", LONG, async || {
        assert_verdict(&edges, "w", SITE, 200).await;
        tries += 1;
        let document = widget("new", &["site.example"]);
        let (status, answer) = save(&edges[tries % 3], &document, "?wait=fleet&timeout=10s").await;
        assert!(matches!(status, 200 | 201 | 202 | 503), "{status} {answer}");
        status < 202
    })
    .await;
    // It comes back with nothing that can be read.
    let damaged = cluster.named(&leader);
    overwrite(damaged.store());
    damaged.run().await;
    cluster.is_whole().await;
    alike(&edges).await;
    save_everywhere(&edges[1], &widget("w", &["other.example"])).await;
    // The one that it copied from is lost, too.
    let bucket = cluster.other_than(&leader).bucket(BUCKET).await;
    in_time("the copy is whole", LONG, async || {
        let cluster = bucket.info().await.and_then(|info| info.cluster);
        cluster
            .is_some_and(|cluster| cluster.replicas.iter().all(|replica| replica.current && !replica.offline))
    })
    .await;
    let leader = bucket.leader_after("").await;
    cluster.named(&leader).kill().await;
    in_time("saves go on", LONG, async || {
        save(&edges[2], &widget("w", &["third.example"]), "?wait=fleet&timeout=10s").await.0 == 200
    })
    .await;
    cluster.named(&leader).run().await;
    alike(&edges).await;
    assert_verdict(&edges, "w", "https://third.example", 200).await;
    assert_verdict(&edges, "new", SITE, 200).await;
    assert_eq!(verdict(&edges[0], "gone", SITE).await, 403);
    let mut late = widget("gone", &["site.example"]);
    late["revision"] = json!(8);
    assert_eq!(save(&edges[2], &late, "").await.0, 409);
    cluster.servers[0].bucket(BUCKET).await.is_followed_by(&["edge-1", "edge-2", "edge-3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes long: make prove"]
async fn two_servers_of_three_are_lost_and_nothing_is_saved_until_one_is_back() {
    let mut cluster = NatsCluster::start().await;
    let (shared, urls) = (Shared::new(), cluster.urls());
    let edges = join_all((1..=2).map(|n| Edge::start(shared.spec(&format!("edge-{n}"), &urls, "")))).await;
    alike(&edges).await;
    save_everywhere(&edges[0], &widget("w", &["site.example"])).await;
    for server in &mut cluster.servers[..2] {
        server.kill().await;
    }
    for edge in &edges {
        let (status, answer) = save(edge, &widget("w", &["other.example"]), "").await;
        assert_eq!(status, 503, "{answer}");
    }
    assert_verdict(&edges, "w", SITE, 200).await;
    cluster.servers[0].run().await;
    in_time("saves go on", LONG, async || {
        save(&edges[0], &widget("w", &["third.example"]), "?wait=fleet&timeout=10s").await.0 == 200
    })
    .await;
    alike(&edges).await;
    assert_verdict(&edges, "w", "https://third.example", 200).await;
}

/// Overwrites every stored message with zeros.
fn overwrite(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            overwrite(&path);
        } else if path.extension().is_some_and(|extension| extension == "blk") {
            let length = std::fs::metadata(&path).unwrap().len();
            std::fs::write(&path, vec![0; usize::try_from(length).unwrap()]).unwrap();
        }
    }
}
