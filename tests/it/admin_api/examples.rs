//! The examples of the documentation: each is run as it stands there.

use std::process::Command;

use crate::support::edge::{Edge, EdgeSpec};

const PAGE: &str = "docs/admin-api.md";

/// Command lines of the page, block by block.
fn blocks() -> Vec<String> {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|block| block.split_once("```").unwrap().0.to_owned()).collect()
}

/// Runs a block in the folder of an edge, with what the page sets before, and returns what it prints.
fn run(edge: &Edge, block: &str) -> Result<String, String> {
    let (first, _) = blocks().into_iter().map(|block| (block, ())).next().unwrap();
    let settings = first.replace("http://localhost:9090", &format!("http://{}", edge.admin));
    assert!(settings.contains(&edge.admin.to_string()), "{settings}");
    let script =
        format!("curl() {{ command curl -sS --fail-with-body --max-time 20 \"$@\"; }}\n{settings}\n{block}");
    let ran =
        Command::new("bash").args(["-euo", "pipefail", "-c", &script]).current_dir(edge.folder()).output();
    let ran = ran.unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.success() { Ok(told) } else { Err(told) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_runs() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let in_file = Edge::start(EdgeSpec::default()).await;
    let mut ran = 0;
    for block in blocks().into_iter().skip(1) {
        // A stream has no end, and other programs have tests of their own.
        if block.contains("curl -N") || !block.contains("curl ") {
            continue;
        }
        let edge = if block.contains("/v1/rules/apply") { &in_file } else { &edge };
        let told = tokio::task::block_in_place(|| run(edge, &block));
        assert!(told.is_ok(), "{block}\n{}", told.unwrap_err());
        ran += 1;
    }
    assert!(ran >= 10, "{ran}");
}
