//! Revisions have an upper end for those who state them, and none for a widget.

use std::process::Stdio;

use redb::{Database, ReadableTable, TableDefinition};
use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, batch, call, is_problem, post, visit};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;

/// The highest that is taken.
const HIGHEST: u64 = (1 << 53) - (1 << 20);

/// The faults of an answer: each with its pointer and code.
fn faults(answer: &Value) -> Vec<(&str, &str)> {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{answer}"));
    errors.iter().map(|part| (part["pointer"].as_str().unwrap(), part["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_revision_that_would_lock_a_widget_is_refused_wherever_it_is_stated() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "access": "open" }]))).await;
    for revision in [HIGHEST + 1, 1 << 53, u64::MAX] {
        let document = json!({ "id": "w", "access": "open", "revision": revision });
        let put = edge.put(&document).await;
        is_problem(&put, 422, "invalid_document");
        assert_eq!(faults(&put.1), [("/revision", "invalid_revision")]);
        let detail = put.1["detail"].as_str().unwrap();
        assert!(detail.contains(&HIGHEST.to_string()) && detail.contains("leave it out"), "{detail}");
        let tried = post(&edge, "/v1/widgets/w/dry-run", &document).await;
        assert_eq!((tried.0, faults(&tried.1)), (422, vec![("/revision", "invalid_revision")]));
        let lines = [json!({ "put": document }), json!({ "delete": { "id": "w", "revision": revision } })];
        let refused = batch(&edge, "", &lines).await;
        is_problem(&refused, 422, "invalid_document");
        assert_eq!(
            faults(&refused.1),
            [("/put/revision", "invalid_revision"), ("/delete/revision", "invalid_revision")]
        );
        for id in ["w", "unheard"] {
            let gone = call(&edge, Method::DELETE, &format!("/v1/widgets/{id}?revision={revision}")).await;
            is_problem(&gone, 422, "invalid_revision");
            assert_eq!(faults(&gone.1), [("/revision", "invalid_revision")], "{id}");
        }
    }
    // The highest that can be stated leaves everything that states none.
    let open = json!({ "id": "w", "access": "open", "labels": { "k": "v" }, "revision": HIGHEST });
    assert_eq!(edge.put(&open).await.1["widget"]["revision"], HIGHEST);
    let listed = json!({ "id": "w", "allowed_domains": ["example.com"] });
    assert_eq!(edge.put(&listed).await.1["widget"]["revision"], HIGHEST + 1);
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));
    let off = json!({ "id": "w", "allowed_domains": ["example.com"], "enabled": false });
    assert_eq!(edge.put(&off).await.1["widget"]["revision"], HIGHEST + 2);
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    let late = edge.put(&json!({ "id": "w", "access": "open", "revision": HIGHEST })).await;
    is_problem(&late, 409, "stale_revision");
    let detail = late.1["detail"].as_str().unwrap();
    assert!(detail.contains("leave it out") && !detail.contains("raise it"), "{detail}");
    let (status, gone) = call(&edge, Method::DELETE, "/v1/widgets/w").await;
    assert_eq!((status, &gone["revision"]), (200, &json!(HIGHEST + 3)));
    is_problem(
        &edge.put(&json!({ "id": "w", "access": "open", "revision": HIGHEST })).await,
        409,
        "stale_revision",
    );
    assert_eq!(edge.put(&listed).await.1["widget"]["revision"], HIGHEST + 4);
}

#[tokio::test]
async fn nor_do_imports_and_rules_files_take_one() {
    let edge = Edge::start(EdgeSpec { source: "file", ..EdgeSpec::stored(&json!([{ "id": "w" }])) }).await;
    let rules =
        json!({ "widgets": [{ "id": "w", "revision": HIGHEST }, { "id": "x", "revision": HIGHEST + 1 }] });
    std::fs::write(edge.rules(), serde_json::to_string_pretty(&rules).unwrap()).unwrap();
    let rejected = "embedgate_rules_rejected_total{code=\"invalid_revision\",source=\"file\"}";
    eventually("the file is refused", async || edge.metric(rejected).await == 1.0).await;
    let error = call(&edge, Method::GET, "/v1/status").await.1["rules"]["last_error"]["detail"].to_string();
    assert!(error.contains("conf/widgets.json:9:") && error.contains(&HIGHEST.to_string()), "{error}");
    let checked = Edge::command(edge.folder()).arg("check").output().unwrap();
    assert_eq!(checked.status.code(), Some(1));

    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("conf")).unwrap();
    let config = std::fs::read_to_string(edge.folder().join("conf/embedgate.toml")).unwrap();
    let config = config.replace("source = \"file\"", "source = \"store\"");
    std::fs::write(folder.path().join("conf/embedgate.toml"), config).unwrap();
    let lines = format!("{{\"id\":\"a\"}}\n{{\"id\":\"b\",\"revision\":{}}}\n", u64::MAX);
    std::fs::write(folder.path().join("lines"), lines).unwrap();
    let import = Edge::command(folder.path())
        .args(["widgets", "import", "--json", "lines"])
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&import.stdout).unwrap();
    assert_eq!((&report["created"], &report["errors"][0]["line"]), (&json!(0), &json!(2)), "{report}");
    assert_eq!(report["errors"][0]["code"], "invalid_revision");
}

