//! Opens by visitors of many addresses, each on a connection of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::client::exchange;
use bench_support::ground::HOST;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Visitor who opens one session after the other.
pub struct Visitor {
    pub address: Ipv4Addr,
    /// The host of the page of each open.
    pub sites: Vec<String>,
    /// Between two opens.
    pub pause: Duration,
}

/// One open, and what came of it.
pub struct Open {
    pub address: Ipv4Addr,
    pub site: String,
    pub status: u16,
    /// When it was sent and answered: it was counted in between.
    pub sent: Duration,
    pub answered: Duration,
}

/// Has all of them open at the same time. An error if any is not answered.
pub async fn open_all(
    addr: SocketAddr,
    widget: &'static str,
    visitors: Vec<Visitor>,
    begun: Instant,
) -> Result<Vec<Open>> {
    let widget: Rc<str> = widget.into();
    let mut tasks = JoinSet::new();
    for visitor in visitors {
        tasks.spawn_local(visit(addr, Rc::clone(&widget), visitor, begun));
    }
    let mut opens = Vec::new();
    while let Some(visited) = tasks.join_next().await {
        opens.extend(visited??);
    }
    Ok(opens)
}

async fn visit(addr: SocketAddr, widget: Rc<str>, visitor: Visitor, begun: Instant) -> Result<Vec<Open>> {
    let Visitor { address, sites, pause } = visitor;
    let mut stream = connect_from(address, addr).await?;
    let mut buffer = vec![0; 4096];
    let mut opens = Vec::with_capacity(sites.len());
    for site in sites {
        let request =
            format!("GET /w/{widget}/token HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{site}\r\n\r\n");
        let sent = begun.elapsed();
        let answer = timeout(PATIENCE, exchange(&mut stream, request.as_bytes(), &mut buffer)).await;
        let head = answer.context("no answer in time")?.with_context(|| format!("{address} at {site}"))?;
        opens.push(Open { address, site, status: head.status, sent, answered: begun.elapsed() });
        if head.close {
            stream = connect_from(address, addr).await?;
        }
        sleep(pause).await;
    }
    Ok(opens)
}

/// A connection that comes from this address.
async fn connect_from(address: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into()).with_context(|| format!("binding {address}"))?;
    let stream = socket.connect(to).await.with_context(|| format!("from {address} to {to}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
