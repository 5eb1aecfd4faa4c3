//! Sites of one host, on all widgets, for people.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::pages::AllPages;
use super::site::ReceivedSite;
use crate::cli::output::count;
use crate::cli::table::TextTable;

/// Widget with the sites that were asked for.
#[derive(Debug, Deserialize)]
pub(super) struct WidgetOnHost {
    widget: String,
    #[serde(default)]
    admitted_sites: Vec<ReceivedSite>,
    #[serde(default)]
    refused_sites: Vec<ReceivedSite>,
}

/// What became of the sites of a host.
pub(super) struct SitesOnHost<'a> {
    pub(super) host: &'a str,
    pub(super) days: u32,
    pub(super) read: &'a AllPages<WidgetOnHost>,
}

impl Serialize for SitesOnHost<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read.serialize(serializer)
    }
}

impl fmt::Display for SitesOnHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widgets = &self.read.widgets;
        if !widgets.is_empty() {
            let mut table = TextTable::new(["WIDGET", "SITE", "REQUESTS", "LAST", ""], &[2]);
            for WidgetOnHost { widget, admitted_sites, refused_sites } in widgets {
                let admitted = admitted_sites.iter().map(|site| (site, site.why_let_in()));
                let refused = refused_sites.iter().map(|site| (site, site.why_refused()));
                for (site, why) in admitted.chain(refused) {
                    table.add([widget.clone(), site.origin.clone(), site.requests(), site.last(), why]);
                }
            }
            write!(f, "{table}")?;
        }
        let loading = widgets.iter().filter(|widget| !widget.admitted_sites.is_empty()).count();
        write!(
            f,
            "{} let {} in within {}",
            count(loading, "widget"),
            self.host,
            count(usize::try_from(self.days).unwrap_or(usize::MAX), "day")
        )?;
        match widgets.len() - loading {
            0 => Ok(()),
            refusing => write!(f, ", {refusing} did not"),
        }
    }
}
