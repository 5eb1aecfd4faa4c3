//! WebSockets from both ends: an upstream that is quick to answer, and a browser's side.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::ports;

/// More than anything here may take.
pub const SOON: Duration = Duration::from_secs(10);

/// A browser's side of a WebSocket.
pub type Socket<S = TcpStream> = WebSocketStream<S>;

/// One handshake that an upstream got.
pub struct Asked {
    /// Its head.
    pub head: String,
    /// What came behind it in the same read.
    pub early: Vec<u8>,
    /// The connection.
    pub stream: TcpStream,
}

impl Asked {
    /// One field of the head; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        field(&self.head, name)
    }

    /// A 101 to it, with these lines more.
    pub fn accepted(&self, more: &str) -> String {
        let accept = derive_accept_key(self.field("sec-websocket-key").as_bytes());
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n{more}\r\n"
        )
    }

    /// Answers 101 and a text frame `hello` in one write, then speaks WebSocket.
    pub async fn greet(mut self) -> WebSocketStream<TcpStream> {
        let mut answer = self.accepted("").into_bytes();
        answer.extend(b"\x81\x05hello");
        self.stream.write_all(&answer).await.unwrap();
        WebSocketStream::from_partially_read(self.stream, self.early, Role::Server, None).await
    }
}

/// One field of a head; empty where there is none.
pub fn field<'h>(head: &'h str, name: &str) -> &'h str {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let mut values =
        lines.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim());
    values.next().unwrap_or("")
}

/// An upstream of raw sockets; it ends when this is dropped.
pub struct SocketUpstream {
    /// Where it listens.
    pub addr: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl SocketUpstream {
    /// Does this with every handshake.
    pub async fn start<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(Asked) -> F + Send + Sync + 'static,
    ) -> Self {
        let addr = ports::free();
        let listener = TcpListener::bind(addr).await.unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let got = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            let serve = Arc::new(serve);
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (serve, got) = (Arc::clone(&serve), Arc::clone(&got));
                tokio::spawn(async move {
                    if let Some(asked) = read_head(stream).await {
                        got.lock().unwrap().push(asked.head.clone());
                        serve(asked).await;
                    }
                });
            }
        });
        Self { addr, heads, task }
    }

    /// Says `hello` together with its 101, then sends every message back; answers pings, as any library does.
    pub async fn echo() -> Self {
        Self::start(Self::echoes).await
    }

    /// The same with one handshake.
    pub async fn echoes(asked: Asked) {
        let mut socket = asked.greet().await;
        while let Some(Ok(message)) = socket.next().await {
            let sent = match message {
                Message::Text(_) | Message::Binary(_) => socket.send(message).await,
                _ => socket.flush().await,
            };
            if sent.is_err() {
                break;
            }
        }
    }

    /// The heads that came.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for SocketUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read_head(mut stream: TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let early = bytes.split_off(end + 4);
            return Some(Asked { head: String::from_utf8(bytes).unwrap(), early, stream });
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Opens a WebSocket through the edge at `addr`, from a page of `origin`.
pub async fn open(addr: SocketAddr, path: &str, origin: &str) -> Result<(Socket, Response), Error> {
    let stream = TcpStream::connect(addr).await.unwrap();
    open_on(stream, &format!("ws://{addr}{path}"), origin).await
}

/// The same, on a connection.
pub async fn open_on<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    url: &str,
    origin: &str,
) -> Result<(Socket<S>, Response), Error> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
    timeout(SOON, client_async(request, stream)).await.expect("an answer to the handshake")
}

/// The same, with these subprotocols offered. Whether one is named is the test's to check.
pub async fn open_offering(
    addr: SocketAddr,
    path: &str,
    origin: &str,
    protocols: &str,
) -> Result<(Socket, Response), Error> {
    let stream = TcpStream::connect(addr).await.unwrap();
    let mut request = format!("ws://{addr}{path}").into_client_request().unwrap();
    request.headers_mut().insert("origin", HeaderValue::from_str(origin).unwrap());
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(protocols).unwrap());
    timeout(SOON, client_async(request, stream)).await.expect("an answer to the handshake")
}

/// The next message.
pub async fn next<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) -> Message {
    let message = timeout(SOON, socket.next()).await.expect("a message");
    message.expect("the tunnel is open").unwrap()
}

/// Sends a text and gets it back.
pub async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>, text: &str) {
    socket.send(Message::text(text)).await.unwrap();
    assert_eq!(next(socket).await, Message::text(text));
}

/// Reads the greeting of an [`SocketUpstream::echo`], and sends a text and gets it back.
pub async fn hears_itself<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) {
    assert_eq!(next(socket).await, Message::text("hello"));
    exchange(socket, "and back").await;
}

/// The code and reason by which the edge closes; every message before it is passed over.
pub async fn closed<S: AsyncRead + AsyncWrite + Unpin>(socket: &mut Socket<S>) -> (u16, String) {
    loop {
        match next(socket).await {
            Message::Close(Some(close)) => return (close.code.into(), close.reason.to_string()),
            Message::Close(None) => return (1005, String::new()),
            _ => {}
        }
    }
}

/// The handshake that a browser sends, as bytes.
pub fn handshake(path: &str, origin: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
    )
}

/// A masked text frame.
pub fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(text.as_bytes());
    frame
}
