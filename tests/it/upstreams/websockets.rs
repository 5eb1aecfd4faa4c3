//! WebSockets through the edge.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{LISTED, STRANGER, spec_on};
use crate::support::edge::Edge;
use crate::support::upstream::Scripted;

/// An upstream that speaks the subprotocol `chat.v2` and repeats what it is told. What it was asked comes out of the
/// receiver.
async fn echo() -> (Scripted, mpsc::UnboundedReceiver<Request>) {
    let (asked, questions) = mpsc::unbounded_channel();
    let upstream = Scripted::start(move |connection, _| {
        let asked = asked.clone();
        async move {
            let (stream, read) = connection.into_inner();
            assert!(read.is_empty());
            #[expect(clippy::result_large_err, reason = "the library's own signature")]
            let answer = |request: &Request, mut response: Response| {
                asked.send(request.clone()).unwrap();
                if request.headers().contains_key("sec-websocket-protocol") {
                    response.headers_mut().insert("sec-websocket-protocol", "chat.v2".parse().unwrap());
                }
                response.headers_mut().insert("server", "boast/1.0".parse().unwrap());
                response.headers_mut().insert("access-control-allow-origin", "*".parse().unwrap());
                Ok(response)
            };
            let Ok(mut socket) = tokio_tungstenite::accept_hdr_async(stream, answer).await else { return };
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        }
    })
    .await;
    (upstream, questions)
}

type Handshake = (WebSocketStream<TcpStream>, tokio_tungstenite::tungstenite::handshake::client::Response);

/// Opens a WebSocket to `/w/w/session` with these fields.
async fn open(edge: &Edge, fields: &[(&'static str, &str)]) -> Result<Handshake, Error> {
    let mut request = format!("ws://{}/w/w/session?a=b", edge.http).into_client_request().unwrap();
    for (name, value) in fields {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    tokio_tungstenite::client_async(request, TcpStream::connect(edge.http).await.unwrap()).await
}

async fn assert_echo(socket: &mut WebSocketStream<TcpStream>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an echo");
    assert_eq!(answer.unwrap().unwrap(), message);
}

#[tokio::test]
async fn a_websocket_passes_through_and_is_not_cut_for_being_silent() {
    let (upstream, mut questions) = echo().await;
    let mut spec = spec_on(&[upstream.addr], "read_timeout = \"500ms\"");
    spec.edge = "header_timeout = \"500ms\"".to_owned();
    let edge = Edge::start(spec).await;
    let fields = [("origin", LISTED), ("sec-websocket-protocol", "chat.v1, chat.v2")];
    let (mut socket, answer) = open(&edge, &fields).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat.v2", "the upstream's choice");
    for gone in ["server", "access-control-allow-origin"] {
        assert!(!answer.headers().contains_key(gone), "{gone}");
    }
    let asked = questions.recv().await.unwrap();
    assert_eq!(asked.uri(), "/w/w/session?a=b");
    for (name, value) in [
        ("x-widget-id", "w"),
        ("x-embedder-origin", LISTED),
        ("x-forwarded-for", "127.0.0.1"),
        ("sec-websocket-protocol", "chat.v1, chat.v2"),
        ("origin", LISTED),
    ] {
        assert_eq!(asked.headers()[name], value, "{name}");
    }
    assert_echo(&mut socket, Message::text("hello")).await;
    assert_echo(&mut socket, Message::binary(vec![7; 300_000])).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_echo(&mut socket, Message::text("still there")).await;
    socket.close(None).await.unwrap();
    let last = tokio::time::timeout(Duration::from_secs(10), socket.next()).await.expect("an end");
    assert!(matches!(last, Some(Ok(Message::Close(_)))), "{last:?}");
}

/// The library closes on a client that says nothing for a minute; an open WebSocket may.
#[tokio::test]
#[ignore = "takes more than a minute"]
async fn a_websocket_outlives_a_silent_minute() {
    let (upstream, _questions) = echo().await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    let (mut socket, _) = open(&edge, &[("origin", LISTED)]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(65)).await;
    assert_echo(&mut socket, Message::text("still there")).await;
}

#[tokio::test]
async fn a_strangers_handshake_reaches_nobody() {
    let (upstream, _questions) = echo().await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    for fields in
        [&[("origin", STRANGER)][..], &[("origin", "null")], &[("origin", "https://EXAMPLE.com")], &[]]
    {
        match open(&edge, fields).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{fields:?}"),
            other => panic!("{fields:?}: {other:?}"),
        }
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn a_handshake_that_the_upstream_refuses_is_an_ordinary_answer() {
    let upstream =
        Scripted::answering("HTTP/1.1 410 Gone\r\nContent-Length: 4\r\nServer: boast\r\n\r\nover").await;
    let edge = Edge::start(spec_on(&[upstream.addr], "")).await;
    match open(&edge, &[("origin", LISTED)]).await {
        Err(Error::Http(answer)) => {
            assert_eq!((answer.status().as_u16(), answer.body().as_deref()), (410, Some(b"over".as_slice())));
            assert!(!answer.headers().contains_key("server"));
            assert_eq!(answer.headers()["access-control-allow-origin"], LISTED);
        }
        other => panic!("{other:?}"),
    }
}
