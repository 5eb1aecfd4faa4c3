//! Limits that are saved while sessions are open: they hold for the next request, and end none.

use serde_json::{Value, json};

use super::{A, B, SESSION, SYSTEM, edge_with, from, save, session, token};
use crate::support::eventually;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, exchange, next, open_on};

#[tokio::test]
async fn a_saved_limit_holds_for_the_next_request() {
    let upstream = Upstream::start("app").await;
    let edge = edge_with(upstream.addr, &Value::Null).await;
    for _ in 0..5 {
        assert_eq!(token(&edge, A).await, 200);
    }
    let minute = |limit: u32| json!({ "widget": { "opens_per_minute": limit } });
    save(&edge, &minute(2)).await;
    // What was opened without limits is not counted.
    assert_eq!([token(&edge, A).await, token(&edge, A).await, token(&edge, A).await], [200, 200, 429]);
    save(&edge, &minute(3)).await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429]);
    save(&edge, &minute(1)).await;
    assert_eq!(token(&edge, A).await, 429);
    save(&edge, &json!({ "mode": "monitor", "widget": { "opens_per_minute": 1 } })).await;
    assert_eq!(token(&edge, A).await, 200);
    save(&edge, &Value::Null).await;
    assert_eq!(token(&edge, A).await, 200);
}

#[tokio::test]
async fn a_lowered_limit_ends_no_session() {
    let upstream = SocketUpstream::echo().await;
    let sessions = |limit: u32| json!({ "widget": { "sessions": limit } });
    let edge = edge_with(upstream.addr, &sessions(3)).await;
    let mut open = Vec::new();
    for page in [A, B, A] {
        open.push(session(&edge, page).await.unwrap());
    }
    save(&edge, &sessions(1)).await;
    for socket in &mut open {
        exchange(socket, "still here").await;
    }
    for left in [2, 1] {
        open.pop();
        eventually("one is gone", async || edge.metric("embedgate_sessions_open").await == f64::from(left))
            .await;
        assert!(session(&edge, A).await.is_none(), "{left} are open, of one");
    }
    open.pop();
    eventually("there is room", async || session(&edge, A).await.is_some()).await;
}

#[tokio::test]
async fn sessions_from_before_a_limit_count() {
    let upstream = SocketUpstream::echo().await;
    let edge = edge_with(upstream.addr, &Value::Null).await;
    let url = format!("ws://{}{SESSION}", edge.http);
    let (mut elsewhere, _) = open_on(from([127, 0, 0, 2], &edge).await, &url, B).await.unwrap();
    assert!(!next(&mut elsewhere).await.is_close());
    let preview = session(&edge, SYSTEM).await.unwrap();
    let mut here = session(&edge, A).await.unwrap();

    for (limits, page, fits) in [
        (json!({ "widget": { "sessions": 2 } }), A, false),
        (json!({ "widget": { "sessions": 3 } }), A, true),
        (json!({ "embedder": { "sessions": 1 } }), A, false),
        (json!({ "embedder": { "sessions": 1 } }), B, false),
        (json!({ "embedder": { "sessions": 2 } }), A, true),
        (json!({ "address": { "sessions": 1 } }), A, false),
        (json!({ "address": { "sessions": 2 } }), A, true),
        (json!(null), A, true),
        (json!({ "widget": { "sessions": 2 } }), B, false),
    ] {
        save(&edge, &limits).await;
        let one_more = session(&edge, page).await;
        assert_eq!(one_more.is_some(), fits, "{limits} {page}");
        drop(one_more);
        eventually("it is gone", async || edge.metric("embedgate_sessions_open").await == 3.0).await;
    }
    exchange(&mut here, "still here").await;
    drop((here, preview));
    eventually("there is room", async || session(&edge, A).await.is_some()).await;
}
