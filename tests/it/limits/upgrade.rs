//! Counts over an upgrade: the new process goes on with those of the old one, and knows when its sessions end.

use serde_json::json;

use super::{A, B, edge_with, room, session, token};
use crate::life::upgrade::upgrade;
use crate::support::upstream::Upstream;
use crate::support::websocket::{SocketUpstream, closed, exchange};
use crate::support::well_before_midnight;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_the_old_process_count_until_they_end() {
    let upstream = SocketUpstream::echo().await;
    let limits = json!({ "widget": { "sessions": 4 }, "embedder": { "sessions": 3 } });
    let edge = edge_with(upstream.addr, &limits).await;
    let first = session(&edge, A).await.unwrap();
    let mut second = session(&edge, A).await.unwrap();
    let _new = upgrade(&edge).await;
    let _third = session(&edge, A).await.unwrap();
    assert!(session(&edge, A).await.is_none(), "two in the old process, one in the new one");
    let _fourth = session(&edge, B).await.unwrap();
    assert!(session(&edge, B).await.is_none(), "four of the widget");
    exchange(&mut second, "still there").await;
    drop(first);
    let _fifth = room(&edge, A).await;
    assert!(session(&edge, A).await.is_none());
    second.close(None).await.unwrap();
    closed(&mut second).await;
    drop(room(&edge, A).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_of_processes_counts_like_one() {
    let upstream = SocketUpstream::echo().await;
    let mut edge = edge_with(upstream.addr, &json!({ "address": { "sessions": 3 } })).await;
    let oldest = session(&edge, A).await.unwrap();
    let between = upgrade(&edge).await;
    let second = session(&edge, B).await.unwrap();
    let _new = upgrade(&edge).await;
    let third = session(&edge, A).await.unwrap();
    assert!(session(&edge, B).await.is_none(), "one in each process");
    // The oldest tells the one in between, which tells the new one.
    drop(oldest);
    let _fourth = room(&edge, B).await;
    assert!(session(&edge, A).await.is_none());
    assert_eq!(edge.exit_code().await, Some(0));
    // A process that dies says nothing, and its sessions are over all the same.
    between.signal("KILL");
    drop((second, third));
    let _free = [room(&edge, A).await, room(&edge, A).await];
    assert!(session(&edge, A).await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opens_of_a_minute_and_a_day_pass_over() {
    well_before_midnight().await;
    let upstream = Upstream::start("app").await;
    let limits = json!({ "embedder": { "opens_per_minute": 3 }, "widget": { "opens_per_day": 5 } });
    let mut edge = edge_with(upstream.addr, &limits).await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 200]);
    let new = upgrade(&edge).await;
    assert_eq!([token(&edge, A).await, token(&edge, A).await], [200, 429]);
    assert_eq!([token(&edge, B).await, token(&edge, B).await, token(&edge, B).await], [200, 200, 429]);
    assert_eq!(edge.exit_code().await, Some(0));
    // What the first and the second process have counted of the day is on disk.
    new.signal("TERM");
    crate::life::upgrade::ended(&new).await;
    edge.restart().await;
    assert_eq!([token(&edge, A).await, token(&edge, B).await], [429, 429]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_that_the_old_process_answers_last_is_counted_in_the_new_one() {
    let upstream = Upstream::start("app").await;
    let mut edge = edge_with(upstream.addr, &json!({ "embedder": { "opens_per_minute": 2 } })).await;
    let mut kept = crate::support::raw::Connection::open(edge.http).await;
    let fields = [("Origin", A), ("Content-Length", "0")];
    let request = crate::support::raw::request("POST", edge.http, super::TOKEN, &fields);
    assert_eq!(kept.ask(request.clone()).await.status, 200);
    let _new = upgrade(&edge).await;
    let last = kept.ask(request).await;
    assert_eq!((last.status, last.field("connection")), (200, "close"));
    // With its last connection the old process ends, and before that it tells.
    assert_eq!(edge.exit_code().await, Some(0));
    assert_eq!(token(&edge, A).await, 429);
}
