//! A ticket that opens a session: in each way, over each protocol, and gone before the upstream.

use bytes::{Bytes, BytesMut};
use http::Request;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::{SESSION, SITE, ask, call, given, own, renew, session, spec, ticket};
use crate::support::edge::{Edge, EdgeSpec};
use crate::support::eventually;
use crate::support::tls::EdgeTls;
use crate::support::upstream::{Upstream, got};
use crate::support::websocket::{SocketUpstream, field, next, open_offering};

/// Nothing of the ticket, and all else.
fn assert_clean(told: &Value, ticket: &str) {
    assert_eq!(got(told, "x-embedder-origin"), Some(SITE), "{told}");
    assert!(!told.to_string().contains(ticket) && !told.to_string().contains("Embed"), "{told}");
}

#[tokio::test]
async fn each_way_opens_a_session_and_none_reaches_the_upstream() {
    let upstream = Upstream::start("app").await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let (own, ticket) = (own(&edge), ticket(&edge, "w", SITE, 60));
    let credentials = format!("Embed {ticket}");
    let queries = [format!("{SESSION}?a=1&ticket={ticket}&b=%20"), format!("{SESSION}?ticket={ticket}")];
    let targets = [format!("{SESSION}?a=1&b=%20"), SESSION.to_owned()];
    // The edge's own lane, the library with the direct path, and the library alone.
    for (method, more) in
        [("GET", ("Accept", "*/*")), ("GET", ("Connection", "close")), ("POST", ("Content-Length", "0"))]
    {
        let fields = [("Origin", own.as_str()), more, ("Authorization", &credentials)];
        let answer = ask(&edge, method, SESSION, &fields).await;
        assert_eq!(answer.status, 200, "{method} {more:?}: {answer:?}");
        assert_clean(&super::body(&answer), &ticket);
        for (query, target) in queries.iter().zip(&targets) {
            let fields = [("Origin", own.as_str()), more, ("Authorization", "Bearer of-the-app")];
            let told = super::body(&ask(&edge, method, query, &fields).await);
            assert_clean(&told, &ticket);
            assert_eq!(
                (told["target"].as_str(), got(&told, "authorization")),
                (Some(&**target), Some("Bearer of-the-app"))
            );
        }
    }
    // Where nobody needs it, it is taken out all the same.
    for path in ["/w/w/session", "/w/w/frame", "/w/w/assets/a.js", "/w/w/trust"] {
        let fields = [("Origin", SITE), ("Authorization", credentials.as_str())];
        let told = super::body(&ask(&edge, "GET", &format!("{path}?ticket={ticket}"), &fields).await);
        assert!(!told.to_string().contains(&ticket), "{path}: {told}");
    }
}

#[tokio::test]
async fn over_http2_too() {
    let upstream = Upstream::start("app").await;
    let tls = EdgeTls::of("chat.example");
    let mut spec =
        EdgeSpec { public_origins: Some("[\"https://chat.example\"]".to_owned()), ..spec(upstream.addr) };
    tls.add_to(&mut spec);
    let edge = Edge::start(spec).await;
    let ticket = ticket(&edge, "w", SITE, 60);
    let client = tls.http2().await;
    for method in ["GET", "POST"] {
        for (query, credentials) in [("?ticket=", "Bearer x".to_owned()), ("?x=", format!("Embed {ticket}"))]
        {
            let value = if query == "?x=" { "1" } else { &ticket };
            let request = Request::builder()
                .method(method)
                .uri(format!("https://chat.example{SESSION}{query}{value}"))
                .header("origin", "https://chat.example")
                .header("authorization", credentials)
                .body(())
                .unwrap();
            let (answer, _) = client.clone().send_request(request, true).unwrap();
            let (head, mut body) = answer.await.unwrap().into_parts();
            let mut bytes = BytesMut::new();
            while let Some(piece) = body.data().await {
                let piece: Bytes = piece.unwrap();
                body.flow_control().release_capacity(piece.len()).unwrap();
                bytes.extend_from_slice(&piece);
            }
            assert_eq!(head.status, 200, "{method} {query}: {bytes:?}");
            let told: Value = serde_json::from_slice(&bytes).unwrap();
            assert_clean(&told, &ticket);
            assert_eq!(got(&told, "host"), Some("chat.example"));
        }
    }
}

