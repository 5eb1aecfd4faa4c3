//! The control plane on real sockets: every call, every error, and that a save is in force when it is answered.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::edge::Edge;

mod activity;
mod audit;
mod backup;
mod batch;
mod description;
mod dry_run;
mod edits;
mod errors;
mod events;
mod examples;
mod filters;
mod fleet;
mod full_disk;
mod history;
pub mod mutual_tls;
mod parameters;
mod remote_commands;
mod revisions;
mod rules_file;
mod saved_means_enforced;
mod status;
mod tokens;
mod verdicts;
mod widgets;

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";
const NDJSON: &str = "application/x-ndjson";

/// A status and a JSON answer.
async fn read(answer: Response) -> (u16, Value) {
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// A call without a body.
async fn call(edge: &Edge, method: Method, path: &str) -> (u16, Value) {
    read(edge.api(method, path).send().await.unwrap()).await
}

/// A question or a trial.
async fn post(edge: &Edge, path: &str, body: &Value) -> (u16, Value) {
    read(edge.api(Method::POST, path).json(body).send().await.unwrap()).await
}

/// A batch of these lines.
async fn batch(edge: &Edge, query: &str, lines: &[Value]) -> (u16, Value) {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let call = edge.api(Method::POST, &format!("/v1/batch{query}")).header("content-type", NDJSON);
    read(call.body(body).send().await.unwrap()).await
}

/// The status of a page's request for a widget's loader.
async fn visit(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let request = reqwest::Client::new().get(edge.url(&format!("/w/{widget}/loader.js")));
    request.header("origin", origin).send().await.unwrap().status().as_u16()
}

/// The answer is this problem.
#[track_caller]
fn is_problem((status, problem): &(u16, Value), expected: u16, code: &str) {
    assert_eq!((*status, &problem["code"]), (expected, &json!(code)), "{problem}");
    assert_eq!(problem["status"], expected, "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
}
