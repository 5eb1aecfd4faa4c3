//! Site that was seen, as an edge tells of it.

use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::table::TextTable;

/// Site, as far as it is shown.
#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct ReceivedSite {
    pub(in crate::cli) origin: String,
    pub(in crate::cli) count: u64,
    #[serde(default)]
    error: u64,
    #[serde(default)]
    pub(super) monitored: u64,
    reason: Option<String>,
    entry: Option<String>,
    entry_to_add: Option<String>,
    #[serde(default)]
    preview: bool,
    last: Timestamp,
    #[serde(default)]
    clients: ReceivedClients,
}

/// Requests by the class of the client.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct ReceivedClients {
    #[serde(default)]
    contradictory: u64,
}

impl ReceivedSite {
    /// The number of requests; one that may be too high says by how much.
    pub(in crate::cli) fn requests(&self) -> String {
        match self.error {
            0 => self.count.to_string(),
            error => format!("{}..{}", self.count.saturating_sub(error), self.count),
        }
    }

    /// The number of requests, with its noun.
    pub(in crate::cli) fn requests_in_words(&self) -> String {
        let noun = if self.count == 1 { "request" } else { "requests" };
        format!("{} {noun}", self.requests())
    }

    pub(in crate::cli) fn last(&self) -> String {
        seconds(self.last)
    }

    /// Why it was let in, and what holds now.
    pub(super) fn why_let_in(&self) -> String {
        let by_an_open_widget = self.reason.as_deref() == Some("unrestricted");
        let why = match &self.entry {
            Some(entry) if by_an_open_widget => {
                format!("let in, as the widget was open; `{entry}` admits it now")
            }
            Some(entry) => format!("let in by `{entry}`"),
            None if self.preview => "let in as a preview on a dashboard".to_owned(),
            None if by_an_open_widget => "let in, as the widget was open".to_owned(),
            None => "let in by what does not admit it now".to_owned(),
        };
        self.with_doubt(why)
    }

    /// The same of a site that none of the entries listed now has let in.
    pub(super) fn why_without_entry(&self) -> String {
        match &self.entry {
            Some(entry) if self.reason.as_deref() != Some("unrestricted") => {
                self.with_doubt(format!("`{entry}` admits it now"))
            }
            _ => self.why_let_in(),
        }
    }

    /// Why it was refused, and what would admit it.
    pub(super) fn why_refused(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("unknown");
        let was = match self.monitored {
            0 => format!("refused ({reason})"),
            // `count` may be too high, and `monitored` has no such doubt.
            all if all >= self.count.saturating_sub(self.error) => {
                format!("let through by monitor ({reason})")
            }
            some => format!("refused ({reason}), monitor let {some} of them through"),
        };
        let is_off = reason == "widget_disabled";
        let now = match (&self.entry, &self.entry_to_add) {
            (Some(entry), _) => format!("; `{entry}` admits it now"),
            (None, Some(add)) if is_off => {
                format!("; the widget was switched off, and its list lacks `{add}`")
            }
            (None, None) if is_off => "; the widget was switched off".to_owned(),
            (None, Some(add)) => format!("; to admit it, add `{add}`"),
            (None, None) => String::new(),
        };
        self.with_doubt(format!("{was}{now}"))
    }

    /// No browser contradicts itself.
    fn with_doubt(&self, why: String) -> String {
        match self.clients.contradictory {
            0 => why,
            forged => format!("{why}; {forged} of its requests contradict themselves, as no browser does"),
        }
    }
}

/// Sites of one kind, with what follows them.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ReceivedSites {
    pub(super) sites: Vec<ReceivedSite>,
    #[serde(default)]
    pub(super) omitted: usize,
    #[serde(default)]
    pub(super) untracked: u64,
}

impl ReceivedSites {
    /// Lines about these sites, below a title; nothing where there are none.
    pub(super) fn told(&self, title: &str, why: impl Fn(&ReceivedSite) -> String) -> String {
        if self.sites.is_empty() {
            return String::new();
        }
        let mut table = TextTable::new(["SITE", "REQUESTS", "LAST", ""], &[1]).indented();
        for site in &self.sites {
            table.add([site.origin.clone(), site.requests(), site.last(), why(site)]);
        }
        let mut told = format!("{title}:\n{table}");
        if self.omitted > 0 {
            told.push_str(&format!("  and {} more\n", self.omitted));
        }
        if self.untracked > 0 {
            told.push_str(&format!("  others may have asked up to {} times each\n", self.untracked));
        }
        told
    }
}

/// A time in whole seconds, which is as much as a person looks at.
pub(super) fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn site(more: Value) -> ReceivedSite {
        let mut site =
            json!({ "origin": "https://a.example", "count": 9, "last": "2031-01-31T12:00:00.25Z" });
        site.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(site).unwrap()
    }

    #[test]
    fn what_became_of_a_site_is_told_in_words() {
        for (more, says) in [
            (json!({ "entry": "a.example" }), "let in by `a.example`"),
            (json!({ "preview": true }), "let in as a preview on a dashboard"),
            (json!({ "reason": "unrestricted" }), "let in, as the widget was open"),
            (
                json!({ "reason": "unrestricted", "entry": "a.example" }),
                "let in, as the widget was open; `a.example` admits it now",
            ),
            (json!({ "reason": "exact" }), "let in by what does not admit it now"),
            (
                json!({ "entry": "a.example", "clients": { "contradictory": 2 } }),
                "let in by `a.example`; 2 of its requests contradict themselves, as no browser does",
            ),
        ] {
            assert_eq!(site(more).why_let_in(), says);
        }
        for (more, says) in [
            (
                json!({ "reason": "not_listed", "entry_to_add": "a.example" }),
                "refused (not_listed); to admit it, add `a.example`",
            ),
            (
                json!({ "reason": "not_listed", "entry": "*.example" }),
                "refused (not_listed); `*.example` admits it now",
            ),
            (json!({ "reason": "opaque_origin" }), "refused (opaque_origin)"),
            (
                json!({ "reason": "widget_disabled" }),
                "refused (widget_disabled); the widget was switched off",
            ),
            (
                json!({ "reason": "widget_disabled", "entry_to_add": "a.example" }),
                "refused (widget_disabled); the widget was switched off, and its list lacks `a.example`",
            ),
            (
                json!({ "reason": "widget_disabled", "entry": "a.example" }),
                "refused (widget_disabled); `a.example` admits it now",
            ),
            (json!({ "reason": "not_listed", "monitored": 9 }), "let through by monitor (not_listed)"),
            (
                json!({ "reason": "not_listed", "monitored": 4 }),
                "refused (not_listed), monitor let 4 of them through",
            ),
            (
                json!({ "reason": "not_listed", "error": 4, "monitored": 5 }),
                "let through by monitor (not_listed)",
            ),
        ] {
            assert_eq!(site(more).why_refused(), says);
        }
    }

    #[test]
    fn a_number_that_may_be_too_high_is_a_range() {
        assert_eq!(
            (site(json!({})).requests(), site(json!({ "error": 4 })).requests()),
            ("9".into(), "5..9".into())
        );
        assert_eq!(site(json!({})).last(), "2031-01-31T12:00:00Z");
    }
}
