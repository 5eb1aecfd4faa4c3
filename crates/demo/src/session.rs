//! The conversation: a scripted agent, over WebSocket, over `POST`, and one-sided as server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::json;

use super::visit::Visit;

const TICK: Duration = Duration::from_secs(1);
/// A person's question fits easily; a frame or a body beyond it is not one.
pub(crate) const MAX_MESSAGE_BYTES: usize = 16 * 1024;

/// `GET /w/{widget}/session`: a WebSocket where one is asked for, else the session's description.
pub(crate) async fn open(
    visit: Visit,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match upgrade {
        Ok(upgrade) => upgrade
            .max_message_size(MAX_MESSAGE_BYTES)
            .max_frame_size(MAX_MESSAGE_BYTES)
            .on_upgrade(move |socket| converse(socket, visit)),
        Err(rejection) if headers.contains_key(header::UPGRADE) => rejection.into_response(),
        Err(_) => uncached(Json(json!({
            "widget": visit.widget,
            "environment": visit.environment,
            "embedder": visit.embedder,
            "agent": AGENT,
            "greeting": greeting(&visit),
        }))),
    }
}

/// `POST /w/{widget}/session/messages`: `{"text"}` in, `{"reply"}` out.
pub(crate) async fn message(visit: Visit, Json(said): Json<Said>) -> Response {
    uncached(Json(json!({ "reply": reply(&said.text, &visit) })))
}

/// One message of a visitor.
#[derive(Deserialize)]
pub(crate) struct Said {
    text: String,
}

/// `GET /w/{widget}/session/events`: a `greeting`, then a `tick` a second for as long as the client listens.
pub(crate) async fn events(visit: Visit) -> Response {
    uncached(Sse::new(ticking(visit)))
}

fn ticking(visit: Visit) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    futures_util::stream::unfold((0_u64, visit), |(count, visit)| async move {
        let event = match count {
            0 => Event::default().event("greeting").data(json!({ "text": greeting(&visit) }).to_string()),
            tick => {
                tokio::time::sleep(TICK).await;
                Event::default()
                    .event("tick")
                    .data(json!({ "tick": tick, "embedder": visit.embedder }).to_string())
            }
        };
        Some((Ok(event.id(count.to_string())), (count + 1, visit)))
    })
}

/// Greets, then answers every text with one text. Either side's close or failure ends it.
async fn converse(mut socket: WebSocket, visit: Visit) {
    let hello = json!({ "type": "greeting", "agent": AGENT, "text": greeting(&visit) });
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return;
    }
    while let Some(Ok(message)) = socket.recv().await {
        let answer = match message {
            Message::Text(text) => {
                // Plain text is as welcome as `{"text": "..."}`: it can be typed into any WebSocket client.
                let said = serde_json::from_str(&text).unwrap_or_else(|_| Said { text: text.to_string() });
                Message::text(json!({ "type": "reply", "text": reply(&said.text, &visit) }).to_string())
            }
            Message::Binary(bytes) => Message::Binary(bytes),
            Message::Ping(_) | Message::Pong(_) => continue,
            Message::Close(_) => return,
        };
        if socket.send(answer).await.is_err() {
            return;
        }
    }
}

const AGENT: &str = "Pip";

fn greeting(visit: &Visit) -> String {
    match &visit.embedder {
        Some(embedder) => {
            format!("Hi, I'm {AGENT}. I may be shown on {embedder}. What would you like to know?")
        }
        None => format!("Hi, I'm {AGENT}. What would you like to know?"),
    }
}

/// The same text always gets the same answer, which holds the text wherever the script has no line for it.
fn reply(text: &str, visit: &Visit) -> String {
    let text = text.trim();
    let lower = text.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if text.is_empty() {
        "I didn't catch that.".to_owned()
    } else if has(&["why", "allowed", "list"]) {
        let embedder = visit.embedder.as_deref().unwrap_or("this page");
        format!(
            "Because the rules of {} allow {embedder}. Remove it from the list, and I am gone at once.",
            visit.widget
        )
    } else if has(&["elsewhere", "other site", "copy"]) {
        "Then the edge refuses my script, my frame and this conversation, and tells the page's owner why."
            .to_owned()
    } else if has(&["human", "person", "agent"]) {
        "There is only me: a script of a few lines behind a proxy. But I answer at any hour.".to_owned()
    } else {
        format!("You said “{text}”.")
    }
}

fn uncached(answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
