//! Entry: one line of an allowlist.
//!
//! ```text
//! entry = [scheme "://"] host [":" port]          port = 1..65535 | "*"
//! host  = name | "*." name | "." name | glob "." name | IPv4 | "[" IPv6 "]"
//! ```
//!
//! | entry | admits |
//! |---|---|
//! | `example.com` | exactly `https://example.com` |
//! | `http://example.com` | exactly `http://example.com` |
//! | `*.example.com` | every name below it, any depth, not the apex |
//! | `.example.com` | the apex and every name below it |
//! | `pr-*.preview.example.com` | one `*` in the leftmost label: one or more characters, never a dot |
//! | `example.com:8443`, `example.com:*` | that port; any port |
//! | `localhost`, `127.0.0.1`, `[::1]`, `*.localhost` | without a scheme http and https, without a port any port |
//! | `capacitor://localhost` | that exact custom-scheme origin |

mod error;
pub mod listed;
mod parse;
mod print;
mod suggest;

pub use error::{EntryError, EntryErrorCode};

use std::net::{Ipv4Addr, Ipv6Addr};

use super::origin::{Host, Origin, Scheme};
use super::suffix::PublicSuffixes;

/// Parsed entry. Its `Display` is the canonical form, which parses to an equal entry.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    scheme: Option<EntryScheme>,
    host: HostPattern,
    port: PortPattern,
    claimable: bool,
}

/// Scheme of an entry that names one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EntryScheme {
    /// `http://`
    Http,
    /// `https://`
    Https,
    /// An app's scheme such as `capacitor`, in lower case; only with an exact host.
    Custom(Box<str>),
}

/// Hosts that an entry admits. Names are lower-case A-labels without a trailing dot.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum HostPattern {
    /// `example.com`: this name.
    Name(Box<str>),
    /// `*.example.com`: every name below this one.
    Below(Box<str>),
    /// `.example.com`: this name and every name below it.
    AtOrBelow(Box<str>),
    /// `pr-*.preview.example.com`: names with one label more than `parent`.
    Glob {
        /// The start of the leftmost label; may be empty.
        prefix: Box<str>,
        /// The end of the leftmost label; may be empty, but not together with `prefix`.
        suffix: Box<str>,
        /// The name after the leftmost label.
        parent: Box<str>,
    },
    /// `192.0.2.1`
    Ipv4(Ipv4Addr),
    /// `[2001:db8::1]`
    Ipv6(Ipv6Addr),
}

/// Ports that an entry admits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PortPattern {
    /// The scheme's default port; on loopback hosts any port.
    Unstated,
    /// `:*`
    Any,
    /// `:8443`
    Exact(u16),
}

/// Kind of an entry, as reported with a verdict.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// An entry for one host.
    Exact,
    /// An entry such as `*.name` or `.name`.
    Wildcard,
    /// An entry with a `*` inside the leftmost label.
    Glob,
}

impl Entry {
    /// Parses one entry as people write it. Capitals are folded, international names are mapped to A-labels
    /// (UTS 46, non-transitional), and a default port is dropped.
    ///
    /// # Errors
    /// The text is not an entry. The error has its own code, says what would be right, and suggests the entry
    /// that was probably meant, if there is one.
    pub fn parse(text: &str, suffixes: &PublicSuffixes) -> Result<Entry, EntryError> {
        parse::entry(text, suffixes)
    }

    /// Whether an entry can have the scheme of this origin: not `ftp`, `ws` and the like.
    #[must_use]
    pub fn can_name(origin: Origin<'_>) -> bool {
        !matches!(origin.scheme(), Scheme::Other("ftp" | "mailto" | "view-source" | "ws" | "wss"))
    }

