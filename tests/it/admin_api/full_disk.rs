//! A save for which the disk has no room: 507, the old rules serve, and saves go on when there is room again.

use serde_json::{Value, json};

use super::{LISTED, STRANGER, is_problem, visit};
use crate::support::disk::SmallDisk;
use crate::support::edge::{Edge, EdgeSpec};

fn large(n: usize) -> Value {
    json!({ "id": format!("n{n}"), "allowed_domains": ["example.com"], "labels": { "filler": "x".repeat(100_000) } })
}

#[tokio::test]
async fn a_save_without_room_is_507_and_changes_nothing() {
    let disk = SmallDisk::mount("8m");
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    let store = disk.at("rules.redb");
    spec.more = format!("[rules]\nsource = \"store\"\nstore = {{ path = {store:?} }}\n");
    let edge = Edge::start(spec).await;

    let mut saved = 0;
    let refused = loop {
        match edge.put(&large(saved)).await {
            (201, _) => saved += 1,
            refused => break refused,
        }
    };
    is_problem(&refused, 507, "storage_full");
    assert!(saved > 0);
    let generation = edge.metric("embedgate_rules_generation").await;
    is_problem(&edge.put(&large(saved)).await, 507, "storage_full");
    assert_eq!(edge.metric("embedgate_rules_generation").await, generation);
    assert_eq!(visit(&edge, "w", LISTED).await, 200);
    assert_eq!(visit(&edge, &format!("n{saved}"), LISTED).await, 403);

    disk.resize("32m");
    assert_eq!(edge.put(&large(saved)).await.0, 201);
    assert_eq!(visit(&edge, &format!("n{saved}"), LISTED).await, 200);
    assert_eq!(edge.put(&json!({ "id": "w", "allowed_domains": ["stranger.example"] })).await.0, 200);
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (403, 200));
}
