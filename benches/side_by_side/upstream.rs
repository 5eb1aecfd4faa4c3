//! The upstream of every peer: as little work as an HTTP/1.1 server can do, on one thread.
//!
//! `/count` tells how many answers it has given, so that a cache can be believed. `.../assets/...` may be stored for
//! a day, other answers by nobody. A POST is answered once its body is there. Who accepts events gets one, and no
//! end. A WebSocket handshake is accepted, and what is said on it is said back, a Close frame with a Close frame.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::load::{Connection, once};
use crate::process::{Running, Stop};
use crate::{command, ports};

static ANSWERS: AtomicU64 = AtomicU64::new(0);

/// How this program is told to be it.
#[derive(Args)]
pub struct Upstream {
    #[arg(long)]
    listen: SocketAddr,
}

/// A running one.
pub struct RunningUpstream {
    pub addr: SocketAddr,
    process: Running,
}

impl RunningUpstream {
    /// Starts it on these cores.
    pub fn start(cores: &str) -> Result<Self> {
        let addr = ports::free();
        let command = command![std::env::current_exe()?, "upstream", "--listen", addr.to_string()];
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut process = Running::start("upstream", cores, &command, folder, Stop::Terminate)?;
        process.wait_until(Duration::from_secs(10), || once(addr, COUNT).is_ok())?;
        Ok(Self { addr, process })
    }

    /// Processor time so far.
    pub fn cpu(&self) -> Duration {
        self.process.cpu()
    }

    /// How many answers it has given.
    pub fn answers(&self) -> Result<u64> {
        let (_, body) = Connection::open(self.addr)?.ask(COUNT)?;
        body.trim().parse().context("a count")
    }
}

const COUNT: &[u8] = b"GET /count HTTP/1.1\r\nHost: upstream\r\n\r\n";

impl Upstream {
    /// Serves until a signal comes.
    pub fn run(self) -> Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let listener = TcpListener::bind(self.listen).await?;
            let answers = Answers::new()?;
            let answers: &'static Answers = Box::leak(Box::new(answers));
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(serve(stream, answers));
            }
        })
    }
}

/// Prepared bytes.
struct Answers {
    plain: Vec<u8>,
    stored: Vec<u8>,
}

const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
/// An event.
pub const EVENT: &[u8] = b"data: hello\n\n";
/// A stream that begins; nginx is told not to keep it until there is more.
const EVENTS: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
    X-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n";
/// Code 1000, as a server sends it.
const CLOSE: &[u8] = &[0x88, 2, 3, 0xe8];

impl Answers {
    fn new() -> Result<Self> {
        // Not renewed while it runs: caches may keep answers for a day.
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let answer = |cache: &str| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/javascript\r\nContent-Length: 1024\r\n\
                 Cache-Control: {cache}\r\n\r\n"
            );
            [head.into_bytes(), vec![b'x'; 1024]].concat()
        };
        Ok(Self { plain: answer("no-store"), stored: answer("public, max-age=86400") })
    }
}

/// One connection; faults end it.
async fn serve(mut stream: TcpStream, answers: &'static Answers) -> std::io::Result<()> {
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
            let count = ANSWERS.load(Ordering::Relaxed).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{count}", count.len());
            stream.write_all(answer.as_bytes()).await?;
        } else if memmem::find(line, b"/session ").is_some() && memmem::find(head, b"websocket").is_some() {
            ANSWERS.fetch_add(1, Ordering::Relaxed);
            stream.write_all(SWITCH).await?;
            return talk(stream, &mut buffer).await;
        } else if memmem::find(head, b"text/event-stream").is_some() {
            ANSWERS.fetch_add(1, Ordering::Relaxed);
            stream.write_all(&[EVENTS, EVENT, b"\r\n"].concat()).await?;
        } else {
            ANSWERS.fetch_add(1, Ordering::Relaxed);
            let may_store = memmem::find(line, b"/assets/").is_some();
            stream.write_all(if may_store { &answers.stored } else { &answers.plain }).await?;
        }
        filled = 0;
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
async fn talk(mut stream: TcpStream, buffer: &mut [u8]) -> std::io::Result<()> {
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
        ANSWERS.fetch_add(1, Ordering::Relaxed);
        // The same without its mask: its head takes the mask's last two bytes.
        buffer[4..6].copy_from_slice(&[first, second & 0x7f]);
        stream.write_all(&buffer[4..6 + length]).await?;
        filled = 0;
    }
}
