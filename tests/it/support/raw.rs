//! Bytes over a socket, for what no client library would send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer, taken apart just enough.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The fields, names in lower case, several lines joined by a line feed.
    pub fields: BTreeMap<String, String>,
    /// What follows the head, as far as it came.
    pub body: String,
}

impl Answer {
    /// Takes the bytes of one answer apart.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut fields = BTreeMap::<String, String>::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let lines = fields.entry(name.to_ascii_lowercase()).or_default();
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str(value.trim());
        }
        Some(Self { status, fields, body: body.to_owned() })
    }

    /// One field; empty where there is none.
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// Sends bytes on a new connection and reads until the other side closes or falls silent.
pub async fn send(addr: SocketAddr, request: &[u8]) -> Answer {
    let bytes = exchange(addr, request).await;
    Answer::parse(&bytes).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&bytes)))
}

/// The same, for whatever comes back.
pub async fn exchange(addr: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    // Silence ends a kept-alive answer; the length of its body is checked where it matters.
    while let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(300), stream.read(&mut chunk)).await {
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
    bytes
}

/// A connection that is kept for several messages, each read as far as its framing says and no further.
pub struct Connection<S> {
    stream: S,
    read: Vec<u8>,
}

impl Connection<TcpStream> {
    /// A new connection.
    pub async fn open(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream that is open already.
    pub fn over(stream: S) -> Self {
        Self { stream, read: Vec::new() }
    }

    /// The stream, and what of it was read but not taken.
    pub fn into_inner(self) -> (S, Vec<u8>) {
        (self.stream, self.read)
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Sends a request and reads its answer.
    pub async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// The next answer, the body of a chunked one put together.
    pub async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        answer.body = self.body(&answer.fields).await.expect("a whole body");
        answer
    }

    /// The next answer as it was sent, its body by its length.
    pub async fn verbatim(&mut self) -> String {
        let head = self.until("\r\n\r\n").await.expect("an answer");
        let body = self.body(&fields(&head)).await.expect("a whole body");
        head + body.as_str()
    }

    /// The head of the next answer; what follows it stays unread.
    pub async fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await.expect("an answer");
        Answer::parse(head.as_bytes()).unwrap_or_else(|| panic!("no answer: {head:?}"))
    }

    /// The next request as its peer sends it: its head, and its body put together. `None` once the peer is gone.
    pub async fn request(&mut self) -> Option<(String, String)> {
        let head = self.until("\r\n\r\n").await?;
        let fields = fields(&head);
        let body = self.body(&fields).await?;
        Some((head, body))
    }

    /// Whether the other side closes, saying nothing more. Waits for it as long as for any answer.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.fill().await
    }

    /// Everything until the other side closes.
    pub async fn rest(&mut self) -> String {
        while self.fill().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// The bytes up to and with `end`; `None` if the other side closes before.
    pub async fn until(&mut self, end: &str) -> Option<String> {
        let mut searched = 0;
        loop {
            let unsearched = self.read.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memmem::find(unsearched, end.as_bytes()) {
                return Some(self.take(searched + at + end.len()));
            }
            searched = self.read.len().saturating_sub(end.len());
            if !self.fill().await {
                return None;
            }
        }
    }

    async fn body(&mut self, fields: &BTreeMap<String, String>) -> Option<String> {
        if fields.get("transfer-encoding").is_some_and(|encoding| encoding == "chunked") {
            let mut body = String::new();
            loop {
                let line = self.until("\r\n").await?;
                let size = usize::from_str_radix(line.split([';', '\r']).next()?, 16).ok()?;
                body.push_str(&self.exactly(size).await?);
                self.exactly(2).await?;
                if size == 0 {
                    return Some(body);
                }
            }
        }
        let length = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length).await
    }

    async fn exactly(&mut self, length: usize) -> Option<String> {
        while self.read.len() < length {
            if !self.fill().await {
                return None;
            }
        }
        Some(self.take(length))
    }

    fn take(&mut self, length: usize) -> String {
        String::from_utf8_lossy(&self.read.drain(..length).collect::<Vec<_>>()).into_owned()
    }

    /// Reads once; `false` when the other side has closed.
    async fn fill(&mut self) -> bool {
        let mut chunk = vec![0; 64 * 1024];
        let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk)).await;
        let read = read.unwrap_or_else(|_| {
            panic!("silence after {:?}", String::from_utf8_lossy(&self.read));
        });
        let read = read.unwrap_or(0);
        self.read.extend_from_slice(&chunk[..read]);
        read > 0
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

fn fields(head: &str) -> BTreeMap<String, String> {
    let lines = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    lines.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// A field's value with three dots for a frame's ticket, and for the token of its reports, which are others each time.
pub fn masked(value: &str) -> String {
    if let Some((before, rest)) = value.split_once("embed-ticket;desc=\"") {
        let after = rest.split_once('"').map_or("", |(_, after)| after);
        return format!("{before}embed-ticket;desc=\"...\"{after}");
    }
    match value.split_once("embed-report?r=") {
        Some((before, rest)) => {
            let after = rest.find(is_no_token).and_then(|end| rest.get(end..)).unwrap_or_default();
            format!("{before}embed-report?r=...{after}")
        }
        None => value.to_owned(),
    }
}

/// A frame's policy without the address that browsers report to.
pub fn unreported(policy: &str) -> String {
    let Some((before, rest)) = policy.split_once("; report-uri ") else { return policy.to_owned() };
    let after = rest.find(char::is_whitespace).and_then(|end| rest.get(end..)).unwrap_or_default();
    format!("{before}{after}")
}

fn is_no_token(c: char) -> bool {
    !c.is_ascii_alphanumeric() && c != '-' && c != '_'
}

/// A GET on a new connection.
pub async fn get(addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> Answer {
    Connection::open(addr).await.ask(request("GET", addr, path, fields)).await
}

/// A request without a body, as it is sent.
pub fn request(method: &str, addr: SocketAddr, path: &str, fields: &[(&str, &str)]) -> String {
    let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\n");
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request + "\r\n"
}
