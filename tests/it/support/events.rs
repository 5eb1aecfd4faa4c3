//! A reader of the edge's events.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::edge::Edge;

/// An event, as it is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SentEvent {
    pub id: String,
    pub kind: String,
    pub data: Value,
}

/// A reader of server-sent events.
pub struct EventStream {
    answer: reqwest::Response,
    text: String,
}

impl EventStream {
    /// Reads from now on; `query` begins with `?`, or is empty. The first event is `listening`.
    pub async fn open(edge: &Edge, query: &str) -> Self {
        Self::ask(edge, query, None).await
    }

    /// Reads what came after the event with this id.
    pub async fn resume(edge: &Edge, query: &str, id: &str) -> Self {
        Self::ask(edge, query, Some(id)).await
    }

    async fn ask(edge: &Edge, query: &str, id: Option<&str>) -> Self {
        let mut call = edge.api(Method::GET, &format!("/v1/events{query}"));
        if let Some(id) = id {
            call = call.header("last-event-id", id);
        }
        let answer = call.send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut stream = Self { answer, text: String::new() };
        let first = stream.next().await;
        assert_eq!((&*first.kind, &first.data["kind"]), ("listening", &"listening".into()));
        stream
    }

    /// The next event.
    pub async fn next(&mut self) -> SentEvent {
        self.within(Duration::from_secs(5)).await.expect("an event")
    }

    /// The next event, if it comes in this time.
    pub async fn within(&mut self, time: Duration) -> Option<SentEvent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let lines = event.lines().filter_map(|line| line.strip_prefix(name));
                    lines.map(str::trim_start).collect::<String>()
                };
                let (id, kind, data) = (field("id:"), field("event:"), field("data:"));
                self.text = rest.to_owned();
                if !kind.is_empty() {
                    let data: Value = serde_json::from_str(&data).unwrap();
                    assert_eq!(data["kind"], *kind, "{data}");
                    return Some(SentEvent { id, kind, data });
                }
                continue;
            }
            let chunk = tokio::time::timeout(time, self.answer.chunk()).await.ok()?;
            let chunk = chunk.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// So many events.
    pub async fn take(&mut self, count: usize) -> Vec<SentEvent> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.next().await);
        }
        events
    }
}
