//! The brake on wide changes, on every road by which many widgets change at once: what touches few passes, what touches
//! many is held whole and is done once somebody has said the number, and single saves know nothing of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::scale;

mod api;
mod files;
mod imports;

/// Widgets of each edge here.
const ALL: usize = 1000;

/// What can become of a widget, by its name in the counts.
const KINDS: [&str; 5] = ["deleted", "disabled", "restricted", "opened", "monitored"];

/// The kinds that are tried on a road: all of them, or in a short run two, on each road others.
fn kinds(road: usize) -> impl Iterator<Item = &'static str> {
    KINDS.into_iter().cycle().skip(2 * road).take(scale(20).min(KINDS.len()))
}

fn id(number: usize) -> String {
    format!("w{number:03}")
}

/// The document of a widget before each change.
fn base(number: usize) -> Value {
    json!({ "id": id(number), "allowed_domains": ["example.com", format!("{}.example", id(number))] })
}

/// The document after it; `None`: the widget is gone.
fn turned(kind: &str, number: usize) -> Option<Value> {
    let mut document = base(number);
    match kind {
        "deleted" => return None,
        "disabled" => document["enabled"] = json!(false),
        "restricted" => document["allowed_domains"] = json!(["example.com"]),
        "opened" => document["access"] = json!("open"),
        "monitored" => document["access"] = json!("monitor"),
        _ => panic!("{kind}"),
    }
    Some(document)
}

/// All documents, of which the first ones are turned.
fn book(kind: &str, count: usize) -> Vec<Value> {
    (0..ALL)
        .filter_map(|number| if number < count { turned(kind, number) } else { Some(base(number)) })
        .collect()
}

fn rules(documents: &[Value]) -> String {
    json!({ "widgets": documents }).to_string()
}

/// Lines of a batch that turns the first widgets.
fn lines(kind: &str, count: usize) -> String {
    let line = |number| match turned(kind, number) {
        Some(document) => json!({ "put": document }),
        None => json!({ "delete": { "id": id(number) } }),
    };
    (0..count).map(|number| format!("{}\n", line(number))).collect()
}

/// The counts that a held change is told with.
fn counts(kind: &str, count: usize) -> Value {
    let mut counts = json!({ "widgets": ALL, "confirm": count });
    for other in KINDS {
        counts[other] = json!(if other == kind { count } else { 0 });
    }
    counts
}

async fn generation(edge: &Edge) -> u64 {
    let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
    status["generation"].as_u64().unwrap()
}

/// How many widgets are as they would be after this kind of change.
async fn count(edge: &Edge, kind: &str) -> usize {
    let answer: Value = edge.admin("/v1/widgets?limit=1000").await.json().await.unwrap();
    let documents = answer["widgets"].as_array().unwrap();
    if kind == "deleted" {
        return ALL - documents.len();
    }
    let is_turned = |document: &&Value| match kind {
        "disabled" => document["enabled"] == false,
        "restricted" => document["allowed_domains"] == json!(["example.com"]),
        "opened" => document["access"] == "open",
        "monitored" => document["access"] == "monitor",
        _ => panic!("{kind}"),
    };
    documents.iter().filter(is_turned).count()
}
