//! `frame-ancestors` (CSP Level 3 §6.4.2): what the browser itself enforces around a frame.
//!
//! The list is translated so that browser and verdict agree, with these differences that the language of
//! source expressions leaves: an `http` source also admits https; IPv6 addresses cannot be written; a page whose name
//! has a `_` is let in as one of its siblings.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::decision::{Class, EdgePolicy, Facts, WidgetRules};
use super::entry::{Entry, HostPattern, PortPattern};
use super::origin::{Host, Origin, OriginSet};
use super::widget::Access;

/// For pages that nothing may frame.
pub const NO_ANCESTORS: &str = "frame-ancestors 'none'";

/// The longest policy sent, in bytes: servers and browsers cut or refuse headers not far above.
pub const MAX_POLICY_BYTES: usize = 4 * 1024;

const LISTED: &str = "frame-ancestors 'self'";

/// A widget's entries as source expressions; made once, used for every frame until an entry expires.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ListSources {
    /// Each with a space in front.
    text: String,
    /// Where in it each entry ends.
    ends: Vec<usize>,
    /// Entries that no source expression can say: globs, and names with `_`.
    inexpressible: Vec<Entry>,
}

/// The page around a frame, as far as the edge knows.
#[derive(Clone, Copy, Debug)]
pub enum Around<'a> {
    /// The request names nobody.
    Unknown,
    /// The page that the request names.
    Page(Origin<'a>),
    /// The page that the ticket of a frame names which moves within itself.
    Ticket(Origin<'a>),
    /// A frame that moves within itself, without a ticket.
    Itself,
}

/// What decides about a frame's ancestors.
#[derive(Clone, Copy, Debug)]
pub enum Ancestors<'a> {
    /// Anyone may frame it: the widget is open, or only monitored.
    Unrestricted,
    /// An enforced empty list: no site may.
    Locked,
    /// The sites of the list.
    Listed(&'a ListSources),
}

impl ListSources {
    /// Translates entries; give only those that have not expired.
    #[must_use]
    pub fn compile<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> ListSources {
        let mut sources = ListSources::default();
        for entry in entries {
            sources.push(entry);
        }
        sources
    }

    fn push(&mut self, entry: &Entry) {
        let hosts: &[String] = &match entry.host() {
            HostPattern::Name(name) => [name.to_string()].to_vec(),
            HostPattern::Below(apex) => [format!("*.{apex}")].to_vec(),
            // `*.` leaves the apex out in a source expression too.
            HostPattern::AtOrBelow(apex) => [apex.to_string(), format!("*.{apex}")].to_vec(),
            HostPattern::Ipv4(address) => [address.to_string()].to_vec(),
            HostPattern::Ipv6(_) => return,
            HostPattern::Glob { .. } => {
                self.inexpressible.push(entry.clone());
                return;
            }
        };
        // `host-char` is letters, digits and `-`.
        if hosts.iter().any(|host| host.contains('_')) {
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
                // Writing into a string does not fail.
                let _ = write!(self.text, " {scheme}://{host}{port}");
            }
        }
        self.ends.push(self.text.len());
    }

    /// The first entries, as many as have room, each of them whole.
    fn within(&self, room: usize) -> &str {
        let end = self.ends.iter().rev().find(|end| **end <= room).copied().unwrap_or_default();
        self.text.get(..end).unwrap_or_default()
    }
}

/// The value of `Content-Security-Policy` for a frame; `None` when nothing is restricted.
///
/// `around` is what the verdict has allowed. A page is added where only an entry that cannot be expressed admits it. A
/// policy over [`MAX_POLICY_BYTES`] shrinks to `'self'`, the system origins and the page; where the page is unknown, to
/// `'none'`, and for a frame that moves within itself to as many entries as fit. What a ticket opens is for its page
/// alone, whoever has got hold of it.
#[must_use]
pub fn frame_ancestors(ancestors: Ancestors<'_>, around: Around<'_>, system: &OriginSet) -> Option<String> {
    let own = |embedder: Option<Origin<'_>>| {
        let mut policy = LISTED.to_owned();
        let extra = embedder.filter(|embedder| !system.contains(*embedder));
        for origin in system.iter().chain(extra) {
            push_origin(&mut policy, origin);
        }
        policy
    };
    let sources = match ancestors {
        Ancestors::Unrestricted => return None,
        // The verdict lets the edge's own and the system origins preview a locked widget; so must this.
        Ancestors::Locked if matches!(around, Around::Unknown) => return Some(NO_ANCESTORS.to_owned()),
        Ancestors::Locked => return Some(own(None)),
        Ancestors::Listed(sources) => sources,
    };
    let unexpressed = match around {
        Around::Ticket(page) => return Some(own(Some(page))),
        Around::Page(page) => sources.inexpressible.iter().any(|entry| entry.admits(page)).then_some(page),
        Around::Unknown | Around::Itself => None,
    };
    let mut policy = own(unexpressed);
    let room = MAX_POLICY_BYTES.saturating_sub(policy.len());
    Some(match around {
        Around::Page(page) if sources.text.len() > room => own(Some(page)),
        Around::Unknown if sources.text.len() > room => NO_ANCESTORS.to_owned(),
        _ => {
            policy.push_str(sources.within(room));
            policy
        }
    })
}

/// The policy that an allowed answer for this widget carries: frames alone have one.
#[must_use]
pub fn widget_ancestors(
    facts: &Facts<'_>,
    widget: WidgetRules<'_>,
    policy: &EdgePolicy,
    now: Timestamp,
) -> Option<String> {
    if facts.class != Class::Frame {
        return None;
    }
    let open = widget.access == Access::Open && policy.open_allowed;
    let sources;
    let ancestors = if open || widget.access == Access::Monitor {
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
        (None, Some(own)) if policy.own_origins.contains(own) => Around::Itself,
        (None, Some(page)) => Around::Page(page),
    };
    frame_ancestors(ancestors, around, &policy.system_origins)
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

/// A browser passes over a source with an underscore, so what is said is every name below the first part without
/// one. This goes to a page that was judged by its whole name; the others it could let in are pages around that one.
fn push_around(policy: &mut String, origin: Origin<'_>, name: &str) {
    let after = name.rsplit_once('_').and_then(|(_, rest)| rest.split_once('.'));
    // Below a name of one part is everybody.
    let Some((_, parent)) = after.filter(|(_, parent)| parent.contains('.')) else { return };
    let port = origin.explicit_port().map(|port| format!(":{port}")).unwrap_or_default();
    // Writing into a string does not fail.
    let _ = write!(policy, " {}://*.{parent}{port}", origin.scheme().as_str());
}

#[cfg(test)]
mod tests;
