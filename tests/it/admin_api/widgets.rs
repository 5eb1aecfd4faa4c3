//! Documents: saved, read, listed, deleted.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use super::{LISTED, STRANGER, call, is_problem, post, read, visit};
use crate::support::edge::{Edge, EdgeSpec};

#[tokio::test]
async fn a_document_is_saved_read_and_deleted() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "other" }]))).await;
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    let document = json!({ "id": "w", "allowed_domains": ["EXAMPLE.com:443", "münchen.example"] });
    let answer = edge.api(Method::PUT, "/v1/widgets/w").json(&document).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["etag"]), (201, &"\"1\"".parse().unwrap()));
    let saved: Value = answer.json().await.unwrap();
    let canonical = json!({
        "id": "w", "environment": "production", "enabled": true,
        "allowed_domains": ["example.com", "xn--mnchen-3ya.example"], "capabilities": [],
        "public_trust_center": true, "labels": {}, "revision": 1,
    });
    assert_eq!(
        (&saved["widget"], &saved["generation"], &saved["unrestricted"]),
        (&canonical, &json!(2), &json!(false))
    );
    assert_eq!(saved["lints"][0]["code"], "www_apex_gap");
    assert_eq!((visit(&edge, "w", LISTED).await, visit(&edge, "w", STRANGER).await), (200, 403));

    let got = edge.api(Method::GET, "/v1/widgets/w").send().await.unwrap();
    assert_eq!(got.headers()["etag"], "\"1\"");
    assert_eq!(read(got).await, (200, canonical.clone()));
    let known = edge.api(Method::GET, "/v1/widgets/w").header("if-none-match", "\"1\"").send().await.unwrap();
    assert_eq!((known.status().as_u16(), known.text().await.unwrap().as_str()), (304, ""));

    let (status, again) = edge.put(&canonical).await;
    assert_eq!((status, &again["generation"]), (200, &json!(2)), "the same again changes nothing");
    let (status, next) =
        edge.put(&json!({ "id": "w", "enabled": false, "allowed_domains": ["example.com"] })).await;
    assert_eq!((status, &next["widget"]["revision"], &next["generation"]), (200, &json!(2), &json!(3)));
    assert_eq!(visit(&edge, "w", LISTED).await, 403, "the kill switch");
    let (status, back) =
        edge.put(&json!({ "id": "w", "allowed_domains": ["example.com"], "revision": 40 })).await;
    assert_eq!((status, &back["widget"]["revision"]), (200, &json!(40)));
    assert_eq!(visit(&edge, "w", LISTED).await, 200);

    let deleted = call(&edge, Method::DELETE, "/v1/widgets/w").await;
    assert_eq!(deleted, (200, json!({ "id": "w", "revision": 41, "generation": 5 })));
    assert_eq!(visit(&edge, "w", LISTED).await, 403);
    for method in [Method::GET, Method::DELETE] {
        is_problem(&call(&edge, method, "/v1/widgets/w").await, 404, "unknown_widget");
    }
    let late = edge.put(&json!({ "id": "w", "allowed_domains": ["example.com"], "revision": 41 })).await;
    is_problem(&late, 409, "stale_revision");
    let again = call(&edge, Method::DELETE, "/v1/widgets/w?revision=50").await;
    assert_eq!((again.0, &again.1["revision"]), (200, &json!(50)));
    let early = call(&edge, Method::DELETE, "/v1/widgets/not_yet?revision=3").await;
    assert_eq!(early.0, 200, "a deletion may come before its widget");
    is_problem(
        &edge.put(&json!({ "id": "not_yet", "access": "open", "revision": 3 })).await,
        409,
        "stale_revision",
    );
}

