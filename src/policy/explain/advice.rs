//! What a page's owner can do to be admitted: an entry to add, or the page over https.

use crate::policy::decision::{Decision, Reason};
use crate::policy::entry::Entry;
use crate::policy::origin::{Origin, Scheme};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::Widget;

/// How a page's owner gets it onto a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WayIn<'o> {
    /// By this entry, in two parts, which every widget takes: `stranger.example`, `localhost:80`.
    Entry([&'o str; 2]),
    /// By being served over https.
    Https {
        /// The entry that it then has.
        host: &'o str,
        /// The entry that it has as it is: `http://plain.example`, which widgets with voice refuse. None where its
        /// scheme is one that no entry can have.
        plain: Option<&'o str>,
    },
}

/// How `origin` gets onto a list, with an entry that admits as little beside it as an entry can.
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
    // What goes without saying is left out: https, and on loopback hosts either scheme.
    let short = match origin.scheme() {
        Scheme::Https => origin.as_str().strip_prefix("https://"),
        Scheme::Http if origin.is_loopback() => origin.as_str().strip_prefix("http://"),
        Scheme::Http | Scheme::Other(_) => None,
    };
    // An unstated port means any on loopback, so there the default is written out.
    let port = match (origin.scheme(), origin.explicit_port()) {
        (Scheme::Http, None) if origin.is_loopback() => ":80",
        (Scheme::Https, None) if origin.is_loopback() => ":443",
        _ => "",
    };
    [short.unwrap_or(origin.as_str()), port]
}

/// That entry. `None` where the scheme is one that no entry can have.
pub fn entry_admitting(origin: Origin<'_>) -> Option<Entry> {
    let text = entry_text(origin).concat();
    let entry = Entry::parse(&text, PublicSuffixes::shipped()).ok()?;
    // The shortest text says the same as the exact one.
    (entry.admits(origin) && Entry::can_name(origin)).then_some(entry)
}

/// What is advised about one denial by a widget's list.
#[derive(Clone, Debug)]
pub(super) enum Advice {
    /// This entry, which is not on the list and which the widget takes.
    Add(Entry),
    /// The page over https.
    Secure {
        /// The entry that it then needs; none where it is on the list already.
        missing: Option<Entry>,
        /// It is the widget's voice that keeps the page's own entry from the list, not the page's scheme.
        by_voice: bool,
    },
}

impl Advice {
    /// `None` where the list is not what denies, or has the very entry.
    pub(super) fn of(decision: &Decision, origin: Origin<'_>, widget: &Widget) -> Option<Self> {
        let denial = decision.would_deny.unwrap_or(decision.reason);
        match denial {
            Reason::NotListed
            | Reason::InsecureScheme
            | Reason::PortMismatch
            | Reason::ExpiredEntry
            | Reason::UnsupportedScheme
            | Reason::Locked => {}
            _ => return None,
        }
        let unlisted = |entry: &Entry| {
            let semantic = entry.semantic();
            !widget.allowed_domains.iter().any(|rule| rule.entry.semantic() == semantic)
        };
        match way_in(origin) {
            WayIn::Https { host, plain } if widget.has_voice() || plain.is_none() => {
                // An entry that wants https is what comes nearest.
                let wanted = denial != Reason::InsecureScheme;
                let missing = Entry::parse(host, PublicSuffixes::shipped()).ok();
                let missing = missing.filter(|entry| wanted && unlisted(entry));
                Some(Self::Secure { missing, by_voice: plain.is_some() })
            }
            // One that is there twice would be refused at save.
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
