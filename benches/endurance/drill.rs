//! A drill: what a server drops on purpose, the load must count, no more and no less.

use std::time::Duration;

use anyhow::{Context, Result};
use bench_support::ground::Ground;
use bench_support::upstream::Answers;

use crate::load::{Load, Mix, Target};
use crate::rows::Rows;
use crate::{edge, upstreams};

mod http2;

/// How long each load goes on.
const TIME: Duration = Duration::from_secs(2);
/// Every so many requests, or messages, one is dropped.
const EACH: u64 = 23;

pub fn show(rows: &mut Rows) -> Result<()> {
    let (requests, sockets) = (Mix { plain: 8, ..Mix::default() }, Mix { staying: 16, ..Mix::default() });
    for (what, mix) in [("HTTP/1.1 requests", requests), ("WebSockets", sockets)] {
        let (addr, answers) = upstreams::start_with(Answers::new("").dropping(EACH))?;
        let counted = counted(addr, mix)?;
        judge(rows, what, answers.dropped(), counted);
    }
    // Each connection is also told to end in order, again and again, which must lose nothing.
    let ground = Ground::new(env!("CARGO_TARGET_TMPDIR"), bench_support::ports::free())?;
    let server = http2::start(&ground, EACH).context("an HTTP/2 server")?;
    let counted = counted(ground.tls, Mix { http2: 4, ..Mix::default() })?;
    judge(rows, "HTTP/2 requests", server.dropped(), counted);
    Ok(())
}

/// What a load of this kind counts as lost.
fn counted(addr: std::net::SocketAddr, mix: Mix) -> Result<u64> {
    let (widget, site) = (edge::WIDGET.to_owned(), edge::SITE.to_owned());
    let load = Load::start(&Target { plain: addr, tls: addr, widget, site }, mix);
    std::thread::sleep(TIME);
    let tally = load.stop()?;
    Ok(tally.lost() + tally.cut.get() + tally.refused.get())
}

fn judge(rows: &mut Rows, what: &str, dropped: u64, counted: u64) {
    let is_right = counted == dropped && dropped > 0;
    rows.judged(
        format!("drill: {what} that a server dropped, counted by the load"),
        dropped,
        counted,
        is_right,
    );
}
