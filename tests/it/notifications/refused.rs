//! A receiver that answers something else than yes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use reqwest::Method;
use serde_json::{Value, json};

use super::{pending, spec, state, test};
use crate::support::edge::Edge;
use crate::support::webhooks::Webhooks;
use crate::support::{eventually, ports};

#[tokio::test]
async fn what_is_not_wanted_is_a_dead_letter_at_once_and_can_be_tried_again() {
    let is_wanted = Arc::new(AtomicBool::new(false));
    let wanted = Arc::clone(&is_wanted);
    let receiver = Webhooks::answering(ports::free(), move |_, _| match wanted.load(Ordering::SeqCst) {
        true => StatusCode::OK.into_response(),
        false => StatusCode::GONE.into_response(),
    })
    .await;
    let mut edge = Edge::start(spec(receiver.addr)).await;
    let (first, second) = (test(&edge).await, test(&edge).await);
    eventually("both are given up", async || state(&edge).await["dead"].as_array().unwrap().len() == 2).await;
    // Also after a restart.
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    edge.restart().await;
    eventually("they are read", async || state(&edge).await["dead"].as_array().unwrap().len() == 2).await;
    let told = state(&edge).await;
    let dead = told["dead"].as_array().unwrap();
    assert_eq!((&dead[0]["id"], &dead[1]["id"]), (&json!(second), &json!(first)), "the last one first");
    assert_eq!((&dead[0]["type"], &dead[0]["tries"]), (&json!("test"), &json!(1)));
    assert!(dead[0]["error"].as_str().unwrap().contains("410 Gone"), "{told}");
    assert!(edge.log().is_empty() || !edge.log().contains("whsec_"));
    receiver.no_more_than(2).await;
    // A page at a time.
    let page: Value = edge.admin("/v1/notifications?limit=1").await.json().await.unwrap();
    assert_eq!(page["dead"][0]["id"], json!(second));
    let next = page["next"].as_str().unwrap();
    let page: Value =
        edge.admin(&format!("/v1/notifications?limit=1&after={next}")).await.json().await.unwrap();
    assert_eq!((&page["dead"][0]["id"], &page["next"]), (&json!(first), &Value::Null));
    for query in ["limit=0", "limit=1001", "after=msg_1", "after=1", "aftr=x"] {
        assert_eq!(edge.admin(&format!("/v1/notifications?{query}")).await.status(), 400, "{query}");
    }
    let page: Value = edge.admin("/v1/notifications?after=1.1").await.json().await.unwrap();
    assert_eq!((&page["dead"], &page["next"]), (&json!([]), &Value::Null), "all came later");
    is_wanted.store(true, Ordering::SeqCst);
    let retry = |id: &str| edge.api(Method::POST, &format!("/v1/notifications/{id}/retry")).send();
    assert_eq!(retry(&first).await.unwrap().status(), 202);
    let got = receiver.wait_for(3).await;
    assert_eq!(got[2].id(), first);
    assert_eq!(got[2].text, got[0].text);
    let problem = retry(&first).await.unwrap();
    assert_eq!(problem.status(), 404);
    assert_eq!(problem.json::<Value>().await.unwrap()["code"], "unknown_notification");
    assert_eq!(state(&edge).await["dead"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn one_that_asks_for_time_gets_it() {
    let receiver = Webhooks::answering(ports::free(), |_, before| match before {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "4")]).into_response(),
        _ => StatusCode::OK.into_response(),
    })
    .await;
    let edge = Edge::start(spec(receiver.addr)).await;
    let id = test(&edge).await;
    receiver.wait_for(1).await;
    eventually("its failure is told", async || state(&edge).await["failing"][0]["id"] == json!(id)).await;
    let failing = state(&edge).await["failing"][0].clone();
    assert!(failing["error"].as_str().unwrap().contains("429"), "{failing}");
    assert_eq!(failing["tries"], 1);
    let got = receiver.wait_for(2).await;
    let waited = got[1].at - got[0].at;
    // Of itself it would have been tried again within a second. A slow machine may take longer.
    assert!(waited >= Duration::from_secs(4), "{waited:?}");
    assert_eq!(got[1].id(), id);
    pending(&edge, 0).await;
    let retried = "embedgate_notifications_total{kind=\"test\",outcome=\"retried\"}";
    assert_eq!(edge.metric(retried).await, 1.0);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Webhooks::start().await;
    let to = format!("http://{}/", elsewhere.addr);
    let receiver = Webhooks::answering(ports::free(), move |_, _| {
        (StatusCode::TEMPORARY_REDIRECT, [("location", to.clone())]).into_response()
    })
    .await;
    let edge = Edge::start(spec(receiver.addr)).await;
    test(&edge).await;
    receiver.wait_for(2).await;
    eventually("its failure is told", async || {
        let told = state(&edge).await["failing"][0]["error"].clone();
        told.as_str().is_some_and(|error| error.contains("307") && error.contains("not followed"))
    })
    .await;
    elsewhere.no_more_than(0).await;
}
