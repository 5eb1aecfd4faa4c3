//! Sites of one host, on all widgets, for people.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use super::pages::AllPages;
use super::site::{ReceivedSite, ReceivedSites};
use crate::cli::output::count;
use crate::cli::table::TextTable;

/// Widget with the sites that were asked for.
#[derive(Debug, Deserialize)]
pub(super) struct WidgetOnHost {
    widget: String,
    #[serde(default)]
    admitted_sites: ReceivedSites,
    #[serde(default)]
    refused_sites: ReceivedSites,
    #[serde(default)]
    reported_sites: ReceivedSites,
}

impl WidgetOnHost {
    fn has_admitted(&self) -> bool {
        !self.admitted_sites.sites.is_empty()
    }

    /// Whether it has let a site through that its list does not admit.
    fn has_monitored(&self) -> bool {
        self.refused_sites.sites.iter().any(|site| site.monitored > 0)
    }

    fn has_refused(&self) -> bool {
        !self.refused_sites.sites.is_empty()
    }
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

/// What the list of a site says of it.
type Why = fn(&ReceivedSite) -> String;

impl fmt::Display for SitesOnHost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widgets = &self.read.widgets;
        if !widgets.is_empty() {
            let mut table = TextTable::new(["WIDGET", "SITE", "REQUESTS", "LAST", ""], &[2]);
            for WidgetOnHost { widget, admitted_sites, refused_sites, reported_sites } in widgets {
                let unverified: Why = |_| "reported by browsers, not verified".to_owned();
                let lists: [(&ReceivedSites, Why); 3] = [
                    (admitted_sites, ReceivedSite::why_let_in),
                    (refused_sites, ReceivedSite::why_refused),
                    (reported_sites, unverified),
                ];
                for (list, why) in lists {
                    for site in &list.sites {
                        let cells = [site.origin.clone(), site.requests(), site.last(), why(site)];
                        let [origin, requests, last, why] = cells;
                        table.add([widget.clone(), origin, requests, last, why]);
                    }
                    if list.omitted > 0 {
                        let more = format!("and {} more", list.omitted);
                        table.add([widget.clone(), more, String::new(), String::new(), String::new()]);
                    }
                }
            }
            write!(f, "{table}")?;
        }
        let number = |is: fn(&WidgetOnHost) -> bool| widgets.iter().filter(|widget| is(widget)).count();
        let loading = number(|widget| widget.has_admitted() || widget.has_monitored());
        write!(
            f,
            "{} let {} in within {}",
            count(loading, "widget"),
            self.host,
            count(usize::try_from(self.days).unwrap_or(usize::MAX), "day")
        )?;
        match number(|widget| widget.has_monitored() && !widget.has_admitted()) {
            0 => {}
            monitored => write!(f, " ({monitored} of them only by monitor)")?,
        }
        match number(|widget| widget.has_refused() && !widget.has_admitted() && !widget.has_monitored()) {
            0 => {}
            refusing => write!(f, ", {refusing} did not")?,
        }
        let untracked = |widget: &WidgetOnHost| {
            let WidgetOnHost { admitted_sites, refused_sites, .. } = widget;
            admitted_sites.untracked.max(refused_sites.untracked)
        };
        match widgets.iter().map(untracked).max() {
            None | Some(0) => Ok(()),
            Some(untracked) => {
                write!(f, "; other sites of it may have asked a widget up to {untracked} times each")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::cli::activity::pages;

    #[test]
    fn a_widget_that_only_monitors_has_let_sites_in() {
        let site = |origin: &str, monitored: u64| {
            json!({ "origin": origin, "count": 4, "monitored": monitored, "reason": "not_listed",
                "last": "2031-01-31T12:00:00Z" })
        };
        let list =
            |site, omitted, untracked| json!({ "sites": [site], "omitted": omitted, "untracked": untracked });
        let widgets = [
            json!({ "widget": "a", "admitted_sites": list(site("https://a.example", 0), 0, 0) }),
            json!({ "widget": "b", "refused_sites": list(site("https://b.example", 4), 3, 0) }),
            json!({ "widget": "c", "refused_sites": list(site("https://c.example", 0), 0, 7) }),
            json!({ "widget": "d", "reported_sites": list(site("https://d.example", 0), 0, 0) }),
        ];
        let widgets: Vec<WidgetOnHost> =
            widgets.into_iter().map(|told| serde_json::from_value(told).unwrap()).collect();
        let read = pages::tests::of(widgets);
        let told = SitesOnHost { host: "*.example", days: 30, read: &read }.to_string();
        let lines: Vec<&str> = told.lines().collect();
        assert!(
            lines[2].contains("https://b.example")
                && lines[2].ends_with("let through by monitor (not_listed)")
        );
        assert_eq!(lines[3].split_whitespace().collect::<Vec<_>>(), ["b", "and", "3", "more"]);
        assert!(lines[5].ends_with("reported by browsers, not verified"), "{told}");
        assert_eq!(
            lines[6],
            "2 widgets let *.example in within 30 days (1 of them only by monitor), 1 did not; other sites of it may have \
             asked a widget up to 7 times each"
        );
    }
}
