//! The admin API of an edge, as far as a fleet needs it.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// The token of every edge here.
pub const WRITE_TOKEN: &str = "write-0123456789abcdef0123456789abcdef";

/// The longest that a call may take that isn't told how long it may wait.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Admin {
    addr: SocketAddr,
    client: Client,
}

/// What became of a save.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is saved; with `wait`, every edge enforces it.
    Everywhere,
    /// It is saved, and these edges don't enforce it yet.
    Behind(Vec<String>),
    /// Nothing was saved.
    Refused(String),
    /// It may be saved.
    Uncertain(String),
}

/// What `GET /v1/fleet` answers, as far as it is looked at.
#[derive(Deserialize)]
pub struct Status {
    pub connected: bool,
    pub fault: Option<Fault>,
    pub edges: Vec<Member>,
}

#[derive(Deserialize)]
pub struct Fault {
    pub code: String,
}

#[derive(Deserialize)]
pub struct Member {
    pub name: String,
    pub state: String,
    pub sequence: Option<u64>,
    pub digest: Option<String>,
}

impl Display for Member {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let digest = self.digest.as_deref().unwrap_or("unknown");
        write!(formatter, "{} is {} at {:?} with digest {digest}", self.name, self.state, self.sequence)
    }
}

impl Admin {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, client: Client::new(addr) }
    }

    /// One call, given up after so long.
    pub async fn call(&mut self, patience: Duration, method: &str, path: &str, body: &str) -> Result<Answer> {
        let kind = if path.starts_with("/v1/batch") { "application/x-ndjson" } else { "application/json" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {WRITE_TOKEN}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            self.addr,
            body.len()
        );
        self.client.ask_within(patience, request.as_bytes()).await.with_context(|| format!("{method} {path}"))
    }

    /// Saves a widget that this site alone may embed, and waits so long for the fleet.
    pub async fn save(&mut self, id: &str, site: &str, wait: Option<Duration>) -> Saved {
        let document = json!({ "id": id, "allowed_domains": [site] }).to_string();
        self.write("PUT", id, &document, wait).await
    }

    pub async fn delete(&mut self, id: &str, wait: Option<Duration>) -> Saved {
        self.write("DELETE", id, "", wait).await
    }

    async fn write(&mut self, method: &str, id: &str, body: &str, wait: Option<Duration>) -> Saved {
        let wait = wait.map(|wait| format!("?wait=fleet&timeout={}ms", wait.as_millis())).unwrap_or_default();
        match self.call(PATIENCE, method, &format!("/v1/widgets/{id}{wait}"), body).await {
            Ok(answer) => saved(&answer),
            Err(error) => Saved::Uncertain(format!("{error:#}")),
        }
    }

    /// What this edge knows of the fleet.
    pub async fn fleet(&mut self) -> Result<Status> {
        let answer = self.call(PATIENCE, "GET", "/v1/fleet?timeout=500ms", "").await?;
        ensure!(answer.status == 200, "GET /v1/fleet: {} {}", answer.status, answer.body);
        serde_json::from_str(&answer.body).with_context(|| answer.body)
    }

    /// Fills the bucket again from this edge.
    pub async fn restore(&mut self) -> Result<()> {
        let answer = self.call(PATIENCE, "POST", "/v1/fleet/restore", "").await?;
        ensure!(answer.status == 200, "POST /v1/fleet/restore: {} {}", answer.status, answer.body);
        Ok(())
    }

    /// Whether it is ready.
    pub async fn is_ready(&mut self) -> bool {
        let answer = self.call(Duration::from_secs(2), "GET", "/readyz", "").await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

fn saved(answer: &Answer) -> Saved {
    let said: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    match answer.status {
        200 | 201 => Saved::Everywhere,
        202 => {
            let behind = said["behind"].as_array().into_iter().flatten();
            Saved::Behind(behind.filter_map(|name| name.as_str().map(str::to_owned)).collect())
        }
        status => {
            let why = format!("{status} {}", said["detail"].as_str().unwrap_or(&answer.body));
            match said["code"].as_str() {
                // The change is in the bucket, and not in force on the edge that was asked.
                Some("not_in_force_yet") => Saved::Behind(Vec::new()),
                Some("save_uncertain") => Saved::Uncertain(why),
                _ => Saved::Refused(why),
            }
        }
    }
}
