//! Requests as they come on a connection.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes that were read and not looked at yet.
#[derive(Default)]
pub struct Incoming(Vec<u8>);

/// The head of a request.
pub struct Request {
    pub text: String,
}

/// How long a body is.
enum Length {
    Stated(usize),
    Chunks,
}

impl Request {
    pub fn line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// The first value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.text.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn length(&self) -> Length {
        if self.field("transfer-encoding").is_some() {
            return Length::Chunks;
        }
        Length::Stated(self.field("content-length").and_then(|text| text.parse().ok()).unwrap_or(0))
    }
}

impl Incoming {
    /// The next head; `None` at the end.
    pub async fn head<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<Option<Request>> {
        loop {
            if let Some(at) = memmem::find(&self.0, b"\r\n\r\n") {
                let rest = self.0.split_off(at + 4);
                let head = std::mem::replace(&mut self.0, rest);
                return Ok(Some(Request { text: String::from_utf8_lossy(&head).trim_end().to_owned() }));
            }
            if stream.read_buf(&mut self.0).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the body of this request to its end.
    pub async fn body<S: AsyncRead + Unpin>(&mut self, stream: &mut S, request: &Request) -> io::Result<()> {
        const END: &[u8] = b"0\r\n\r\n";
        let mut left = match request.length() {
            Length::Stated(length) => length,
            Length::Chunks => loop {
                if let Some(at) = memmem::find(&self.0, END) {
                    self.0.drain(..at + END.len());
                    return Ok(());
                }
                let old = self.0.len().saturating_sub(END.len() - 1);
                self.0.drain(..old);
                self.more(stream).await?;
            },
        };
        loop {
            let taken = left.min(self.0.len());
            self.0.drain(..taken);
            left -= taken;
            if left == 0 {
                return Ok(());
            }
            self.more(stream).await?;
        }
    }

    /// Waits until the connection says something, or ends.
    pub async fn more<S: AsyncRead + Unpin>(&mut self, stream: &mut S) -> io::Result<()> {
        match stream.read_buf(&mut self.0).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
