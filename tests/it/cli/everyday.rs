//! The everyday change from a shell: `embedgate widgets` on a running edge.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Ran, at, done, finished, refused};
use crate::support::disk::SmallDisk;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

/// The status of a page's request for a widget's loader.
async fn visit(edge: &Edge, widget: &str, origin: &str) -> u16 {
    let request = reqwest::Client::new().get(edge.url(&format!("/w/{widget}/loader.js")));
    request.header("origin", origin).send().await.unwrap().status().as_u16()
}

async fn start(widgets: Value) -> Edge {
    Edge::start(EdgeSpec::stored(&widgets)).await
}

/// The stored document.
async fn document(edge: &Edge, id: &str) -> Value {
    edge.api(Method::GET, &format!("/v1/widgets/{id}")).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_site_is_let_in_and_out_by_one_command() {
    let edge = start(json!([{ "id": "w", "allowed_domains": ["example.com"] }])).await;
    let new = "https://new.example";
    assert_eq!(visit(&edge, "w", new).await, 403);
    let ran = done(&edge, &["widgets", "allow", "w", "new.example"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "w: new.example is on the list (revision 2, in force as generation 2)");
    assert!(
        lines[1..].iter().all(|line| line.starts_with("  lint: www_apex_gap /allowed_domains/")),
        "{lines:?}"
    );
    assert_eq!((visit(&edge, "w", new).await, visit(&edge, "w", "https://example.com").await), (200, 200));
    let ran = done(&edge, &["widgets", "allow", "w", "NEW.example:443"]);
    assert!(ran.out.starts_with("w: NEW.example:443 is on the list already (revision 2, "), "{}", ran.out);

    let more = ["--expires-at", "2999-01-31T00:00:00Z", "--note", "launch"];
    done(&edge, &[&["widgets", "allow", "w", "*.pr.example", "new.example"][..], &more].concat());
    let launch =
        |pattern: &str| json!({ "pattern": pattern, "expires_at": "2999-01-31T00:00:00Z", "note": "launch" });
    let list = json!(["example.com", launch("new.example"), launch("*.pr.example")]);
    assert_eq!(document(&edge, "w").await["allowed_domains"], list);

    let ran = done(&edge, &["widgets", "disallow", "w", "new.example", "*.pr.example"]);
    assert!(
        ran.out.starts_with("w: new.example, *.pr.example no longer on the list (revision 4, "),
        "{}",
        ran.out
    );
    assert_eq!(visit(&edge, "w", new).await, 403);
    // What is typed wrong takes nothing off, and does not look as if it did.
    let ran = at(&edge, &["widgets", "disallow", "w", "exmaple.com"]);
    assert_eq!(
        (ran.code, ran.out.lines().next().unwrap_or_default()),
        (0, "w: nothing to take off the list (revision 4, in force as generation 4)")
    );
    assert_eq!(ran.err, "embedgate: `exmaple.com` is not on the list of w; did you mean `example.com`?\n");
    // Nor does what another entry still admits.
    done(&edge, &["widgets", "allow", "w", ".example.com"]);
    let ran = at(&edge, &["widgets", "disallow", "w", "example.com"]);
    assert_eq!(ran.err, "embedgate: `.example.com` is on the list of w and still admits example.com\n");

    // As the API answers it.
    let told = done(&edge, &["widgets", "allow", "w", "last.example", "--json"]).json();
    assert_eq!(told["widget"], document(&edge, "w").await);
    assert!(told["generation"].is_u64() && told["lints"].is_array(), "{told}");
}

#[tokio::test]
async fn what_would_restrict_or_open_a_widget_is_confirmed() {
    let edge = start(json!([{ "id": "free" }, { "id": "w", "allowed_domains": ["example.com"] }])).await;
    let allow = ["widgets", "allow", "free", "example.com"];
    refused(&edge, 1, &allow, &["would_restrict_widget: ", "run the same command with --confirm restrict"]);
    assert_eq!(visit(&edge, "free", "https://any.example").await, 200);
    done(&edge, &[&allow[..], &["--confirm", "restrict"]].concat());
    assert_eq!(visit(&edge, "free", "https://any.example").await, 403);
    refused(&edge, 1, &["widgets", "disallow", "w", "example.com"], &["would_open_widget: "]);
    // Back to the document that was open.
    refused(
        &edge,
        1,
        &["widgets", "revert", "free", "1"],
        &["would_open_widget: ", "same command with --confirm open"],
    );
    let ran = done(&edge, &["widgets", "revert", "free", "1", "--confirm", "open"]);
    assert!(
        ran.out.contains("as in revision 1") && ran.out.contains("any site may embed it now"),
        "{}",
        ran.out
    );
    assert_eq!(visit(&edge, "free", "https://any.example").await, 200);
}

#[tokio::test]
async fn what_get_gives_is_edited_and_put_back() {
    let edge =
        start(json!([{ "id": "w", "allowed_domains": ["example.com"], "capabilities": ["chat"] }])).await;
    let file = edge.folder().join("w.json");
    let ran = done(&edge, &["widgets", "get", "w"]);
    assert_eq!(ran.json(), document(&edge, "w").await);
    let edited = ran.out.replace("example.com", "shop.example.com");
    std::fs::write(&file, &edited).unwrap();
    let ran = done(&edge, &["widgets", "put", "w.json"]);
    assert!(ran.out.starts_with("w: saved (revision 2, "), "{}", ran.out);
    let stored = document(&edge, "w").await;
    assert_eq!(
        (&stored["allowed_domains"], &stored["capabilities"]),
        (&json!(["shop.example.com"]), &json!(["chat"]))
    );

    // The same file again, edited: somebody was faster, as it is no longer what is stored.
    std::fs::write(&file, edited.replace("shop.", "blog.")).unwrap();
    refused(
        &edge,
        1,
        &["widgets", "put", "w.json"],
        &["precondition_failed: ", "`embedgate widgets get ID > FILE`"],
    );
    assert_eq!(document(&edge, "w").await, stored);
    // A revision of the writer's own, and none.
    let put = |document: Value, more: &[&str]| {
        std::fs::write(&file, document.to_string()).unwrap();
        at(&edge, &[&["widgets", "put", "w.json"][..], more].concat())
    };
    let told = |ran: &Ran| ran.out.split(", in force").next().unwrap().to_owned();
    let own = json!({ "id": "w", "allowed_domains": ["a.example"], "revision": 40 });
    assert_eq!(told(&put(own.clone(), &[])), "w: saved (revision 40");
    assert_eq!(told(&put(own, &[])), "w: unchanged (revision 40");
    let bare = json!({ "id": "w", "allowed_domains": ["b.example"] });
    let lost = put(bare.clone(), &["--if-revision", "39"]);
    assert!(lost.code == 1 && lost.err.contains("precondition_failed: "), "{lost:?}");
    assert_eq!(told(&put(bare, &["--if-revision", "40"])), "w: saved (revision 41");
    // One that isn't there yet, from standard input, also with a revision of another edge.
    for (id, json) in [("new", "{\"id\": \"new\"}"), ("moved", "{\"id\": \"moved\", \"revision\": 7}")] {
        std::fs::write(edge.folder().join("in"), json).unwrap();
        let input = std::fs::File::open(edge.folder().join("in")).unwrap();
        let ran = finished(Edge::command(edge.folder()).args(["widgets", "put", "-"]).stdin(input));
        assert!(ran.code == 0 && ran.out.starts_with(&format!("{id}: created (revision ")), "{ran:?}");
        assert!(ran.out.contains("any site may embed it now"), "{ran:?}");
    }
}

#[tokio::test]
async fn every_fault_of_a_document_is_told() {
    let edge = start(json!([{ "id": "w", "allowed_domains": ["example.com"] }])).await;
    let write = |text: &str| std::fs::write(edge.folder().join("w.json"), text).unwrap();
    write("{\"id\": \"w\", \"allowed_domains\": [\"https://a.example/shop\", \"*.co.uk\", \"b.example\"]}");
    let put = ["widgets", "put", "w.json"];
    refused(
        &edge,
        1,
        &put,
        &[
            "invalid_document: 2 errors",
            "\n  /allowed_domains/0: ",
            "`https://a.example`",
            "\n  /allowed_domains/1: ",
            "`co.uk`",
        ],
    );
    for (text, says) in [
        ("{\"id\": \"w\",}", "w.json: not JSON: trailing comma at line 1 column 12"),
        ("{\"widgets\": []}", "w.json: this is a rules file"),
        ("{\"id\": \"a b\"}", "w.json: /id: "),
    ] {
        write(text);
        refused(&edge, 1, &put, &[says]);
    }
    refused(&edge, 1, &["widgets", "put", "absent.json"], &["absent.json: "]);
    refused(
        &edge,
        1,
        &["widgets", "allow", "w", "https://a.example/shop"],
        &["/add/0", "`https://a.example`"],
    );
    refused(
        &edge,
        1,
        &["widgets", "allow", "nobody", "a.example"],
        &["unknown_widget: ", "`embedgate widgets list`"],
    );
    assert_eq!(document(&edge, "w").await["revision"], 1);
}

#[tokio::test]
async fn a_table_lists_the_widgets() {
    let mut widgets = vec![
        json!({ "id": "a-team", "labels": { "team": "growth", "tier": "gold" }, "allowed_domains": ["example.com"] }),
        json!({ "id": "b-team", "environment": "staging", "labels": { "team": "growth" }, "enabled": false }),
        json!({ "id": "c-team", "labels": { "team": "core" }, "access": "monitor", "allowed_domains": [".example.com", "a.example"] }),
    ];
    let edge = start(json!(widgets)).await;
    let table = done(&edge, &["widgets", "list"]).out;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["ID", "ENVIRONMENT", "ACCESS", "ENTRIES", "ENABLED"],
            vec!["a-team", "production", "enforce", "1", "yes"],
            vec!["b-team", "staging", "open", "0", "no"],
            vec!["c-team", "production", "monitor", "2", "yes"],
            vec!["3", "widgets"],
        ]
    );
    for (filter, ids) in [
        (&["--environment", "staging"][..], &["b-team"][..]),
        (&["--access", "monitor"], &["c-team"]),
        (&["--label", "team:growth"], &["a-team", "b-team"]),
        (&["--label", "team:growth", "--label", "tier"], &["a-team"]),
        (&["--domain", "https://a.example"], &["c-team"]),
        (&["--domain", "https://example.com", "--environment", "production"], &["a-team", "c-team"]),
        (&["--label", "nobody&limit=1"], &[]),
    ] {
        let told = done(&edge, &[&["widgets", "list", "--json"][..], filter].concat()).json();
        let found: Vec<&str> =
            told["widgets"].as_array().unwrap().iter().map(|widget| widget["id"].as_str().unwrap()).collect();
        assert_eq!((found.as_slice(), &told["next"]), (ids, &Value::Null), "{filter:?}");
    }
    let ran = at(&edge, &["widgets", "list", "--domain", "https://a.example/shop"]);
    assert!(ran.out.contains("c-team ") && ran.out.ends_with("\n1 widget\n"), "{ran:?}");
    assert!(
        ran.err.starts_with("embedgate: `https://a.example/shop` was taken as https://a.example: "),
        "{ran:?}"
    );
    refused(&edge, 1, &["widgets", "list", "--json", "--domain", "a b"], &["invalid_parameter: domain: "]);

    // More than a page.
    widgets
        .extend((0..1100).map(|n| json!({ "id": format!("n{n:05}"), "allowed_domains": ["example.com"] })));
    let lines: String = widgets.iter().map(|widget| format!("{}\n", json!({ "put": widget }))).collect();
    let batch = edge.api(Method::POST, "/v1/batch").header("content-type", "application/x-ndjson");
    assert_eq!(batch.body(lines).send().await.unwrap().status(), 200);
    let table = done(&edge, &["widgets", "list"]).out;
    assert!(table.contains("\nn00000 ") && table.ends_with("\n1103 widgets\n"), "{table}");
    assert_eq!((table.lines().count(), table.matches("ENABLED").count()), (1105, 1));
    let told = done(&edge, &["widgets", "list", "--json"]).json();
    assert_eq!((told["widgets"].as_array().unwrap().len(), &told["next"]), (1103, &Value::Null));
}

