//! HTTP/2 frame by frame (RFC 9113), for what no client library would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::tls::EdgeTls;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The reasons of resets and ends (§7).
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// How a connection begins.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const PATIENCE: Duration = Duration::from_secs(20);

/// A frame that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The reason that a reset or the end of a connection gives.
    pub fn reason(&self) -> Option<u32> {
        let reason = match self.kind {
            RST_STREAM => self.payload.get(..4)?,
            GOAWAY => self.payload.get(4..8)?,
            _ => return None,
        };
        reason.try_into().ok().map(u32::from_be_bytes)
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub fn setting(id: u16, value: u32) -> Vec<u8> {
    let payload: Vec<u8> = id.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A request for a path at `chat.example`, with its head in one frame that ends the stream.
pub fn get(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(0x82, path, fields))
}

/// The head of a request with a body.
pub fn post(stream: u32, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &block(0x83, path, fields))
}

/// The compressed head (RFC 7541) of a GET (0x82) or POST (0x83).
pub fn block(method: u8, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    // The scheme is https; literals without indexing, `:authority` and `:path` by their static names.
    let mut block = vec![method, 0x87, 0x01];
    string(&mut block, "chat.example");
    block.push(0x04);
    string(&mut block, path);
    for (name, value) in fields {
        literal(&mut block, 0x00, name, value);
    }
    block
}

/// A literal field: 0x00 does not enter the table, 0x40 does.
pub fn literal(block: &mut Vec<u8>, how: u8, name: &str, value: &str) {
    block.push(how);
    string(block, name);
    string(block, value);
}

fn string(block: &mut Vec<u8>, text: &str) {
    if text.len() < 127 {
        block.push(text.len().try_into().unwrap());
    } else {
        block.push(127);
        let mut rest = text.len() - 127;
        while rest >= 128 {
            block.push(u8::try_from(rest % 128).unwrap() | 0x80);
            rest /= 128;
        }
        block.push(rest.try_into().unwrap());
    }
    block.extend_from_slice(text.as_bytes());
}

/// One end of a connection. What arrives is read all the time.
pub struct Frames {
    write: WriteHalf<TlsStream<TcpStream>>,
    received: UnboundedReceiver<Frame>,
    reader: JoinHandle<()>,
}

impl Frames {
    /// A new connection, after its preface, with more room for answers than any of them needs.
    pub async fn open(tls: &EdgeTls) -> Self {
        let (read, write) = tokio::io::split(tls.h2().await);
        let (told, received) = unbounded_channel();
        let reader = tokio::spawn(read_all(read, told));
        let mut client = Self { write, received, reader };
        let room = 1 << 30;
        client.send([PREFACE.to_vec(), setting(4, room), window_update(0, room)].concat()).await;
        client.send(frame(SETTINGS, ACK, 0, &[])).await;
        client
    }

    /// Sends bytes as they are. `false`: the other side is gone.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let sent = async {
            self.write.write_all(bytes.as_ref()).await?;
            self.write.flush().await
        };
        matches!(timeout(PATIENCE, sent).await, Ok(Ok(())))
    }

    /// The next frame; `None` once the other side is gone.
    pub async fn next(&mut self) -> Option<Frame> {
        timeout(PATIENCE, self.received.recv()).await.expect("a frame, or the end")
    }

    /// The frames that have arrived so far.
    pub fn arrived(&mut self) -> Vec<Frame> {
        std::iter::from_fn(|| self.received.try_recv().ok()).collect()
    }

    /// The next frame of this type on this stream.
    pub async fn await_frame(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        while let Some(frame) = self.next().await {
            if (frame.kind, frame.stream) == (kind, stream) {
                return Some(frame);
            }
        }
        None
    }

    /// Waits until the other side has ended the connection, and tells the reason that it gave.
    pub async fn end(&mut self) -> Option<u32> {
        let mut reason = None;
        while let Some(frame) = self.next().await {
            if frame.kind == GOAWAY {
                reason = frame.reason();
            }
        }
        reason
    }
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read_all(mut read: ReadHalf<TlsStream<TcpStream>>, told: UnboundedSender<Frame>) {
    loop {
        let mut head = [0; 9];
        if read.read_exact(&mut head).await.is_err() {
            return;
        }
        let [a, b, c, kind, flags, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        if read.read_exact(&mut payload).await.is_err() {
            return;
        }
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        if told.send(Frame { kind, flags, stream, payload }).is_err() {
            return;
        }
    }
}
