//! What is remembered over restarts, `kill -9` and upgrades: everything that an answer has named, and nobody is forgotten
//! without being told.

use serde_json::json;

use super::{A, B, MediaServer, Receiver, begin, remembered, remembers, save, spec, widget};
use crate::life::upgrade::{ended, upgrade};
use crate::support::edge::Edge;
use crate::support::raw::{Connection, request};
use crate::support::{eventually, scale};

async fn kill(edge: &mut Edge) {
    edge.signal("KILL");
    assert_eq!(edge.exit_code().await, None);
}

#[tokio::test]
async fn an_answer_passes_once_its_sessions_are_kept() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let mut edge = Edge::start(spec(&media, Some(&receiver))).await;
    let rounds = scale(100).max(5);
    for round in 0..rounds {
        begin(&edge, "w", A, &[&format!("r{round:03}")]).await;
        // At once.
        kill(&mut edge).await;
        edge.restart().await;
        remembers(&edge, round as u64 + 1).await;
    }
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    let expected: Vec<String> = (0..rounds).map(|round| format!("r{round:03}")).collect();
    receiver.hears(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_kill_at_any_point_of_a_revocation_loses_none() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let mut edge = Edge::start(spec(&media, Some(&receiver))).await;
    let mut expected = Vec::new();
    for round in 0..scale(60).max(6) {
        let id = format!("r{round:03}");
        begin(&edge, "w", A, &[&id]).await;
        expected.push(id);
        // Away, so that it ends between the outbox and the receiver, or before the outbox has it.
        receiver.set_away(round % 2 == 0);
        save(&edge, &widget("w", &json!(["b.example"]))).await;
        tokio::time::sleep(std::time::Duration::from_micros(500 * (round as u64 % 12))).await;
        kill(&mut edge).await;
        edge.restart().await;
        receiver.set_away(false);
        // By the rules that the save has left; those that let it in again come after that.
        receiver.hears(&expected.iter().map(String::as_str).collect::<Vec<_>>()).await;
        save(&edge, &widget("w", &json!(["a.example", "b.example"]))).await;
    }
    let ids: std::collections::BTreeSet<String> =
        receiver.revocations().into_iter().map(|arrived| arrived.id).collect();
    println!(
        "{} sessions, {} notifications, {} ids",
        expected.len(),
        receiver.revocations().len(),
        ids.len()
    );
    assert!(ids.len() <= 2 * expected.len());
}

#[tokio::test]
async fn rules_that_others_have_changed_meanwhile_are_obeyed_at_a_start() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let mut spec = spec(&media, Some(&receiver));
    spec.source = "file";
    let mut edge = Edge::start(spec).await;
    begin(&edge, "w", A, &["a1"]).await;
    begin(&edge, "w", B, &["b1"]).await;
    edge.signal("TERM");
    assert_eq!(edge.exit_code().await, Some(0));
    let rules = json!({ "widgets": [widget("w", &json!(["b.example"]))] });
    std::fs::write(edge.rules(), rules.to_string()).unwrap();
    edge.restart().await;
    receiver.hears(&["a1"]).await;
    assert_eq!(remembered(&edge).await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_takes_them_over() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let edge = Edge::start(spec(&media, Some(&receiver))).await;
    begin(&edge, "w", A, &["before"]).await;
    let successor = upgrade(&edge).await;
    eventually("the new process has them", async || remembered(&edge).await == 1).await;
    begin(&edge, "w", A, &["after"]).await;
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    receiver.hears(&["after", "before"]).await;
    assert_eq!(receiver.sessions().len(), 2, "once, by the new process");
    successor.signal("TERM");
    ended(&successor).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_old_process_hears_after_an_upgrade_is_kept() {
    let (media, receiver) = (MediaServer::start().await, Receiver::start().await);
    let edge = Edge::start(spec(&media, Some(&receiver))).await;
    let ask = |query: &str| {
        let path = format!("/w/w/session/token?{query}");
        request("POST", edge.http, &path, &[("Origin", A), ("Content-Length", "0")])
    };
    let mut kept = [Connection::open(edge.http).await, Connection::open(edge.http).await];
    for connection in &mut kept {
        assert_eq!(connection.ask(ask("")).await.status, 200);
    }
    let successor = upgrade(&edge).await;
    // One after the other: what is heard first must not keep what comes later from being heard.
    for (count, connection) in (1..).zip(&mut kept) {
        let answer = connection.ask(ask(&format!("begun=late{count}"))).await;
        assert_eq!((answer.status, answer.field("connection")), (200, "close"), "the old process answers");
        remembers(&edge, count).await;
    }
    save(&edge, &widget("w", &json!(["b.example"]))).await;
    receiver.hears(&["late1", "late2"]).await;
    successor.signal("TERM");
    ended(&successor).await;
}