#[tokio::test]
async fn what_was_done_is_listed_and_taken_back() {
    let edge = start(json!([{ "id": "w", "allowed_domains": ["example.com"] }])).await;
    done(&edge, &["widgets", "allow", "w", "new.example"]);
    let ran = done(&edge, &["widgets", "disable", "w"]);
    assert!(
        ran.out.starts_with("w: switched off (revision 3, ")
            && ran.out.contains("`embedgate widgets revert w REVISION`"),
        "{}",
        ran.out
    );
    assert_eq!(visit(&edge, "w", "https://new.example").await, 403);
    let ran = done(&edge, &["widgets", "delete", "w"]);
    assert!(
        ran.out.starts_with("w: deleted (revision 4, ") && ran.out.contains("`embedgate widgets history w`")
    );
    refused(&edge, 1, &["widgets", "get", "w"], &["unknown_widget: "]);
    let document = json!({ "id": "w", "allowed_domains": ["example.com"], "revision": 3 });
    std::fs::write(edge.folder().join("w.json"), document.to_string()).unwrap();
    let put = ["widgets", "put", "w.json"];
    refused(
        &edge,
        1,
        &put,
        &["stale_revision: ", "`embedgate widgets revert w REVISION`", "take \"revision\" out"],
    );
    let there = [&put[..], &["--if-revision", "3"]].concat();
    refused(&edge, 1, &there, &["precondition_failed: ", "leave --if-revision out"]);

    let ran = done(&edge, &["widgets", "history", "w"]);
    let rows: Vec<Vec<&str>> = ran.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["REVISION", "TIME", "ACTOR", "CHANGES"]);
    let told: Vec<(&str, String)> = rows[1..].iter().map(|row| (row[0], row[3..].join(" "))).collect();
    let told: Vec<(&str, &str)> =
        told.iter().map(|(revision, changes)| (*revision, changes.as_str())).collect();
    assert_eq!(
        told,
        [("4", "deleted"), ("3", "enabled: true -> false"), ("2", "+ new.example"), ("1", "created")]
    );
    assert!(rows[1][1].ends_with('Z') && rows[1][2].contains("write:"), "{}", ran.out);
    let json = done(&edge, &["widgets", "history", "w", "--json"]).json();
    assert_eq!(json["history"][2]["widget"]["allowed_domains"], json!(["example.com", "new.example"]));

    refused(
        &edge,
        1,
        &["widgets", "revert", "w", "9"],
        &["unknown_revision: ", "`embedgate widgets history ID`"],
    );
    let ran = done(&edge, &["widgets", "revert", "w", "2"]);
    assert!(ran.out.starts_with("w: as in revision 2 (revision 5, "), "{}", ran.out);
    assert_eq!(visit(&edge, "w", "https://new.example").await, 200);
    assert!(done(&edge, &["widgets", "history", "w"]).out.lines().nth(1).unwrap().ends_with("brought back"));
    refused(&edge, 1, &["widgets", "history", "nobody"], &["unknown_widget: "]);
}

