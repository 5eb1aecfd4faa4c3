//! Upstreams of the edges here, on a thread of this process each, as long as it lasts.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use bench_support::ports;
use bench_support::upstream::{Answers, serve};
use tokio::net::TcpListener;

use crate::load::on_this_thread;

/// Time between two events of a stream.
const EVENTS: Duration = Duration::from_millis(200);

/// Starts one that streams events.
pub fn start() -> Result<SocketAddr> {
    start_with(Answers::new("").streaming(EVENTS)).map(|(addr, _)| addr)
}

/// Starts one with these answers.
pub fn start_with(answers: Answers) -> Result<(SocketAddr, &'static Answers)> {
    let addr = ports::free();
    let listener = std::net::TcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    let answers: &'static Answers = Box::leak(Box::new(answers));
    std::thread::spawn(move || {
        on_this_thread(async { serve(&TcpListener::from_std(listener)?, answers).await })
    });
    Ok((addr, answers))
}
