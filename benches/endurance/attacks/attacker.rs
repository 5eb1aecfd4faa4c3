//! A client that attacks over HTTP/2, again and again for a while, and what becomes of its connections.

use std::cell::RefCell;
use std::io;
use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::client::tls::{connector, handshake};
use rustls::client::Resumption;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::http2::{Event, Heard, PREFACE, name};
use crate::load::Target;

/// Between two connections of an attacker.
pub const AGAIN: Duration = Duration::from_millis(50);
/// The longest that a write and a handshake may take, and that an end is waited for.
pub const STUCK: Duration = Duration::from_secs(1);

/// What is sent next, by how often that was done before, and how many frames it is.
type Next = Box<dyn FnMut(u32) -> Option<(Vec<u8>, u64)>>;

/// What is sent on a connection: what comes first, and what is sent then, again and again.
pub struct Attack {
    pub opening: Vec<u8>,
    /// `None`: nothing more, but the connection is held.
    pub next: Next,
    /// Between two of them.
    pub pause: Duration,
}

/// What became of an attacker's connections.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of the first one: how it ended, if it did, after how much, and what was heard.
    pub end: Option<String>,
    pub sent: u64,
    pub heard: String,
    pub connections: u64,
}

impl Outcome {
    pub fn has_ended(&self) -> bool {
        self.end.as_ref().is_some_and(|end| !end.starts_with("stuck"))
    }

    /// Whether a status says that it is the client's fault.
    pub fn is_refused(&self) -> bool {
        self.end.as_ref().is_some_and(|end| end.starts_with('4'))
    }

    /// As people read it. `unit`: what was counted.
    pub fn text(&self, unit: &str) -> String {
        let end = self.end.as_deref().unwrap_or("still open");
        let heard = if self.heard.is_empty() { String::new() } else { format!(": {}", self.heard) };
        format!("{end} after {} {unit}{heard}", self.sent)
    }
}

/// Attacks for so long, one connection at a time: what the server has ended is begun again.
pub async fn attack(target: &Target, make: fn() -> Attack, time: Duration) -> Result<Outcome> {
    let connector = connector(b"h2", Resumption::disabled())?;
    let until = Instant::now() + time;
    let mut first = None;
    let mut connections = 0;
    while Instant::now() < until {
        // One that is turned away tries again, as long as it was let in before.
        match timeout(STUCK, handshake(target.tls, &connector)).await {
            Ok(Ok(stream)) => {
                let one = connection(stream, make(), until).await;
                first.get_or_insert(one);
                connections += 1;
            }
            Ok(Err(error)) if first.is_none() => return Err(error),
            Err(error) if first.is_none() => return Err(error).context("no connection in time"),
            _ => {}
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(Outcome { connections, ..first.context("no attack")? })
}

/// One connection, to its end or until the time is over.
async fn connection(stream: TlsStream<TcpStream>, mut attack: Attack, until: Instant) -> Outcome {
    let (input, output) = split(stream);
    let heard = RefCell::new(Heard::default());
    let (replies, to_send) = unbounded_channel();
    let mut sent = 0;
    let (failed, has_ended) = {
        let mut listening = pin!(listen(input, &heard, &replies));
        let mut sending = pin!(send(output, &mut attack, to_send, &mut sent));
        let failed = tokio::select! {
            () = &mut listening => None,
            failed = &mut sending => Some(failed),
            () = tokio::time::sleep_until(until.into()) => Some(None),
        };
        match failed {
            None => (None, true),
            Some(None) => (None, false),
            // What was said before is still to be heard.
            Some(Some(error)) => (Some(error), timeout(STUCK, listening).await.is_ok()),
        }
    };
    let heard = heard.into_inner();
    let end = match (heard.goaway, has_ended, failed) {
        (Some(code), _, _) => Some(format!("GOAWAY {}", name(code))),
        (None, true, _) => Some("closed".to_owned()),
        (None, false, Some(error)) => Some(format!("stuck ({})", error.kind())),
        (None, false, None) => None,
    };
    Outcome { end, sent, heard: heard.to_string(), connections: 1 }
}

/// Hears until the connection ends.
async fn listen<S: AsyncRead + Unpin>(
    mut input: S,
    heard: &RefCell<Heard>,
    replies: &UnboundedSender<Vec<u8>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = input.read(&mut buffer).await {
        for event in heard.borrow_mut().take(buffer.get(..read).unwrap_or_default()) {
            if let Event::Reply(reply) = event {
                let _ = replies.send(reply);
            }
        }
    }
}

/// Sends until that fails.
async fn send<S: AsyncWrite + Unpin>(
    mut output: S,
    attack: &mut Attack,
    mut replies: UnboundedReceiver<Vec<u8>>,
    sent: &mut u64,
) -> Option<io::Error> {
    let sending = async {
        write(&mut output, &[PREFACE, &attack.opening].concat()).await?;
        for number in 0.. {
            while let Ok(reply) = replies.try_recv() {
                write(&mut output, &reply).await?;
            }
            let Some((bytes, frames)) = (attack.next)(number) else { break };
            write(&mut output, &bytes).await?;
            *sent += frames;
            match attack.pause {
                // So that the server is heard, too.
                Duration::ZERO => tokio::task::yield_now().await,
                pause => tokio::time::sleep(pause).await,
            }
        }
        while let Some(reply) = replies.recv().await {
            write(&mut output, &reply).await?;
        }
        Ok(())
    };
    sending.await.err()
}

async fn write<S: AsyncWrite + Unpin>(output: &mut S, bytes: &[u8]) -> io::Result<()> {
    let written = async {
        output.write_all(bytes).await?;
        output.flush().await
    };
    timeout(STUCK, written).await.map_err(|_| io::ErrorKind::TimedOut)?
}
