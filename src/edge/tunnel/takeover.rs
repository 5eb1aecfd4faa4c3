//! Taking a browser's connection out of the proxy library's hands once its handshake is answered. Its own copying
//! can neither put a frame in nor go both ways at once, and holds 64 KiB for each read.

use std::io::Cursor;
use std::mem;

use bytes::Bytes;
use futures_util::FutureExt;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v1::client::HttpSession as ClientSession;
use pingora::protocols::http::v1::server::HttpSession;
use pingora::proxy::Session;

/// Takes the browser's connection, and what came over it right behind the handshake. `None` where it is not HTTP/1.
///
/// The proxy library goes on with a copy of the request whose connection leads nowhere, and ends that.
pub async fn take_browser(session: &mut Session) -> Option<(Stream, Bytes)> {
    let ServerSession::H1(http1) = &mut *session.downstream_session else { return None };
    // What is there already is given out without waiting, whole and in one piece.
    let early = http1.read_body_bytes().now_or_never();
    let early = early.and_then(Result::ok).flatten().unwrap_or_default();

    let head = http1.get_headers_raw_bytes();
    let mut stand_in = HttpSession::new(Box::new(Cursor::new(head.to_vec())));
    stand_in.read_request().await.ok()?;
    stand_in.set_server_keepalive(None);
    let taken = mem::replace(http1, stand_in);
    Some((taken.into_inner(), early))
}

/// Takes the upstream's connection, and what came over it right behind the 101.
pub fn take_upstream(mut session: ClientSession) -> (Stream, Bytes) {
    let early = session.read_body_bytes().now_or_never();
    let early = early.and_then(Result::ok).flatten().unwrap_or_default();
    (session.into_inner(), early)
}
