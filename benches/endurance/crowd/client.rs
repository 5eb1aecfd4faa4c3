//! One slow client, from its connection to its end.

use std::cell::RefCell;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::ground::HOST;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::kind::{Kind, Manner};
use super::{PATIENCE, Report};
use crate::http2::{Event, Heard};

/// What a client that takes nothing has room for.
const SMALL: u32 = 4096;
/// The longest segment: as on the way from elsewhere. On loopback a server's system would take megabytes from it that no
/// client has taken.
const SEGMENT: u32 = 1460;

pub async fn run(
    kind: Kind,
    addr: SocketAddr,
    number: usize,
    gate: &Semaphore,
    connector: &TlsConnector,
    report: &RefCell<Report>,
) {
    let manner = kind.manner(number);
    let said = if manner.is_tls {
        let opened = opened(gate, report, async {
            let stream = connect(addr, &manner).await?;
            let mut stream = connector.connect(ServerName::try_from(HOST)?, stream).await?;
            stream.write_all(&manner.opening).await?;
            stream.flush().await?;
            Ok(stream)
        });
        let Some(stream) = opened.await else { return };
        held(stream, &manner).await
    } else {
        let opened = opened(gate, report, async {
            let mut stream = connect(addr, &manner).await?;
            stream.write_all(&manner.opening).await?;
            Ok(stream)
        });
        let Some(stream) = opened.await else { return };
        held(stream, &manner).await
    };
    let mut report = report.borrow_mut();
    report.ended += 1;
    *report.said.entry(said).or_default() += 1;
}

/// Opens it, some at a time; `None`: it was not let in.
async fn opened<S>(
    gate: &Semaphore,
    report: &RefCell<Report>,
    opening: impl Future<Output = Result<S>>,
) -> Option<S> {
    let permit = gate.acquire().await.ok()?;
    let opened = timeout(PATIENCE, opening).await;
    drop(permit);
    let mut report = report.borrow_mut();
    match opened {
        Ok(Ok(stream)) => {
            report.opened += 1;
            Some(stream)
        }
        _ => {
            report.refused += 1;
            None
        }
    }
}

async fn connect(addr: SocketAddr, manner: &Manner) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    SockRef::from(&socket).set_tcp_mss(SEGMENT)?;
    if !manner.reads {
        socket.set_recv_buffer_size(SMALL)?;
    }
    let stream = socket.connect(addr).await.context("connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Is slow until the server ends it; how it did.
async fn held<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, manner: &Manner) -> String {
    if !manner.reads {
        // Whether it is over, only the server knows.
        return pending().await;
    }
    let (mut first, mut heard) = (Vec::new(), Heard::default());
    let mut buffer = vec![0; 1024];
    let (interval, drop) = manner.drip.clone().unwrap_or((Duration::from_secs(3600), Vec::new()));
    let mut next = Instant::now() + interval;
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => {
                let read = match read {
                    Ok(0) => return said(manner, &first, &heard, "closed"),
                    Ok(read) => buffer.get(..read).unwrap_or_default(),
                    Err(_) => return said(manner, &first, &heard, "cut"),
                };
                if !manner.is_http2 {
                    first.extend_from_slice(read.get(..16 - first.len().min(16)).unwrap_or(read));
                    continue;
                }
                for event in heard.take(read) {
                    match event {
                        Event::Over => return said(manner, &first, &heard, "closed"),
                        Event::Reply(reply) => {
                            let written = async { stream.write_all(&reply).await?; stream.flush().await };
                            if written.await.is_err() {
                                return said(manner, &first, &heard, "cut");
                            }
                        }
                    }
                }
            }
            () = tokio::time::sleep_until(next) => {
                next += interval;
                // One that can't speak any more hears so.
                let _ = stream.write_all(&drop).await;
                let _ = stream.flush().await;
            }
        }
    }
}

fn said(manner: &Manner, first: &[u8], heard: &Heard, end: &str) -> String {
    if manner.is_http2 {
        let ends = heard.goaway.map(|code| format!("GOAWAY {}", crate::http2::name(code)));
        let all: Vec<_> =
            std::iter::once(heard.to_string()).chain(ends).filter(|said| !said.is_empty()).collect();
        return if all.is_empty() { end.to_owned() } else { all.join(", ") };
    }
    match first.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)) {
        Some(status) => String::from_utf8_lossy(status).into_owned(),
        None => end.to_owned(),
    }
}
