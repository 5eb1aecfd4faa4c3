//! `embedgate widgets export` of a running edge: the same as of its store.

use std::process::Command;

use serde_json::json;

use super::{Desk, at, done, finished};
use crate::support::edge::{Edge, EdgeSpec};

#[tokio::test]
async fn a_running_edge_is_exported_as_its_store_is() {
    let widgets: Vec<_> = (0..1500)
        .map(|n| json!({ "id": format!("w{n:05}"), "allowed_domains": ["example.com", "münchen.example"], "revision": 7 }))
        .collect();
    let mut edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    let note =
        "embedgate: data/rules.redb: another process has this store open, so the running edge is asked\n";
    let ran = at(&edge, &["widgets", "export", "running.ndjson"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "running.ndjson: 1500 widgets\n", note));
    let url = format!("http://{}", edge.admin);
    let streamed = done(&edge, &["widgets", "export", "--admin", &url]).out;
    assert_eq!(streamed.lines().count(), 1500);
    // A reader that has seen enough is no fault.
    let binary = env!("CARGO_BIN_EXE_embedgate");
    for command in ["export", "list", "list --json"] {
        let script =
            format!("({binary} widgets {command} --admin {url}; echo $? >&2) | head -n 1 > /dev/null");
        let ran = finished(Command::new("bash").current_dir(edge.folder()).args(["-c", &script]));
        assert_eq!(ran.err, "0\n", "{command}");
    }
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    done(&edge, &["widgets", "export", "stopped.ndjson"]);
    let read = |name: &str| std::fs::read_to_string(edge.folder().join(name)).unwrap();
    assert!(read("running.ndjson") == read("stopped.ndjson") && streamed == read("stopped.ndjson"));

    // Into another store, which then exports the same.
    let desk = Desk::on(&json!({ "widgets": [] }));
    desk.write("in.ndjson", &streamed);
    let ran = desk.run(&["widgets", "import", "--json", "in.ndjson"]);
    assert_eq!((ran.code, &ran.json()["created"]), (0, &json!(1500)), "{ran:?}");
    assert!(desk.run(&["widgets", "export"]).out == streamed);
    // Half an export isn't left behind.
    let ran = at(&edge, &["widgets", "export", "half.ndjson", "--admin", &url]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(!edge.folder().join("half.ndjson").exists() && !edge.folder().join("half.ndjson.part").exists());
}
