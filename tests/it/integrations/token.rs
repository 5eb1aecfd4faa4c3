//! A product whose widget is named in the query, as many hosted chats are: a script, an iframe's page and a WebSocket.
//! It is a small server of this file, in their shape.

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::recipe::Recipe;
use super::scene::{Scene, Shape};
use crate::browser::stage::{SITE, STRANGER};
use crate::support::websocket::{Asked, SocketUpstream};

const SUPPORT: Shape = Shape {
    name: "query",
    product: "",
    section: "An id in the query",
    host: "support.example.net",
    tag: 0,
    is_framed: true,
    launcher: None,
    input: "document.querySelector('input')",
    send: "document.querySelector('button')",
    root: "document",
    text: "document.body.innerText",
};

/// The script that customers put on their pages: it brings the iframe.
const SDK: &str = r#"const { src } = document.currentScript;
addEventListener("load", () => document.body.append(Object.assign(document.createElement("iframe"), {
  src: new URL(`/widget${new URL(src).search}`, src),
})));"#;

/// The page of the iframe.
const PAGE: &str = r#"<!doctype html><meta charset="utf-8"><title>support</title><form><input disabled><button disabled>
Send</button></form><script>
const [input, button] = document.querySelectorAll("input, button");
const show = (text) => document.body.append(Object.assign(document.createElement("p"), { textContent: text }));
const cable = new WebSocket(`${location.origin.replace("http", "ws")}/cable${location.search}`);
const enable = (is_open) => { input.disabled = button.disabled = !is_open; };
cable.onopen = () => enable(true);
cable.onmessage = ({ data }) => show(data);
cable.onclose = ({ reason }) => { enable(false); show(`The conversation has ended: ${reason}`); };
document.querySelector("form").onsubmit = (event) => {
  event.preventDefault();
  show(input.value);
  cable.send(input.value);
  input.value = "";
};
</script>"#;

async fn serve(mut asked: Asked) {
    let target = asked.head.split(' ').nth(1).unwrap().to_owned();
    let (path, query) = target.split_once('?').unwrap();
    assert_eq!(query, "website_token=helpdesk");
    let (kind, body) = match path {
        "/sdk.js" => ("text/javascript", SDK),
        "/widget" => ("text/html", PAGE),
        _ => return converse(asked).await,
    };
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    asked.stream.write_all(answer.as_bytes()).await.unwrap();
}

/// Says what was said.
async fn converse(asked: Asked) {
    let mut socket = asked.greet().await;
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        if socket.send(Message::text(format!("You said: {text}"))).await.is_err() {
            break;
        }
    }
}

/// The server, and a page with its script.
pub async fn set() -> (SocketUpstream, Scene) {
    let server = SocketUpstream::start(serve).await;
    let scene = Scene::before(&SUPPORT, Recipe::of(SUPPORT.section), server.addr).await;
    (server, scene)
}

#[tokio::test]
async fn a_conversation_on_a_listed_site() {
    let (_server, scene) = set().await;
    scene.converse().await;
}

#[tokio::test]
async fn a_stranger_reads_why_in_the_console() {
    let (_server, scene) = set().await;
    scene.refuse_in_console(STRANGER).await;
}

#[tokio::test]
async fn a_save_ends_it() {
    let (_server, scene) = set().await;
    scene.end_by_a_save("The conversation has ended: origin no longer allowed").await;
    scene.refuse_in_console(SITE).await;
}
