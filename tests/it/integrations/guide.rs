//! What docs/integrations.md says and needs no product: its configurations, its versions, and how to find out the paths
//! of one's own.

use std::fs;
use std::process::Command;

use super::recipe::{self, Recipe};
use super::token;
use crate::support::edge::Edge;
use crate::support::ports;

const OWN: &str = "Your own product";

#[tokio::test]
async fn an_edge_takes_its_configurations() {
    for section in ["Chainlit Copilot", "Streamlit", "Gradio", "An id in the query"] {
        let spec = Recipe::of(section).edge(ports::free(), &recipe::widget());
        Edge::start(spec).await;
    }
}

#[test]
fn its_versions_are_the_ones_that_are_installed() {
    let guide = recipe::text();
    for (name, package) in
        [("Chainlit Copilot", "chainlit"), ("Streamlit", "streamlit"), ("Gradio", "gradio")]
    {
        let pinned = fs::read_to_string(format!("tests/data/integrations/{package}.txt")).unwrap();
        let version = pinned.lines().find_map(|line| line.strip_prefix(&format!("{package}==")[..])).unwrap();
        let anchor = name.to_lowercase().replace(' ', "-");
        assert!(guide.contains(&format!("| [{name}](#{anchor}) {version} |")), "{name} {version}");
    }
}

#[tokio::test]
async fn the_browser_names_the_paths_and_the_log_tells_what_was_decided() {
    let (_server, scene) = token::set().await;
    scene.converse().await;
    scene.browser.leave_frames().await.unwrap();
    let [list] = blocks("js");
    let paths = scene.browser.eval(list.trim()).await.unwrap();
    let paths: Vec<&str> =
        paths.as_str().unwrap().lines().filter(|path| path.contains("support.example.net")).collect();
    assert_eq!(paths, ["iframe support.example.net /widget", "script support.example.net /sdk.js"]);

    let edge = &scene.stage.edge;
    let cable = edge.url("/cable?website_token=helpdesk");
    assert_eq!(reqwest::get(cable).await.unwrap().status(), 403);
    scene.stage.decision(|decision| decision["reason"] == "no_embedder").await;
    fs::copy(edge.folder().join("out.log"), edge.folder().join("decisions.log")).unwrap();
    let [count] = blocks("sh");
    let counted = Command::new("sh").args(["-c", &count]).current_dir(edge.folder()).output().unwrap();
    let counted = String::from_utf8(counted.stdout).unwrap();
    let decided = |class: &str, verdict: &str, reason: &str| {
        counted
            .contains(&format!("1 \"class\":\"{class}\",\"verdict\":\"{verdict}\",\"reason\":\"{reason}\"\n"))
    };
    for (class, verdict, reason) in [
        ("asset", "allow", "exact"),
        ("frame", "allow", "exact"),
        ("session", "allow", "ticket"),
        ("session", "deny", "no_embedder"),
    ] {
        assert!(decided(class, verdict, reason), "{class} {verdict} {reason} in\n{counted}");
    }
}

/// The only block of the last section in this language.
fn blocks(language: &str) -> [String; 1] {
    recipe::blocks(OWN, language).try_into().expect("one block")
}
