//! `frame-ancestors` (CSP Level 3 §6.4.2): the policy that browsers enforce on the pages around a frame.
//!
//! The list is translated so that the browser and the verdict agree. Source expressions leave these
//! differences: an `http` source also admits https; IPv6 addresses can't be written; a page whose name has a
//! `_` is admitted by a wildcard for its siblings.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::decision::{Decision, EdgePolicy, Facts};
use super::entry::{Entry, HostPattern, PortPattern};
use super::origin::{Host, Origin, OriginSet};
use super::widget::Access;
use crate::compiled::WidgetRules;
use crate::verdict::Class;

/// Policy of pages that nothing may frame.
pub const NO_ANCESTORS: &str = "frame-ancestors 'none'";

/// Longest policy that is sent, in bytes. Servers and browsers cut or refuse headers that are not much
/// longer.
pub const MAX_POLICY_BYTES: usize = 4 * 1024;

const LISTED: &str = "frame-ancestors 'self'";

/// Source expressions of a widget's entries; made once and used for every frame until an entry expires.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ListSources {
    /// The expressions, each with a space in front.
    text: String,
    /// The end of each entry in `text`.
    ends: Vec<usize>,
    /// Entries that no source expression can express.
    inexpressible: Vec<Entry>,
}

/// Policy of the pages around a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FramePolicy {
    /// The value: `frame-ancestors` and its sources.
    pub ancestors: String,
    /// Whether browsers enforce it. Otherwise they only report pages that it does not admit.
    pub enforced: bool,
    /// Whether it names all that the list admits, as far as browsers can be told, and the page that the request names.
    /// Of one that is cut, browsers would also report pages that are on the list.
    pub is_whole: bool,
}

