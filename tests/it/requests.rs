//! What an upstream is told of an allowed request, and what the browser is told of the upstream's answer.

mod exposed;
mod ids;
mod own_answers;
mod rewritten;
mod toward_browser;
mod toward_upstream;
mod who_gets_in;

use serde_json::{Value, json};

use crate::support::raw::{Answer, masked};

const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

/// One widget that lists `example.com`.
fn one_widget() -> Value {
    json!([{ "id": "w", "allowed_domains": ["example.com"] }])
}

/// A route for `/w/{widget}/NAME` on the upstream `app`, with these keys more.
fn route(name: &str, class: &str, more: &str) -> String {
    format!("[[routes]]\npath = \"/w/{{widget}}/{name}\"\nclass = \"{class}\"\nupstream = \"app\"\n{more}\n")
}

/// What the upstream says it got.
fn told(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

/// The fields of an answer beside those that every answer has.
fn told_apart(mut answer: Answer) -> Vec<(String, String)> {
    for name in ["date", "connection", "content-length", "content-type"] {
        answer.fields.remove(name);
    }
    answer.fields.into_iter().map(|(name, value)| (name, masked(&value))).collect()
}

fn fields(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut fields: Vec<_> =
        expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    fields.sort();
    fields
}
