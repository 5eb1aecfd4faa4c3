//! Requests over HTTP: what counts as an open, and the answer to one too many.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    A, B, SESSION, STRANGER, SYSTEM, TOKEN, ask, decided, edge_with, from, save, spec, token, widget,
};
use crate::support::edge::Edge;
use crate::support::raw::{Answer, Connection, request};
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Upstream, got};
use crate::support::well_before_midnight;

/// The answer to a call that passes the minute's limit, as its page has to get it.
fn assert_refused(answer: &Answer, page: &str) {
    assert_eq!(answer.status, 429, "{answer:?}");
    let seconds: u32 = answer.field("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds), "{answer:?}");
    for (name, value) in [
        ("content-type", "application/problem+json"),
        ("cache-control", "no-store"),
        ("access-control-allow-origin", page),
        ("access-control-allow-credentials", ""),
        ("access-control-expose-headers", "Retry-After"),
        ("vary", "Origin, Referer, Sec-Fetch-Dest"),
        ("cross-origin-resource-policy", "cross-origin"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.field(name), value, "{name}: {answer:?}");
    }
    let told: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&told["code"], &told["status"]), (&json!("limit_opens"), &json!(429)));
    assert!(told["decision_id"].is_string() && told["detail"].is_string(), "{told}");
}

#[tokio::test]
async fn a_call_too_many_is_429_and_reaches_no_upstream() {
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "opens_per_minute": 2 } })).await;
    for page in [A, B] {
        assert_eq!(token(&edge, page).await, 200);
    }
    let refused = ask(&edge, "POST", TOKEN, &[("Origin", A), ("Content-Length", "0")]).await;
    assert_refused(&refused, A);
    assert_eq!(upstream.requests(), 2, "the third has not reached the upstream");

    // One verdict, one line of each log, and everybody finds it by its id.
    let told: Value = serde_json::from_str(&refused.body).unwrap();
    let id = &told["decision_id"];
    let decisions: Vec<Value> =
        edge.decisions().into_iter().filter(|line| line["decision_id"] == *id).collect();
    assert_eq!(decisions.len(), 1, "{decisions:?}");
    for (name, value) in [("verdict", "deny"), ("reason", "limit_opens"), ("embedder", A), ("widget", "w")] {
        assert_eq!(decisions[0][name], value, "{}", decisions[0]);
    }
    let requests: Vec<Value> =
        edge.requests().into_iter().filter(|line| line["decision_id"] == *id).collect();
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!((&requests[0]["status"], &requests[0]["widget"]), (&json!(429), &json!("w")));
    assert_eq!(decided(&edge, "deny", "limit_opens").await, 1.0);
    assert_eq!(decided(&edge, "allow", "exact").await, 2.0);
    let path = format!("/v1/decisions/{}", id.as_str().unwrap());
    let found: Value = edge.admin(&path).await.json().await.unwrap();
    assert_eq!(found["decision"]["judged"]["reason"], "limit_opens", "{found}");
    assert_eq!(found["decision"]["status"], 429, "{found}");
}

#[tokio::test]
async fn it_is_the_same_over_http2() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("widgets.example");
    let mut spec = spec(upstream.addr, &json!([widget(&json!({ "widget": { "opens_per_minute": 1 } }))]));
    tls.add_to(&mut spec);
    let _edge = Edge::start(spec).await;
    let mut client = tls.http2().await;
    let mut call = async || {
        let request =
            ::http::Request::post(format!("https://widgets.example{TOKEN}")).header("origin", A).body(());
        client = client.clone().ready().await.unwrap();
        let (answer, _) = client.send_request(request.unwrap(), true).unwrap();
        let answer = answer.await.unwrap();
        let (head, mut body) = answer.into_parts();
        let mut text = Vec::new();
        while let Some(piece) = body.data().await {
            let piece: Bytes = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            text.extend_from_slice(&piece);
        }
        let fields = head.headers.iter();
        let fields =
            fields.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        Answer { status: head.status.as_u16(), fields, body: String::from_utf8(text).unwrap() }
    };
    assert_eq!(call().await.status, 200);
    assert_refused(&call().await, A);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn each_destination_gets_what_it_can_show() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &json!({ "widget": { "opens_per_day": 1 } })).await;
    assert_eq!(token(&edge, A).await, 200);
    for (destination, content) in [
        ("script", "application/problem+json"),
        ("empty", "application/problem+json"),
        ("iframe", "text/html; charset=utf-8"),
        ("document", "text/html; charset=utf-8"),
    ] {
        let fields = [("Origin", A), ("Sec-Fetch-Dest", destination)];
        let refused = ask(&edge, "GET", TOKEN, &fields).await;
        assert_eq!((refused.status, refused.field("content-type")), (429, content), "{destination}");
        let seconds: u32 = refused.field("retry-after").parse().unwrap();
        assert!((1..=86_400).contains(&seconds), "until midnight: {refused:?}");
        assert!(refused.body.contains("opened as often today as its owner allows"), "{refused:?}");
    }
}

