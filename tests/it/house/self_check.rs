//! The checker finds what it is for, in texts made up to be wrong.

use super::*;

/// A file of this path, with `policy/` in front where it is of that crate.
fn source(path: &str, text: &str) -> Source {
    let (root, path) = match path.strip_prefix("policy/") {
        Some(path) => ("crates/policy/src", path),
        None => ("src", path),
    };
    Source { root, path: path.to_owned(), text: text.to_owned() }
}

fn found(path: &str, text: &str) -> Vec<String> {
    faults(&[source(path, text)])
}

/// The one line that is at fault is the second.
#[track_caller]
fn finds(path: &str, line: &str, what: &str) {
    let found = found(path, &format!("//! A room.\n{line}\n"));
    let [fault] = &found[..] else { panic!("{path}: {line}: {found:?}") };
    let Source { root, path, .. } = source(path, "");
    assert!(fault.starts_with(&format!("{root}/{path}:2: ")) && fault.contains(what), "{fault}");
}

#[track_caller]
fn passes(path: &str, text: &str) {
    assert_eq!(found(path, text), Vec::<String>::new(), "{path}: {text}");
}

#[test]
fn one_floor_knows_another() {
    for (path, line, name) in [
        ("config/table.rs", "use crate::rules::source::SourceKind;", "rules"),
        ("telemetry/metrics.rs", "use crate::config::Settings;", "config"),
        ("rules/book/apply.rs", "use crate::{rules::live::LiveRules, config::Settings};", "config"),
        ("rules.rs", "use super::telemetry::metrics::Metrics;", "telemetry"),
        ("rules/source/file.rs", "use super::super::super::edge::proxy;", "edge"),
        ("edge/judge.rs", "use crate::admin::Admin;", "admin"),
        ("admin/status.rs", "use crate::edge::route::Route;", "edge"),
        ("admin.rs", "use crate::config::Settings;", "config"),
        ("edge/proxy.rs", "use crate::app::AppError;", "app"),
        ("cli.rs", "use crate::edge::route::Route;", "edge"),
        ("main.rs", "use embedgate::app;", "app"),
        ("edge/tests.rs", "mod tests { use super::super::super::admin::Admin; }", "admin"),
    ] {
        finds(path, line, &format!("must not know `{name}`"));
    }
    finds("config.rs", "#[cfg(test)] mod tests { use crate::rules::book::RuleBook; }", "`rules`");
    assert_eq!(found("common.rs", ""), ["src/common.rs:1: `common` is no room of the house"]);
}

#[test]
fn neighbours_on_one_floor_may_know_each_other() {
    passes("policy/entry/parse.rs", "use super::super::origin::Origin; use super::{Entry, EntryError};");
    passes("admin/guard.rs", "use super::Admin;\nmod tests { use super::*; use super::super::problem::P; }");
    passes("edge/judge.rs", "//! See `crate::admin`.\nuse crate::{config, rules::{live, book}};\n");
    passes("cli/check.rs", "const WORDS: &str = \"crate::edge and \\\" super::super::edge\";");
    passes(
        "cli/check.rs",
        "const WORDS: &str = r#\"\"crate::edge\"#; const A: char = '\"'; /* crate::edge */",
    );
    passes("main.rs", "use embedgate::cli::Cli;");
    passes("lib.rs", "pub mod admin;\npub mod edge;\nuse crate::edge::proxy;");
}

#[test]
fn a_crate_is_named_outside_its_place() {
    for (path, line, name) in [
        ("admin.rs", "use pingora_core::server::Server;", "pingora_core"),
        ("telemetry/operational_log.rs", "fn f(_: pingora_core::Error) {}", "pingora_core"),
        ("policy/lib.rs", "async fn f() { tokio::task::yield_now().await }", "tokio"),
        ("edge/route.rs", "use axum::Router;", "axum"),
        ("policy/entry.rs", "use std::fs::File;", "std::fs"),
        ("policy/decision.rs", "fn now() -> Timestamp { Timestamp::now() }", "Timestamp::now"),
        ("app.rs", "fn f(registry: &prometheus::Registry) {}", "prometheus"),
    ] {
        finds(path, line, &format!("`{name}` belongs to"));
    }
    passes(
        "telemetry/operational_log.rs",
        "const TARGET: &str = \"pingora_core::proxy\"; // pingora_core::proxy",
    );
    passes("admin/widgets.rs", "use axum::Router;");
    passes("policy/entry.rs", "#[cfg(test)]\nmod tests {\n    use std::fs::File;\n}");
}

