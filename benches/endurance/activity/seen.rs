//! What the admin API tells of a widget's embedders.

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::admin::Admin;

/// Embedders of one widget.
#[derive(Deserialize)]
pub struct Seen {
    /// In the order of the widget's list.
    pub entries: Vec<UsedEntry>,
    pub admitted: Sites,
    pub refused: Sites,
}

#[derive(Deserialize)]
pub struct UsedEntry {
    pub count: u64,
}

#[derive(Deserialize)]
pub struct Sites {
    pub sites: Vec<Site>,
}

#[derive(Deserialize)]
pub struct Site {
    pub origin: String,
    pub count: u64,
    pub error: u64,
}

impl Seen {
    pub fn of(admin: Admin, widget: &str) -> Result<Self> {
        let path = format!("/v1/widgets/{widget}/activity");
        serde_json::from_value(admin.read(&path)?).context(path)
    }

    /// All requests, each counted once where no site is left out.
    pub fn requests(&self) -> u64 {
        let sites = self.admitted.sites.iter().chain(&self.refused.sites).map(|site| site.count);
        self.entries.iter().map(|entry| entry.count).chain(sites).sum()
    }
}

impl Site {
    /// Whether so many requests are within what is told.
    pub fn may_be(&self, requests: u64) -> bool {
        (self.count.saturating_sub(self.error)..=self.count).contains(&requests)
    }
}
