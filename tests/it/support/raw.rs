//! Bytes over a socket, for what no client library would send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
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
