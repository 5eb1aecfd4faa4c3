//! A ticket that doesn't open a session: each has its own reason within, and all look alike from without.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use super::{SESSION, SITE, ask, body, call, given, logged, outcome, own, save, signed, spec, ticket};
use crate::support::edge::Edge;
use crate::support::websocket::{SocketUpstream, handshake, open_offering};
use crate::support::{eventually, raw};

/// Where each ends: its reason, what is wrong with the ticket, how it is counted, what explain says it is worth.
struct Refused {
    ticket: String,
    reason: &'static str,
    fault: Option<&'static str>,
    outcome: &'static str,
    worth: &'static str,
}

/// The five of the contract, on an edge whose rules have changed since. The last two need one given out before.
fn refused(edge: &Edge, held: &str) -> Vec<Refused> {
    let retired = embedgate_policy::ticket::TicketKeys::parse("QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=");
    let case = |ticket, reason, fault, outcome, worth| Refused { ticket, reason, fault, outcome, worth };
    let invalid = |ticket, fault| case(ticket, "ticket_invalid", Some(fault), fault, fault);
    vec![
        invalid(ticket(edge, "other", SITE, 60), "other_widget"),
        case(ticket(edge, "w", SITE, -1), "ticket_expired", None, "expired", "expired"),
        invalid(signed(&retired.unwrap(), "w", SITE, 60), "unknown_key"),
        case(held.to_owned(), "not_listed", None, "unwelcome", "valid"),
        invalid(flipped(held), "altered"),
        invalid("no.ticket".to_owned(), "malformed"),
    ]
}

/// With one bit changed, in the statement's origin.
fn flipped(ticket: &str) -> String {
    let at = ticket.find('.').unwrap() - 6;
    let other = if ticket.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{other}{}", &ticket[..at], &ticket[at + 1..])
}

#[tokio::test]
async fn each_is_refused_with_its_own_reason() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let held = given(&call(&edge, "w", &[("Origin", SITE)]).await);
    save(&edge, &json!(["b.example"])).await;
    let own = own(&edge);
    for case in refused(&edge, &held) {
        let before = outcome(&edge, case.outcome).await;
        let credentials = format!("Embed {}", case.ticket);
        let query = format!("{SESSION}?ticket={}", case.ticket);
        let answers = [
            ask(&edge, "GET", SESSION, &[("Origin", &own), ("Authorization", &credentials)]).await,
            ask(&edge, "GET", &query, &[("Origin", &own)]).await,
            ask(&edge, "POST", &query, &[("Origin", &own), ("Content-Length", "0")]).await,
            over_websocket(&edge, &own, &case.ticket).await,
        ];
        for answer in &answers {
            assert_eq!((answer.status, answer.field("content-type")), (403, "application/problem+json"));
            for secret in [case.reason, &case.ticket, "b.example"] {
                assert!(!answer.body.contains(secret), "{secret}: {}", answer.body);
            }
            let line = logged(&edge, answer).await;
            let found = (line["reason"].as_str(), line["ticket_fault"].as_str(), &line["embedder"]);
            assert_eq!(found, (Some(case.reason), case.fault, &json!(own)), "{line}");
            let opened_by = case.fault.is_none().then_some(SITE);
            assert_eq!(line["opened_by"].as_str(), opened_by, "{line}");
        }
        assert_eq!(outcome(&edge, case.outcome).await, before + 4.0, "{}", case.outcome);
        let told = explained(&edge, &own, &case.ticket).await;
        assert_eq!(told["reason"], case.reason, "{told}");
        assert_eq!(
            (&told["ticket"]["worth"], &told["verdict"]),
            (&json!(case.worth), &json!("deny")),
            "{told}"
        );
    }
    let missing = ask(&edge, "GET", SESSION, &[("Origin", &own)]).await;
    assert_eq!(logged(&edge, &missing).await["reason"], "ticket_missing");
    assert_eq!(outcome(&edge, "missing").await, 1.0);
    let both = [("Origin", own.as_str()), ("Authorization", &format!("Embed {held}"))];
    let several = ask(&edge, "GET", &format!("{SESSION}?ticket={}", flipped(&held)), &both).await;
    assert_eq!(logged(&edge, &several).await["ticket_fault"], "several");
    assert!(upstream.heads().is_empty(), "none of it reached the upstream");
    assert!(
        open_offering(edge.http, SESSION, &own, "chat")
            .await
            .is_err_and(|error| matches!(error, Error::Http(_)))
    );
}

