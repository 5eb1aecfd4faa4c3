//! What is refused, each with its status, its code and its place.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NDJSON, call, is_problem, post, read};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN};
use crate::support::raw;

#[tokio::test]
async fn documents_are_told_every_fault_with_its_place() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let document = json!({ "id": "w", "allowed_domains": ["example.com", "*", {"pattern": "a b"}, "*.co.uk", "EXAMPLE.COM"] });
    let refused = edge.put(&document).await;
    is_problem(&refused, 422, "invalid_document");
    let errors: Vec<(&str, &str)> = refused.1["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| (error["pointer"].as_str().unwrap(), error["code"].as_str().unwrap()))
        .collect();
    let pointers: Vec<&str> = errors.iter().map(|(pointer, _)| *pointer).collect();
    assert_eq!(
        pointers,
        ["/allowed_domains/1", "/allowed_domains/2/pattern", "/allowed_domains/3", "/allowed_domains/4"]
    );
    assert_eq!((errors[2].1, errors[3].1), ("public_suffix", "duplicate_entry"));

    let put = async |path: &str, body: &str| {
        let call = edge.api(Method::PUT, path).header("content-type", "application/json");
        read(call.body(body.to_owned()).send().await.unwrap()).await
    };
    for (path, body, pointer, code) in [
        ("/v1/widgets/w", r#"{"id": "other"}"#, "/id", "id_mismatch"),
        ("/v1/widgets/no%20id", r#"{"id": "w"}"#, "/id", "invalid_id"),
        ("/v1/widgets/w", r#"{"id": "w", "enabeld": true}"#, "/enabeld", "unknown_field"),
        ("/v1/widgets/w", r#"{"id": "w", "enabled": "yes"}"#, "/enabled", "invalid_type"),
        ("/v1/widgets/w", r#"{"id": "w", "id": "w"}"#, "/id", "duplicate_field"),
        (
            "/v1/widgets/w",
            r#"{"id": "w", "limits": {"adress": {"sessions": 5}}}"#,
            "/limits/adress",
            "unknown_field",
        ),
        (
            "/v1/widgets/w",
            r#"{"id": "w", "limits": {"address": {"sessions": 0}}}"#,
            "/limits/address/sessions",
            "invalid_value",
        ),
        ("/v1/widgets/w", r#"{"id": "w", "limits": {"mode": "off"}}"#, "/limits/mode", "unknown_value"),
        ("/v1/widgets/w", "{", "", "invalid_json"),
        ("/v1/widgets/w", "", "", "invalid_json"),
        ("/v1/widgets/w", r#"{"id": "w"} {}"#, "", "invalid_json"),
    ] {
        let refused = put(path, body).await;
        is_problem(&refused, 422, "invalid_document");
        let error = &refused.1["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!(pointer), &json!(code)), "{body}: {error}");
    }
    let voice = json!({ "id": "w", "capabilities": ["voice"], "allowed_domains": ["http://example.com"] });
    assert_eq!(edge.put(&voice).await.1["errors"][0]["code"], "insecure_voice");
    assert_eq!(call(&edge, Method::GET, "/v1/widgets").await.1["widgets"], json!([]));
}

#[tokio::test]
async fn revisions_only_grow() {
    let edge = Edge::start(EdgeSpec::stored(
        &json!([{ "id": "w", "revision": 7, "allowed_domains": ["a.example"] }]),
    ))
    .await;
    let put = async |revision: u64, domain: &str| {
        edge.put(&json!({ "id": "w", "revision": revision, "allowed_domains": [domain] })).await
    };
    for (revision, domain) in [(6, "b.example"), (7, "b.example"), (0, "b.example")] {
        let refused = put(revision, domain).await;
        is_problem(&refused, 409, "stale_revision");
        assert_eq!(refused.1["errors"][0]["pointer"], "/revision");
    }
    for (revision, domain) in [(7, "a.example"), (3, "a.example"), (8, "b.example")] {
        assert_eq!(put(revision, domain).await.0, 200, "{revision} {domain}");
    }
    is_problem(&call(&edge, Method::DELETE, "/v1/widgets/w?revision=8").await, 409, "stale_revision");
}

#[tokio::test]
async fn queries_are_read_strictly() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    for (path, code) in [
        ("/v1/widgets?limit=0", "invalid_parameter"),
        ("/v1/widgets?limit=1001", "invalid_parameter"),
        ("/v1/widgets?limit=ten", "invalid_parameter"),
        ("/v1/widgets?limit=", "invalid_parameter"),
        ("/v1/widgets?limit=1&limit=2", "invalid_parameter"),
        ("/v1/widgets?acces=open", "unknown_parameter"),
        ("/v1/widgets?access=closed", "invalid_parameter"),
        ("/v1/widgets?after=no%20id", "invalid_parameter"),
        ("/v1/widgets/w?revision=7", "unknown_parameter"),
        ("/v1/lint?limit=0", "invalid_parameter"),
        ("/v1/lint?afetr=w", "unknown_parameter"),
    ] {
        let refused = call(&edge, Method::GET, path).await;
        is_problem(&refused, 400, code);
        let parameter = path.split(['?', '=']).nth(1).unwrap();
        assert_eq!(refused.1["errors"][0]["parameter"], parameter, "{path}: {}", refused.1);
    }
    for (path, code) in [
        ("/v1/batch?replce=true", "unknown_parameter"),
        ("/v1/batch?stale=keep", "invalid_parameter"),
        ("/v1/batch?replace=yes", "invalid_parameter"),
    ] {
        let call = edge.api(Method::POST, path).header("content-type", NDJSON);
        is_problem(&read(call.body("").send().await.unwrap()).await, 400, code);
    }
    is_problem(&call(&edge, Method::DELETE, "/v1/widgets/w?revision=-1").await, 400, "invalid_parameter");
    for path in ["/v1/widgets/no%20id", "/v1/widgets/%ff", "/v1/widgets/unknown"] {
        is_problem(&call(&edge, Method::GET, path).await, 404, "unknown_widget");
    }
    is_problem(&call(&edge, Method::GET, "/v1/nothing").await, 404, "not_found");
    let answer = edge.api(Method::POST, "/v1/widgets/w").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET,HEAD,PUT,PATCH,DELETE");
    is_problem(&read(answer).await, 405, "method_not_allowed");
}

#[tokio::test]
async fn bodies_say_what_they_are_and_are_small_enough() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    for (path, method) in [
        ("/v1/widgets/w", Method::PUT),
        ("/v1/explain", Method::POST),
        ("/v1/widgets/w/dry-run", Method::POST),
    ] {
        for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let call = edge.api(method.clone(), path).header("content-type", media).body("{}");
            is_problem(&read(call.send().await.unwrap()).await, 415, "unsupported_media_type");
        }
        let call = edge.api(method.clone(), path).header("content-type", "application/json");
        let coded = call.header("content-encoding", "gzip").body("{}").send().await.unwrap();
        is_problem(&read(coded).await, 415, "unsupported_media_type");
        let call = edge.api(method, path).header("content-type", "application/json; charset=utf-8");
        let large = call.body(" ".repeat(400 * 1024)).send().await.unwrap();
        is_problem(&read(large).await, 413, "too_large");
    }
    let call = edge.api(Method::POST, "/v1/batch").json(&json!({}));
    is_problem(&read(call.send().await.unwrap()).await, 415, "unsupported_media_type");
    let entries: Vec<String> = (0..1001).map(|n| format!("a{n}.example")).collect();
    let many = edge.put(&json!({ "id": "w", "allowed_domains": entries })).await;
    is_problem(&many, 422, "invalid_document");
    assert_eq!(many.1["errors"][0]["code"], "too_many_entries");
}

/// Nothing of a body is waited for before the caller is known and allowed, nor where it says that it is too large.
#[tokio::test]
async fn refusals_come_before_the_body() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let announce = async |method: &str, path: &str, token: &str, media: &str, length: usize| {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: {media}\r\n\
             Content-Length: {length}\r\n\r\n",
            edge.admin
        );
        let mut stream = TcpStream::connect(edge.admin).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes)).await;
        raw::Answer::parse(&bytes[..read.expect("an answer before the body").unwrap()]).unwrap()
    };
    let json = "application/json";
    for (method, path, media) in [("PUT", "/v1/widgets/w", json), ("POST", "/v1/batch", NDJSON)] {
        let answer = announce(method, path, "unknown", media, 100).await;
        assert_eq!(
            (answer.status, answer.field("www-authenticate")),
            (401, "Bearer error=\"invalid_token\"")
        );
        assert_eq!(announce(method, path, READ_TOKEN, media, 100).await.status, 403);
        assert_eq!(announce(method, path, WRITE_TOKEN, media, 65 << 20).await.status, 413);
        assert_eq!(announce(method, path, WRITE_TOKEN, "text/plain", 100).await.status, 415);
    }
    assert_eq!(announce("POST", "/v1/explain", READ_TOKEN, json, 1 << 20).await.status, 413);
}

#[tokio::test]
async fn a_body_that_ends_early_changes_nothing() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "other" }]))).await;
    let line = "{\"put\":{\"id\":\"w\"}}\n";
    let head = format!(
        "POST /v1/batch?replace=true HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
         Content-Type: {NDJSON}\r\nContent-Length: 1000\r\n\r\n{line}",
        edge.admin
    );
    let mut stream = TcpStream::connect(edge.admin).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["generation"], 1);
}

