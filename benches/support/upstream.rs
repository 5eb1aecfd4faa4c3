//! An upstream: as little work as an HTTP/1.1 server can do.
//!
//! `/count` tells how many answers it has given, so that a cache can be believed. `.../assets/...` may be stored for
//! a day, other answers by nobody. A POST is answered once its body is there. Who accepts events gets one, and no
//! end. A WebSocket handshake is accepted, and what is said on it is said back, a Close frame with a Close frame.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// An event.
pub const EVENT: &[u8] = b"data: hello\n\n";
/// A stream that begins; nginx is told not to keep it until there is more.
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
    X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n";
/// Code 1000, as a server sends it.
const CLOSE: &[u8] = &[0x88, 2, 3, 0xe8];

/// What an upstream answers, and how many answers it has given.
pub struct Answers {
    plain: Vec<u8>,
    stored: Vec<u8>,
    given: AtomicU64,
    /// 0: none is dropped.
    drops_each: u64,
    dropped: AtomicU64,
    /// `None`: one event and then silence.
    event_interval: Option<Duration>,
}

impl Answers {
    /// Those with more fields in each answer that is no stream: whole lines.
    pub fn new(fields: &str) -> Self {
        // Not renewed while it runs: caches may keep answers for a day.
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let answer = |cache: &str| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/javascript\r\nContent-Length: 1024\r\n\
                 Cache-Control: {cache}\r\n{fields}\r\n"
            );
            [head.into_bytes(), vec![b'x'; 1024]].concat()
        };
        Self {
            plain: answer("no-store"),
            stored: answer("public, max-age=86400"),
            given: AtomicU64::new(0),
            drops_each: 0,
            dropped: AtomicU64::new(0),
            event_interval: None,
        }
    }

    /// The same, but every so many requests or messages one is read and dropped, with its connection.
    pub fn dropping(self, each: u64) -> Self {
        Self { drops_each: each, ..self }
    }

    /// The same, but with an event in a stream every so often.
    pub fn streaming(self, interval: Duration) -> Self {
        Self { event_interval: Some(interval), ..self }
    }

    /// How many requests and messages were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts one; whether it is to be dropped instead.
    fn count(&self) -> bool {
        let drops = (self.given.fetch_add(1, Ordering::Relaxed) + 1).checked_rem(self.drops_each) == Some(0);
        self.dropped.fetch_add(u64::from(drops), Ordering::Relaxed);
        drops
    }
}

/// Serves on the thread's runtime as long as the listener accepts.
pub async fn serve(listener: &TcpListener, answers: &'static Answers) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, answers));
    }
}

/// One connection; faults end it.
async fn connection(mut stream: TcpStream, answers: &'static Answers) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let Some(end) = memmem::find(&buffer[..filled], b"\r\n\r\n") else { continue };
        let head = &buffer[..end + 4];
        if filled < head.len() + body_length(head) {
            continue;
        }
        let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        if line.starts_with(b"GET /count ") {
            let count = answers.given.load(Ordering::Relaxed).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}", count.len());
            stream.write_all(answer.as_bytes()).await?;
        } else if answers.count() {
            return Ok(());
        } else if memmem::find(line, b"/session ").is_some() && memmem::find(head, b"websocket").is_some() {
            stream.write_all(SWITCH).await?;
            return talk(stream, &mut buffer, answers).await;
        } else if memmem::find(head, b"text/event-stream").is_some() {
            stream.write_all(&[EVENTS, EVENT, b"\r\n"].concat()).await?;
            if let Some(interval) = answers.event_interval {
                return stream_events(stream, interval).await;
            }
        } else {
            let may_store = memmem::find(line, b"/assets/").is_some();
            stream.write_all(if may_store { &answers.stored } else { &answers.plain }).await?;
        }
        filled = 0;
    }
}

/// One event after the other, until the client has left.
async fn stream_events(mut stream: TcpStream, interval: Duration) -> std::io::Result<()> {
    let event = [b"d\r\n", EVENT, b"\r\n"].concat();
    loop {
        tokio::time::sleep(interval).await;
        stream.write_all(&event).await?;
    }
}

/// Of a POST. Chunks would be none that a peer makes of a body with a length.
fn body_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"content-length:";
    if !head.starts_with(b"POST ") {
        return 0;
    }
    let length = head.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        let value = name.eq_ignore_ascii_case(NAME).then_some(value)?;
        std::str::from_utf8(value).ok()?.trim().parse().ok()
    });
    // Without one nothing is answered, and the client says so.
    length.unwrap_or(usize::MAX / 2)
}

/// A WebSocket: short messages, masked with zeros, are echoed until Close is said.
async fn talk(mut stream: TcpStream, buffer: &mut [u8], answers: &Answers) -> std::io::Result<()> {
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let &mut [first, second, _, _, ..] = buffer else { return Ok(()) };
        let length = usize::from(second & 0x7f);
        if filled < 6 + length {
            continue;
        }
        if first == 0x88 {
            return stream.write_all(CLOSE).await;
        }
        if answers.count() {
            return Ok(());
        }
        // The same without its mask: its head takes the mask's last two bytes.
        buffer[4..6].copy_from_slice(&[first, second & 0x7f]);
        stream.write_all(&buffer[4..6 + length]).await?;
        filled = 0;
    }
}
