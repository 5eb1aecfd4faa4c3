//! Who may call: tokens, roles, their rotation, and pages in a browser.

use std::os::unix::fs::PermissionsExt;

use futures_util::future::join_all;
use reqwest::{Client, Method};
use serde_json::json;

use super::{is_problem, read};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN, WRITE_TOKEN, write_tokens};
use crate::support::raw::Connection;

/// Every call, and whether it changes rules.
const CALLS: [(&str, &str, bool); 17] = [
    ("GET", "/v1/widgets", false),
    ("GET", "/v1/widgets/wgt_demo", false),
    ("PUT", "/v1/widgets/wgt_demo", true),
    ("DELETE", "/v1/widgets/wgt_demo", true),
    ("POST", "/v1/batch", true),
    ("POST", "/v1/explain", false),
    ("POST", "/v1/widgets/wgt_demo/dry-run", false),
    ("POST", "/v1/widgets/wgt_demo/purge", true),
    ("GET", "/v1/widgets/wgt_demo/activity", false),
    ("POST", "/v1/widgets/wgt_demo/propose", false),
    ("GET", "/v1/activity", false),
    ("GET", "/v1/lint", false),
    ("GET", "/v1/status", false),
    ("GET", "/v1/events?kind=nothing", false),
    ("GET", "/v1/notifications", false),
    ("POST", "/v1/notifications/test", true),
    ("POST", "/v1/notifications/msg_0/retry", true),
];

#[tokio::test]
async fn every_call_needs_a_token_and_writing_one_that_may() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let client = Client::new();
    // At once: each refusal takes its time.
    let asked = CALLS.into_iter().map(async |(method, path, writes)| {
        let request = || client.request(method.parse().unwrap(), format!("http://{}{path}", edge.admin));
        let answer = request().send().await.unwrap();
        assert_eq!(answer.headers()["www-authenticate"], "Bearer", "{method} {path}");
        is_problem(&read(answer).await, 401, "unauthorized");
        for field in
            ["Bearer unknown", "Basic dXNlcjpwYXNz", "Bearer", &format!("Bearer {READ_TOKEN} x"), READ_TOKEN]
        {
            let answer = request().header("authorization", field).send().await.unwrap();
            assert!(answer.headers().contains_key("www-authenticate"), "{method} {path} {field}");
            is_problem(&read(answer).await, 401, "unauthorized");
        }
        let twice = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
             Authorization: Bearer {WRITE_TOKEN}\r\nConnection: close\r\n\r\n",
            edge.admin
        );
        assert_eq!(Connection::open(edge.admin).await.ask(twice).await.status, 401);
        let reading = read(request().bearer_auth(READ_TOKEN).send().await.unwrap()).await;
        if writes {
            is_problem(&reading, 403, "forbidden");
        } else {
            assert!(![401, 403].contains(&reading.0), "{method} {path}: {}", reading.0);
        }
    });
    join_all(asked).await;
    for unknown in ["/v1/nothing", "/nothing", "/v1/widgets/a/b"] {
        let answer = client.get(format!("http://{}{unknown}", edge.admin)).send().await.unwrap();
        assert_eq!(answer.status(), 401, "nobody learns which calls there are");
    }
    for open in ["/sign-in", "/livez", "/readyz", "/metrics", "/v1/openapi.json"] {
        assert_eq!(client.get(format!("http://{}{open}", edge.admin)).send().await.unwrap().status(), 200);
    }
    let (_, status) = super::call(&edge, Method::GET, "/v1/status").await;
    assert_eq!(status["generation"], 1, "nothing of it changed a rule");
}

#[tokio::test]
async fn tokens_are_replaced_while_it_runs() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let status = async |token: &str| {
        let request = Client::new().get(format!("http://{}/v1/status", edge.admin));
        request.bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    let new = "new-0123456789abcdef0123456789";
    assert_eq!((status(READ_TOKEN).await, status(new).await), (200, 401));
    write_tokens(&edge.tokens(), &format!("# both\nread {READ_TOKEN}\nread {new}\n"));
    assert_eq!((status(READ_TOKEN).await, status(new).await), (200, 200));
    write_tokens(&edge.tokens(), &format!("read {new}\n"));
    assert_eq!((status(READ_TOKEN).await, status(new).await), (401, 200));
    write_tokens(&edge.tokens(), "no token at all\n");
    assert_eq!(status(new).await, 200, "a bad file leaves the last good tokens");
    assert!(edge.log().contains("admin.tokens:1: not `read TOKEN` or `write TOKEN`"), "{}", edge.log());
    assert!(!edge.log().contains(new) && !edge.log().contains(READ_TOKEN));
}