#[tokio::test]
async fn the_list_has_pages_and_filters() {
    let widgets: Vec<Value> = (0..25)
        .map(|n| {
            let environment = if n % 5 == 0 { "staging" } else { "production" };
            let access = ["enforce", "monitor", "open"][n % 3];
            json!({ "id": format!("w{n:02}"), "environment": environment, "access": access, "allowed_domains": ["a.example"] })
        })
        .collect();
    let edge = Edge::start(EdgeSpec::stored(&json!(widgets))).await;
    let all = async |query: &str| {
        let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (status, page) =
                call(&edge, Method::GET, &format!("/v1/widgets?limit=4{query}{after}")).await;
            assert_eq!(status, 200, "{page}");
            let widgets = page["widgets"].as_array().unwrap().clone();
            assert!(widgets.len() <= 4);
            pages += 1;
            found.extend(widgets.iter().map(|widget| widget["id"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return (found, pages),
            }
        }
    };
    let expected = |wanted: &dyn Fn(usize) -> bool| -> Vec<String> {
        (0..25).filter(|n| wanted(*n)).map(|n| format!("w{n:02}")).collect()
    };
    assert_eq!(all("").await, (expected(&|_| true), 7));
    assert_eq!(all("&environment=staging").await, (expected(&|n| n % 5 == 0), 2));
    assert_eq!(all("&access=open").await, (expected(&|n| n % 3 == 2), 2), "a full last page has no next");
    assert_eq!(all("&access=open&environment=production").await.0, expected(&|n| n % 3 == 2 && n % 5 != 0));
    let (_, page) = call(&edge, Method::GET, "/v1/widgets").await;
    assert_eq!((page["widgets"].as_array().unwrap().len(), &page["next"]), (25, &Value::Null));
    let (_, page) = call(&edge, Method::GET, "/v1/widgets?limit=1").await;
    let (_, one) = call(&edge, Method::GET, "/v1/widgets/w00").await;
    assert_eq!(page["widgets"][0], one);
}

#[tokio::test]
async fn conditions_decide_races() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    let put = async |id: &str, name: &'static str, value: &str| {
        let document = json!({ "id": id, "allowed_domains": [format!("{}.example", uuid::Uuid::now_v7())] });
        let call = edge.api(Method::PUT, &format!("/v1/widgets/{id}")).header(name, value);
        read(call.json(&document).send().await.unwrap()).await
    };
    // Each says what it saw, and only a lost race that somebody else was faster.
    for (id, name, value, told, is_race) in [
        ("w", "if-none-match", "*", "there already, at revision 1", false),
        ("w", "if-match", "\"7\"", "at revision 1, not at 7", true),
        ("w", "if-match", "\"7\", \"8\"", "at revision 1, which is none", true),
        ("w", "if-match", "W/\"1\"", "weak", false),
        ("w", "if-match", "W/\"1\", \"7\"", "weak", true),
        ("w", "if-match", "\"x\"", "no entity tag of a widget", false),
        ("new", "if-match", "*", "no such widget", false),
        ("new", "if-match", "\"1\"", "no such widget", false),
    ] {
        let refused = put(id, name, value).await;
        is_problem(&refused, 412, "precondition_failed");
        let detail = refused.1["detail"].as_str().unwrap();
        assert!(detail.contains(told), "{name}: {value}: {detail}");
        assert_eq!(detail.contains("faster"), is_race, "{name}: {value}: {detail}");
    }
    let weak = put("w", "if-match", "W/\"1\"").await.1;
    assert_eq!(weak["errors"][0]["parameter"], "If-Match");
    let detail = weak["detail"].as_str().unwrap();
    assert!(detail.contains("compresses") && detail.contains("send \"1\""), "{detail}");
    assert_eq!(put("new", "if-none-match", "*").await.0, 201);
    assert_eq!(put("w", "if-match", "*").await.0, 200);
    assert_eq!(put("w", "if-match", "\"9\", \"2\"").await.0, 200);
    is_problem(&put("w", "if-match", "2").await, 400, "invalid_parameter");
    is_problem(&put("w", "if-none-match", "\"1\"").await, 400, "invalid_parameter");
    let delete = async |value: &str| {
        read(edge.api(Method::DELETE, "/v1/widgets/w").header("if-match", value).send().await.unwrap()).await
    };
    is_problem(&delete("\"1\"").await, 412, "precondition_failed");
    assert_eq!(delete("\"3\"").await.0, 200);
}

/// Eight writers read, change and save one widget: those that saw 412 changed nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_with_conditions_lose_nothing() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    let tasks = (0..8).map(|writer| {
        let (get, put) = (edge.api(Method::GET, "/v1/widgets/w"), edge.api(Method::PUT, "/v1/widgets/w"));
        tokio::spawn(async move {
            let (mut saved, mut lost) = (0u64, 0u64);
            for round in 0..25 {
                let mut document: Value =
                    get.try_clone().unwrap().send().await.unwrap().json().await.unwrap();
                let tag = format!("\"{}\"", document["revision"]);
                document["allowed_domains"] = json!([format!("w{writer}-{round}.example")]);
                document.as_object_mut().unwrap().remove("revision");
                let answer =
                    put.try_clone().unwrap().header("if-match", tag).json(&document).send().await.unwrap();
                match answer.status().as_u16() {
                    200 => saved += 1,
                    412 => lost += 1,
                    other => panic!("{other}: {}", answer.text().await.unwrap()),
                }
            }
            (saved, lost)
        })
    });
    let (mut saved, mut lost) = (0, 0);
    for task in tasks.collect::<Vec<_>>() {
        let (ours, theirs) = task.await.unwrap();
        saved += ours;
        lost += theirs;
    }
    let (_, widget) = call(&edge, Method::GET, "/v1/widgets/w").await;
    assert_eq!(widget["revision"], 1 + saved, "every answered save is one revision");
    assert_eq!(saved + lost, 200);
    assert!(lost > 0, "the writers never met: this shows nothing");
}

