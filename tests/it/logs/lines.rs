//! The operational log, line by line: each has one form, names what it is about, and shows no Rust.

use std::fs;

use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};
use crate::support::upstream::Upstream;
use crate::support::{eventually, ports, raw};

/// An edge with a server that is away, one that is unwell, and a name that nobody knows.
async fn troubled(more: &str) -> Edge {
    let unwell = Upstream::with_fields("app", &[("x-test-status", "503")]).await;
    let dead = ports::free();
    let widgets = json!([{ "id": "w", "allowed_domains": ["example.com"] }]);
    let mut spec = EdgeSpec::on(dead, &widgets);
    spec.more = format!(
        "[upstreams.app]\nservers = [\"{dead}\"]\n\
         [upstreams.unwell]\nservers = [\"{}\", \"{dead}\", \"nobody.invalid:1\"]\n\
         health_check = {{ path = \"/healthz\", interval = \"200ms\", timeout = \"100ms\", unhealthy_after = 1 }}\n\
         [log]\n{more}\n",
        unwell.addr
    );
    let edge = Edge::start(spec).await;
    assert_eq!(raw::get(edge.http, "/w/w/session", &[("Origin", "https://example.com")]).await.status, 502);
    // Both have several errors.
    let path = edge.folder().join("conf/embedgate.toml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("[edge]", "[edge]\nworker = 1\ngrace = 2")).unwrap();
    edge.signal("HUP");
    fs::write(edge.rules(), "{\"widgets\": [{\"id\": \"a b\"}, {\"id\": \"c d\", \"nonsense\": 1}]}")
        .unwrap();
    let log = || fs::read_to_string(edge.folder().join("err.log")).unwrap();
    eventually("all is told", async || {
        ["upstream failed", "configuration refused", "rules refused", "look up the name"]
            .iter()
            .all(|told| log().contains(told))
            && log().matches("fails its health checks").count() >= 2
    })
    .await;
    drop(unwell);
    edge
}

#[tokio::test]
async fn each_line_of_text_has_one_form_and_shows_no_rust() {
    let edge = troubled("").await;
    let log = edge.log();
    for line in log.lines() {
        assert!(has_form(line), "{line}");
        assert_eq!(shown_rust(line), None, "{line}");
    }
    let line =
        |what: &str| log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what}: {log}"));
    for (what, parts) in [
        ("upstream failed", ["upstream=\"app\"", "kind=\"connect_refused\"", "cause=\"Connection refused"]),
        ("fails its health checks", ["upstream=\"unwell\"", "server=\"127.0.0.1:", "cause="]),
        ("look up the name", ["host=\"nobody.invalid\"", "error=", ""]),
        ("configuration refused", ["'worker'", "'grace'", "; "]),
    ] {
        for part in parts {
            assert!(line(what).contains(part), "{part}: {}", line(what));
        }
    }
    assert!(log.contains("cause=it answered with 503"), "{log}");
}

#[tokio::test]
async fn each_line_of_json_is_an_object() {
    let edge = troubled("format = \"json\"").await;
    for line in edge.log().lines() {
        let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let time = object["time"].as_str().unwrap();
        assert!(time.parse::<jiff::Timestamp>().is_ok() && time.len() == TIME.len(), "{line}");
        assert!(["error", "warn", "info"].contains(&object["level"].as_str().unwrap()), "{line}");
        assert!(!object["message"].as_str().unwrap().is_empty(), "{line}");
        if object["message"] == "upstream failed" {
            assert_eq!((&object["upstream"], &object["kind"]), (&json!("app"), &json!("connect_refused")));
        }
    }
}

/// Whether a line is a time, a level and a message.
fn has_form(line: &str) -> bool {
    let Some((time, rest)) = line.split_at_checked(TIME.len()) else { return false };
    let levels = [" ERROR ", "  WARN ", "  INFO "];
    let message = levels.iter().find_map(|level| rest.strip_prefix(level));
    let is_alike =
        |(told, form): (u8, u8)| if form.is_ascii_digit() { told.is_ascii_digit() } else { told == form };
    time.bytes().zip(TIME.bytes()).all(is_alike)
        && message.is_some_and(|message| message.starts_with(|c: char| c != ' '))
}

const TIME: &str = "2026-11-30T12:00:00.123456Z";

/// What of a line is Rust: a path, an option, or the name of a type with what is in it.
fn shown_rust(line: &str) -> Option<&str> {
    let is_type = |word: &str| {
        let name = word.trim_end_matches(['(', '{']);
        let is_named = name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.chars().skip(1).any(|c| c.is_ascii_lowercase());
        is_named && word.ends_with(['(', '{']) && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    let parts = line.split_inclusive([' ', '(', '{', '"', '=', ',']);
    let spaced = parts
        .clone()
        .zip(parts.clone().skip(1))
        .find(|(word, next)| *next == "{" && is_type(&format!("{}{{", word.trim_end())));
    let mut words = parts.filter(|word| {
        is_type(word) || word.trim_end() == "None" || word.contains("::") && !word.contains("::1")
    });
    words.next().or(spaced.map(|(word, _)| word))
}

#[test]
fn rust_is_told_from_words() {
    for line in [
        "Backend { addr: Inet(127.0.0.1:1), weight: 1 } becomes unhealthy",
        "cause=Os { code: 111 }",
        "peer=Some(127.0.0.1)",
        "peer=None",
        "in std::io::Error",
    ] {
        assert!(shown_rust(line).is_some(), "{line}");
    }
    for line in [
        "Connection refused (os error 111)",
        "rules refused: /a/{id}",
        "listening on [::1]:80",
        "None of them",
    ] {
        assert_eq!(shown_rust(line).filter(|_| !line.starts_with("None of")), None, "{line}");
    }
}
