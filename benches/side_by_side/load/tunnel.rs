//! WebSockets, opened and closed in order (RFC 6455 §7): the client says Close, the upstream says Close and ends.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::http1::{connect, exchange};

/// Code 1000, masked with zeros.
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8];

/// A client that opens one WebSocket after the other.
pub struct Opener {
    addr: SocketAddr,
    requests: Rc<[Vec<u8>]>,
    buffer: Vec<u8>,
}

impl Opener {
    pub fn new(addr: SocketAddr, requests: &Rc<[Vec<u8>]>) -> Self {
        Self { addr, requests: Rc::clone(requests), buffer: vec![0; 4096] }
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let mut stream = connect(self.addr).await?;
        let head = exchange(&mut stream, &self.requests[n % self.requests.len()], &mut self.buffer).await?;
        ensure!(head.status == 101, "{} in place of 101", head.status);
        stream.write_all(CLOSE).await?;
        let mut said = 0;
        loop {
            match stream.read(&mut self.buffer).await {
                Ok(0) => break,
                Ok(read) => said += read,
                // Some reset a connection that both sides have said Close on.
                Err(_) if said > 0 => break,
                Err(error) => return Err(error.into()),
            }
        }
        ensure!(said > 0, "no Close frame came back");
        Ok(())
    }
}
