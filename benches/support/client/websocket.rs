//! WebSockets (RFC 6455): opened and closed in order (§7: the client says Close, the upstream says Close and ends), and
//! messages that the upstream echoes.

use anyhow::{Result, ensure};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::exchange;

/// Code 1000, masked with zeros.
const CLOSE: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8];
/// Bytes of a message, one that needs no long form of its length.
const LENGTH: usize = 120;
/// Binary, masked with zeros.
const MESSAGE: [u8; 6 + LENGTH] = message([0x82, 0x80 | LENGTH as u8, 0, 0, 0, 0]);
/// The same unmasked, as it comes back.
const ECHO: [u8; 2 + LENGTH] = message([0x82, LENGTH as u8]);

/// A frame that begins like this, and has the same byte again and again behind it.
const fn message<const HEAD: usize, const FRAME: usize>(head: [u8; HEAD]) -> [u8; FRAME] {
    let mut frame = [b'x'; FRAME];
    let (first, _) = frame.split_at_mut(HEAD);
    first.copy_from_slice(&head);
    frame
}

/// The handshake, on an open connection.
pub async fn shake_hands<S>(stream: &mut S, request: &[u8], buffer: &mut [u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = exchange(stream, request, buffer).await?;
    ensure!(head.status == 101, "{} in place of 101", head.status);
    Ok(())
}

/// Says one message and hears it back.
pub async fn echo<S>(stream: &mut S, buffer: &mut [u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&MESSAGE).await?;
    let mut filled = 0;
    // With room for more than is to come: a read that fills its buffer is followed by one that finds nothing.
    while filled < ECHO.len() {
        let read = stream.read(buffer.get_mut(filled..).unwrap_or_default()).await?;
        ensure!(read > 0, "the connection ended before the echo");
        filled += read;
    }
    ensure!(buffer.get(..filled) == Some(&ECHO), "something else came back than was said");
    Ok(())
}

/// Closes it in order.
pub async fn close<S>(stream: &mut S, buffer: &mut [u8]) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(CLOSE).await?;
    let mut said = 0;
    loop {
        match stream.read(buffer).await {
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
