//! The everyday change: patches and entries, made in one step of what is stored.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, call, is_problem, post, read, visit};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};

const MERGE_PATCH: &str = "application/merge-patch+json";

/// A patch of the widget `w` with these header fields.
async fn patch_if(edge: &Edge, fields: &[(&'static str, &str)], body: &str) -> (u16, Value) {
    let call =
        edge.api(Method::PATCH, "/v1/widgets/w").header("content-type", MERGE_PATCH).body(body.to_owned());
    let call = fields.iter().fold(call, |call, (name, value)| call.header(*name, *value));
    read(call.send().await.unwrap()).await
}

async fn patch(edge: &Edge, patch: &Value) -> (u16, Value) {
    patch_if(edge, &[], &patch.to_string()).await
}

async fn domains(edge: &Edge, query: &str, body: &Value) -> (u16, Value) {
    post(edge, &format!("/v1/widgets/w/domains{query}"), body).await
}

fn faults(answer: &Value) -> Vec<(&str, &str)> {
    let errors = answer["errors"].as_array().unwrap_or_else(|| panic!("{answer}"));
    errors.iter().map(|part| (part["pointer"].as_str().unwrap(), part["code"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_patch_changes_what_it_names_alone() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"],
        "labels": { "team": "growth", "tier": "gold" }, "environment": "staging" }])))
    .await;
    let call = edge.api(Method::PATCH, "/v1/widgets/w").header("content-type", MERGE_PATCH);
    let answer =
        call.body(r#"{"labels": {"tier": null, "a": "b"}, "environment": null}"#).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (200, &"\"2\"".parse().unwrap()));
    let saved: Value = answer.json().await.unwrap();
    let widget = json!({
        "id": "w", "environment": "production", "enabled": true, "allowed_domains": ["example.com"],
        "capabilities": [], "public_trust_center": true, "labels": { "team": "growth", "a": "b" }, "revision": 2,
    });
    assert_eq!((&saved["widget"], &saved["generation"]), (&widget, &json!(2)));
    assert_eq!((&saved["unrestricted"], &saved["lints"][0]["code"]), (&json!(false), &json!("www_apex_gap")));
    assert_eq!(super::call(&edge, Method::GET, "/v1/widgets/w").await.1, widget);

    let (status, off) = patch(&edge, &json!({ "enabled": false })).await;
    assert_eq!((status, &off["widget"]["revision"]), (200, &json!(3)));
    assert_eq!(visit(&edge, "w", LISTED).await, 403, "in force when it is answered");
    let (status, same) = patch(&edge, &json!({ "enabled": false, "id": "w" })).await;
    assert_eq!((status, &same["widget"]["revision"], &same["generation"]), (200, &json!(3), &json!(3)));
    let (status, stated) = patch(&edge, &json!({ "enabled": true, "revision": 9 })).await;
    assert_eq!((status, &stated["widget"]["revision"]), (200, &json!(9)));
    assert_eq!(visit(&edge, "w", LISTED).await, 200);
}

#[tokio::test]
async fn limits_change_by_number_by_part_and_as_a_whole() {
    let limits = json!({ "widget": { "sessions": 50, "opens_per_day": 900 }, "address": { "sessions": 5 } });
    let edge = Edge::start(EdgeSpec::stored(
        &json!([{ "id": "w", "allowed_domains": ["example.com"], "limits": limits }]),
    ))
    .await;
    let expected = [
        (
            json!({ "address": { "sessions": 6 } }),
            json!({ "widget": limits["widget"], "address": { "sessions": 6 } }),
        ),
        (
            json!({ "mode": "monitor", "widget": { "opens_per_day": null } }),
            json!({ "mode": "monitor", "widget": { "sessions": 50 }, "address": { "sessions": 6 } }),
        ),
        (json!({ "address": null, "mode": null }), json!({ "widget": { "sessions": 50 } })),
        (json!(null), json!(null)),
    ];
    for (limits, expected) in expected {
        let (status, saved) = patch(&edge, &json!({ "limits": limits })).await;
        assert_eq!((status, &saved["widget"]["limits"]), (200, &expected), "{limits}");
        assert_eq!(super::call(&edge, Method::GET, "/v1/widgets/w").await.1["limits"], expected);
    }
    let (_, told) = super::call(&edge, Method::GET, "/v1/widgets/w/history").await;
    assert_eq!(
        told["history"][0]["changes"],
        json!({ "limits": { "before": { "widget": { "sessions": 50 } }, "after": null } })
    );
    let slip = patch(&edge, &json!({ "limits": { "adress": null } })).await;
    is_problem(&slip, 422, "invalid_document");
    assert_eq!(faults(&slip.1), [("/limits/adress", "unknown_field")]);
}

#[tokio::test]
async fn a_patch_is_told_what_is_wrong_with_it() {
    let edge = Edge::start(EdgeSpec::stored(
        &json!([{ "id": "w", "allowed_domains": ["example.com"], "revision": 7 }]),
    ))
    .await;
    let json = "application/json";
    for media in [json, "text/plain", ""] {
        let call = edge.api(Method::PATCH, "/v1/widgets/w").header("content-type", media).body("{}");
        let answer = call.send().await.unwrap();
        assert_eq!(answer.headers()["accept-patch"], MERGE_PATCH);
        let refused = read(answer).await;
        is_problem(&refused, 415, "unsupported_media_type");
        assert!(refused.1["detail"].as_str().unwrap().contains(MERGE_PATCH), "{}", refused.1);
    }
    for (body, code, places) in [
        ("[]", "invalid_document", &[("", "invalid_document")][..]),
        ("{", "invalid_document", &[("", "invalid_json")]),
        (r#"{"enabled": 1}"#, "invalid_document", &[("/enabled", "invalid_type")]),
        (r#"{"enabeld": true}"#, "invalid_document", &[("/enabeld", "unknown_field")]),
        (r#"{"enabeld": null}"#, "invalid_document", &[("/enabeld", "unknown_field")]),
        (r#"{"enabled": true, "enabled": false}"#, "invalid_document", &[("/enabled", "duplicate_field")]),
        (r#"{"id": "x"}"#, "invalid_document", &[("/id", "id_mismatch")]),
        (r#"{"id": null}"#, "invalid_document", &[("/id", "id_mismatch")]),
        (
            r#"{"allowed_domains": ["a b", "*.co.uk"]}"#,
            "invalid_document",
            &[("/allowed_domains/0", "whitespace"), ("/allowed_domains/1", "public_suffix")],
        ),
        (r#"{"allowed_domains": []}"#, "would_open_widget", &[("", "would_open_widget")]),
    ] {
        let refused = patch_if(&edge, &[], body).await;
        is_problem(&refused, 422, code);
        assert_eq!(faults(&refused.1), places, "{body}");
    }
    is_problem(&patch_if(&edge, &[], r#"{"revision": 7, "enabled": false}"#).await, 409, "stale_revision");
    for (tag, told) in [("\"6\"", "at revision 7, not at 6"), ("W/\"7\"", "weak")] {
        let lost = patch_if(&edge, &[("if-match", tag)], r#"{"enabled": false}"#).await;
        is_problem(&lost, 412, "precondition_failed");
        assert!(lost.1["detail"].as_str().unwrap().contains(told), "{}", lost.1);
    }
    let unknown =
        edge.api(Method::PATCH, "/v1/widgets/unknown").header("content-type", MERGE_PATCH).body("{}");
    is_problem(&read(unknown.send().await.unwrap()).await, 404, "unknown_widget");
    let large = format!(r#"{{"labels": {{"a": "{}"}}}}"#, "x".repeat(300 * 1024));
    is_problem(&patch_if(&edge, &[], &large).await, 413, "too_large");
    assert_eq!(super::call(&edge, Method::GET, "/v1/status").await.1["generation"], 1, "nothing was done");
    let (status, based) = patch_if(&edge, &[("if-match", "\"7\"")], r#"{"enabled": false}"#).await;
    assert_eq!((status, &based["widget"]["revision"]), (200, &json!(8)));
}

/// What GET gave is edited and put back, as by `curl | edit | curl`.
#[tokio::test]
async fn what_was_read_can_be_put_back() {
    let edge = Edge::start(EdgeSpec::stored(
        &json!([{ "id": "w", "allowed_domains": ["example.com"], "revision": 7 }]),
    ))
    .await;
    let (_, mut widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
    widget["allowed_domains"] = json!(["example.com", "stranger.example"]);
    let put = async |tag: &str, widget: &Value| {
        let put = edge.api(Method::PUT, "/v1/widgets/w").header("if-match", tag).json(widget);
        read(put.send().await.unwrap()).await
    };
    let (status, saved) = put("\"7\"", &widget).await;
    assert_eq!((status, &saved["widget"]["revision"]), (200, &json!(8)), "{saved}");
    assert_eq!(visit(&edge, "w", STRANGER).await, 200);
    is_problem(&put("\"7\"", &widget).await, 412, "precondition_failed");
    // Without the condition, or with another revision in it, a revision is what it always was.
    widget["enabled"] = json!(false);
    is_problem(&put("*", &widget).await, 409, "stale_revision");
    is_problem(&put("\"8\"", &widget).await, 409, "stale_revision");
}

#[tokio::test]
async fn entries_are_added_and_removed() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com",
        { "pattern": "old.example", "expires_at": "2020-01-01T00:00:00Z", "note": "over" }, "b.example"] }])))
    .await;
    assert_eq!(visit(&edge, "w", "https://old.example").await, 403);
    let answer = edge.api(Method::POST, "/v1/widgets/w/domains");
    let answer = answer
        .json(&json!({ "add": ["Stranger.example", "old.example"], "remove": ["https://b.example:443"] }));
    let answer = answer.send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (200, &"\"2\"".parse().unwrap()));
    let saved: Value = answer.json().await.unwrap();
    assert_eq!(saved["widget"]["allowed_domains"], json!(["example.com", "old.example", "stranger.example"]));
    assert_eq!((&saved["generation"], &saved["unrestricted"]), (&json!(2), &json!(false)));
    assert_eq!(
        (visit(&edge, "w", STRANGER).await, visit(&edge, "w", "https://old.example").await),
        (200, 200)
    );
    assert_eq!(visit(&edge, "w", "https://b.example").await, 403);
    // What is so already changes nothing.
    for body in [json!({ "add": ["example.com"], "remove": ["b.example"] }), json!({ "add": [] })] {
        let (status, same) = domains(&edge, "", &body).await;
        assert_eq!((status, &same["generation"]), (200, &json!(2)), "{same}");
    }
    let noted =
        json!({ "add": [{ "pattern": "example.com", "expires_at": "2031-01-01T00:00:00Z", "note": "n" }] });
    let (_, saved) = domains(&edge, "", &noted).await;
    assert_eq!(saved["widget"]["allowed_domains"][0], noted["add"][0]);
}

#[tokio::test]
async fn entries_are_told_what_is_wrong_with_them() {
    let edge = Edge::start(EdgeSpec::stored(&json!([
        { "id": "w", "allowed_domains": ["example.com"], "capabilities": ["voice"] },
        { "id": "silent" },
        { "id": "open", "access": "open" },
    ])))
    .await;
    for (body, places) in [
        (json!({}), &[("", "missing_field")][..]),
        (json!([]), &[("", "invalid_type")]),
        (
            json!({ "ad": ["a.example"], "add": ["a b", "*.co.uk", 7], "remove": ["*", { "pattern": "a.example" }] }),
            &[
                ("/ad", "unknown_field"),
                ("/add/0", "whitespace"),
                ("/add/1", "public_suffix"),
                ("/add/2", "invalid_type"),
                ("/remove/0", "star_alone"),
                ("/remove/1", "invalid_type"),
            ],
        ),
        (json!({ "add": [{ "pattern": "a.example", "notes": "x" }] }), &[("/add/0/notes", "unknown_field")]),
        (json!({ "add": ["a.example", "https://a.example"] }), &[("/add/1", "duplicate_entry")]),
        (json!({ "add": ["a.example"], "remove": ["a.example"] }), &[("/add/0", "duplicate_entry")]),
        (json!({ "add": ["http://a.example"] }), &[("/add/0", "insecure_voice")]),
    ] {
        let refused = domains(&edge, "", &body).await;
        is_problem(&refused, 422, "invalid_document");
        let told: BTreeSet<(&str, &str)> = faults(&refused.1).into_iter().collect();
        assert_eq!(told, places.iter().copied().collect(), "{body}: {}", refused.1);
    }
    let typo = domains(&edge, "", &json!({ "ad": [] })).await.1["detail"].to_string();
    assert!(typo.contains("did you mean `add`?"), "{typo}");

    let opening = domains(&edge, "", &json!({ "remove": ["example.com"] })).await;
    is_problem(&opening, 422, "would_open_widget");
    assert_eq!(faults(&opening.1), [("/remove", "would_open_widget")]);
    let silent = "/v1/widgets/silent/domains";
    let first = json!({ "add": ["a.example"] });
    for query in ["", "?confirm=open"] {
        let refused = post(&edge, &format!("{silent}{query}"), &first).await;
        match query {
            "" => {
                is_problem(&refused, 422, "would_restrict_widget");
                assert!(refused.1["detail"].as_str().unwrap().contains("?confirm=restrict"), "{}", refused.1);
            }
            _ => is_problem(&refused, 400, "invalid_parameter"),
        }
    }
    assert_eq!(visit(&edge, "silent", STRANGER).await, 200);
    let (status, restricted) = post(&edge, &format!("{silent}?confirm=restrict"), &first).await;
    assert_eq!((status, &restricted["widget"]["revision"]), (200, &json!(2)));
    assert_eq!(
        (visit(&edge, "silent", STRANGER).await, visit(&edge, "silent", "https://a.example").await),
        (403, 200)
    );
    // One that says itself that it is open stays so.
    assert_eq!(post(&edge, "/v1/widgets/open/domains", &first).await.0, 200);
    assert_eq!(visit(&edge, "open", STRANGER).await, 200);

    is_problem(&post(&edge, "/v1/widgets/unknown/domains", &first).await, 404, "unknown_widget");
    let call = edge.api(Method::POST, "/v1/widgets/w/domains").header("if-match", "\"9\"").json(&first);
    is_problem(&read(call.send().await.unwrap()).await, 412, "precondition_failed");
    let call = edge.api(Method::POST, "/v1/widgets/w/domains").header("content-type", MERGE_PATCH).body("{}");
    is_problem(&read(call.send().await.unwrap()).await, 415, "unsupported_media_type");
}

#[tokio::test]
async fn every_edit_wants_a_token_that_may_write_and_rules_that_may_be_written() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let in_file = Edge::start(EdgeSpec::default()).await;
    for (method, call_of, media, body) in [
        (Method::PATCH, "", MERGE_PATCH, "{\"enabled\": false}"),
        (Method::POST, "/domains", "application/json", "{\"add\": [\"stranger.example\"]}"),
        (Method::POST, "/revert", "application/json", "{\"revision\": 1}"),
        (Method::POST, "/disable", "application/json", "{}"),
    ] {
        let path = format!("/v1/widgets/w{call_of}");
        let client = reqwest::Client::new();
        let url = format!("http://{}{path}", edge.admin);
        let call = client.request(method.clone(), url).bearer_auth(READ_TOKEN);
        let refused = call.header("content-type", media).body(body).send().await.unwrap();
        is_problem(&read(refused).await, 403, "forbidden");
        let path = format!("/v1/widgets/wgt_demo{call_of}");
        let call = in_file.api(method, &path).header("content-type", media).body(body);
        is_problem(&read(call.send().await.unwrap()).await, 409, "read_only_source");
    }
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1);
}

/// Fifty callers add an entry each at once, while others patch and put. No entry is lost, and nobody has to try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn entries_that_are_added_at_once_all_land() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    let add = (0..50).map(|n| {
        let call = edge
            .api(Method::POST, "/v1/widgets/w/domains")
            .json(&json!({ "add": [format!("n{n}.example")] }));
        tokio::spawn(async move { read(call.send().await.unwrap()).await })
    });
    let label = (0..10).map(|n| {
        let call = edge.api(Method::PATCH, "/v1/widgets/w").header("content-type", MERGE_PATCH);
        let call = call.body(json!({ "labels": { format!("k{n}"): "v" } }).to_string());
        tokio::spawn(async move { read(call.send().await.unwrap()).await })
    });
    let tasks: Vec<_> = add.chain(label).collect();
    let mut revisions = BTreeSet::new();
    for task in tasks {
        let (status, saved) = task.await.unwrap();
        assert_eq!(status, 200, "{saved}");
        revisions.insert(saved["widget"]["revision"].as_u64().unwrap());
    }
    assert_eq!(revisions, (2..62).collect(), "each is a revision of its own");
    let (_, widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
    let listed = widget["allowed_domains"].as_array().unwrap();
    assert_eq!((listed.len(), widget["labels"].as_object().unwrap().len()), (51, 10));
    assert!((0..50).all(|n| listed.contains(&json!(format!("n{n}.example")))), "{widget}");
}

/// A patch and a whole document that meet: each is made of what the other leaves, or is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_patch_and_a_save_that_meet_leave_one_of_both_orders() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    for round in 0..20 {
        let (_, widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
        let tag = format!("\"{}\"", widget["revision"]);
        let document = json!({ "id": "w", "allowed_domains": [format!("put{round}.example")] });
        let put = edge.api(Method::PUT, "/v1/widgets/w").header("if-match", tag).json(&document);
        let label = format!("patch{round}");
        let patched = edge.api(Method::PATCH, "/v1/widgets/w").header("content-type", MERGE_PATCH);
        let patched = patched.body(json!({ "labels": { &label: "v" } }).to_string());
        let (put, patched) = tokio::join!(put.send(), patched.send());
        let (put, patched) = (put.unwrap().status().as_u16(), patched.unwrap().status().as_u16());
        assert_eq!(patched, 200);
        let (_, widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
        // A document that was put first keeps the patch; one that comes second is refused.
        assert!(widget["labels"][&label] == "v", "{put}: {widget}");
        let landed = widget["allowed_domains"] == document["allowed_domains"];
        assert_eq!(put, if landed { 200 } else { 412 }, "{widget}");
    }
}
