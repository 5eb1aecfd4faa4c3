//! Who is told of which sessions when the rules change.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::{A, B, MediaServer, Receiver, begin, call, remembered, save, spec, widget};
use crate::support::edge::Edge;
use crate::support::events::EventStream;
use crate::support::raw::{Connection, request};
use crate::support::{eventually, scale};

#[tokio::test]
async fn a_change_tells_exactly_what_it_denies() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let edge = Edge::start(spec(&media, Some(&receiver))).await;
    begin(&edge, "w", A, &["room:a1", "room:a2"]).await;
    begin(&edge, "w", B, &["room:b1"]).await;
    begin(&edge, "other", A, &["room:o1"]).await;
    call(&edge, "w", A, &["ended=room:a2"]).await;

    save(&edge, &json!({ "id": "w", "access": "monitor", "allowed_domains": ["b.example"] })).await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    receiver.hears(&["room:a1"]).await;
    let [told] = &receiver.revocations()[..] else { panic!("{:?}", receiver.revocations()) };
    assert_eq!(told.revoked(), (A, "not_listed", vec!["room:a1"]));
    assert_eq!(told.body["data"]["widget"], "w");

    save(&edge, &json!({ "id": "other", "enabled": false, "allowed_domains": ["a.example"] })).await;
    receiver.hears(&["room:a1", "room:o1"]).await;
    let deleted = edge.api(Method::DELETE, "/v1/widgets/w").send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    receiver.hears(&["room:a1", "room:b1", "room:o1"]).await;
    let revocations = receiver.revocations();
    let reasons: Vec<&str> = revocations.iter().map(|arrived| arrived.revoked().1).collect();
    assert_eq!(reasons, ["not_listed", "widget_disabled", "unknown_widget"]);
    assert_eq!(remembered(&edge).await, 0);
    let revoked = "embedgate_remembered_sessions_total{outcome=\"revoked\"}";
    assert_eq!(edge.metric(revoked).await, 3.0);
}

#[tokio::test]
async fn without_a_receiver_the_events_tell() {
    let media = MediaServer::start().await;
    let edge = Edge::start(spec(&media, None)).await;
    begin(&edge, "w", A, &["room:a1"]).await;
    let mut events = EventStream::open(&edge, "?widget=w&kind=notification").await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let told = loop {
        let event = events.next().await;
        if event.data["type"] == "session.revoked" {
            break event;
        }
    };
    assert_eq!(told.data["widget"], "w", "{told:?}");
    assert!(edge.log().contains("sessions that have left the edge are denied now"), "{}", edge.log());
    eventually("they are forgotten", async || remembered(&edge).await == 0).await;
}

#[tokio::test]
async fn another_policy_tells_after_a_reload() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let mut spec = spec(&media, Some(&receiver));
    spec.rules = json!({ "widgets": [{ "id": "open", "access": "open" }] }).to_string();
    let edge = Edge::start(spec).await;
    begin(&edge, "open", A, &["o"]).await;
    let config = edge.folder().join("conf/embedgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{text}\n[policy]\nempty_allowlist = \"deny\"\n")).unwrap();
    edge.signal("HUP");
    receiver.hears(&["o"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_told_soon_after_the_save() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let edge = Edge::start(spec(&media, Some(&receiver))).await;
    let count = scale(20_000).min(2_000);
    let mut connection = Connection::open(edge.http).await;
    let ids: Vec<String> = (0..count).map(|id| format!("room:{id:05}")).collect();
    for ids in ids.chunks(16) {
        let path = format!("/w/w/session/token?begun={}", ids.join(","));
        let fields = [("Origin", A), ("Content-Length", "0")];
        let answer = connection.ask(request("POST", edge.http, &path, &fields)).await;
        assert_eq!(answer.status, 200);
    }
    assert_eq!(remembered(&edge).await, count as u64);
    let begun = Instant::now();
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let saved = begun.elapsed();
    eventually("all are told", async || receiver.sessions().len() >= count).await;
    let times: Vec<Duration> =
        receiver.revocations().iter().map(|arrived| arrived.at.duration_since(begun)).collect();
    println!(
        "{count} sessions: the save was answered after {saved:?}, the notifications came after {times:?}"
    );
    assert_eq!(receiver.sessions(), ids, "each once");
    assert_eq!(times.len(), count.div_ceil(1_000));
}
