//! Activity of one widget, for people.

use std::fmt;

use jiff::Timestamp;
use serde::Deserialize;

use super::site::{ReceivedSite, ReceivedSites, seconds};
use crate::cli::output::count;
use crate::cli::table::TextTable;

/// Activity of a widget, as far as it is shown.
#[derive(Debug, Deserialize)]
pub(super) struct ReceivedActivity {
    widget: String,
    access: String,
    since: Timestamp,
    #[serde(default)]
    pub(super) missing: Vec<String>,
    entries: Vec<ReceivedUse>,
    would_refuse: ReceivedTotals,
    admitted: ReceivedSites,
    refused: ReceivedSites,
    reported: ReceivedSites,
}

/// Use of an entry.
#[derive(Debug, Deserialize)]
struct ReceivedUse {
    entry: String,
    count: u64,
    last: Option<Timestamp>,
    #[serde(default)]
    stale: bool,
    #[serde(default)]
    hosts: Vec<ReceivedHost>,
}

#[derive(Debug, Deserialize)]
struct ReceivedHost {
    host: String,
    count: u64,
    last: Timestamp,
}

/// How many sites, and how many requests of theirs.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct ReceivedTotals {
    pub(super) sites: usize,
    pub(super) requests: u64,
}

impl fmt::Display for ReceivedTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sites {
            0 => f.write_str("none"),
            sites => write!(f, "{} ({})", count(sites, "site"), requests(self.requests)),
        }
    }
}

fn requests(number: u64) -> String {
    if number == 1 { "1 request".to_owned() } else { format!("{number} requests") }
}

impl fmt::Display for ReceivedActivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({}), watched since {}", self.widget, self.access, seconds(self.since))?;
        if !self.entries.is_empty() {
            let mut table = TextTable::new(["ENTRY", "REQUESTS", "LAST", ""], &[1]).indented();
            for entry in &self.entries {
                let last = entry.last.map_or_else(|| "never".to_owned(), seconds);
                let stale = if entry.stale { "stale" } else { "" };
                table.add([entry.entry.clone(), entry.count.to_string(), last, stale.to_owned()]);
                for ReceivedHost { host, count, last } in &entry.hosts {
                    table.add([format!("  {host}"), count.to_string(), seconds(*last), String::new()]);
                }
            }
            write!(f, "entries:\n{table}")?;
        }
        f.write_str(&self.admitted.told("let in without an entry", ReceivedSite::why_without_entry))?;
        f.write_str(&self.refused.told("refused, or let through by monitor", ReceivedSite::why_refused))?;
        let unverified = "reported by browsers, not verified: a page around yours is not on the list";
        f.write_str(&self.reported.told(unverified, |_| String::new()))?;
        write!(f, "enforce would refuse of what was let in: {}", self.would_refuse)
    }
}
