//! The admin API of a running edge: single calls, each on a connection of its own.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bench_support::client::Connection;
use serde_json::Value;

/// The token of every edge here.
pub const WRITE_TOKEN: &str = "write-0123456789abcdef0123456789abcdef";

/// Where it is.
#[derive(Clone, Copy)]
pub struct Admin {
    pub addr: SocketAddr,
}

impl Admin {
    /// Status and body.
    pub fn call(&self, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        self.call_as("application/json", method, path, body)
    }

    /// The same, with a body of another type.
    fn call_as(&self, kind: &str, method: &str, path: &str, body: &str) -> Result<(u16, String)> {
        Connection::open(self.addr)?.ask(&self.request_as(kind, method, path, body, "Connection: close\r\n"))
    }

    /// A call as bytes, with more fields: whole lines.
    pub fn request(&self, method: &str, path: &str, body: &str, fields: &str) -> Vec<u8> {
        self.request_as("application/json", method, path, body, fields)
    }

    fn request_as(&self, kind: &str, method: &str, path: &str, body: &str, fields: &str) -> Vec<u8> {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n{fields}\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        )
        .into()
    }

    /// Saves these documents at once, one a line.
    pub fn save_all(&self, documents: impl IntoIterator<Item = String>) -> Result<()> {
        let puts = documents.into_iter().map(|document| format!("{{\"put\":{document}}}\n"));
        let (status, said) =
            self.call_as("application/x-ndjson", "POST", "/v1/batch", &puts.collect::<String>())?;
        ensure!(status == 200, "batch: {status} {said}");
        Ok(())
    }

    /// Saves a widget that these sites may embed.
    pub fn save(&self, id: &str, sites: &[String]) -> Result<()> {
        let document = document(id, sites);
        let (status, said) = self.call("PUT", &format!("/v1/widgets/{id}"), &document)?;
        ensure!(matches!(status, 200 | 201), "saving {id}: {status} {said}");
        Ok(())
    }

    /// The JSON of an answer that is 200.
    pub fn read(&self, path: &str) -> Result<Value> {
        let (status, said) = self.call("GET", path, "")?;
        ensure!(status == 200, "{path}: {status} {said}");
        serde_json::from_str(&said).with_context(|| said)
    }

    /// The value of a metric's line, by all that stands before it.
    pub fn metric(&self, line: &str) -> Result<f64> {
        let (status, text) = self.call("GET", "/metrics", "")?;
        ensure!(status == 200, "/metrics: {status}");
        let value = text.lines().find_map(|text| text.strip_prefix(line)?.trim().parse().ok());
        value.with_context(|| format!("no metric {line}"))
    }
}

/// A widget's document.
pub fn document(id: &str, sites: &[String]) -> String {
    serde_json::json!({ "id": id, "allowed_domains": sites }).to_string()
}
