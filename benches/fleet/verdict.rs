//! Verdicts of an edge, asked for over its data plane as a browser on a site would.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bench_support::ground::HOST;

use crate::client::Client;

/// What every edge should say of a widget.
#[derive(Clone, Debug)]
pub struct Expected {
    pub id: String,
    /// The host of the page that may embed it; `None`: it is deleted.
    pub allowed: Option<String>,
    /// The host of a page that may not, because a save or a deletion has taken it off.
    pub denied: Option<String>,
}

/// Asks for the verdicts of one edge.
pub struct Asker {
    pub edge: String,
    client: Client,
}

impl Asker {
    pub fn new(edge: &str, addr: SocketAddr) -> Self {
        Self { edge: edge.to_owned(), client: Client::new(addr) }
    }

    /// What this edge judges by older rules than expected; `None`: nothing. An error where it can't be asked.
    pub async fn find_old(&mut self, expected: &Expected, patience: Duration) -> Result<Option<String>> {
        self.look(expected, patience, || bail!("503: it denies everything")).await
    }

    /// The same of an edge that may deny everything by itself, which `denies` is told of.
    pub async fn look(
        &mut self,
        expected: &Expected,
        patience: Duration,
        mut denies: impl FnMut() -> Result<()>,
    ) -> Result<Option<String>> {
        for (site, is_allowed) in [(&expected.allowed, true), (&expected.denied, false)] {
            let Some(site) = site else { continue };
            let Some(judged) = self.verdict(&expected.id, site, patience).await? else {
                denies()?;
                continue;
            };
            if judged != is_allowed {
                let verdict = if is_allowed { "still denied" } else { "still allowed" };
                return Ok(Some(format!("{}: {site} is {verdict} on {}", expected.id, self.edge)));
            }
        }
        Ok(None)
    }

    /// Whether a page of this site may load the widget.
    pub async fn is_allowed(&mut self, widget: &str, site: &str, patience: Duration) -> Result<bool> {
        let verdict = self.verdict(widget, site, patience).await?;
        verdict.with_context(|| format!("{}: it denies everything", self.edge))
    }

    /// The same; `None`: its rules are out of date, so that it denies everything.
    async fn verdict(&mut self, widget: &str, site: &str, patience: Duration) -> Result<Option<bool>> {
        let answer = self.client.ask_within(patience, &request(widget, site)).await?;
        match answer.status {
            200 => Ok(Some(true)),
            403 => Ok(Some(false)),
            503 if answer.body.contains("stale_rules") => Ok(None),
            status => bail!("{}: {status} to a request of {site} for {widget}", self.edge),
        }
    }
}

/// A request for a widget's loader by a page of this site.
pub fn request(widget: &str, site: &str) -> Vec<u8> {
    let path = format!("/w/{widget}/loader.js");
    format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nOrigin: https://{site}\r\n\r\n").into()
}
