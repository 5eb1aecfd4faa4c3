//! Every change is written down before it is in force.

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, call, is_problem, visit};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};

fn lines(edge: &Edge) -> Vec<Value> {
    let text = std::fs::read_to_string(edge.folder().join("data/audit.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn changes_are_recorded_with_who_and_what() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let before = lines(&edge).len();
    edge.put(&json!({ "id": "w", "allowed_domains": ["a.example", "b.example"] })).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["b.example", "c.example"], "enabled": false })).await;
    edge.put(&json!({ "id": "w", "allowed_domains": ["b.example", "c.example"], "enabled": false })).await;
    edge.put(&json!({ "id": "w" })).await;
    call(&edge, Method::DELETE, "/v1/widgets/w").await;
    let lines = &lines(&edge)[before..];
    let told: Vec<(&Value, &Value, &Value)> =
        lines.iter().map(|line| (&line["action"], &line["before"], &line["after"])).collect();
    assert_eq!(
        told,
        [
            (&json!("create"), &Value::Null, &json!(1)),
            (&json!("update"), &json!(1), &json!(2)),
            (&json!("delete"), &json!(2), &json!(3)),
        ],
        "what changed nothing is not there"
    );
    assert_eq!(
        lines[1]["changes"],
        json!({ "allowed_domains": { "added": ["c.example"], "removed": ["a.example"] }, "enabled": { "before": true, "after": false } })
    );
    for line in lines {
        let actor = line["actor"].as_str().unwrap();
        assert!(actor.starts_with("token:write:") && actor.len() == "token:write:".len() + 8, "{actor}");
        assert!(line["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
        for token in [READ_TOKEN, WRITE_TOKEN] {
            assert!(!line.to_string().contains(token) && !edge.log().contains(token));
        }
    }
}

#[tokio::test]
async fn what_can_not_be_recorded_is_not_saved() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let log = edge.folder().join("data/audit.jsonl");
    let _ = std::fs::remove_file(&log);
    std::os::unix::fs::symlink("/dev/full", &log).unwrap();
    let document = json!({ "id": "w", "allowed_domains": ["stranger.example"] });
    let refused = edge.put(&document).await;
    is_problem(&refused, 503, "audit_unavailable");
    is_problem(&super::batch(&edge, "", &[json!({ "put": document })]).await, 503, "audit_unavailable");
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/w").await.1["revision"], 1);
    std::fs::remove_file(&log).unwrap();
    assert_eq!(edge.put(&document).await.0, 200, "room again");
    assert_eq!(lines(&edge).len(), 1);
    assert_eq!(visit(&edge, "w", STRANGER).await, 200);
}
