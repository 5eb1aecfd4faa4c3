//! The demo upstream: a small chat widget, so that a new edge has something to protect.
//!
//! It is an ordinary HTTP/1.1 server on a loopback socket and is proxied to like any other upstream: it judges nobody
//! and believes what the edge tells it about a request (`X-Widget-Id`, `X-Widget-Environment`, `X-Embedder-Origin`).
//!
//! The customer's pages with the script tag on them are no widget's: the edge answers for them itself, at `/` of the
//! names `site.localhost` and `stranger.localhost`.
//!
//! | path | serves |
//! |---|---|
//! | `/w/{widget}/loader.js` | the script that a customer's page embeds |
//! | `/w/{widget}/assets/{*rest}` | style sheet, script and icon of the frame |
//! | `/w/{widget}/frame` | the document inside the iframe |
//! | `/w/{widget}/session` | the conversation: WebSocket, or its description as JSON |
//! | `/w/{widget}/session/messages`, `…/events` | the same over `POST` and as server-sent events |
//! | `/w/{widget}/trust`, `/w/{widget}/trust/{*rest}` | the Trust Center |
//!
//! The script tag loads `loader.js`, which puts a launcher on the page and opens the frame. The frame holds the
//! session: its calls carry the ticket that came with the frame's document, or that the loader asked for in its
//! page's name and handed over by `postMessage`, to exact origins only.

mod asset;
mod page;
mod session;
#[cfg(test)]
mod tests;
mod visit;

use std::io;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

/// The names of the host pages: one that the shipped rules list, and one that they don't.
pub const HOSTS: [&str; 2] = ["site.localhost", "stranger.localhost"];

/// What the demo has to know of the edge in front of it, for the script tag on its host pages.
#[derive(Clone, Debug)]
pub struct DemoSite {
    /// Where browsers see the edge: a serialised origin such as `http://localhost:8080`.
    pub public_origin: String,
    /// The widget that the host pages embed.
    pub widget: String,
    /// Where whoever runs the edge looks at it.
    pub operators_page: String,
}

impl DemoSite {
    /// The routes, for any server. The paths are those that browsers ask the edge for.
    pub fn router() -> Router {
        Router::new()
            .route("/w/{widget}/loader.js", get(asset::loader))
            .route("/w/{widget}/assets/{*rest}", get(asset::file))
            .route("/w/{widget}/frame", get(page::frame))
            .route("/w/{widget}/session", get(session::open))
            .route(
                "/w/{widget}/session/messages",
                post(session::message).layer(DefaultBodyLimit::max(session::MAX_MESSAGE_BYTES)),
            )
            .route("/w/{widget}/session/events", get(session::events))
            .route("/w/{widget}/trust", get(page::trust))
            .route("/w/{widget}/trust/{*rest}", get(page::trust_file))
    }

    /// Serves the demo on `listener` until the future is dropped.
    ///
    /// # Errors
    /// When the listener itself fails; a connection that fails ends alone.
    pub async fn serve(listener: TcpListener) -> io::Result<()> {
        // A chat's messages are small: waiting for more to send with them would only delay them.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "demo upstream: TCP_NODELAY");
            }
        });
        axum::serve(listener, Self::router()).await
    }
}
