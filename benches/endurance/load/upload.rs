//! Clients whose requests take a while: bodies that come piece by piece, on kept connections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bench_support::client::{Head, connect, exchange};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::kept::has_ended;
use super::{PATIENCE, Pace, Shared};

/// Pieces of a body, their length, and the mean time between two.
const PIECES: usize = 5;
const LENGTH: usize = 1024;
const PAUSE: Duration = Duration::from_millis(60);

pub async fn client(shared: Arc<Shared>, mut pace: Pace) -> Result<()> {
    let tally = &shared.tally;
    let fields = format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", PIECES * LENGTH);
    let head = shared.target.request("session", &fields);
    let head = [b"POST", head.strip_prefix(b"GET").unwrap_or_default()].concat();
    while !shared.is_over() {
        let mut stream = match connect(shared.target.plain).await {
            Ok(stream) => stream,
            Err(error) => {
                tally.refused.note(|| format!("upload: {error}"));
                sleep(PAUSE).await;
                continue;
            }
        };
        tally.opened.add();
        let mut is_reused = false;
        while !shared.is_over() {
            match timeout(PATIENCE, send(&mut stream, &head, &mut pace)).await {
                Ok(Ok(head)) => {
                    tally.answered.add();
                    if head.status != 200 {
                        tally.wrong.note(|| format!("upload: {} in place of 200", head.status));
                    }
                    if head.close {
                        tally.ended.add();
                        break;
                    }
                }
                failed => {
                    let lost = if is_reused { &tally.lost_reused } else { &tally.lost_new };
                    lost.note(|| format!("upload: {failed:?}"));
                    break;
                }
            }
            is_reused = true;
            if has_ended(&mut stream, pace.pause(PAUSE)).await {
                tally.ended.add();
                break;
            }
        }
    }
    Ok(())
}

/// One request, its body piece by piece.
async fn send(stream: &mut TcpStream, head: &[u8], pace: &mut Pace) -> Result<Head> {
    let piece = [b'x'; LENGTH];
    stream.write_all(head).await?;
    for _ in 1..PIECES {
        stream.write_all(&piece).await?;
        sleep(pace.pause(PAUSE)).await;
    }
    exchange(stream, &piece, &mut vec![0; 16 * 1024]).await
}
