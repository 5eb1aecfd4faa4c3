//! Classes of faults by which other proxies have passed on what they had not judged, tried at the edge.
//!
//! What is smuggled is a request that the edge denies, so that none may reach the upstream.

use std::time::Duration;

use anyhow::{Result, ensure};
use bench_support::client::connect;
use bench_support::ground::HOST;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::Settings;
use crate::edge::{SITE, WIDGET};
use crate::load::{Target, on_this_thread};
use crate::rows::Rows;
use crate::subject::{Before, Subject};
use crate::witness::{Seen, Temper, Witness};

/// After the last byte of an answer, until no more is waited for.
const QUIET: Duration = Duration::from_millis(500);
/// The path that must not reach the upstream.
const SMUGGLED: &str = "/session/smuggled";

pub fn show(settings: &Settings, rows: &mut Rows) -> Result<()> {
    let witness = Witness::start(Temper::Remembers)?;
    let before = Before::server(witness.addr);
    let subject = Subject::edge(settings, &before)?;
    let scene = Scene { target: &subject.target, witness: &witness };
    scene.cached(rows)?;
    scene.upgrades(rows)?;
    scene.codings(rows)?;
    scene.hosts(rows)?;
    scene.nominated(rows)
}

struct Scene<'s> {
    target: &'s Target,
    witness: &'s Witness,
}

