//! A trial of a save names the open sessions that it would end, and ends none.

use serde_json::json;

use super::post;
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::websocket::{SocketUpstream, closed, exchange, next, open};

const A: &str = "https://a.example";
const B: &str = "https://b.example";

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
    let expected = json!({ "open": 3, "cut": 2, "cut_embedders": [{ "origin": A, "sessions": 2 }] });
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