const DOCUMENTS: TableDefinition<'static, &str, (u64, &[u8])> = TableDefinition::new("documents");
const DELETED: TableDefinition<'static, &str, (u64, bool, Option<u64>)> = TableDefinition::new("deleted");
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");

/// Gives what is in a store the last revisions there are, as earlier versions took them. The rules are made of the
/// documents again when it is opened.
fn lock(store: &std::path::Path) {
    let database = Database::create(store).unwrap();
    let write = database.begin_write().unwrap();
    {
        let mut documents = write.open_table(DOCUMENTS).unwrap();
        for (id, revision) in
            [("open", u64::MAX), ("off", u64::MAX), ("gone", u64::MAX - 1), ("same", 1 << 53)]
        {
            let json = documents.get(id).unwrap().map(|row| row.value().1.to_vec()).unwrap();
            documents.insert(id, (revision, json.as_slice())).unwrap();
        }
        let mut deleted = write.open_table(DELETED).unwrap();
        let (_, was_restricted, withdrawn) = deleted.get("buried").unwrap().map(|row| row.value()).unwrap();
        deleted.insert("buried", (u64::MAX, was_restricted, withdrawn)).unwrap();
        write.open_table(META).unwrap().insert("row_format", 0).unwrap();
    }
    write.commit().unwrap();
}

#[tokio::test]
async fn a_store_that_holds_the_last_revision_there_is_can_be_mended() {
    let widgets = ["open", "off", "gone", "same", "buried"].map(|id| json!({ "id": id, "access": "open" }));
    let mut edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    assert_eq!(call(&edge, Method::DELETE, "/v1/widgets/buried").await.0, 200);
    edge.signal("KILL");
    edge.exit_code().await;
    lock(&edge.folder().join("data/rules.redb"));
    edge.restart().await;
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/open").await.1["revision"], u64::MAX);
    let page = |id: &'static str| json!({ "id": id, "allowed_domains": ["example.com"] });

    assert_eq!(edge.put(&page("open")).await.1["widget"]["revision"], HIGHEST + 1);
    let off = json!({ "id": "off", "access": "open", "enabled": false });
    assert_eq!(edge.put(&off).await.1["widget"]["revision"], HIGHEST + 1);
    let etag = format!("\"{}\"", 1_u64 << 53);
    let put = edge.api(Method::PUT, "/v1/widgets/same").header("if-match", etag).json(&page("same"));
    assert_eq!(put.send().await.unwrap().status(), 200);
    let (status, gone) = call(&edge, Method::DELETE, "/v1/widgets/gone").await;
    assert_eq!((status, &gone["revision"]), (200, &json!(HIGHEST + 1)));
    let back = edge.put(&page("buried")).await;
    assert_eq!((back.0, &back.1["widget"]["revision"]), (201, &json!(HIGHEST + 1)), "{}", back.1);
    // No late push comes above it.
    for id in ["open", "gone", "buried"] {
        let late = edge.put(&json!({ "id": id, "access": "open", "revision": HIGHEST })).await;
        is_problem(&late, 409, "stale_revision");
    }
    let visits = async |edge: &Edge| {
        [
            visit(edge, "open", STRANGER).await,
            visit(edge, "off", LISTED).await,
            visit(edge, "buried", LISTED).await,
        ]
    };
    assert_eq!(visits(&edge).await, [403, 403, 200]);

    edge.signal("KILL");
    edge.exit_code().await;
    edge.restart().await;
    assert_eq!(visits(&edge).await, [403, 403, 200]);
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/open").await.1["revision"], HIGHEST + 1);
    assert_eq!(
        edge.put(&json!({ "id": "open", "access": "open" })).await.1["widget"]["revision"],
        HIGHEST + 2
    );
    let off = call(&edge, Method::DELETE, "/v1/widgets/off").await;
    assert_eq!((off.0, &off.1["revision"]), (200, &json!(HIGHEST + 2)));
}

/// One that takes the whole book away counts on from there, too.
#[tokio::test]
async fn a_replace_buries_such_a_widget_like_any_other() {
    let widgets = ["open", "off", "gone", "same", "buried"].map(|id| json!({ "id": id, "access": "open" }));
    let mut edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    assert_eq!(call(&edge, Method::DELETE, "/v1/widgets/buried").await.0, 200);
    edge.signal("KILL");
    edge.exit_code().await;
    lock(&edge.folder().join("data/rules.redb"));
    edge.restart().await;
    let done = batch(&edge, "?replace=true&confirm=4", &[]).await;
    assert_eq!((done.0, &done.1["removed"]), (200, &json!(4)), "{}", done.1);
    let back = edge.put(&json!({ "id": "open", "access": "open" })).await;
    assert_eq!((back.0, &back.1["widget"]["revision"]), (201, &json!(HIGHEST + 2)));
}
