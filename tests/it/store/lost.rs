//! What is gone when an edge starts: a store whose audit log is still there, a seed that somebody named.

use std::fs;
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::edge::{Edge, EdgeSpec};

const STORE: &str = "data/rules.redb";
const AUDIT: &str = "data/audit.jsonl";
const GONE: &str = "data/rules.redb: the store is not there, but the changes in data/audit.jsonl were made to one: put \
                    back a copy with `embedgate restore FILE`, or start once with `embedgate run --new-store`, which \
                    makes a new one";

fn spec() -> EdgeSpec {
    EdgeSpec::stored(&json!([{ "id": "seeded", "allowed_domains": ["example.com"] }]))
}

fn run(edge: &Edge, arguments: &[&str]) -> Output {
    Edge::command(edge.folder()).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// An edge that saved a change and has ended.
async fn ended() -> Edge {
    let mut edge = Edge::start(spec()).await;
    assert_eq!(edge.put(&json!({ "id": "saved", "allowed_domains": ["example.com"] })).await.0, 201);
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge
}

async fn widgets(edge: &Edge) -> Vec<String> {
    let told: Value = edge.api(Method::GET, "/v1/widgets").send().await.unwrap().json().await.unwrap();
    told["widgets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|widget| widget["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_lost_store_is_not_made_anew_in_silence() {
    let mut edge = ended().await;
    fs::rename(edge.folder().join(STORE), edge.folder().join("copy")).unwrap();
    for arguments in
        [&["run"][..], &["check"], &["lint"], &["explain", "--widget", "seeded"], &["widgets", "export"]]
    {
        let ran = run(&edge, arguments);
        let told = [text(&ran.stdout), text(&ran.stderr)].concat();
        assert!(ran.status.code() == Some(1) && told.contains(GONE), "{arguments:?}: {told}");
    }
    fs::write(edge.folder().join("one"), r#"{"id":"one"}"#).unwrap();
    assert!(text(&run(&edge, &["widgets", "import", "one"]).stderr).contains(GONE));
    for name in ["rules.redb", "rules.redb.new"] {
        assert!(!edge.folder().join("data").join(name).exists(), "nothing is made: {name}");
    }

    // What the message says: a copy put back.
    fs::rename(edge.folder().join("copy"), edge.folder().join(STORE)).unwrap();
    edge.restart().await;
    assert_eq!(widgets(&edge).await, ["saved", "seeded"]);
}

#[tokio::test]
async fn a_new_store_is_made_by_those_who_say_so() {
    for arguments in [&["run", "--new-store"][..], &["--new-store"], &["--new-store", "run"]] {
        let mut edge = ended().await;
        fs::remove_file(edge.folder().join(STORE)).unwrap();
        edge.restart_with(arguments).await;
        assert_eq!(widgets(&edge).await, ["seeded"], "{arguments:?}");
        assert!(!edge.log().contains("--new-store"), "{}", edge.log());
        edge.signal("TERM");
        assert_eq!(edge.exit_code().await, Some(0));
        // It is there again. Whoever leaves the option in is told.
        edge.restart_with(arguments).await;
        assert!(edge.log().contains("the store is there, so --new-store has no effect"), "{}", edge.log());
    }
}

#[tokio::test]
async fn an_import_into_a_new_store_is_said_too() {
    let edge = ended().await;
    fs::remove_file(edge.folder().join(STORE)).unwrap();
    fs::write(edge.folder().join("one"), r#"{"id":"one"}"#).unwrap();
    let ran = run(&edge, &["widgets", "import", "--new-store", "one"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert_eq!(text(&run(&edge, &["widgets", "export"]).stdout).lines().count(), 1);
}

#[tokio::test]
async fn what_shows_no_lost_store_keeps_nobody_from_starting() {
    let mut edge = ended().await;
    let restart = async |edge: &mut Edge| {
        edge.restart().await;
        assert_eq!(widgets(edge).await, ["seeded"]);
        edge.signal("TERM");
        assert_eq!(edge.exit_code().await, Some(0));
        fs::remove_file(edge.folder().join(STORE)).unwrap();
    };
    fs::remove_file(edge.folder().join(STORE)).unwrap();
    let kept = fs::read_to_string(edge.folder().join(AUDIT)).unwrap();
    // A log of rules that were a file's.
    fs::write(edge.folder().join(AUDIT), kept.replace(r#""source":"store""#, r#""source":"file""#)).unwrap();
    restart(&mut edge).await;
    // No log, and an empty one.
    fs::remove_file(edge.folder().join(AUDIT)).unwrap();
    restart(&mut edge).await;
    fs::write(edge.folder().join(AUDIT), "").unwrap();
    restart(&mut edge).await;
    // A first start that was cut off between its records and the store's name.
    fs::write(edge.folder().join(AUDIT), &kept).unwrap();
    fs::write(edge.folder().join("data/rules.redb.new"), "half a page").unwrap();
    restart(&mut edge).await;
    assert!(!run(&edge, &["check"]).status.success());
    // A log that nobody can read tells of everything.
    fs::write(edge.folder().join(AUDIT), "what is this?").unwrap();
    assert!(!run(&edge, &["check"]).status.success());
}

#[test]
fn a_seed_that_was_named_has_to_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let shipped = fs::read_to_string("conf/embedgate.toml").unwrap();
    fs::create_dir(folder.path().join("conf")).unwrap();
    let config = folder.path().join("conf/embedgate.toml");
    let told = |arguments: &[&str], seed: Option<&str>| {
        let mut command: Command = Edge::command(folder.path());
        let ran = command.args(arguments).envs(seed.map(|seed| ("EMBEDGATE__RULES__STORE__SEED", seed)));
        let ran = ran.output().unwrap();
        (ran.status.code(), [text(&ran.stdout), text(&ran.stderr)].concat())
    };
    let says = "rules.store.seed: conf/wdgets.json is not there, and a new store takes its widgets from it: put it \
                there ({\"widgets\": []} for none), or leave the key out";

    fs::write(&config, shipped.replace("\n[policy]", "\nstore = { seed = \"conf/wdgets.json\" }\n[policy]"))
        .unwrap();
    let line = 1 + shipped.lines().position(|line| line == "[policy]").unwrap();
    for command in ["run", "check"] {
        let (code, said) = told(&[command], None);
        let place = format!("conf/embedgate.toml:{line}:18: {says}");
        assert!(code == Some(1) && said.contains(&place), "{command}: {said}");
    }
    fs::write(&config, &shipped).unwrap();
    for command in ["run", "check"] {
        let (code, said) = told(&[command], Some("conf/wdgets.json"));
        let place = format!("EMBEDGATE__RULES__STORE__SEED: {says}");
        assert!(code == Some(1) && said.contains(&place), "{command}: {said}");
    }
    assert!(!folder.path().join(STORE).exists());
    // The usual one that isn't there means a store without widgets.
    assert_eq!(told(&["check"], None).0, Some(0));
    // A store that is there takes nothing from a seed any more.
    fs::write(folder.path().join("one"), r#"{"id":"one"}"#).unwrap();
    assert_eq!(told(&["widgets", "import", "one"], Some("conf/wdgets.json")).0, Some(0));
    let (code, said) = told(&["check"], Some("conf/wdgets.json"));
    assert!(code == Some(0) && said.contains("fine, 1 widget in data/rules.redb"), "{said}");
}