#[tokio::test]
async fn the_kill_switch_says_when_it_is_not_kept() {
    let disk = SmallDisk::mount("8m");
    let mut spec = EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]));
    let store = disk.at("rules.redb");
    spec.more = format!("[rules]\nsource = \"store\"\nstore = {{ path = {store:?} }}\n");
    let edge = Edge::start(spec).await;
    let mut saved = 0;
    for bytes in [100_000, 10_000, 1_000, 1] {
        let filler = |n: usize| json!({ "id": format!("n{n}"), "labels": { "filler": "x".repeat(bytes) } });
        while edge.put(&filler(saved)).await.0 == 201 {
            saved += 1;
        }
    }
    let ran = at(&edge, &["widgets", "disable", "w"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("w: switched off"), "{ran:?}");
    assert!(ran.err.starts_with("embedgate: WARNING: w is off, but the edge can't keep that yet"), "{ran:?}");
    assert_eq!(visit(&edge, "w", "https://example.com").await, 403);
    let told = at(&edge, &["widgets", "disable", "w", "--json"]);
    assert_eq!((told.code, &told.json()["durable"]), (0, &json!(false)), "{told:?}");
}

#[tokio::test]
async fn rules_of_a_file_are_changed_in_the_file() {
    let widgets = json!({ "widgets": [{ "id": "w", "allowed_domains": ["example.com"] }] });
    let edge = Edge::start(EdgeSpec { rules: widgets.to_string(), ..EdgeSpec::default() }).await;
    std::fs::write(edge.folder().join("w.json"), "{\"id\": \"w\", \"allowed_domains\": [\"a.example\"]}")
        .unwrap();
    for command in [&["allow", "w", "a.example"][..], &["put", "w.json"], &["disable", "w"], &["delete", "w"]]
    {
        let command = [&["widgets"][..], command].concat();
        refused(&edge, 1, &command, &["read_only_source: ", "edit conf/widgets.json: the edge watches it"]);
    }
    assert_eq!(done(&edge, &["widgets", "get", "w"]).json()["id"], "w");
}

