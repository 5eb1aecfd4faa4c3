//! Connections of operators, whose certificates are judged for as long as they are open.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::UnixTime;
use rustls::server::danger::ClientCertVerifier;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::{MutualTls, TlsInForce};
use crate::admin::paced_stream::PacedStream;

/// Time after which a certificate in use is judged again.
const JUDGED: Duration = Duration::from_secs(1);

/// Connection of an operator. It passes nothing any more once its certificate has expired, or its authority has gone
/// from the file.
pub(in crate::admin) struct OperatorStream {
    stream: TlsStream<PacedStream<TcpStream>>,
    tls: Arc<MutualTls>,
    judged_by: Arc<TlsInForce>,
    judged_at: Instant,
}

impl OperatorStream {
    /// A connection whose handshake was judged by these settings.
    pub(super) fn new(
        stream: TlsStream<PacedStream<TcpStream>>,
        tls: Arc<MutualTls>,
        judged_by: Arc<TlsInForce>,
    ) -> Self {
        Self { stream, tls, judged_by, judged_at: Instant::now() }
    }

    fn judge(&mut self) -> io::Result<()> {
        let in_force = self.tls.in_force.load();
        if Arc::ptr_eq(&in_force, &self.judged_by) && self.judged_at.elapsed() < JUDGED {
            return Ok(());
        }
        let shown = self.stream.get_ref().1.peer_certificates().and_then(<[_]>::split_first);
        let judged =
            shown.map(|(own, others)| in_force.operators.verify_client_cert(own, others, UnixTime::now()));
        match judged {
            Some(Ok(_)) => {
                (self.judged_by, self.judged_at) = (Arc::clone(&in_force), Instant::now());
                Ok(())
            }
            Some(Err(error)) => Err(io::Error::new(ErrorKind::ConnectionAborted, error)),
            None => Err(ErrorKind::ConnectionAborted.into()),
        }
    }
}

impl AsyncRead for OperatorStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        // After the read: what has waited for it may have come since.
        if let Err(error) = self.judge() {
            into.set_filled(before);
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for OperatorStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.judge()?;
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.judge()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
