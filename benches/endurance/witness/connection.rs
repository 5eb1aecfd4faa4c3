//! Connections of a witness, and what they answer.
//!
//! `.../large` is long, `.../late` takes a while, `.../cached` may be stored by anybody; all others are short and may not.
//! A request with `X-Id` is told apart from others by it. `/seen` and `/forget` are for who has started it.

use std::io;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::request::{Incoming, Request};
use super::state::State;
use super::{LARGE, LATE, Temper};

/// Of a fickle one: one of so many moments at which it may close is one at which it does.
const FICKLE: u64 = 12;
/// What the system keeps of answers that nobody takes: little, because thousands may not be taken.
const SMALL: u32 = 8 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;
static LONG: LazyLock<Vec<u8>> = LazyLock::new(|| answer("no-store", "", LARGE));

pub async fn accept(listen: SocketAddr, temper: Temper) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    // Connections have it from here.
    socket.set_send_buffer_size(SMALL)?;
    socket.bind(listen)?;
    let listener: TcpListener = socket.listen(BACKLOG)?;
    let state = State::default();
    loop {
        // None is free: those that are there go on.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(LATE).await;
            continue;
        };
        tokio::task::spawn_local(serve(stream, state.clone(), temper));
    }
}

/// One connection; faults end it.
async fn serve(mut stream: TcpStream, state: State, temper: Temper) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if temper == Temper::Fickle && now_and_then() {
        return Ok(());
    }
    let mut incoming = Incoming::default();
    let mut counted = None;
    while let Some(request) = incoming.head(&mut stream).await? {
        let told = match request.line() {
            "GET /seen HTTP/1.1" => Some(serde_json::to_string(&state.seen())?),
            "GET /forget HTTP/1.1" => {
                state.forget();
                Some(String::new())
            }
            _ => None,
        };
        if let Some(told) = told {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{told}", told.len());
            stream.write_all(head.as_bytes()).await?;
            continue;
        }
        counted.get_or_insert_with(|| state.connected());
        let head = (temper == Temper::Remembers).then_some(request.text.as_str());
        let asked = state.asked(request.field("x-id"), head);
        match temper {
            Temper::Well | Temper::Remembers => {}
            Temper::Hangs => incoming.forever(&mut stream).await?,
            Temper::Closes => return Ok(()),
            Temper::Fickle if now_and_then() => return Ok(()),
            Temper::Fickle => {}
        }
        incoming.body(&mut stream, &request).await?;
        if temper == Temper::Fickle && now_and_then() {
            return Ok(());
        }
        if request.line().contains("/late") {
            // A client that leaves meanwhile has nothing here any more.
            tokio::select! {
                () = tokio::time::sleep(LATE) => {}
                left = incoming.more(&mut stream) => left?,
            }
        }
        let answer = answered(&request);
        if temper == Temper::Fickle && now_and_then() {
            return stream.write_all(answer.get(..answer.len() / 2).unwrap_or_default()).await;
        }
        stream.write_all(&answer).await?;
        drop(asked);
        if temper == Temper::Fickle && now_and_then() {
            return Ok(());
        }
    }
    Ok(())
}

impl Incoming {
    /// Reads until the connection ends.
    async fn forever(&mut self, stream: &mut TcpStream) -> io::Result<()> {
        loop {
            self.more(stream).await?;
        }
    }
}

fn answered(request: &Request) -> std::borrow::Cow<'static, [u8]> {
    let line = request.line();
    if line.contains("/large") {
        return LONG.as_slice().into();
    }
    let cache = if line.contains("/cached") { "public, max-age=600" } else { "no-store" };
    let host = request.field("host").unwrap_or_default();
    answer(cache, &format!("X-Asked-Host: {host}\r\n"), 1024).into()
}

fn answer(cache: &str, fields: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/javascript\r\nContent-Length: {length}\r\n\
         Cache-Control: {cache}\r\n{fields}\r\n"
    );
    [head.into_bytes(), vec![b'x'; length]].concat()
}

/// Whether this is one of those moments; the same ones in each run.
fn now_and_then() -> bool {
    static STATE: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
    let mut next = STATE.load(Ordering::Relaxed);
    next ^= next << 13;
    next ^= next >> 7;
    next ^= next << 17;
    STATE.store(next, Ordering::Relaxed);
    next.is_multiple_of(FICKLE)
}