#[tokio::test]
async fn nothing_but_opens_uses_a_limit_up() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let limits = json!({ "widget": { "opens_per_minute": 2 }, "embedder": { "opens_per_day": 2 } });
    let edge = edge_with(upstream.addr, &limits).await;
    for _ in 0..4 {
        for path in [TOKEN, SESSION] {
            for page in [STRANGER, "null", "https://Malformed.example"] {
                assert_eq!(ask(&edge, "GET", path, &[("Origin", page)]).await.status, 403, "{page}");
            }
            assert_eq!(ask(&edge, "GET", path, &[("Origin", SYSTEM)]).await.status, 200, "a preview");
        }
        for path in ["/w/w/loader.js", "/w/w/frame", SESSION] {
            assert_eq!(ask(&edge, "GET", path, &[("Origin", A)]).await.status, 200, "{path}");
        }
        let ticket = [("Origin", A), ("Content-Length", "0")];
        assert_eq!(ask(&edge, "POST", "/w/w/embed-ticket", &ticket).await.status, 200);
        let preflight = [("Origin", A), ("Access-Control-Request-Method", "POST")];
        assert_eq!(ask(&edge, "OPTIONS", TOKEN, &preflight).await.status, 204);
    }
    for status in [200, 200, 429] {
        assert_eq!(token(&edge, A).await, status);
    }
    // The page's preflight passes also then, so that it can read the answer.
    let preflight = [("Origin", A), ("Access-Control-Request-Method", "POST")];
    assert_eq!(ask(&edge, "OPTIONS", TOKEN, &preflight).await.status, 204);
    for path in ["/w/w/loader.js", SESSION] {
        assert_eq!(ask(&edge, "GET", path, &[("Origin", A)]).await.status, 200, "{path} opens nothing");
    }
}

#[tokio::test]
async fn an_iframe_counts_as_the_page_of_its_ticket() {
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &json!({ "embedder": { "opens_per_minute": 2 } })).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let ticket = async |page: &str| {
        let fields = [("Origin", page), ("Content-Length", "0")];
        let answer = ask(&edge, "POST", "/w/w/embed-ticket", &fields).await;
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        told["ticket"].as_str().unwrap().to_owned()
    };
    let framed = async |ticket: &str| {
        let by = format!("Embed {ticket}");
        ask(&edge, "GET", TOKEN, &[("Origin", &own), ("Authorization", &by)]).await.status
    };
    let (of_a, of_b, of_system) = (ticket(A).await, ticket(B).await, ticket(SYSTEM).await);
    assert_eq!((token(&edge, A).await, framed(&of_a).await), (200, 200));
    assert_eq!((token(&edge, A).await, framed(&of_a).await), (429, 429));
    assert_eq!((framed(&of_b).await, token(&edge, B).await, framed(&of_b).await), (200, 200, 429));
    for _ in 0..4 {
        assert_eq!(framed(&of_system).await, 200, "a preview");
    }
}

