//! Activity over all widgets, for people.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::of_widget::ReceivedTotals;
use super::pages::{AllPages, FirstPage};
use super::site::{ReceivedSite, seconds};
use crate::cli::output::count;
use crate::cli::table::TextTable;

/// Widget in one line.
#[derive(Debug, Deserialize)]
pub(super) struct WidgetInShort {
    widget: String,
    access: String,
    refused: ReceivedTotals,
    would_refuse: ReceivedTotals,
    #[serde(default)]
    stale_entries: Vec<String>,
}

/// Site that a widget has refused often.
#[derive(Debug, Deserialize)]
pub(super) struct OftenRefused {
    widget: String,
    #[serde(flatten)]
    site: ReceivedSite,
}

/// What all widgets have seen.
pub(super) struct ActivityInShort<'a>(pub(super) &'a AllPages<WidgetInShort>);

impl Serialize for ActivityInShort<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl fmt::Display for ActivityInShort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AllPages { first, widgets, looked_at, .. } = self.0;
        if !widgets.is_empty() {
            let mut table =
                TextTable::new(["WIDGET", "ACCESS", "REFUSED", "ENFORCE WOULD REFUSE", "STALE ENTRIES"], &[]);
            for WidgetInShort { widget, access, refused, would_refuse, stale_entries } in widgets {
                let cells = [access.clone(), refused.to_string(), would_refuse.to_string()];
                let [access, refused, would_refuse] = cells;
                table.add([widget.clone(), access, refused, would_refuse, stale_entries.join(", ")]);
            }
            write!(f, "{table}")?;
        }
        if !first.most_refused.is_empty() {
            let mut table = TextTable::new(["WIDGET", "SITE", "REQUESTS", "LAST", ""], &[2]).indented();
            for OftenRefused { widget, site } in &first.most_refused {
                let cells = [site.origin.clone(), site.requests(), site.last(), site.why_refused()];
                let [origin, requests, last, why] = cells;
                table.add([widget.clone(), origin, requests, last, why]);
            }
            write!(f, "most refused:\n{table}")?;
        }
        let watched = count(*looked_at, "widget");
        let FirstPage { since, unrestricted, monitored, .. } = first;
        write!(
            f,
            "{watched}: {unrestricted} open to any site, {monitored} monitored; watched since {}",
            seconds(*since)
        )
    }
}