    /// The entry that admits only this origin; `None` if no entry can.
    #[must_use]
    pub fn exactly(origin: Origin<'_>) -> Option<Entry> {
        if !Entry::can_name(origin) {
            return None;
        }
        let (scheme, host) = (EntryScheme::of(origin.scheme()), HostPattern::of(origin.host()));
        // On loopback an entry without a port admits any port, so the default port must be written out.
        let binding = if origin.is_loopback() { origin.port() } else { origin.explicit_port() };
        let port = binding.map_or(PortPattern::Unstated, PortPattern::Exact);
        Some(Entry { scheme: Some(scheme), host, port, claimable: false })
    }

    /// The entry of the same hosts over https, for advice to plain-http sites. It drops the port, which is
    /// not that of https.
    pub(super) fn over_https(&self) -> Entry {
        let port = match self.port {
            PortPattern::Exact(_) => PortPattern::Unstated,
            port => port,
        };
        Entry { scheme: None, port, ..self.clone() }
    }

    /// The same entry with other hosts.
    pub(super) fn with_host(&self, host: HostPattern) -> Entry {
        Entry { host, ..self.clone() }
    }

    /// An entry from its compiled form, which does not keep whether it is claimable.
    pub(super) fn restored(scheme: Option<EntryScheme>, host: HostPattern, port: PortPattern) -> Entry {
        Entry { scheme, host, port, claimable: false }
    }

    /// Whether this entry admits `origin`: scheme, host and port.
    #[must_use]
    pub fn admits(&self, origin: Origin<'_>) -> bool {
        self.admits_host(origin) && self.admits_scheme(origin) && self.admits_port(origin)
    }

    /// The host part of [`Entry::admits`].
    #[must_use]
    pub fn admits_host(&self, origin: Origin<'_>) -> bool {
        match (&self.host, origin.host()) {
            (HostPattern::Ipv4(own), Host::Ipv4(address)) => *own == address,
            (HostPattern::Ipv6(own), Host::Ipv6(address)) => *own == address,
            (pattern, Host::Name(name)) => pattern.admits_name(name),
            _ => false,
        }
    }

    /// The scheme part of [`Entry::admits`].
    #[must_use]
    pub fn admits_scheme(&self, origin: Origin<'_>) -> bool {
        match (&self.scheme, origin.scheme()) {
            (None, Scheme::Http) => self.is_loopback(),
            (None, Scheme::Https)
            | (Some(EntryScheme::Http), Scheme::Http)
            | (Some(EntryScheme::Https), Scheme::Https) => true,
            (Some(EntryScheme::Custom(own)), Scheme::Other(scheme)) => **own == *scheme,
            _ => false,
        }
    }

    /// The port part of [`Entry::admits`].
    #[must_use]
    pub fn admits_port(&self, origin: Origin<'_>) -> bool {
        match self.port {
            PortPattern::Any => true,
            PortPattern::Exact(port) => origin.port() == Some(port),
            PortPattern::Unstated => self.is_loopback() || origin.explicit_port().is_none(),
        }
    }

    /// The scheme as written; `None` means https, and on loopback hosts http and https.
    #[must_use]
    pub fn scheme(&self) -> Option<EntryScheme> {
        self.scheme.clone()
    }

    /// The hosts.
    #[must_use]
    pub fn host(&self) -> &HostPattern {
        &self.host
    }

    /// The ports.
    #[must_use]
    pub fn port(&self) -> PortPattern {
        self.port
    }