#[test]
fn a_panic_has_no_reason() {
    for call in ["x.unwrap()", "x.expect(\"a reason\")", "panic!(\"no\")", "unreachable!()"] {
        finds("policy/entry.rs", &format!("fn f() {{ {call} }}"), "without an #[expect(clippy::");
    }
    finds(
        "policy/entry.rs",
        "#[expect(clippy::expect_used, reason = \"is so (always)\")] fn f() { x.expect(\"so\"); } fn g() { y.unwrap(); }",
        "`.unwrap()`",
    );
    passes(
        "policy/entry.rs",
        "#[expect(clippy::expect_used, reason = \"r\")]\nfn f() { g(); x.expect(\"so\") }",
    );
    passes("policy/entry.rs", "#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap() }\n}");
    passes("policy/entry.rs", "#[cfg(all(test, unix))]\nmod tests {\n    fn f() { x.unwrap() }\n}");
    finds("policy/entry.rs", "#[cfg(test)] mod tests {} fn f() { x.unwrap() }", "`.unwrap()`");
    passes("policy/entry.rs", "//! `x.unwrap()`\nconst A: &str = \"x.unwrap()\";");
    let mut sources =
        ["policy/entry.rs", "policy/entry/tests.rs", "policy/entry/tests/more.rs"].map(|path| {
            let text = "#[cfg(test)]\nmod tests;\nfn f() { x.unwrap() }\n".to_owned();
            source(path, &text)
        });
    assert_eq!(faults(&sources).len(), 1, "{:?}", faults(&sources));
    sources[0].text = "mod tests;".to_owned();
    assert!(faults(&sources).iter().any(|fault| fault.starts_with("crates/policy/src/entry/tests.rs:3: ")));
}

#[test]
fn a_file_is_long() {
    let lines = "fn f() {}\n".repeat(MOST_LINES);
    passes("policy/entry.rs", &format!("{lines}#[cfg(test)]\nmod tests {{\n{lines}}}\n"));
    let found = found("policy/entry.rs", &format!("{lines}fn g() {{}}\n"));
    assert!(found.len() == 1 && found[0].starts_with("crates/policy/src/entry.rs:351: "), "{found:?}");
}

#[test]
fn a_metric_is_named_outside_its_place() {
    finds("edge/proxy.rs", "fn f() { counter(\"requests_total\") }", "`requests_total` belongs to telemetry");
    finds("app/observe.rs", "const NAME: &str = \"embedgate_rules\";", "`embedgate_rules` belongs");
    passes("telemetry/metrics.rs", "const NAME: &str = \"requests_total\";");
    passes(
        "app/observe.rs",
        "// \"requests_total\"\nconst SAY: &str = \"the requests_total of embedgate_x\";",
    );
}

#[test]
fn a_type_has_the_name_of_another() {
    let two = [source("edge/a.rs", "pub struct Table;\n"), source("policy/b.rs", "//! B\nenum Table {}\n")];
    assert_eq!(doubled_types(&two), ["`Table` stands twice: src/edge/a.rs:1, crates/policy/src/b.rs:2"]);
    for other in
        ["#[cfg(test)]\nmod tests {\n    struct Table;\n}\n", "impl T for U {\n    type Table = u8;\n}\n"]
    {
        let one = [source("edge/a.rs", "pub struct Table;\n"), source("edge/b.rs", other)];
        assert_eq!(doubled_types(&one), Vec::<String>::new());
    }
}

#[test]
fn rooms_know_each_other_in_a_circle() {
    let circles = |files: &[(&str, &str)]| {
        let files: Vec<Source> = files.iter().map(|(path, text)| source(path, text)).collect();
        circles::between_rooms(&files)
    };
    let one_way = ("edge/cache/store.rs", "use crate::edge::{http::fields::Fields, stream};\n");
    let back = ("edge/http/fields.rs", "fn f() -> super::super::cache::store::Store {}\n");
    assert_eq!(
        circles(&[one_way, ("edge/http/fields.rs", ""), ("edge/stream.rs", "")]),
        Vec::<String>::new()
    );
    let found = circles(&[one_way, back]);
    assert!(
        found.len() == 1 && found[0].contains("edge/cache/store") && found[0].contains("edge/http/fields")
    );
    let round = [
        ("rules.rs", "pub mod live;\npub use live::LiveRules;\n"),
        ("rules/live.rs", "use crate::telemetry::metrics::Metrics;\n"),
        ("telemetry/metrics.rs", "use crate::{config, rules};\n"),
    ];
    assert_eq!(circles(&round).len(), 1);
    let only_tests =
        ("edge/http/fields.rs", "#[cfg(test)]\nmod tests {\n    use crate::edge::cache::store;\n}\n");
    assert_eq!(circles(&[one_way, only_tests]), Vec::<String>::new());
    let one_room = [("edge/cache/a.rs", "use super::b::B;\n"), ("edge/cache/b.rs", "use super::a::A;\n")];
    assert_eq!(circles(&one_room), Vec::<String>::new());
}
