//! Advice for a page's owner: an entry to add, or https for the page.

use jiff::Timestamp;

use crate::compiled::WidgetRules;
use crate::decision::Decision;
use crate::entry::Entry;
use crate::origin::{Origin, Scheme};
use crate::suffix::PublicSuffixes;
use crate::verdict::Reason;
use crate::widget::Widget;

/// Way to get a page onto a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayIn<'o> {
    /// An entry that every widget accepts, in two parts: `stranger.example`, `localhost:80`.
    Entry([&'o str; 2]),
    /// Serving the page over https.
    Https {
        /// The page's entry over https.
        host: &'o str,
        /// The page's entry without https: `http://plain.example`, which widgets with voice refuse. `None` if
        /// no entry can have the page's scheme.
        plain: Option<&'o str>,
    },
}

/// The way to get `origin` onto a list, with the narrowest possible entry.
pub fn way_in(origin: Origin<'_>) -> WayIn<'_> {
    match origin.scheme() {
        Scheme::Http if !origin.is_loopback() => {
            WayIn::Https { host: origin.host_str(), plain: Some(origin.as_str()) }
        }
        _ if !Entry::can_name(origin) => WayIn::Https { host: origin.host_str(), plain: None },
        _ => WayIn::Entry(entry_text(origin)),
    }
}

/// The shortest text of the entry that admits exactly `origin`, in two parts.
fn entry_text(origin: Origin<'_>) -> [&str; 2] {
    // The implied scheme is left out: https, and on loopback hosts http or https.
    let short = match origin.scheme() {
        Scheme::Https => origin.as_str().strip_prefix("https://"),
        Scheme::Http if origin.is_loopback() => origin.as_str().strip_prefix("http://"),
        Scheme::Http | Scheme::Other(_) => None,
    };
    // On loopback an entry without a port admits any port, so the default port must be written out.
    let port = match (origin.scheme(), origin.explicit_port()) {
        (Scheme::Http, None) if origin.is_loopback() => ":80",
        (Scheme::Https, None) if origin.is_loopback() => ":443",
        _ => "",
    };
    [short.unwrap_or(origin.as_str()), port]
}

/// The entry that admits exactly `origin`; `None` if no entry can have its scheme.
pub fn entry_admitting(origin: Origin<'_>) -> Option<Entry> {
    let text = entry_text(origin).concat();
    let entry = Entry::parse(&text, PublicSuffixes::shipped()).ok()?;
    // The shortest text parses to the same entry as the exact one.
    (entry.admits(origin) && Entry::can_name(origin)).then_some(entry)
}

/// The entry to add to a widget's list so that it admits `origin`, about which this was decided. `None` if the list is
/// not the reason, already has the entry, or can't have one that admits the page.
pub fn entry_to_add(decision: &Decision, origin: Origin<'_>, widget: &Widget) -> Option<Entry> {
    match Advice::of(decision, origin, widget)? {
        Advice::Add(entry) => Some(entry),
        Advice::Secure { .. } => None,
    }
}

/// The same by the compiled rules, about a denial for this reason.
pub fn entry_missing(denial: Reason, origin: Origin<'_>, rules: WidgetRules<'_>) -> Option<Entry> {
    let is_listed = |wanted: &Entry| {
        // Those that have expired are still on the list.
        rules.allowlist.entries(Timestamp::MIN).any(|entry| entry.semantic() == *wanted)
    };
    match Advice::about(denial, origin, rules.voice, is_listed)? {
        Advice::Add(entry) => Some(entry),
        Advice::Secure { .. } => None,
    }
}

/// Advice about a denial by a widget's list.
#[derive(Clone, Debug)]
pub(super) enum Advice {
    /// Add this entry, which is not on the list and which the widget accepts.
    Add(Entry),
    /// Serve the page over https.
    Secure {
        /// The entry that is then needed; `None` if it is already on the list.
        missing: Option<Entry>,
        /// The widget's voice forbids the page's own entry, not the page's scheme.
        by_voice: bool,
    },
}

impl Advice {
    /// The advice about a decision; `None` if the list is not the reason, or already has the entry.
    pub(super) fn of(decision: &Decision, origin: Origin<'_>, widget: &Widget) -> Option<Self> {
        let denial = decision.would_deny.unwrap_or(decision.reason);
        Self::about(denial, origin, widget.has_voice(), |wanted| {
            widget.allowed_domains.iter().any(|rule| rule.entry.semantic() == *wanted)
        })
    }

    /// The same about a denial for this reason. `is_listed`: whether an entry with everything implied written out is on
    /// the list.
    fn about(
        denial: Reason,
        origin: Origin<'_>,
        has_voice: bool,
        is_listed: impl Fn(&Entry) -> bool,
    ) -> Option<Self> {
        match denial {
            Reason::NotListed
            | Reason::InsecureScheme
            | Reason::PortMismatch
            | Reason::ExpiredEntry
            | Reason::UnsupportedScheme
            | Reason::Locked => {}
            _ => return None,
        }
        let unlisted = |entry: &Entry| !is_listed(&entry.semantic());
        match way_in(origin) {
            WayIn::Https { host, plain } if has_voice || plain.is_none() => {
                // The near miss requires https.
                let wanted = denial != Reason::InsecureScheme;
                let missing = Entry::parse(host, PublicSuffixes::shipped()).ok();
                let missing = missing.filter(|entry| wanted && unlisted(entry));
                Some(Self::Secure { missing, by_voice: plain.is_some() })
            }
            // A save would refuse a duplicate entry.
            _ => entry_admitting(origin).filter(unlisted).map(Self::Add),
        }
    }

    pub(super) fn entry_to_add(&self) -> Option<String> {
        match self {
            Self::Add(entry) => Some(entry.to_string()),
            Self::Secure { .. } => None,
        }
    }
}