/// The page around a frame, as far as the edge knows it.
#[derive(Clone, Copy, Debug)]
pub enum Around<'a> {
    /// The request names nobody.
    Unknown,
    /// The page that the request names.
    Page(Origin<'a>),
    /// The page named by the ticket of a frame that reloads or follows a link.
    Ticket(Origin<'a>),
    /// A frame that reloads or follows a link, without a ticket.
    Itself,
}

/// Pages that may frame a widget.
#[derive(Clone, Copy, Debug)]
pub enum Ancestors<'a> {
    /// Any page: the widget is open.
    Unrestricted,
    /// No site: the list is empty and enforced.
    Locked,
    /// The sites of the list.
    Listed(&'a ListSources),
    /// Any page, but those that are not on the list are reported.
    Monitored {
        /// The sites of the list.
        sources: &'a ListSources,
        /// Whether the list admits the page that the request names.
        is_page_listed: bool,
    },
}

impl ListSources {
    /// Translates entries. Pass only entries that have not expired.
    #[must_use]
    pub fn compile<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> ListSources {
        let mut sources = ListSources::default();
        for entry in entries {
            sources.push(entry);
        }
        sources
    }

    /// Translates entries of which all are said, or none; `None` if they are too long for a policy.
    fn compile_whole(entries: impl IntoIterator<Item = Entry>) -> Option<ListSources> {
        let mut sources = ListSources::default();
        for entry in entries {
            sources.push(&entry);
            if sources.text.len() > MAX_POLICY_BYTES {
                return None;
            }
        }
        Some(sources)
    }

    fn push(&mut self, entry: &Entry) {
        let hosts: &[String] = &match entry.host() {
            HostPattern::Name(name) => [name.to_string()].to_vec(),
            HostPattern::Below(apex) => [format!("*.{apex}")].to_vec(),
            // In a source expression, too, `*.` does not match the apex.
            HostPattern::AtOrBelow(apex) => [apex.to_string(), format!("*.{apex}")].to_vec(),
            HostPattern::Ipv4(address) => [address.to_string()].to_vec(),
            HostPattern::Ipv6(_) | HostPattern::Glob { .. } => Vec::new(),
        };
        if !is_expressible(entry) {
            self.inexpressible.push(entry.clone());
            return;
        }
        let scheme = entry.scheme();
        let schemes: &[&str] = match &scheme {
            None if entry.is_loopback() => &["http", "https"],
            None => &["https"],
            Some(scheme) => &[scheme.as_str()],
        };
        let port = match entry.port() {
            PortPattern::Unstated if entry.is_loopback() => PortPattern::Any,
            port => port,
        };
        for host in hosts {
            for scheme in schemes {
                // Writing to a string can't fail.
                let _ = write!(self.text, " {scheme}://{host}{port}");
            }
        }
        self.ends.push(self.text.len());
    }

    /// Whether an entry admits a page that no source expresses.
    fn is_unexpressed(&self, page: Origin<'_>) -> bool {
        self.inexpressible.iter().any(|entry| entry.admits(page))
    }

    /// As many of the first entries as fit, each of them whole.
    fn within(&self, room: usize) -> &str {
        let end = self.ends.iter().rev().find(|end| **end <= room).copied().unwrap_or_default();
        self.text.get(..end).unwrap_or_default()
    }
}

/// Whether a source expression can express an entry. None has a glob, an IPv6 address or a `_`: the grammar's `host-char`
/// is only letters, digits and `-`.
#[must_use]
pub fn is_expressible(entry: &Entry) -> bool {
    match entry.host() {
        HostPattern::Name(name) | HostPattern::Below(name) | HostPattern::AtOrBelow(name) => {
            !name.contains('_')
        }
        HostPattern::Ipv4(_) => true,
        HostPattern::Ipv6(_) | HostPattern::Glob { .. } => false,
    }
}

/// The policy for a frame; `None` when nothing is restricted.
///
/// `around` is the page that the verdict has allowed. It is added if only an entry that can't be expressed
/// admits it. A policy over [`MAX_POLICY_BYTES`] shrinks to `'self'`, the system origins and the page. If the
/// page is unknown, it shrinks to `'none'`; for a frame that reloads or follows a link, to as many entries as
/// fit. A frame that was opened by a ticket is for the ticket's page alone, even if somebody else has got the
/// ticket.
#[must_use]
pub fn frame_ancestors(
    ancestors: Ancestors<'_>,
    around: Around<'_>,
    system: &OriginSet,
) -> Option<FramePolicy> {
    let enforced = |ancestors, is_whole| Some(FramePolicy { ancestors, enforced: true, is_whole });
    let sources = match ancestors {
        Ancestors::Unrestricted => return None,
        // The verdict allows previews of a locked widget on the edge's own and the system origins, so the
        // policy must too.
        Ancestors::Locked if matches!(around, Around::Unknown) => {
            return enforced(NO_ANCESTORS.to_owned(), true);
        }
        Ancestors::Locked => return enforced(own(None, system), true),
        Ancestors::Monitored { sources, is_page_listed } => {
            return monitored(sources, is_page_listed, around, system);
        }
        Ancestors::Listed(sources) => sources,
    };
    let page = match around {
        Around::Ticket(page) => return enforced(own(Some(page), system), false),
        Around::Page(page) => Some(page),
        Around::Unknown | Around::Itself => None,
    };
    let mut policy = own(page.filter(|page| sources.is_unexpressed(*page)), system);
    let room = MAX_POLICY_BYTES.saturating_sub(policy.len());
    let fits = sources.text.len() <= room;
    match around {
        Around::Page(page) if !fits => enforced(own(Some(page), system), false),
        Around::Unknown if !fits => enforced(NO_ANCESTORS.to_owned(), false),
        _ => {
            policy.push_str(sources.within(room));
            enforced(policy, fits && page.is_none_or(can_be_written))
        }
    }
}

/// The policy by which pages are only reported: the list, and the page that the request names, of which the verdict tells
/// already. `None` where browsers would report pages that are on the list, because not all of it can be said.
fn monitored(
    sources: &ListSources,
    is_page_listed: bool,
    around: Around<'_>,
    system: &OriginSet,
) -> Option<FramePolicy> {
    let page = match around {
        Around::Page(page) | Around::Ticket(page) => Some(page),
        Around::Unknown | Around::Itself => None,
    };
    let mut ancestors = own(page.filter(|page| !is_page_listed || sources.is_unexpressed(*page)), system);
    ancestors.push_str(&sources.text);
    let is_whole = ancestors.len() <= MAX_POLICY_BYTES && page.is_none_or(can_be_written);
    is_whole.then_some(FramePolicy { ancestors, enforced: false, is_whole })
}

/// The edge itself, the system origins and the page.
fn own(page: Option<Origin<'_>>, system: &OriginSet) -> String {
    let mut policy = LISTED.to_owned();
    let extra = page.filter(|page| !system.contains(*page));
    for origin in system.iter().chain(extra) {
        push_origin(&mut policy, origin);
    }
    policy
}

/// The policy of an allowed answer for this widget; only frames have one. `has_reports`: browsers are asked for reports,
/// without which a policy that is not enforced is of no use.
#[must_use]
pub fn widget_ancestors(
    facts: &Facts<'_>,
    widget: WidgetRules<'_>,
    decision: &Decision,
    policy: &EdgePolicy,
    has_reports: bool,
    now: Timestamp,
) -> Option<FramePolicy> {
    if facts.class != Class::Frame {
        return None;
    }
    let sources;
    let ancestors = if widget.access == Access::Monitor {
        if !has_reports {
            return None;
        }
        sources = ListSources::compile_whole(widget.allowlist.entries(now))?;
        Ancestors::Monitored { sources: &sources, is_page_listed: decision.would_deny.is_none() }
    } else if widget.access == Access::Open && policy.open_allowed {
        Ancestors::Unrestricted
    } else if widget.allowlist.is_empty() {
        Ancestors::Locked
    } else {
        sources = ListSources::compile(&widget.allowlist.entries(now).collect::<Vec<_>>());
        Ancestors::Listed(&sources)
    };
    let around = match (facts.by_ticket(policy), facts.embedder.origin()) {
        (Some(page), _) => Around::Ticket(page),
        (None, None) => Around::Unknown,
        (None, Some(own)) if policy.own_origins.contains(own, facts.widget) => Around::Itself,
        (None, Some(page)) => Around::Page(page),
    };
    frame_ancestors(ancestors, around, &policy.system_origins)
}

/// Whether a page can be written as a source.
fn can_be_written(origin: Origin<'_>) -> bool {
    match origin.host() {
        Host::Ipv6(_) => false,
        Host::Name(name) => !name.contains('_') || parent_without_underscore(name).is_some(),
        Host::Ipv4(_) => true,
    }
}

fn push_origin(policy: &mut String, origin: Origin<'_>) {
    match origin.host() {
        Host::Ipv6(_) => {}
        Host::Name(name) if name.contains('_') => push_around(policy, origin, name),
        Host::Name(_) | Host::Ipv4(_) => {
            policy.push(' ');
            policy.push_str(origin.as_str());
        }
    }
}

/// Adds the page around the frame. Browsers ignore a source with an underscore, so the source is a wildcard
/// below the first parent name without one. The page itself was judged by its whole name; the wildcard can
/// only let in other pages around it.
fn push_around(policy: &mut String, origin: Origin<'_>, name: &str) {
    let Some(parent) = parent_without_underscore(name) else { return };
    let port = origin.explicit_port().map(|port| format!(":{port}")).unwrap_or_default();
    // Writing to a string can't fail.
    let _ = write!(policy, " {}://*.{parent}{port}", origin.scheme().as_str());
}

/// The first parent of a name that has no underscore.
fn parent_without_underscore(name: &str) -> Option<&str> {
    let after = name.rsplit_once('_').and_then(|(_, rest)| rest.split_once('.'));
    // A wildcard below a name of one label would admit everybody.
    after.map(|(_, parent)| parent).filter(|parent| parent.contains('.'))
}

#[cfg(test)]
mod tests;
