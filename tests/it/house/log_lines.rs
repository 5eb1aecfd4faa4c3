//! Lines of the operational log in the code: they are for people, so nothing in them is written as Rust shows it.

use super::text::{Blank, blank};
use super::{Source, sources};

/// Calls that write a line.
const CALLS: [&str; 5] =
    ["tracing::error!(", "tracing::warn!(", "tracing::info!(", "tracing::debug!(", "tracing::trace!("];

/// What shows a value as Rust does: a field (`?name`, `name = ?value`) or a place in the message (`{name:?}`).
const SHOWN: [&str; 4] = ["(?", ", ?", "= ?", ":?}"];

#[test]
fn no_line_of_the_log_shows_rust() {
    let faults: Vec<String> = sources().iter().flat_map(faults).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn such_lines_are_found() {
    let found = |text: &str| {
        let text = format!("fn f() {{\n    {text};\n}}\n");
        faults(&Source { root: "src", path: "x.rs".to_owned(), text }).len()
    };
    for line in [
        "tracing::warn!(cause = ?error, \"no\")",
        "tracing::info!(?reason, \"no\")",
        "tracing::error!(a = 1, ?reason, \"no\")",
        "tracing::debug!(\"in {period:?}\")",
        "tracing::error!(\n        bucket = a(b),\n        ?c,\n        \"no\"\n    )",
    ] {
        assert_eq!(found(line), 1, "{line}");
    }
    for line in [
        "tracing::warn!(%error, \"no\")",
        "tracing::info!(\"why?\")",
        "f(?, \"{a:?}\")",
        "// tracing::warn!(?a)",
    ] {
        assert_eq!(found(line), 0, "{line}");
    }
}

fn faults(source: &Source) -> Vec<String> {
    let text = blank(&source.text, Blank::Comments);
    let calls = CALLS.iter().flat_map(|call| text.match_indices(call));
    let shown = calls.filter(|(at, call)| {
        let rest = &text[at + call.len() - 1..];
        let call = rest[..end(rest)].split_whitespace().collect::<Vec<_>>().join(" ");
        SHOWN.iter().any(|shown| call.contains(shown))
    });
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    shown
        .map(|(at, _)| format!("{}/{}:{}: shows Rust in a log", source.root, source.path, line(at)))
        .collect()
}

/// Where the parenthesis closes that opens here.
fn end(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 1 => return at,
            ')' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}
