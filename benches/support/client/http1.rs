//! One request on an open connection.

use std::io;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Head;

/// A connection that sends at once what it is given.
pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a request and reads its answer to the end.
pub async fn exchange<S>(stream: &mut S, request: &[u8], buffer: &mut [u8]) -> Result<Head>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(request).await?;
    let mut filled = 0;
    loop {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        ensure!(read > 0, "the connection ended before the answer");
        filled += read;
        let head = Head::parse(buffer.get(..filled).unwrap_or_default())?;
        if let Some(head) = head.filter(|head| filled >= head.end + head.length) {
            ensure!(filled == head.end + head.length, "more than one answer");
            return Ok(head);
        }
    }
}