/// The request that must not arrive: no page is named.
fn smuggled() -> String {
    format!("GET /w/{WIDGET}{SMUGGLED} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
}

/// A request line with what every request has; `host` in place of the usual.
fn begun(method: &str, path: &str, version: &str, host: &str) -> String {
    format!("{method} /w/{WIDGET}/{path} HTTP/{version}\r\nHost: {host}\r\nOrigin: https://{SITE}\r\n")
}

impl Scene<'_> {
    /// Sends this on a new connection; the statuses of the answers, and what reached the upstream.
    fn send(&self, request: &str) -> Result<(Vec<String>, String, Seen)> {
        self.witness.forget()?;
        let said = on_this_thread(async {
            let mut stream = connect(self.target.plain).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut said = Vec::new();
            while let Ok(Ok(1..)) = timeout(QUIET, stream.read_buf(&mut said)).await {}
            Ok(said)
        })?;
        let statuses = memmem::find_iter(&said, b"HTTP/1.1 ").filter_map(|at| said.get(at + 9..at + 12));
        let statuses = statuses.map(|status| String::from_utf8_lossy(status).into_owned()).collect();
        Ok((statuses, String::from_utf8_lossy(&said).into_owned(), self.witness.seen()?))
    }

    /// Judges that nothing was smuggled by any of these.
    fn not_smuggled(&self, rows: &mut Rows, name: &str, requests: &[String]) -> Result<()> {
        let (mut answers, mut arrived) = (Vec::new(), 0);
        for request in requests {
            let (statuses, _, seen) = self.send(request)?;
            arrived += seen.heads.iter().filter(|head| head.contains(SMUGGLED)).count();
            answers.push(statuses.join("+"));
        }
        rows.judged(
            format!("attacks: embedgate, {name}: smuggled"),
            0,
            format!("{arrived} (answers: {})", answers.join(", ")),
            arrived == 0,
        );
        Ok(())
    }

    /// A body that comes with a request that is answered from memory.
    fn cached(&self, rows: &mut Rows) -> Result<()> {
        let path = "assets/cached.js";
        let (first, ..) = self.send(&format!("{}\r\n", begun("GET", path, "1.1", HOST)))?;
        let (second, _, seen) = self.send(&format!("{}\r\n", begun("GET", path, "1.1", HOST)))?;
        ensure!(first == ["200"] && second == ["200"] && seen.requests == 0, "{path} is not kept: {seen:?}");
        let body = smuggled();
        let stated =
            format!("{}Content-Length: {}\r\n\r\n{body}", begun("GET", path, "1.1", HOST), body.len());
        let chunked = format!(
            "{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            begun("GET", path, "1.1", HOST),
            body.len()
        );
        self.not_smuggled(rows, "a body before a cached answer (CVE-2025-4366)", &[stated, chunked])
    }

    /// Bytes behind a wish to upgrade that the upstream does not grant.
    fn upgrades(&self, rows: &mut Rows) -> Result<()> {
        let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let other = "Connection: Upgrade\r\nUpgrade: anything\r\n";
        let requests = [websocket, other]
            .map(|fields| format!("{}{fields}\r\n{}", begun("GET", "session", "1.1", HOST), smuggled()));
        self.not_smuggled(rows, "bytes behind a wish to upgrade (CVE-2026-2833)", &requests)
    }

    /// Codings that two servers read in two ways.
    fn codings(&self, rows: &mut Rows) -> Result<()> {
        let name = "HTTP/1.0 and codings (CVE-2026-2835)";
        let body = format!("0\r\n\r\n{}", smuggled());
        let length = format!("Content-Length: {}\r\n", body.len());
        let cases = [
            ("1.0", "Transfer-Encoding: chunked\r\n"),
            ("1.0", ""),
            ("1.1", "Transfer-Encoding: chunked, identity\r\n"),
            ("1.1", "Transfer-Encoding: identity, chunked\r\n"),
            ("1.1", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            ("1.1", "Transfer-Encoding: xchunked\r\n"),
        ];
        let requests = cases.map(|(version, fields)| {
            // A coding and a length, and a body without either.
            let length = if fields.is_empty() { "" } else { &length };
            format!("{}{length}{fields}\r\n{body}", begun("POST", "session", version, HOST))
        });
        self.not_smuggled(rows, name, &requests)?;
        let mut passed = Vec::new();
        for request in requests.iter().filter(|request| request.contains("Transfer-Encoding")) {
            let (statuses, ..) = self.send(request)?;
            if statuses != ["400"] {
                passed.push(statuses.join("+"));
            }
        }
        rows.judged(
            format!("attacks: embedgate, {name}: coding and length, other than one 400"),
            0,
            format!("{} {}", passed.len(), passed.join(", ")).trim(),
            passed.is_empty(),
        );
        Ok(())
    }

    /// One path at two hosts.
    fn hosts(&self, rows: &mut Rows) -> Result<()> {
        let mut wrong = 0;
        for host in [HOST, "other.example", HOST, "other.example"] {
            let (_, said, _) =
                self.send(&format!("{}\r\n", begun("GET", "assets/cached-by-host.js", "1.1", host)))?;
            let own = format!("x-asked-host: {host}\r\n");
            let is_own = said.to_ascii_lowercase().contains(&own);
            wrong += usize::from(!is_own);
        }
        rows.judged(
            "attacks: embedgate, one path at two hosts (CVE-2026-2836): answers of the other host",
            0,
            wrong,
            wrong == 0,
        );
        Ok(())
    }

    /// Fields that `Connection` names: none of them goes on, and none that the edge itself adds is taken off.
    fn nominated(&self, rows: &mut Rows) -> Result<()> {
        let (mut passed, mut missing, mut answers) = (0, 0, Vec::new());
        for named in ["X-Own", "X-Widget-Id", "X-Embedder-Origin", "X-Forwarded-For", "Host", "Origin"] {
            let fields = format!("Connection: keep-alive, {named}\r\nX-Own: passed-on\r\n\r\n");
            let (statuses, _, seen) =
                self.send(&format!("{}{fields}", begun("GET", "loader.js", "1.1", HOST)))?;
            for head in seen.heads.iter().map(|head| head.to_ascii_lowercase()) {
                passed += usize::from(named == "X-Own" && head.contains("passed-on"));
                let own = ["x-widget-id: ", "x-embedder-origin: ", "x-forwarded-for: ", "host: "];
                missing += own.into_iter().filter(|name| !head.contains(&format!("\n{name}"))).count();
            }
            answers.push(statuses.join("+"));
        }
        rows.judged(
            "attacks: embedgate, fields that Connection names (CVE-2026-105299): passed on; taken off",
            "0; 0",
            format!("{passed}; {missing} (answers: {})", answers.join(", ")),
            passed + missing == 0,
        );
        Ok(())
    }
}
