//! Connections that are opened and left alone.

use anyhow::{Result, ensure};
use bench_support::client::{connect, exchange, tls, websocket};
use bench_support::upstream;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use memchr::memmem;
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::on_this_thread;
use crate::ground::Ground;
use crate::memory::Held;
use crate::rules;
use crate::scenario::{Kind, Request};

/// What a POST here says that its body has, and what it sends of it.
const BODY: (usize, usize) = (1024 * 1024, 1024);

/// An open connection. It is never used again, but closed when this is dropped.
enum Open {
    Plain(#[expect(dead_code, reason = "held open")] TcpStream),
    Tls(#[expect(dead_code, reason = "held open")] Box<TlsStream<TcpStream>>),
}

/// How many are opened at a time: a peer may keep the first bytes of an answer for a while, in case there are more.
const AT_ONCE: usize = 32;

/// Opens so many, and does `work` while they are open.
pub fn while_open<T>(held: Held, ground: &Ground, count: usize, work: impl FnOnce() -> T) -> Result<T> {
    on_this_thread(async {
        let opening = stream::iter((0..count).map(|n| one(held, ground, n % 64 * 15)));
        let _open: Vec<Open> = opening.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(work())
    })
}

/// Opens one, for the `n`-th widget.
async fn one(held: Held, ground: &Ground, n: usize) -> Result<Open> {
    let mut buffer = vec![0; 16 * 1024];
    if held == Held::SecureWebSocket {
        let connector = tls::connector(b"http/1.1", Resumption::disabled())?;
        let mut stream = tls::handshake(ground.tls, &connector).await?;
        greet(&mut stream, n, &mut buffer).await?;
        return Ok(Open::Tls(Box::new(stream)));
    }
    let mut stream = connect(ground.plain).await?;
    match held {
        Held::Idle => {
            let head =
                exchange(&mut stream, &request(Kind::Get, n, "loader.js").bytes(), &mut buffer).await?;
            ensure!(head.status == 200 && !head.close, "{} in place of 200, or not kept", head.status);
        }
        Held::Events => {
            let request = with_field(&request(Kind::Get, n, "session").bytes(), "Accept: text/event-stream");
            stream.write_all(&request).await?;
            let mut filled = 0;
            while memmem::find(&buffer[..filled], upstream::EVENT).is_none() {
                let read = stream.read(&mut buffer[filled..]).await?;
                ensure!(read > 0, "the connection ended before the first event");
                filled += read;
            }
        }
        Held::Upload => {
            let (length, sent) = BODY;
            let head = with_field(
                &request(Kind::Get, n, "session").bytes(),
                &format!("Content-Type: text/plain\r\nContent-Length: {length}"),
            );
            let head = [b"POST", head.strip_prefix(b"GET").unwrap_or_default(), &vec![b'x'; sent]].concat();
            stream.write_all(&head).await?;
        }
        Held::WebSocket | Held::SecureWebSocket => greet(&mut stream, n, &mut buffer).await?,
    }
    Ok(Open::Plain(stream))
}

/// A handshake and one message.
async fn greet<S>(stream: &mut S, n: usize, buffer: &mut [u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    websocket::shake_hands(stream, &request(Kind::Handshake, n, "session").bytes(), buffer).await?;
    websocket::echo(stream, buffer).await
}

fn request(kind: Kind, n: usize, path: &str) -> Request {
    let origin = format!("https://www.site{n}.example.com");
    Request { kind, path: format!("/w/{}/{path}", rules::id(n)), origin: Some(origin) }
}

/// A request without a body, with more fields.
fn with_field(request: &[u8], fields: &str) -> Vec<u8> {
    let lines = request.strip_suffix(b"\r\n").unwrap_or(request);
    [lines, fields.as_bytes(), b"\r\n\r\n"].concat()
}
