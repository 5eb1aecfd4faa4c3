//! Clients with WebSockets: some stay, some are opened and closed in order, some wait for their end.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bench_support::client::connect;
use bench_support::client::websocket::{close, echo, shake_hands};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{PATIENCE, Pace, Shared, Target, on_this_thread};

/// Between two messages.
const PAUSE: Duration = Duration::from_millis(50);
/// Messages of a WebSocket that does not stay.
const MESSAGES: usize = 5;
/// A handshake's fields.
const FIELDS: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub async fn staying(shared: Arc<Shared>, pace: Pace) -> Result<()> {
    client(&shared, pace, usize::MAX).await
}

pub async fn passing(shared: Arc<Shared>, pace: Pace) -> Result<()> {
    client(&shared, pace, MESSAGES).await
}

async fn client(shared: &Shared, mut pace: Pace, messages: usize) -> Result<()> {
    let tally = &shared.tally;
    let mut buffer = vec![0; 4096];
    while !shared.is_over() {
        let mut stream = match connect(shared.target.plain).await {
            Ok(stream) => stream,
            Err(error) => {
                tally.refused.note(|| format!("WebSocket: {error}"));
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
        };
        tally.opened.add();
        let request = shared.target.request("session", FIELDS);
        match timeout(PATIENCE, shake_hands(&mut stream, &request, &mut buffer)).await {
            Ok(Ok(())) => tally.sessions.add(),
            failed => {
                tally.lost_new.note(|| format!("WebSocket handshake: {failed:?}"));
                continue;
            }
        }
        if let Err(error) = talk(shared, &mut pace, &mut stream, &mut buffer, messages).await {
            tally.cut.note(|| format!("WebSocket: {error:#}"));
        }
    }
    Ok(())
}

/// Says so many messages, or until the load is over, and closes.
async fn talk(
    shared: &Shared,
    pace: &mut Pace,
    stream: &mut TcpStream,
    buffer: &mut [u8],
    messages: usize,
) -> Result<()> {
    for _ in 0..messages {
        if shared.is_over() {
            break;
        }
        let asked = Instant::now();
        timeout(PATIENCE, echo(stream, buffer)).await.context("no echo in time")??;
        shared.tally.took(asked.elapsed());
        shared.tally.messages.add();
        if let Ok(read) = timeout(pace.pause(PAUSE), stream.read(buffer)).await {
            let frame = buffer.get(..read?).unwrap_or_default();
            return Err(anyhow!("ended unasked: {frame:?}"));
        }
    }
    timeout(PATIENCE, close(stream, buffer)).await.context("no Close in time")?
}

/// How a WebSocket ended that its client left alone.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    pub at: Instant,
    /// What its Close frame said; `None` where there was none.
    pub code: Option<u16>,
}

/// WebSockets that wait for their end.
pub struct Watched {
    over: oneshot::Sender<()>,
    thread: JoinHandle<Result<Vec<Ending>>>,
}

impl Watched {
    /// Opens so many; each that has not ended after `patience` is given up.
    pub fn open(target: &Target, count: usize, patience: Duration) -> Result<Self> {
        let target = target.clone();
        let (opened, all_open) = channel();
        let (over, is_over) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            on_this_thread(async {
                let mut streams = Vec::new();
                for _ in 0..count {
                    streams.push(open(&target).await?);
                }
                let _ = opened.send(());
                let mut tasks = JoinSet::new();
                for stream in streams {
                    tasks.spawn_local(timeout(patience, ending(stream)));
                }
                let mut endings = Vec::new();
                let all = async {
                    while let Some(task) = tasks.join_next().await {
                        endings.extend(task?.ok());
                    }
                    Ok::<_, anyhow::Error>(())
                };
                tokio::select! {
                    done = all => done?,
                    Ok(()) = is_over => {}
                }
                Ok(endings)
            })
        });
        match all_open.recv() {
            Ok(()) => Ok(Self { over, thread }),
            Err(_) => Err(joined(thread).err().unwrap_or_else(|| anyhow!("no sessions"))),
        }
    }

    /// Those that have ended so far; the others are left.
    pub fn ended(self) -> Result<Vec<Ending>> {
        let _ = self.over.send(());
        joined(self.thread)
    }
}

fn joined<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().map_err(|_| anyhow!("a thread with sessions panicked"))?
}

/// Opens one and hears an echo.
pub async fn open(target: &Target) -> Result<TcpStream> {
    let mut buffer = vec![0; 4096];
    let mut stream = connect(target.plain).await?;
    shake_hands(&mut stream, &target.request("session", FIELDS), &mut buffer).await?;
    echo(&mut stream, &mut buffer).await?;
    Ok(stream)
}

async fn ending(mut stream: TcpStream) -> Ending {
    let mut bytes = Vec::new();
    let mut at = None;
    // The Close frame is the end; the connection's follows when it may.
    while at.is_none() && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {
        at = (bytes.len() >= 4).then(Instant::now);
    }
    let code = match bytes[..] {
        [0x88, _, high, low, ..] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    };
    Ending { at: at.unwrap_or_else(Instant::now), code }
}

/// Opens one after the other and closes each in order, until `count` were.
pub async fn open_and_close(target: &Target, count: usize) -> Result<()> {
    let request = target.request("session", FIELDS);
    let mut buffer = vec![0; 4096];
    for _ in 0..count {
        let work = async {
            let mut stream = connect(target.plain).await?;
            shake_hands(&mut stream, &request, &mut buffer).await?;
            echo(&mut stream, &mut buffer).await?;
            close(&mut stream, &mut buffer).await
        };
        timeout(PATIENCE, work).await.context("a session takes too long")??;
    }
    ensure!(count > 0, "no sessions");
    Ok(())
}
