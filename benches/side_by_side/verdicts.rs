//! Before anything is measured: the peers enforce the same rules, whichever way they are asked.

use anyhow::{Context, Result};
use bench_support::client::once;

use crate::load::over_http2;
use crate::peers::{Peer, Proxy};
use crate::rules::{Case, cases};
use crate::scenario::{Kind, Request};
use crate::settings::Cores;
use crate::upstream::RunningUpstream;

/// What is asked over HTTP/1.1. An allowed answer is kept by the cache before the stranger asks for it, and again
/// after.
const HTTP1: [(Kind, &str); 5] = [
    (Kind::Get, "loader.js"),
    (Kind::Get, "assets/app.js"),
    (Kind::Get, "session"),
    (Kind::Post, "session"),
    (Kind::Handshake, "session"),
];
/// And over HTTP/2 on TLS.
const HTTP2: [(Kind, &str); 3] =
    [(Kind::Get, "loader.js"), (Kind::Get, "assets/app.js"), (Kind::Post, "session")];

/// How many requests each peer is asked.
pub fn count() -> usize {
    cases().len() * (HTTP1.len() + HTTP2.len())
}

/// Every answer that isn't what it should be.
pub fn check(peers: &[Peer], cores: Cores) -> Result<Vec<String>> {
    let upstream = RunningUpstream::start(&cores.both())?;
    let mut wrong = Vec::new();
    for peer in peers.iter().filter(|peer| peer.enforces()) {
        let proxy = Proxy::with_few_rules(*peer, upstream.addr, &cores.both())?;
        for case in cases() {
            let asked = |over| format!("{peer}: {}, over {over}", case.what);
            let mut note = |(kind, path), over, status| {
                let right = match kind {
                    _ if !case.allowed => 403,
                    Kind::Handshake => 101,
                    Kind::Get | Kind::Post => 200,
                };
                if status != right {
                    wrong.push(format!("{} ({kind:?} {path}): {status}", asked(over)));
                }
            };
            for ask in HTTP1 {
                let over = "HTTP/1.1";
                let status = once(proxy.ground.plain, &request(&case, ask).bytes());
                note(ask, over, status.with_context(|| format!("{} ({ask:?})", asked(over)))?);
            }
            let requests = HTTP2.map(|ask| request(&case, ask));
            let over = "HTTP/2";
            let statuses = over_http2(proxy.ground.tls, &requests).with_context(|| asked(over))?;
            HTTP2.into_iter().zip(statuses).for_each(|(ask, status)| note(ask, over, status));
        }
    }
    Ok(wrong)
}

fn request(case: &Case, (kind, path): (Kind, &str)) -> Request {
    Request { kind, path: format!("/w/{}/{path}", case.widget), origin: case.origin.clone() }
}