#[tokio::test]
async fn each_address_has_a_limit_of_its_own() {
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &json!({ "address": { "opens_per_minute": 1 } })).await;
    let call = request("GET", edge.http, TOKEN, &[("Origin", A)]);
    for address in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 3, 2, 1]] {
        for status in [200, 429] {
            let stream = from(address, &edge).await;
            let answer = Connection::over(stream).ask(&call).await;
            assert_eq!(answer.status, status, "{address:?}");
        }
    }
    // What a stranger says of itself is not believed.
    let forged = [("Origin", A), ("X-Forwarded-For", "203.0.113.9")];
    assert_eq!(ask(&edge, "GET", TOKEN, &forged).await.status, 429);
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_the_client_s() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr, &json!([widget(&json!({ "address": { "opens_per_minute": 1 } }))]));
    spec.edge = "trusted_proxies = [\"127.0.0.1/32\", \"10.0.0.0/8\"]".to_owned();
    let edge = Edge::start(spec).await;
    for (chain, status) in [
        ("203.0.113.9", 200),
        ("203.0.113.9", 429),
        ("1.1.1.1, 203.0.113.9", 429),
        ("203.0.113.9, 10.1.1.1", 429),
        ("203.0.113.10", 200),
        // An IPv6 network (/64) is one visitor's.
        ("2001:db8::1", 200),
        ("2001:db8::2", 429),
        ("2001:db8::ffff:ffff:ffff:ffff", 429),
        ("2001:db8:0:1::1", 200),
        // An IPv4 address in IPv6 form is that address.
        ("::ffff:203.0.113.9", 429),
    ] {
        let answer = ask(&edge, "GET", TOKEN, &[("Origin", A), ("X-Forwarded-For", chain)]).await;
        assert_eq!(answer.status, status, "{chain}");
    }
}

#[tokio::test]
async fn what_one_part_refuses_charges_no_other() {
    let upstream = Upstream::start("app").await;
    let limits = json!({ "widget": { "opens_per_minute": 3 }, "embedder": { "opens_per_minute": 1 } });
    let edge = edge_with(upstream.addr, &limits).await;
    assert_eq!(token(&edge, A).await, 200);
    for _ in 0..5 {
        assert_eq!(token(&edge, A).await, 429);
    }
    assert_eq!(token(&edge, B).await, 200, "A's refused calls have left the widget's room to B");
    save(&edge, &json!({ "widget": { "opens_per_minute": 3 } })).await;
    assert_eq!((token(&edge, B).await, token(&edge, B).await), (200, 429), "and exactly one more was left");
}

#[tokio::test]
async fn monitored_limits_let_through_and_tell() {
    let upstream = Upstream::start("app").await;
    let limits = json!({ "mode": "monitor", "widget": { "opens_per_minute": 1 } });
    let edge = edge_with(upstream.addr, &limits).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = ask(&edge, "GET", TOKEN, &[("Origin", A)]).await;
        assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, A));
        let told: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(got(&told, "x-embedder-origin"), Some(A), "the page is verified all the same");
        ids.push(got(&told, "x-decision-id").unwrap().to_owned());
    }
    let decisions = edge.decisions();
    for (nth, id) in ids.iter().enumerate() {
        let line = decisions.iter().find(|line| line["decision_id"] == id.as_str()).unwrap();
        assert_eq!((&line["verdict"], &line["reason"]), (&json!("allow"), &json!("exact")));
        let noted = if nth == 0 { Value::Null } else { json!("limit_opens") };
        assert_eq!(line["would_deny"], noted, "{line}");
    }
    let noted = "embedgate_decisions_would_deny_total{class=\"session\",reason=\"limit_opens\"}";
    assert_eq!(edge.metric(noted).await, 2.0);
}

#[tokio::test]
async fn a_page_that_sends_credentials_can_read_it() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr, &json!([widget(&json!({ "widget": { "opens_per_minute": 1 } }))]));
    spec.routes = spec.routes.map(|routes| routes + "credentials = true\n");
    let edge = Edge::start(spec).await;
    for status in [200, 429] {
        let answer = ask(&edge, "GET", TOKEN, &[("Origin", A)]).await;
        let told = (answer.status, answer.field("access-control-allow-credentials"));
        assert_eq!(told, (status, "true"), "{answer:?}");
    }
    let denied = ask(&edge, "GET", TOKEN, &[("Origin", STRANGER)]).await;
    assert_eq!((denied.status, denied.field("access-control-allow-credentials")), (403, ""));
}
