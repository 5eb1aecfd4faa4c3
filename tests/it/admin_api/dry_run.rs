//! A trial of a save names the open sessions that it would end, and ends none.

use reqwest::Method;
use serde_json::{Value, json};

use super::{call, is_problem, post, read};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::raw::{Connection, request};
use crate::support::websocket::{SocketUpstream, closed, exchange, next, open, open_offering};

const A: &str = "https://a.example";
const B: &str = "https://b.example";

/// What a dry run tells of sessions where none has left the edge.
fn sessions(open: u32, cut: u32, cut_embedders: &Value) -> Value {
    let remembered = json!({ "known": 0, "revoked": 0 });
    json!({ "open": open, "cut": cut, "cut_embedders": cut_embedders, "remembered": remembered })
}

#[tokio::test]
async fn the_sessions_that_a_save_would_cut_are_counted_and_left_open() {
    let upstream = SocketUpstream::echo().await;
    let both = json!({ "id": "w", "allowed_domains": ["a.example", "b.example"] });
    let spec = EdgeSpec::on(upstream.addr, &json!([both]));
    let edge = Edge::start(EdgeSpec { source: "store", ..spec }).await;
    let mut sockets = Vec::new();
    for origin in [A, A, B] {
        let (mut socket, _) = open(edge.http, "/w/w/session", origin).await.unwrap();
        next(&mut socket).await;
        sockets.push(socket);
    }

    let only_b = json!({ "id": "w", "allowed_domains": ["b.example"] });
    let (status, told) = post(&edge, "/v1/widgets/w/dry-run", &only_b).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["outcome"], "updated");
    let expected = sessions(3, 2, &json!([{ "origin": A, "sessions": 2 }]));
    assert_eq!(told["sessions"], expected);
    let (_, told) = post(&edge, "/v1/widgets/w/dry-run", &both).await;
    assert_eq!((&told["outcome"], &told["sessions"]["cut"]), (&json!("unchanged"), &json!(0)));
    for socket in &mut sockets {
        exchange(socket, "still open").await;
    }

    // What it told is what the save does.
    assert_eq!(edge.put(&only_b).await.0, 200);
    for socket in &mut sockets[..2] {
        assert_eq!(closed(socket).await.0, 1008);
    }
    exchange(&mut sockets[2], "after").await;
}

/// What was read and edited can be tried with the condition with which it is put.
#[tokio::test]
async fn a_trial_has_the_conditions_of_the_save() {
    let edge = Edge::start(EdgeSpec::stored(&json!([{ "id": "w", "allowed_domains": ["a.example"] }]))).await;
    let (_, mut document) = call(&edge, Method::GET, "/v1/widgets/w").await;
    document["allowed_domains"] = json!(["b.example"]);
    let tried = async |field: &'static str, value: &'static str| {
        let call = edge.api(Method::POST, "/v1/widgets/w/dry-run").header(field, value);
        read(call.json(&document).send().await.unwrap()).await
    };
    let (status, told) = tried("if-match", "\"1\"").await;
    assert_eq!((status, &told["outcome"], &told["widget"]["revision"]), (200, &json!("updated"), &json!(2)));
    is_problem(&tried("if-match", "\"7\"").await, 412, "precondition_failed");
    is_problem(&tried("if-none-match", "*").await, 412, "precondition_failed");
    is_problem(&tried("if-match", "7").await, 400, "invalid_parameter");
    // Without one, the revision that it states has to be a new one.
    is_problem(&post(&edge, "/v1/widgets/w/dry-run", &document).await, 409, "stale_revision");
}

/// The widget's own iframe has the edge's origin; whose it is says its ticket, and without one nobody does.
#[tokio::test]
async fn a_session_that_rests_on_a_ticket_is_named_by_its_page() {
    let upstream = SocketUpstream::echo().await;
    let both = json!({ "id": "w", "allowed_domains": ["a.example", "b.example"] });
    let spec = EdgeSpec::on(upstream.addr, &json!([both, { "id": "open", "access": "open" }]));
    let edge = Edge::start(EdgeSpec { source: "store", ..spec }).await;
    let own = format!("http://localhost:{}", edge.http.port());
    let mut sockets = Vec::new();
    for page in [A, A, B] {
        let fields = [("Origin", page), ("Content-Length", "0")];
        let call = request("POST", edge.http, "/w/w/embed-ticket", &fields);
        let given = Connection::open(edge.http).await.ask(call).await;
        let told: serde_json::Value = serde_json::from_str(&given.body).unwrap();
        let offered = format!("embed-ticket.{}", told["ticket"].as_str().unwrap());
        let (mut socket, _) = open_offering(edge.http, "/w/w/session", &own, &offered).await.unwrap();
        next(&mut socket).await;
        sockets.push(socket);
    }
    let (mut direct, _) = open(edge.http, "/w/w/session", A).await.unwrap();
    next(&mut direct).await;
    let only_b = json!({ "id": "w", "allowed_domains": ["b.example"] });
    let (_, told) = post(&edge, "/v1/widgets/w/dry-run", &only_b).await;
    let expected = sessions(4, 3, &json!([{ "origin": A, "sessions": 3 }]));
    assert_eq!(told["sessions"], expected);

    // An open widget needs no ticket, and takes pages that have no origin.
    for origin in [&*own, "null", "file://"] {
        let (mut socket, _) = open(edge.http, "/w/open/session", origin).await.unwrap();
        next(&mut socket).await;
        sockets.push(socket);
    }
    let listed = json!({ "id": "open", "allowed_domains": ["b.example"] });
    let (_, told) = post(&edge, "/v1/widgets/open/dry-run", &listed).await;
    let expected = sessions(3, 3, &json!([{ "origin": null, "sessions": 3 }]));
    assert_eq!(told["sessions"], expected);
    assert_eq!(edge.put(&listed).await.0, 200);
    for socket in &mut sockets[3..] {
        assert_eq!(closed(socket).await, (1008, "origin no longer allowed".to_owned()));
    }
}

/// A trial of limits says of each how much is used, beside the one in force.
#[tokio::test]
async fn limits_are_tried_with_what_is_used() {
    let upstream = SocketUpstream::echo().await;
    let listed = json!({ "id": "w", "allowed_domains": ["a.example"] });
    let spec = EdgeSpec::on(upstream.addr, &json!([listed]));
    let edge = Edge::start(EdgeSpec { source: "store", ..spec }).await;
    let (status, told) = post(&edge, "/v1/widgets/w/dry-run", &listed).await;
    assert_eq!((status, &told["limits"]), (200, &json!([])), "{told}");

    let mut limited = listed.clone();
    limited["limits"] = json!({ "widget": { "sessions": 1, "opens_per_day": 9 } });
    let (status, told) = post(&edge, "/v1/widgets/w/dry-run", &limited).await;
    assert_eq!((status, &told["widget"]["limits"]), (200, &limited["limits"]), "{told}");
    assert_eq!(told["lints"][0]["code"], "limit_without_address", "{told}");
    limited["limits"]["widget"]["sessions"] = json!(0);
    let refused = post(&edge, "/v1/widgets/w/dry-run", &limited).await;
    is_problem(&refused, 422, "invalid_document");
    assert_eq!(refused.1["errors"][0]["pointer"], "/limits/widget/sessions");
    assert_eq!(call(&edge, Method::GET, "/v1/widgets/w").await.1.get("limits"), None, "nothing was saved");
}
