//! HTTP/1.1 read as strictly as its grammar allows (RFC 9112), from either end: what is not exactly one message is a
//! fault, and the next one begins where the last ended.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Anything that bytes go through.
pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Field lines in their order, names in lower case.
pub type Fields = Vec<(String, String)>;

/// The values of one field, in their order.
pub fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
}

/// Why there is no message.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The other side went away in the middle of one.
    Cut,
    /// It is none.
    Wrong(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("cut off"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

/// A start line and the fields that follow it.
#[derive(Debug)]
pub struct Head {
    pub first: String,
    pub fields: Fields,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Framing {
    Nothing,
    Length(usize),
    Chunks,
}

/// One end of a connection.
pub struct Wire {
    stream: Box<dyn Socket>,
    read: Vec<u8>,
}

const PATIENCE: Duration = Duration::from_secs(10);
const MOST_HEAD_BYTES: usize = 512 * 1024;

impl Wire {
    pub fn over(stream: impl Socket + 'static) -> Self {
        Self { stream: Box::new(stream), read: Vec::new() }
    }

    /// Sends bytes as they are. `false`: the other side takes no more.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok() && self.stream.flush().await.is_ok()
    }

    /// Waits for whatever comes next, for as long as it takes.
    pub async fn awaken(&mut self) {
        if self.read.is_empty() {
            // How it ended shows where it is read.
            let _ = self.stream.read_buf(&mut self.read).await;
        }
    }

    /// A head; `None` where the other side closes between two messages.
    pub async fn head(&mut self) -> Result<Option<Head>, Fault> {
        let mut searched = 0;
        let end = loop {
            if let Some(at) = memchr::memmem::find(&self.read[searched..], b"\r\n\r\n") {
                break searched + at;
            }
            // What can't become a head any more is told at once, not awaited.
            if self.read.starts_with(b"\r\n") || self.read.len() > MOST_HEAD_BYTES {
                return Err(self.wrong("no head"));
            }
            searched = self.read.len().saturating_sub(3);
            if !self.fill().await? {
                return if self.read.is_empty() { Ok(None) } else { Err(Fault::Cut) };
            }
        };
        let head: Vec<u8> = self.read.drain(..end + 4).collect();
        let head = String::from_utf8_lossy(&head[..end]).into_owned();
        let (first, lines) = head.split_once("\r\n").unwrap_or((&head, ""));
        Ok(Some(Head { first: first.to_owned(), fields: fields(lines)? }))
    }

    /// A body, and its trailers.
    pub async fn body(&mut self, framing: Framing) -> Result<(Vec<u8>, Fields), Fault> {
        match framing {
            Framing::Nothing => Ok((Vec::new(), Fields::new())),
            Framing::Length(length) => Ok((self.exactly(length).await?, Fields::new())),
            Framing::Chunks => self.chunks().await,
        }
    }

    async fn chunks(&mut self) -> Result<(Vec<u8>, Fields), Fault> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            // Nobody here says anything with extensions.
            let is_size = (1..=16).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_hexdigit());
            let size = usize::from_str_radix(&line, 16).ok().filter(|_| is_size);
            let size = size.ok_or_else(|| Fault::Wrong(format!("no size of a chunk: {line:?}")))?;
            if size == 0 {
                break;
            }
            body.extend(self.exactly(size).await?);
            if self.exactly(2).await? != b"\r\n" {
                return Err(self.wrong("no line feed behind a chunk"));
            }
        }
        let mut lines = String::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok((body, fields(&lines)?));
            }
            if !lines.is_empty() {
                lines.push_str("\r\n");
            }
            lines.push_str(&line);
        }
    }

    /// Everything until the other side closes in order.
    pub async fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.read))
    }

    /// That nothing comes for this long.
    pub async fn stays_silent(&mut self, time: Duration) -> Result<(), Fault> {
        if self.read.is_empty() {
            match tokio::time::timeout(time, self.fill()).await {
                Err(_) => return Ok(()),
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return Err(Fault::Cut),
                Ok(Err(fault)) => return Err(fault),
            }
        }
        Err(self.wrong("more than was asked for"))
    }

    /// That the other side closes and says nothing more.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && matches!(self.fill().await, Ok(false) | Err(Fault::Cut))
    }

    /// A line without its end.
    async fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.read) {
                let line: Vec<u8> = self.read.drain(..=at).collect();
                let line = String::from_utf8_lossy(&line).into_owned();
                let Some(line) = line.strip_suffix("\r\n") else {
                    return Err(Fault::Wrong(format!("a bare line feed: {line:?}")));
                };
                return Ok(line.to_owned());
            }
            if self.read.len() > MOST_HEAD_BYTES {
                return Err(self.wrong("no line"));
            }
            if !self.fill().await? {
                return Err(Fault::Cut);
            }
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.read.len() < length {
            if !self.fill().await? {
                return Err(Fault::Cut);
            }
        }
        let rest = self.read.split_off(length);
        Ok(std::mem::replace(&mut self.read, rest))
    }

    /// Reads once; `false` where the other side has closed.
    async fn fill(&mut self) -> Result<bool, Fault> {
        let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        match read {
            Ok(Ok(read)) => Ok(read > 0),
            Ok(Err(_)) => Err(Fault::Cut),
            Err(_) => Err(self.wrong("silence")),
        }
    }

    fn wrong(&self, what: &str) -> Fault {
        let seen = String::from_utf8_lossy(&self.read[..self.read.len().min(300)]).into_owned();
        Fault::Wrong(format!("{what}: {seen:?}"))
    }
}

/// `tchar` of RFC 9110 §5.6.2: what names and methods are made of.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn fields(lines: &str) -> Result<Fields, Fault> {
    let lines = lines.split("\r\n").filter(|_| !lines.is_empty());
    lines
        .map(|line| {
            let (name, value) = line.split_once(':').unwrap_or_default();
            let value = value.trim_matches([' ', '\t']);
            let is_field = !name.is_empty()
                && name.bytes().all(is_token)
                && !value.chars().any(|c| c.is_ascii_control() && c != '\t');
            match is_field {
                true => Ok((name.to_ascii_lowercase(), value.to_owned())),
                false => Err(Fault::Wrong(format!("no field: {line:?}"))),
            }
        })
        .collect()
}

/// What says where a message's body ends, and says it once.
pub fn framing(fields: &Fields) -> Result<Framing, Fault> {
    let (lengths, encodings) = (values(fields, "content-length"), values(fields, "transfer-encoding"));
    match (&lengths[..], &encodings[..]) {
        ([], []) => Ok(Framing::Nothing),
        ([], [encoding]) if encoding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunks),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            let length = length.parse().map_err(|_| Fault::Wrong(format!("no length: {length:?}")))?;
            Ok(Framing::Length(length))
        }
        _ => Err(Fault::Wrong(format!("framed in two ways: {fields:?}"))),
    }
}
