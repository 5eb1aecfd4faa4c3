//! Turns, retries and health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::{LISTED, OK, ask, assert_failed, assert_few_refused, named, spec_on};
use crate::support::edge::Edge;
use crate::support::raw::{self, Connection};
use crate::support::upstream::{Scripted, Upstream};
use crate::support::{eventually, ports};

#[tokio::test]
async fn equal_servers_take_turns() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = Edge::start(spec_on(&[a.addr, b.addr], "")).await;
    let mut answers = String::new();
    for _ in 0..6 {
        answers.push_str(&ask(&edge).await.body);
    }
    assert!(answers == "ababab" || answers == "bababa", "{answers}");
}

#[tokio::test]
async fn a_dead_server_costs_no_request() {
    let live = Upstream::start("live").await;
    let edge = Edge::start(spec_on(&[ports::free(), live.addr, ports::free()], "")).await;
    for n in 0..6 {
        let body = format!("body {n}");
        let request = format!(
            "POST /w/w/session HTTP/1.1\r\nHost: {}\r\nOrigin: {LISTED}\r\nContent-Length: {}\r\n\r\n{body}",
            edge.http,
            body.len()
        );
        let answer = Connection::open(edge.http).await.ask(request).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(serde_json::from_str::<Value>(&answer.body).unwrap()["body"], body);
    }
    assert_few_refused(&edge).await;
}

#[tokio::test]
async fn servers_may_have_names() {
    let upstream = Upstream::start("app").await;
    for other in ["", ", \"nobody.invalid:80\""] {
        let servers = format!("[\"localhost:{}\"{other}]", upstream.addr.port());
        let mut spec = spec_on(&[], "");
        spec.more = spec.more.replace("[]", &servers);
        let edge = Edge::start(spec).await;
        for _ in 0..4 {
            assert_eq!(ask(&edge).await.status, 200, "{servers}: whichever address is tried first");
        }
    }
}

/// Checks often, and gives up and comes back at once.
const CHECKS: &str =
    "health_check = { interval = \"200ms\", timeout = \"150ms\", unhealthy_after = 1, PATH }";

#[tokio::test]
async fn a_server_that_fails_its_checks_rests_until_it_passes() {
    let well = Arc::new(AtomicBool::new(true));
    let said = Arc::clone(&well);
    let moody = Scripted::start(move |mut connection, _| {
        let said = Arc::clone(&said);
        async move {
            while let Some((head, _)) = connection.request().await {
                let status = if head.contains("/healthz") && !said.load(Ordering::SeqCst) {
                    "500 Ill"
                } else {
                    "200 OK"
                };
                connection.send(format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nmoody")).await;
            }
        }
    })
    .await;
    let steady = named("steady").await;
    let edge =
        Edge::start(spec_on(&[moody.addr, steady.addr], &CHECKS.replace("PATH", "path = \"/healthz\"")))
            .await;
    let taken = async || {
        let answers = [ask(&edge).await, ask(&edge).await, ask(&edge).await, ask(&edge).await];
        assert!(answers.iter().all(|answer| answer.status == 200), "no request is lost: {answers:?}");
        answers.iter().filter(|answer| answer.body == "moody").count()
    };
    assert_eq!(taken().await, 2);
    well.store(false, Ordering::SeqCst);
    eventually("the server is taken out", async || taken().await == 0).await;
    well.store(true, Ordering::SeqCst);
    eventually("the server is brought back", async || taken().await == 2).await;
}

#[tokio::test]
async fn with_no_server_left_the_widget_is_unavailable_until_one_is_back() {
    let addr = ports::free();
    let edge = Edge::start(spec_on(&[addr], &CHECKS.replace(", PATH", ""))).await;
    eventually("the server is taken out", async || ask(&edge).await.status == 503).await;
    assert_failed(&ask(&edge).await, 503);
    let _server = Scripted::at(addr, |mut connection, _| async move {
        while connection.request().await.is_some() {
            connection.send(OK).await;
        }
    })
    .await;
    eventually("the server is brought back", async || ask(&edge).await.status == 200).await;
}

#[tokio::test]
async fn an_upstream_is_asked_by_the_name_that_it_is_given() {
    let upstream = Scripted::start(|mut connection, _| async move {
        while let Some((head, _)) = connection.request().await {
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len())).await;
        }
    })
    .await;
    let edge = Edge::start(spec_on(&[upstream.addr], "host = \"App.internal:8443\"")).await;
    for method in ["GET", "POST"] {
        let request = raw::request(method, edge.http, "/w/w/session", &[("Origin", LISTED)]);
        let told = raw::send(edge.http, request.as_bytes()).await.body.to_lowercase();
        assert!(told.contains("\r\nhost: app.internal:8443\r\n"), "{told}");
        assert_eq!(told.matches("\r\nhost:").count(), 1, "{told}");
        assert!(told.contains(&format!("\r\nx-forwarded-host: {}\r\n", edge.http)), "{told}");
    }
}
