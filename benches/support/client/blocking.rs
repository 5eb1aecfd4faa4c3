//! A connection that is kept, for a thread that may wait: not for load, but for single questions.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Head;

/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// A kept connection, blocking.
pub struct Connection {
    addr: SocketAddr,
    stream: TcpStream,
}

impl Connection {
    pub fn open(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { addr, stream })
    }

    /// A new connection in its place.
    pub fn reopen(&mut self) -> Result<()> {
        *self = Self::open(self.addr)?;
        Ok(())
    }

    /// Status and body.
    pub fn ask(&mut self, request: &[u8]) -> Result<(u16, String)> {
        self.stream.write_all(request)?;
        let mut bytes = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            let read = self.stream.read(&mut chunk)?;
            ensure!(read > 0, "the connection ended before the answer");
            bytes.extend_from_slice(chunk.get(..read).unwrap_or_default());
            let Some(head) = Head::parse(&bytes)? else { continue };
            if bytes.len() >= head.end + head.length {
                if head.close {
                    self.reopen()?;
                }
                let body = bytes.get(head.end..head.end + head.length).unwrap_or_default();
                return Ok((head.status, String::from_utf8_lossy(body).into_owned()));
            }
        }
    }
}

/// One request on a new connection; its status.
pub fn once(addr: SocketAddr, request: &[u8]) -> Result<u16> {
    Ok(Connection::open(addr)?.ask(request)?.0)
}
