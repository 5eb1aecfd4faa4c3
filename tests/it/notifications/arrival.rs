//! A notification that arrives.

use reqwest::Method;
use serde_json::{Value, json};

use super::{pending, spec, state, test};
use crate::support::edge::{Edge, EdgeSpec, READ_TOKEN};
use crate::support::events::EventStream;
use crate::support::webhooks::{Webhooks, secrets};

#[tokio::test]
async fn a_test_arrives_signed_and_is_told_to_readers_of_events() {
    let receiver = Webhooks::start().await;
    let edge = Edge::start(spec(receiver.addr)).await;
    let mut events = EventStream::open(&edge, "?kind=notification").await;
    let id = test(&edge).await;
    let [webhook] = &receiver.wait_for(1).await[..] else { panic!() };
    assert_eq!(webhook.id(), id);
    assert_eq!(webhook.field("content-type"), "application/json");
    assert_eq!(webhook.field("user-agent"), concat!("embedgate/", env!("CARGO_PKG_VERSION")));
    let [secret] = &secrets(edge.folder())[..] else { panic!() };
    assert!(webhook.is_signed_by(secret), "{webhook:?}");
    assert_eq!(webhook.body["type"], "test");
    assert_eq!(webhook.body["timestamp"], webhook.body["data"]["at"]);
    let event = events.next().await;
    assert_eq!(
        (&*event.kind, &event.data["type"], &event.data["id"]),
        ("notification", &json!("test"), &json!(id))
    );
    assert_eq!(event.data["data"], webhook.body["data"]);
    pending(&edge, 0).await;
    let state = state(&edge).await;
    assert_eq!(state["receiver"], format!("http://{}", receiver.addr), "without the path");
    assert_eq!((&state["totals"]["delivered"], &state["durable"]), (&json!(1), &json!(true)));
    assert_eq!((&state["failing"], &state["dead"], &state["next"]), (&json!([]), &json!([]), &Value::Null));
    assert!(state["last_arrival"].is_string());
    let delivered = "embedgate_notifications_total{kind=\"test\",outcome=\"delivered\"}";
    assert_eq!(edge.metric(delivered).await, 1.0);
    receiver.no_more_than(1).await;
}

#[tokio::test]
async fn whoever_may_only_read_sends_none() {
    let receiver = Webhooks::start().await;
    let edge = Edge::start(spec(receiver.addr)).await;
    for path in ["/v1/notifications/test", "/v1/notifications/msg_0/retry"] {
        let call = reqwest::Client::new().post(format!("http://{}{path}", edge.admin));
        let answer = call.bearer_auth(READ_TOKEN).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path}");
    }
    receiver.no_more_than(0).await;
}

#[tokio::test]
async fn without_a_url_nothing_waits_and_the_events_tell() {
    let edge = Edge::start(EdgeSpec::stored(&json!([]))).await;
    let mut events = EventStream::open(&edge, "?kind=notification").await;
    let answer = edge.api(Method::POST, "/v1/notifications/test").send().await.unwrap();
    assert_eq!(answer.status(), 409);
    let problem: Value = answer.json().await.unwrap();
    assert_eq!(problem["code"], "no_receiver");
    assert!(problem["detail"].as_str().unwrap().contains("notify.url"), "{problem}");
    assert_eq!(state(&edge).await["receiver"], Value::Null);
    let (status, answer) = edge.put(&json!({ "id": "told", "allowed_domains": ["a.example"] })).await;
    assert!(matches!(status, 200 | 201), "{answer}");
    let event = events.next().await;
    assert_eq!((&*event.kind, &event.data["type"]), ("notification", &json!("rules.changed")));
    let told = state(&edge).await;
    assert_eq!((&told["pending"], &told["oldest"]), (&json!(0), &Value::Null));
    assert!(!edge.folder().join("data/notify.secret").exists());
}
