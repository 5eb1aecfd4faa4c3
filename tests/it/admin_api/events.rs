//! Decisions and swaps as they happen.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, visit};
use crate::support::edge::{Edge, EdgeSpec};

/// A reader of server-sent events.
struct Reader {
    answer: reqwest::Response,
    text: String,
}

impl Reader {
    async fn open(edge: &Edge) -> Self {
        let answer = edge.api(Method::GET, "/v1/events").send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<String>()
                };
                let (kind, data) = (field("event:"), field("data:"));
                self.text = rest.to_owned();
                if !kind.is_empty() {
                    return (kind, serde_json::from_str(&data).unwrap());
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(5), self.answer.chunk()).await;
            let chunk = chunk.expect("an event").unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn whoever_listens_hears_decisions_swaps_and_refusals() {
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    spec.more = "[log]\ndecisions = \"off\"\n".to_owned();
    let edge = Edge::start(spec).await;
    let (mut first, mut second) = (Reader::open(&edge).await, Reader::open(&edge).await);
    for reader in [&mut first, &mut second] {
        assert_eq!(reader.next().await, ("listening".to_owned(), json!({ "generation": 1 })));
    }
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));
    edge.put(&json!({ "id": "w", "allowed_domains": ["stranger.example"] })).await;
    edge.put(&json!({ "id": "w" })).await;
    for reader in [&mut first, &mut second] {
        let mut events = Vec::new();
        for _ in 0..4 {
            events.push(reader.next().await);
        }
        // Two sources, each in its own order.
        let of = |kind: &str| -> Vec<&Value> {
            events.iter().filter(|(other, _)| other == kind).map(|(_, data)| data).collect()
        };
        let decisions: Vec<(&Value, &Value)> =
            of("decision").iter().map(|data| (&data["verdict"], &data["embedder"])).collect();
        assert_eq!(decisions, [(&json!("allow"), &json!(LISTED)), (&json!("deny"), &json!(STRANGER))]);
        assert_eq!(of("swap")[0]["generation"], 2);
        assert_eq!(of("swap")[0]["changed"], json!([{ "id": "w", "before": 1, "after": 2 }]));
        assert_eq!(of("refused")[0]["code"], "would_open_widget");
    }
    assert!(edge.decisions().is_empty(), "listening writes no log");
}

#[tokio::test]
async fn a_slow_reader_is_told_what_it_missed() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let mut reader = Reader::open(&edge).await;
    let client = reqwest::Client::new();
    let url = edge.url("/w/w/loader.js");
    // More than the socket and the backlog hold.
    let mut lagged = None;
    for _ in 0..40 {
        let visits = (0..500).map(|_| client.get(&url).header("origin", STRANGER).send());
        futures_util::future::join_all(visits).await;
    }
    for _ in 0..25_000 {
        let (kind, data) = reader.next().await;
        if kind == "lagged" {
            lagged = data["missed"].as_u64();
            break;
        }
    }
    assert!(lagged.is_some_and(|missed| missed > 0), "{lagged:?}");
}
