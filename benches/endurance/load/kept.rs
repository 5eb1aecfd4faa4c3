//! Clients with one HTTP/1.1 connection at a time, plain or over TLS, on which they ask so often at most.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use bench_support::client::tls::{connector, handshake};
use bench_support::client::{connect, exchange};
use memchr::memchr_iter;
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

use super::{PATIENCE, Pace, Shared};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(4);
/// After a connection that could not be opened.
const AGAIN: Duration = Duration::from_millis(5);

pub async fn plain(shared: Arc<Shared>, pace: Pace, most: usize) -> Result<()> {
    client(&shared, pace, most, async || Ok(connect(shared.target.plain).await?)).await
}

pub async fn secure(shared: Arc<Shared>, pace: Pace, most: usize) -> Result<()> {
    let connector = connector(b"http/1.1", Resumption::disabled())?;
    client(&shared, pace, most, async || handshake(shared.target.tls, &connector).await).await
}

async fn client<S>(
    shared: &Shared,
    mut pace: Pace,
    most: usize,
    mut open: impl AsyncFnMut() -> Result<S>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let request = shared.target.request("loader.js", "");
    let mut buffer = vec![0; 16 * 1024];
    while !shared.is_over() {
        match timeout(PATIENCE, open()).await {
            Ok(Ok(mut stream)) => {
                shared.tally.opened.add();
                ask(shared, &mut pace, most, &mut stream, &request, &mut buffer).await;
            }
            Ok(Err(error)) => {
                shared.tally.refused.note(|| format!("HTTP/1.1: {error:#}"));
                tokio::time::sleep(AGAIN).await;
            }
            Err(_) => shared.tally.refused.note(|| "HTTP/1.1: no connection in time".to_owned()),
        }
    }
    Ok(())
}

/// Asks on one connection until it ends, `most` times at most.
async fn ask<S>(
    shared: &Shared,
    pace: &mut Pace,
    most: usize,
    stream: &mut S,
    request: &[u8],
    buffer: &mut [u8],
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    for number in 0..most {
        if shared.is_over() {
            return;
        }
        let asked = Instant::now();
        match timeout(PATIENCE, exchange(stream, request, buffer)).await {
            Ok(Ok(head)) => {
                let bytes = &buffer[..head.end];
                shared.answered(asked, head.status, &|name| field(bytes, name));
                if head.close {
                    return shared.tally.ended.add();
                }
            }
            failed => {
                let why = failed.map_or_else(|_| "no answer in time".to_owned(), |failed| reason(&failed));
                let lost = if number > 0 { &shared.tally.lost_reused } else { &shared.tally.lost_new };
                return lost.note(|| format!("HTTP/1.1: {why}"));
            }
        }
        if has_ended(stream, pace.pause(PAUSE)).await && number + 1 < most {
            return shared.tally.ended.add();
        }
    }
}

fn reason<T>(failed: &Result<T>) -> String {
    failed.as_ref().err().map(|error| format!("{error:#}")).unwrap_or_default()
}

/// Waits so long; whether the connection has ended meanwhile.
pub async fn has_ended<S: AsyncRead + Unpin>(stream: &mut S, pause: Duration) -> bool {
    timeout(pause, stream.read(&mut [0; 256])).await.is_ok()
}

/// The value of a field in the head of an answer.
fn field(head: &[u8], name: &str) -> Option<String> {
    memchr_iter(b'\n', head).find_map(|at| {
        let (found, rest) = head.get(at + 1..)?.split_at_checked(name.len())?;
        let value = found.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)?.strip_prefix(b":")?;
        let value = value.split(|byte| *byte == b'\r').next()?;
        Some(String::from_utf8_lossy(value).trim().to_owned())
    })
}
