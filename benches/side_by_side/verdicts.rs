//! Before anything is measured: the peers enforce the same rules.

use anyhow::{Context, Result};

use crate::load::once;
use crate::peers::{Peer, Proxy};
use crate::rules::{Case, cases};
use crate::scenario::Request;
use crate::settings::Cores;
use crate::upstream::RunningUpstream;

const PATHS: [&str; 3] = ["loader.js", "assets/app.js", "session"];

/// How many requests each peer is asked.
pub fn count() -> usize {
    cases().len() * PATHS.len()
}

/// Every answer that isn't what it should be.
pub fn check(peers: &[Peer], cores: Cores) -> Result<Vec<String>> {
    let upstream = RunningUpstream::start(&cores.both())?;
    let mut wrong = Vec::new();
    for peer in peers.iter().filter(|peer| peer.enforces()) {
        let proxy = Proxy::with_few_rules(*peer, upstream.addr, &cores.both())?;
        for case in cases() {
            // An allowed answer is kept by the cache before the stranger asks for it, and again after.
            for path in PATHS {
                let request = request(&case, path);
                let status = once(proxy.ground.plain, &request.bytes())
                    .with_context(|| format!("{peer}: {}, {path}", case.what))?;
                if status != if case.allowed { 200 } else { 403 } {
                    wrong.push(format!("{peer}: {} ({path}): {status}", case.what));
                }
            }
        }
    }
    Ok(wrong)
}

fn request(case: &Case, path: &str) -> Request {
    Request { path: format!("/w/{}/{path}", case.widget), origin: case.origin.clone() }
}
