//! What each entry says about one origin.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::policy::entry::{Entry, EntryScheme, HostPattern, PortPattern};
use crate::policy::origin::{Host, Origin, Scheme};
use crate::policy::suffix::PublicSuffixes;
use crate::policy::widget::{Rule, Widget};

/// Whether one entry admits the embedder, or what keeps it from it. Of several differences the host's is told
/// first, then the scheme's, the port's, the expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It admits it.
    Admits,
    /// It would, but has expired.
    Expired,
    /// It is about another host.
    HostDiffers,
    /// It wants another scheme.
    SchemeDiffers,
    /// It wants another port.
    PortDiffers,
    /// There is no origin to compare it with.
    NotCompared,
}

impl Outcome {
    /// The name in answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Admits => "admits",
            Outcome::Expired => "expired",
            Outcome::HostDiffers => "host_differs",
            Outcome::SchemeDiffers => "scheme_differs",
            Outcome::PortDiffers => "port_differs",
            Outcome::NotCompared => "not_compared",
        }
    }
}

/// One entry of the list and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryOutcome {
    /// A JSON Pointer (RFC 6901) into the document.
    pub pointer: String,
    /// Its canonical text.
    pub entry: String,
    /// How people read it, where that differs.
    pub unicode: Option<String>,
    /// Whether it admits, or what differs.
    pub outcome: Outcome,
    /// The same in words.
    pub detail: String,
}

pub(super) fn of_all(widget: &Widget, origin: Option<Origin<'_>>, now: Timestamp) -> Vec<EntryOutcome> {
    let tell = |(index, rule): (usize, &Rule)| {
        let (outcome, detail) = match origin {
            Some(origin) => of(rule, origin, now),
            None => (Outcome::NotCompared, "there is no origin to compare it with".to_owned()),
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

fn of(rule: &Rule, origin: Origin<'_>, now: Timestamp) -> (Outcome, String) {
    let entry = &rule.entry;
    if !entry.admits_host(origin) {
        (Outcome::HostDiffers, host_detail(entry, origin))
    } else if !entry.admits_scheme(origin) {
        (Outcome::SchemeDiffers, scheme_detail(entry, origin))
    } else if !entry.admits_port(origin) {
        (Outcome::PortDiffers, port_detail(entry, origin))
    } else if let Some(at) = rule.expires_at {
        if rule.is_expired(now) {
            (Outcome::Expired, format!("expired at {at}"))
        } else {
            (Outcome::Admits, format!("admits {origin} until {at}"))
        }
    } else {
        (Outcome::Admits, format!("admits {origin}"))
    }
}

fn host_detail(entry: &Entry, origin: Origin<'_>) -> String {
    let host = origin.host_str();
    let below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
    // A wildcard that would be refused at save is no advice.
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
    format!("wants {wanted}, the embedder is {got}")
}

fn port_detail(entry: &Entry, origin: Origin<'_>) -> String {
    let wanted = match entry.port() {
        PortPattern::Exact(port) => format!("port {port}"),
        PortPattern::Unstated | PortPattern::Any => "the default port".to_owned(),
    };
    match origin.port() {
        Some(port) => format!("wants {wanted}, the embedder is on port {port}"),
        None => format!("wants {wanted}, the embedder names none"),
    }
}