/// The audit log, events and answers of the edge say who it was, also after a rotation.
#[tokio::test]
async fn changes_carry_the_names_of_their_tokens() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let (old, new) = ("old-0123456789abcdef0123456789", "new-0123456789abcdef0123456789");
    write_tokens(
        &edge.tokens(),
        &format!("read {READ_TOKEN} viewer\nwrite {old} ci-deploy\nwrite {new} ci-deploy\n"),
    );
    for (token, id) in [(old, "a"), (new, "b")] {
        let put = Client::new().put(format!("http://{}/v1/widgets/{id}", edge.admin)).bearer_auth(token);
        assert_eq!(put.json(&json!({ "id": id })).send().await.unwrap().status(), 201);
    }
    write_tokens(&edge.tokens(), &format!("write {new}\n"));
    let put = Client::new().put(format!("http://{}/v1/widgets/c", edge.admin)).bearer_auth(new);
    assert_eq!(put.json(&json!({ "id": "c" })).send().await.unwrap().status(), 201);
    let audit = std::fs::read_to_string(edge.folder().join("data/audit.jsonl")).unwrap();
    let lines = audit.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let actors: Vec<(String, String)> = lines
        .filter(|line| ["a", "b", "c"].iter().any(|id| line["widget"] == *id))
        .map(|line| (line["widget"].as_str().unwrap().to_owned(), line["actor"].as_str().unwrap().to_owned()))
        .collect();
    assert_eq!(
        actors[..2],
        [("a", "token:ci-deploy"), ("b", "token:ci-deploy")].map(|(a, b)| (a.into(), b.into()))
    );
    assert!(actors[2].1.starts_with("token:write:") && actors.len() == 3, "{actors:?}");
    assert!(![&audit, &edge.log()].iter().any(|text| text.contains(old) || text.contains(new)));

    write_tokens(&edge.tokens(), &format!("write {new} two words\n"));
    let put = Client::new().put(format!("http://{}/v1/widgets/d", edge.admin)).bearer_auth(new);
    assert_eq!(
        put.json(&json!({ "id": "d" })).send().await.unwrap().status(),
        201,
        "the last good tokens stay"
    );
    assert!(edge.log().contains("admin.tokens:1: not `read TOKEN` or `write TOKEN`"), "{}", edge.log());
    assert!(!edge.log().contains(new));
}

#[tokio::test]
async fn the_first_start_makes_a_token_and_says_where() {
    let spec =
        EdgeSpec { admin: "token_file = \"made/tokens\"".to_owned(), source: "store", ..EdgeSpec::default() };
    let edge = Edge::start(spec).await;
    let file = edge.folder().join("made/tokens");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    let token = text.lines().find_map(|line| line.strip_prefix("write ")).unwrap();
    assert!(edge.log().contains("created made/tokens with one write token"), "{}", edge.log());
    assert!(!edge.log().contains(token));
    let request = Client::new().put(format!("http://{}/v1/widgets/w", edge.admin)).bearer_auth(token);
    assert_eq!(request.json(&json!({ "id": "w" })).send().await.unwrap().status(), 201);
}

#[tokio::test]
async fn a_token_file_that_others_can_read_is_no_start() {
    let edge = Edge::start(EdgeSpec::default()).await;
    let folder = edge.folder();
    std::fs::set_permissions(edge.tokens(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let out = Edge::command(folder).output().unwrap();
    let log = String::from_utf8_lossy(&out.stderr);
    // The addresses are taken, too; whichever is found first, the mode is named before anything listens.
    assert!(!out.status.success() && log.contains("chmod 600 data/admin.tokens"), "{log}");
}

#[tokio::test]
async fn pages_can_not_write_even_with_a_token() {
    let edge = Edge::start(EdgeSpec { source: "store", ..EdgeSpec::default() }).await;
    let document = json!({ "id": "w" });
    for (name, value) in [("origin", "https://evil.example"), ("origin", "null"), ("host", "rebound.example")]
    {
        let call = edge.api(Method::PUT, "/v1/widgets/w").header(name, value).json(&document);
        is_problem(&read(call.send().await.unwrap()).await, 403, "forbidden");
    }
    let preflight = edge.api(Method::OPTIONS, "/v1/widgets/w").header("origin", "https://evil.example");
    let answer = preflight.header("access-control-request-method", "PUT").send().await.unwrap();
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    assert_eq!(answer.status(), 403);
    let own = edge.api(Method::PUT, "/v1/widgets/w").header("origin", format!("http://{}", edge.admin));
    assert_eq!(own.json(&document).send().await.unwrap().status(), 201);
}