#[tokio::test]
async fn a_held_rules_file_is_applied_by_its_number() {
    let rules = |count: usize| {
        let widget = |n| json!({ "id": format!("w{n:03}"), "allowed_domains": ["example.com"] });
        json!({ "widgets": (0..count).map(widget).collect::<Vec<_>>() }).to_string()
    };
    let edge = Edge::start(EdgeSpec { rules: rules(60), ..EdgeSpec::default() }).await;
    std::fs::write(edge.rules(), rules(20)).unwrap();
    eventually("the edit is held", async || {
        let status: Value = edge.admin("/v1/status").await.json().await.unwrap();
        status["rules"]["last_error"]["code"] == "wide_change"
    })
    .await;
    refused(&edge, 1, &["apply"], &["wide_change: ", "run the same command with --confirm 40"]);
    refused(&edge, 1, &["apply", "--confirm", "39"], &["wide_change: "]);
    assert!(done(&edge, &["widgets", "list"]).out.ends_with("\n60 widgets\n"));
    let ran = done(&edge, &["apply", "--confirm", "40"]);
    assert_eq!(
        ran.out,
        "the rules file is in force as generation 2: 0 new, 0 changed, 40 deleted, 20 unchanged\n"
    );
    assert!(done(&edge, &["widgets", "list"]).out.ends_with("\n20 widgets\n"));
    assert_eq!(done(&edge, &["apply", "--json"]).json()["unchanged"], 20);

    let stored = start(json!([])).await;
    refused(&stored, 1, &["apply"], &["no_rules_file: "]);
}

#[tokio::test]
async fn an_edge_alone_is_waited_for_at_once_and_has_no_fleet() {
    let edge = start(json!([{ "id": "w", "allowed_domains": ["example.com"] }])).await;
    std::fs::write(
        edge.folder().join("w.json"),
        json!({ "id": "w", "allowed_domains": ["put.example"] }).to_string(),
    )
    .unwrap();
    for command in [
        ["allow", "w", "new.example"].as_slice(),
        &["disallow", "w", "new.example"],
        &["put", "w.json"],
        &["disable", "w"],
        &["revert", "w", "1"],
        &["delete", "w"],
    ] {
        done(&edge, &[&["widgets"], command, &["--wait", "--timeout", "500ms"]].concat());
    }
    for command in [["status"].as_slice(), &["restore"], &["accept", "--confirm", "7"], &["forget", "edge-2"]]
    {
        refused(&edge, 1, &[&["fleet"], command].concat(), &["no_fleet: ", "rules.source to \"nats\""]);
    }
}
