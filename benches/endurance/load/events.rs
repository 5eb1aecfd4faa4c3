//! Clients that listen to an event stream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bench_support::client::connect;
use bench_support::upstream::EVENT;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::Shared;

/// The longest time between two events before the stream counts as cut; the upstream sends several meanwhile.
const SILENCE: Duration = Duration::from_secs(5);

pub async fn stream(shared: Arc<Shared>) -> Result<()> {
    while !shared.is_over() {
        let Ok(stream) = connect(shared.target.plain).await else {
            shared.tally.refused.note(|| "event stream".to_owned());
            tokio::time::sleep(Duration::from_millis(5)).await;
            continue;
        };
        shared.tally.opened.add();
        if let Err(error) = listen(&shared, stream).await {
            shared.tally.cut.note(|| format!("event stream: {error:#}"));
        }
    }
    Ok(())
}

async fn listen(shared: &Shared, mut stream: tokio::net::TcpStream) -> Result<()> {
    let request = shared.target.request("session", "Accept: text/event-stream\r\n");
    stream.write_all(&request).await?;
    let mut bytes = Vec::new();
    let mut is_session = false;
    while !shared.is_over() {
        let Ok(read) = timeout(SILENCE, stream.read_buf(&mut bytes)).await else { bail!("no event in time") };
        ensure!(read? > 0, "the stream ended");
        if !is_session && memmem::find(&bytes, b"\r\n\r\n").is_some() {
            ensure!(bytes.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&bytes));
            shared.tally.sessions.add();
            is_session = true;
        }
        while let Some(at) = memmem::find(&bytes, EVENT) {
            shared.tally.messages.add();
            bytes.drain(..at + EVENT.len());
        }
    }
    Ok(())
}
