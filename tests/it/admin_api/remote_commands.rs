//! `--admin URL`: the command line asks a running edge.

use std::process::Output;

use serde_json::{Value, json};

use super::mutual_tls::Operators;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

fn run(edge: &Edge, arguments: &[&str]) -> Output {
    Edge::command(edge.folder()).args(arguments).output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_edge_answers_as_the_configured_rules_would() {
    let widgets =
        json!([{ "id": "w", "allowed_domains": ["example.com"], "access": "enforce" }, { "id": "free" }]);
    let edge = Edge::start(EdgeSpec { source: "file", ..EdgeSpec::stored(&widgets) }).await;
    let url = format!("http://{}/", edge.admin);
    for (command, code) in [
        (["explain", "--widget", "w", "--origin", "https://example.com"].as_slice(), 0),
        (&["explain", "--widget", "w", "--origin", "https://stranger.example", "--class", "session"], 1),
        (&["explain", "--widget", "unknown"], 1),
        (&["explain", "--widget", "w", "--referer", "nonsense"], 1),
        (&["lint"], 1),
    ] {
        for json in [[].as_slice(), &["--json"]] {
            let here = run(&edge, &[command, json].concat());
            let there = run(&edge, &[command, json, &["--admin", &url]].concat());
            assert_eq!(
                there.status.code(),
                Some(code),
                "{command:?}: {}",
                String::from_utf8_lossy(&there.stderr)
            );
            assert_eq!(here.status.code(), Some(code), "{command:?}");
            assert_eq!(String::from_utf8_lossy(&here.stdout), String::from_utf8_lossy(&there.stdout));
        }
    }
    let checked = run(&edge, &["check", "--json", "--admin", &url]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(
        (checked.status.code(), &report["ok"], &report["widgets"]),
        (Some(0), &json!(true), &json!(2))
    );
    std::fs::write(edge.rules(), "{").unwrap();
    eventually("the fault is seen", async || {
        run(&edge, &["check", "--admin", &url]).status.code() == Some(1)
    })
    .await;
    let told = String::from_utf8(run(&edge, &["check", "--admin", &url]).stdout).unwrap();
    assert!(
        told.contains("conf/widgets.json:1:") && told.contains("the last good rules stay in force"),
        "{told}"
    );
    assert_eq!(run(&edge, &["lint", "--admin", &url]).status.code(), Some(1), "what is in force is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_of_asking_are_told() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let url = format!("http://{}", edge.admin);
    std::fs::write(edge.folder().join("wrong"), "wrong-wrong-wrong-wrong\n").unwrap();
    std::fs::write(edge.folder().join("empty"), "# nothing\n").unwrap();
    for (arguments, code, says) in [
        (
            ["lint", "--admin", &url, "--token-file", "wrong"].as_slice(),
            3,
            "the token in wrong is none of this edge's",
        ),
        (&["lint", "--admin", &url, "--token-file", "empty"], 3, "empty: the file has no token"),
        (&["lint", "--admin", &url, "--token-file", "absent"], 3, "absent: "),
        (&["lint", "--admin", "http://127.0.0.1:1"], 3, "http://127.0.0.1:1: can't be asked: "),
        (&["lint", "--admin", &edge.url("")], 3, "the answer is 404"),
        (&["lint", "--admin", "https://localhost:1"], 2, "needs --ca FILE"),
        (&["lint", "--admin", "localhost:9090"], 2, "the scheme is missing: write http://localhost:9090"),
    ] {
        let ran = run(&edge, arguments);
        let err = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(code), "{arguments:?}: {err}");
        assert!(err.contains(says) && !err.contains("wrong-wrong"), "{arguments:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_speaks_mutual_tls() {
    let operators = Operators::new();
    let edge = operators.edge();
    let url = format!("https://localhost:{}", edge.admin.port());
    let [ca, cert, key] = ["servers.pem", "operator.pem", "operator.key"].map(|name| operators.file(name));
    let ask =
        ["explain", "--widget", "wgt_demo", "--origin", "https://example.com", "--admin", &url, "--ca", &ca];
    let with = [ask.as_slice(), &["--client-cert", &cert, "--client-key", &key]].concat();
    eventually("it is allowed", async || run(&edge, &with).status.code() == Some(0)).await;
    let without = run(&edge, &ask);
    assert!(without.status.code() == Some(3) && without.stdout.is_empty(), "{without:?}");
}