/// The answer to a handshake, whose body is there to be read by whoever is no browser.
async fn over_websocket(edge: &Edge, own: &str, ticket: &str) -> raw::Answer {
    let more = format!("Sec-WebSocket-Protocol: chat, embed-ticket.{ticket}\r\n");
    raw::Connection::open(edge.http).await.ask(handshake(SESSION, own, &more)).await
}

async fn explained(edge: &Edge, origin: &str, ticket: &str) -> Value {
    let question = json!({ "widget": "w", "origin": origin, "class": "session", "ticket": ticket });
    let answer = edge.api(reqwest::Method::POST, "/v1/explain").json(&question).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// From without: the same answer for every ticket that names nobody, and for every one that names this page.
#[tokio::test]
async fn they_look_alike_and_like_an_unknown_widget() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let held = given(&call(&edge, "w", &[("Origin", SITE)]).await);
    save(&edge, &json!(["b.example"])).await;
    let own = own(&edge);
    let shown = async |path: &str, ticket: &str| {
        let fields = [("Origin", own.as_str()), ("Authorization", &format!("Embed {ticket}"))];
        let answer = ask(&edge, "GET", path, &fields).await;
        let mut told = body(&answer);
        told.as_object_mut().unwrap().remove("decision_id");
        (
            answer.status,
            answer.fields.into_iter().filter(|(name, _)| name != "date").collect::<Vec<_>>(),
            told,
        )
    };
    for case in refused(&edge, &held) {
        let unknown = match case.fault {
            Some(_) => shown("/w/none/session", "no.ticket").await,
            None => shown("/w/none/session", &ticket(&edge, "none", SITE, 60)).await,
        };
        assert_eq!(shown(SESSION, &case.ticket).await, unknown, "{}", case.reason);
    }
}

/// What explain says of a ticket that opens a session, and of the headers that hand one over.
#[tokio::test]
async fn explain_tells_what_a_good_one_is_worth() {
    let upstream = SocketUpstream::echo().await;
    let edge = Edge::start(spec(upstream.addr)).await;
    eventually("the edge answers", async || edge.admin("/livez").await.status() == 200).await;
    let held = ticket(&edge, "w", SITE, 60);
    let told = explained(&edge, &own(&edge), &held).await;
    assert_eq!((&told["verdict"], &told["reason"]), (&json!("allow"), &json!("ticket")), "{told}");
    assert_eq!((&told["ticket"]["worth"], &told["ticket"]["opened_by"]), (&json!("valid"), &json!(SITE)));
    assert!(told["ticket"]["expires_at"].as_str().unwrap().ends_with('Z'), "{told}");
    assert!(told["sentence"].as_str().unwrap().contains(SITE), "{told}");
    assert!(!told.to_string().contains(&held), "not even here");
    assert!(told["headers"].as_array().unwrap().contains(&json!(["vary", "Authorization"])), "{told}");
    let question = json!({ "widget": "w", "referer": "https://a.example/page", "class": "frame" });
    let answer = edge.api(reqwest::Method::POST, "/v1/explain").json(&question).send().await.unwrap();
    let told: Value = answer.json().await.unwrap();
    let headers = told["headers"].as_array().unwrap();
    assert!(headers.contains(&json!(["server-timing", "embed-ticket;desc=\"...\""])), "{told}");
    assert!(headers.contains(&json!(["cache-control", "private, no-store"])), "{told}");
}