    /// The kind of the entry.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        match self.host {
            HostPattern::Name(_) | HostPattern::Ipv4(_) | HostPattern::Ipv6(_) => EntryKind::Exact,
            HostPattern::Below(_) | HostPattern::AtOrBelow(_) => EntryKind::Wildcard,
            HostPattern::Glob { .. } => EntryKind::Glob,
        }
    }

    /// Whether the entry admits only loopback hosts over http or https. If such an entry states neither
    /// scheme nor port, it admits both schemes and any port.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        !matches!(self.scheme, Some(EntryScheme::Custom(_))) && self.host.is_loopback()
    }

    /// Whether the entry names a plain-http site, where browsers allow no microphone. Loopback hosts don't
    /// count: browsers trust them without https.
    #[must_use]
    pub fn is_plain_http(&self) -> bool {
        self.scheme == Some(EntryScheme::Http) && !self.is_loopback()
    }

    /// Whether strangers can register a name that the entry admits: a glob directly under a private public
    /// suffix, such as `my-app-*.vercel.app`.
    #[must_use]
    pub fn is_claimable(&self) -> bool {
        self.claimable
    }

    /// The entry as people read it, if that differs: `münchen.example` for `xn--mnchen-3ya.example`.
    #[must_use]
    pub fn unicode(&self) -> Option<String> {
        print::unicode(self)
    }

    /// The entry with everything implied written out. It is equal for two entries exactly when they admit the
    /// same origins, such as `https://example.com:443` and `example.com`.
    #[must_use]
    pub fn semantic(&self) -> Entry {
        let Meaning { scheme, port, .. } = self.meaning();
        Entry { scheme: scheme.cloned(), port, ..self.clone() }
    }

    /// Like [`Entry::semantic`], but without copying the entry.
    pub(super) fn meaning(&self) -> Meaning<'_> {
        let (mut scheme, mut port) = (self.scheme.as_ref(), self.port);
        if self.is_loopback() {
            if port == PortPattern::Unstated {
                port = PortPattern::Any;
            }
        } else if scheme.is_none() {
            scheme = Some(&EntryScheme::Https);
        }
        Meaning { scheme, host: &self.host, port }
    }
}

/// Meaning of an entry, for comparisons.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Meaning<'e> {
    scheme: Option<&'e EntryScheme>,
    host: &'e HostPattern,
    port: PortPattern,
}

impl HostPattern {
    fn of(host: Host<'_>) -> HostPattern {
        match host {
            Host::Name(name) => HostPattern::Name(name.into()),
            Host::Ipv4(address) => HostPattern::Ipv4(address),
            Host::Ipv6(address) => HostPattern::Ipv6(address),
        }
    }

    fn admits_name(&self, name: &str) -> bool {
        match self {
            HostPattern::Name(own) => **own == *name,
            HostPattern::Below(apex) => is_below(name, apex),
            HostPattern::AtOrBelow(apex) => **apex == *name || is_below(name, apex),
            HostPattern::Glob { prefix, suffix, parent } => {
                name.split_once('.').is_some_and(|(label, rest)| {
                    // Longer than prefix and suffix together: the star stands for at least one character.
                    *rest == **parent
                        && label.len() > prefix.len() + suffix.len()
                        && label.starts_with(&**prefix)
                        && label.ends_with(&**suffix)
                })
            }
            HostPattern::Ipv4(_) | HostPattern::Ipv6(_) => false,
        }
    }

    fn is_loopback(&self) -> bool {
        match self {
            HostPattern::Name(name)
            | HostPattern::Below(name)
            | HostPattern::AtOrBelow(name)
            | HostPattern::Glob { parent: name, .. } => Host::Name(name).is_loopback(),
            HostPattern::Ipv4(address) => Host::Ipv4(*address).is_loopback(),
            HostPattern::Ipv6(address) => Host::Ipv6(*address).is_loopback(),
        }
    }
}

impl EntryScheme {
    fn of(scheme: Scheme<'_>) -> EntryScheme {
        match scheme {
            Scheme::Http => EntryScheme::Http,
            Scheme::Https => EntryScheme::Https,
            Scheme::Other(scheme) => EntryScheme::Custom(scheme.into()),
        }
    }

    /// `https`
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            EntryScheme::Http => "http",
            EntryScheme::Https => "https",
            EntryScheme::Custom(scheme) => scheme,
        }
    }
}

/// Whether `name` is below `apex`. The dot counts: `evilexample.com` is not below `example.com`.
fn is_below(name: &str, apex: &str) -> bool {
    name.strip_suffix(apex).and_then(|front| front.strip_suffix('.')).is_some_and(|front| !front.is_empty())
}

#[cfg(test)]
mod tests;