#[tokio::test]
async fn a_rules_file_is_changed_in_the_file_alone() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let refused = edge.put(&json!({ "id": "w" })).await;
    is_problem(&refused, 409, "read_only_source");
    is_problem(&call(&edge, Method::DELETE, "/v1/widgets/wgt_demo").await, 409, "read_only_source");
    is_problem(&super::batch(&edge, "", &[json!({ "put": { "id": "w" } })]).await, 409, "read_only_source");
    let (status, demo) = call(&edge, Method::GET, "/v1/widgets/wgt_demo").await;
    assert_eq!((status, &demo["labels"]["team"]), (200, &json!("growth")), "and read here");
    assert_eq!(call(&edge, Method::GET, "/v1/status").await.1["read_only"], true);
}

#[tokio::test]
async fn questions_are_told_what_is_wrong_with_them() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let ask = async |question: Value| post(&edge, "/v1/explain", &question).await;
    for question in
        [json!({}), json!({ "widget": 7 }), json!({ "widget": "w", "class": "script" }), json!([])]
    {
        is_problem(&ask(question).await, 422, "invalid_document");
    }
    let unknown = ask(json!({ "widget": "w", "orgin": "https://a.example" })).await;
    assert_eq!(unknown.1["errors"][0]["code"], "invalid_question", "{}", unknown.1);
    let draft = ask(json!({ "widget": "w", "draft": { "id": "w", "allowed_domains": ["*"] } })).await;
    is_problem(&draft, 422, "invalid_document");
    assert_eq!(draft.1["errors"][0]["pointer"], "/draft/allowed_domains/0");
    let other = ask(json!({ "widget": "w", "draft": { "id": "x" } })).await;
    assert_eq!(other.1["errors"][0]["code"], "id_mismatch");
}
