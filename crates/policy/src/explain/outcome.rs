//! Outcome of each entry for one origin.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::entry::listed::ListedEntry;
use crate::entry::{Entry, EntryScheme, HostPattern, PortPattern};
use crate::origin::{Host, Origin, Scheme};
use crate::suffix::PublicSuffixes;
use crate::widget::Widget;

/// Whether one entry admits the embedder, or the reason why not. Of several differences, the host comes
/// first, then the scheme, the port, and the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Outcome)]
pub enum EntryMatch {
    /// The entry admits the embedder.
    Admits,
    /// The entry would admit it, but has expired.
    Expired,
    /// The entry has another host.
    HostDiffers,
    /// The entry requires another scheme.
    SchemeDiffers,
    /// The entry requires another port.
    PortDiffers,
    /// There is no origin to compare with the entry.
    NotCompared,
}

impl EntryMatch {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            EntryMatch::Admits => "admits",
            EntryMatch::Expired => "expired",
            EntryMatch::HostDiffers => "host_differs",
            EntryMatch::SchemeDiffers => "scheme_differs",
            EntryMatch::PortDiffers => "port_differs",
            EntryMatch::NotCompared => "not_compared",
        }
    }
}

/// Entry of the list with its outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryOutcome {
    /// A JSON Pointer (RFC 6901) into the document.
    pub pointer: String,
    /// The entry in canonical text.
    pub entry: String,
    /// The entry as people read it, if that differs.
    pub unicode: Option<String>,
    /// Whether the entry admits the embedder, or what differs.
    pub outcome: EntryMatch,
    /// The outcome in words.
    pub detail: String,
}

pub(super) fn of_all(widget: &Widget, origin: Option<Origin<'_>>, now: Timestamp) -> Vec<EntryOutcome> {
    let tell = |(index, rule): (usize, &ListedEntry)| {
        let (outcome, detail) = match origin {
            Some(origin) => of(rule, origin, now),
            None => (EntryMatch::NotCompared, "there is no origin to compare it with".to_owned()),
        };
        EntryOutcome {
            pointer: format!("/allowed_domains/{index}"),
            entry: rule.entry.to_string(),
            unicode: rule.entry.unicode(),
            outcome,
            detail,
        }
    };
    widget.allowed_domains.iter().enumerate().map(tell).collect()
}

fn of(rule: &ListedEntry, origin: Origin<'_>, now: Timestamp) -> (EntryMatch, String) {
    let entry = &rule.entry;
    if !entry.admits_host(origin) {
        (EntryMatch::HostDiffers, host_detail(entry, origin))
    } else if !entry.admits_scheme(origin) {
        (EntryMatch::SchemeDiffers, scheme_detail(entry, origin))
    } else if !entry.admits_port(origin) {
        (EntryMatch::PortDiffers, port_detail(entry, origin))
    } else if let Some(at) = rule.expires_at {
        if rule.is_expired(now) {
            (EntryMatch::Expired, format!("expired at {at}"))
        } else {
            (EntryMatch::Admits, format!("admits {origin} until {at}"))
        }
    } else {
        (EntryMatch::Admits, format!("admits {origin}"))
    }
}

fn host_detail(entry: &Entry, origin: Origin<'_>) -> String {
    let host = origin.host_str();
    let below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    // Don't advise a wildcard that a save would refuse.
    let wider = |pattern: HostPattern, says: &str| {
        let wider = entry.with_host(pattern).to_string();
        match Entry::parse(&wider, PublicSuffixes::shipped()) {
            Ok(_) => format!("; `{wider}` covers {says}"),
            Err(_) => String::new(),
        }
    };
    match (entry.host(), origin.host()) {
        (HostPattern::Below(name), Host::Name(_)) if **name == *host => {
            let both = wider(HostPattern::AtOrBelow(name.clone()), "both");
            format!("covers the names below {name}, not {name} itself{both}")
        }
        (HostPattern::Name(name), Host::Name(_)) if below(name) => {
            let those = wider(HostPattern::Below(name.clone()), "those");
            format!("names {name} only, not the names below it{those}")
        }
        (pattern @ HostPattern::Glob { parent, .. }, Host::Name(_)) if below(parent) => {
            format!(
                "{host} doesn't fit `{pattern}`: the `*` stands for one or more characters of the first label"
            )
        }
        _ => format!("{host} is another host"),
    }
}

fn scheme_detail(entry: &Entry, origin: Origin<'_>) -> String {
    let wanted = match entry.scheme() {
        None if entry.is_loopback() => "http or https".to_owned(),
        None | Some(EntryScheme::Https) => "https".to_owned(),
        Some(EntryScheme::Http) => "http".to_owned(),
        Some(EntryScheme::Custom(scheme)) => scheme.to_string(),
    };
    let got = match origin.scheme() {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::Other(scheme) => scheme,
    };
    format!("requires {wanted}, but the embedder is {got}")
}

fn port_detail(entry: &Entry, origin: Origin<'_>) -> String {
    let wanted = match entry.port() {
        PortPattern::Exact(port) => format!("port {port}"),
        PortPattern::Unstated | PortPattern::Any => "the default port".to_owned(),
    };
    match origin.port() {
        Some(port) => format!("requires {wanted}, but the embedder is on port {port}"),
        None => format!("requires {wanted}, but the embedder has no port"),
    }
}