#[tokio::test]
async fn a_widget_opens_only_by_a_document_that_says_so() {
    let restricted = json!({ "id": "w", "allowed_domains": ["example.com"] });
    let emptied = json!({ "id": "w", "access": "enforce" });
    let silent = json!({ "id": "w" });
    let edge = Edge::start(EdgeSpec::stored(&json!([restricted]))).await;
    is_problem(&edge.put(&silent).await, 422, "would_open_widget");
    assert_eq!(edge.put(&emptied).await.0, 200);
    is_problem(&edge.put(&silent).await, 422, "would_open_widget");
    let tried = post(&edge, "/v1/widgets/w/dry-run", &silent).await;
    is_problem(&tried, 422, "would_open_widget");
    let refused =
        super::batch(&edge, "", &[json!({ "put": { "id": "new" } }), json!({ "put": silent })]).await;
    is_problem(&refused, 422, "would_open_widget");
    assert_eq!(refused.1["errors"][0]["line"], 2);
    is_problem(&call(&edge, Method::GET, "/v1/widgets/new").await, 404, "unknown_widget");
    assert_eq!(call(&edge, Method::DELETE, "/v1/widgets/w").await.0, 200);
    is_problem(&edge.put(&silent).await, 422, "would_open_widget");
    let both = [json!({ "delete": { "id": "w", "revision": 90 } }), json!({ "put": silent })];
    is_problem(&super::batch(&edge, "", &both).await, 422, "would_open_widget");
    let replaced = super::batch(&edge, "?replace=true", &[json!({ "put": silent })]).await;
    is_problem(&replaced, 422, "would_open_widget");
    assert_eq!(visit(&edge, "w", STRANGER).await, 403);

    let (status, opened) = edge.put(&json!({ "id": "w", "access": "open" })).await;
    assert_eq!((status, &opened["unrestricted"]), (201, &json!(true)));
    assert_eq!(opened["lints"][0]["code"], "unrestricted_production");
    assert_eq!(visit(&edge, "w", STRANGER).await, 200);
    assert_eq!(edge.put(&silent).await.0, 200, "it is open already");
}

#[tokio::test]
async fn a_dry_run_tells_and_does_nothing() {
    let edge =
        Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["example.com"] }]))).await;
    let try_ = async |document: Value| post(&edge, "/v1/widgets/w/dry-run", &document).await;
    let (status, told) =
        try_(json!({ "id": "w", "allowed_domains": ["localhost"], "access": "enforce" })).await;
    assert_eq!((status, &told["outcome"], &told["widget"]["revision"]), (200, &json!("updated"), &json!(2)));
    let codes: BTreeSet<&str> =
        told["lints"].as_array().unwrap().iter().map(|lint| lint["code"].as_str().unwrap()).collect();
    assert!(codes.contains("loopback_in_production"), "{codes:?}");
    assert_eq!(
        told["sessions"],
        json!({ "open": 0, "cut": 0, "cut_embedders": [], "remembered": { "known": 0, "revoked": 0 } })
    );
    let (_, same) = try_(json!({ "id": "w", "allowed_domains": ["example.com"] })).await;
    assert_eq!((&same["outcome"], &same["widget"]["revision"]), (&json!("unchanged"), &json!(1)));
    is_problem(&try_(json!({ "id": "w", "revision": 1 })).await, 409, "stale_revision");
    let (_, status) = call(&edge, Method::GET, "/v1/status").await;
    assert_eq!(status["generation"], 1);
    let new = post(&edge, "/v1/widgets/new/dry-run", &json!({ "id": "new" })).await;
    assert_eq!((&new.1["outcome"], &new.1["unrestricted"]), (&json!("created"), &json!(true)));
    is_problem(&call(&edge, Method::GET, "/v1/widgets/new").await, 404, "unknown_widget");
}
