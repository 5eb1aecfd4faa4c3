//! Notifications to a real receiver.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::webhooks::Webhooks;

mod arrival;
mod away;
mod order;
mod refused;
mod settings;
mod tls;

/// An edge with its rules in a store, whose notifications go to this address.
fn spec(receiver: SocketAddr) -> EdgeSpec {
    let more = Webhooks::settings(receiver);
    EdgeSpec { more, ..EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }])) }
}

/// Asks for a test notification. Returns its id.
async fn test(edge: &Edge) -> String {
    let answer = edge.api(Method::POST, "/v1/notifications/test").send().await.unwrap();
    assert_eq!(answer.status(), 202);
    let told: Value = answer.json().await.unwrap();
    told["id"].as_str().unwrap().to_owned()
}

/// `GET /v1/notifications`.
async fn state(edge: &Edge) -> Value {
    let answer = edge.admin("/v1/notifications").await;
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Waits until so many notifications wait.
async fn pending(edge: &Edge, number: usize) {
    eventually(&format!("{number} wait"), async || state(edge).await["pending"] == number).await;
}
