//! Requests on a connection that is kept.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Result, ensure};
use bench_support::client::{connect, exchange};
use tokio::net::TcpStream;

use super::Shared;

/// A client with one connection.
pub struct Kept {
    addr: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
    requests: Rc<[Vec<u8>]>,
    status: u16,
    shared: Rc<Shared>,
}

impl Kept {
    pub async fn open(
        addr: SocketAddr,
        requests: Rc<[Vec<u8>]>,
        status: u16,
        shared: Rc<Shared>,
    ) -> Result<Self> {
        let stream = connect(addr).await?;
        Ok(Self { addr, stream, buffer: vec![0; 16 * 1024], requests, status, shared })
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let requests = Rc::clone(&self.requests);
        let request = &requests[n % requests.len()];
        let head = match exchange(&mut self.stream, request, &mut self.buffer).await {
            Ok(head) => head,
            // Closed between two requests: a peer may do that after so many.
            Err(_) => {
                self.reopen().await?;
                exchange(&mut self.stream, request, &mut self.buffer).await?
            }
        };
        ensure!(head.status == self.status, "{} in place of {}", head.status, self.status);
        if head.close {
            self.reopen().await?;
        }
        Ok(())
    }

    async fn reopen(&mut self) -> io::Result<()> {
        self.shared.reconnects.set(self.shared.reconnects.get() + 1);
        self.stream = connect(self.addr).await?;
        Ok(())
    }
}