#[tokio::test]
async fn a_websocket_offers_it_and_is_answered() {
    let upstream = SocketUpstream::start(|mut asked| async move {
        let chosen = if asked.field("sec-websocket-protocol").contains("chat") {
            "Sec-WebSocket-Protocol: chat\r\n"
        } else {
            ""
        };
        let mut answer = asked.accepted(chosen).into_bytes();
        answer.extend(b"\x81\x05hello");
        asked.stream.write_all(&answer).await.unwrap();
        let _ = tokio::io::copy(&mut asked.stream, &mut tokio::io::sink()).await;
    })
    .await;
    let edge = Edge::start(spec(upstream.addr)).await;
    let (own, ticket) = (own(&edge), ticket(&edge, "w", SITE, 60));
    let its_own = format!("embed-ticket.{ticket}");
    for (offered, named) in [(its_own.clone(), its_own.as_str()), (format!("{its_own}, chat"), "chat")] {
        let (mut socket, response) = open_offering(edge.http, SESSION, &own, &offered).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], named);
        assert_eq!(next(&mut socket).await, Message::text("hello"));
    }
    let query = format!("{SESSION}?ticket={ticket}&x=1");
    let (_socket, _) = open_offering(edge.http, &query, &own, "chat").await.unwrap();
    for (head, protocol) in upstream.heads().iter().zip(["", "chat", "chat"]) {
        assert!(!head.contains(&ticket) && !head.contains("embed-ticket"), "{head}");
        assert_eq!(
            (field(head, "sec-websocket-protocol"), field(head, "x-embedder-origin")),
            (protocol, SITE)
        );
    }
    assert!(
        upstream.heads()[2].starts_with(&format!("GET {SESSION}?x=1 HTTP/1.1")),
        "{:?}",
        upstream.heads()
    );
}

/// The vendor's dashboard previews a widget whose list doesn't name it.
#[tokio::test]
async fn a_preview_s_session_names_the_dashboard() {
    let upstream = Upstream::start("app").await;
    let mut spec = spec(upstream.addr);
    spec.more.push_str("[policy]\nsystem_origins = [\"https://dashboard.example\"]\n");
    let edge = Edge::start(spec).await;
    let dashboard = "https://dashboard.example";
    let ticket = given(&call(&edge, "w", &[("Origin", dashboard)]).await);
    let told = super::body(&session(&edge, &ticket).await);
    assert_eq!(got(&told, "x-embedder-origin"), Some(dashboard), "{told}");
}

/// Nothing that is written down holds one, however much is.
#[tokio::test]
async fn it_is_never_logged() {
    let upstream = SocketUpstream::echo().await;
    let mut spec = spec(upstream.addr);
    spec.more = spec.more.replace("[log]\n", "[log]\nlevel = \"trace\"\n");
    let edge = Edge::start(spec).await;
    let mut seen = vec![given(&call(&edge, "w", &[("Origin", SITE)]).await), ticket(&edge, "w", SITE, 60)];
    seen.push(given(&renew(&edge, "w", &seen[0]).await));
    let frame = ask(&edge, "GET", "/w/w/frame", &[("Referer", "https://a.example/")]).await;
    seen.extend(super::frames::ticket_of(&frame));
    session(&edge, &seen[1]).await;
    session(&edge, "no.ticket.at-all").await;
    seen.push("no.ticket.at-all".to_owned());
    ask(
        &edge,
        "POST",
        &format!("{SESSION}?ticket={}", seen[1]),
        &[("Origin", &own(&edge)), ("Content-Length", "0")],
    )
    .await;
    let (socket, _) =
        open_offering(edge.http, SESSION, &own(&edge), &format!("embed-ticket.{}", seen[1])).await.unwrap();
    drop(socket);
    let metrics = edge.admin("/metrics").await.text().await.unwrap();
    eventually("all decisions are logged", async || edge.decisions().len() >= 7).await;
    let decisions = std::fs::read_to_string(edge.folder().join("out.log")).unwrap();
    for ticket in seen {
        for (name, text) in
            [("operational", edge.log()), ("decisions", decisions.clone()), ("metrics", metrics.clone())]
        {
            let line = text.lines().find(|line| line.contains(&ticket));
            assert_eq!(line, None, "{name}");
        }
    }
}
