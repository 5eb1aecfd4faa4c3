//! Text of entries: the canonical form, and the one for people.

use std::fmt;

use idna::AsciiDenyList;
use idna::uts46::{Hyphens, Uts46};

use super::{Entry, HostPattern, PortPattern};
use crate::origin::Ipv6Text;

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = &self.scheme {
            write!(f, "{}://", scheme.as_str())?;
        }
        write!(f, "{}{}", self.host, self.port)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Name(name) => f.write_str(name),
            HostPattern::Below(apex) => write!(f, "*.{apex}"),
            HostPattern::AtOrBelow(apex) => write!(f, ".{apex}"),
            HostPattern::Glob { prefix, suffix, parent } => write!(f, "{prefix}*{suffix}.{parent}"),
            HostPattern::Ipv4(address) => write!(f, "{address}"),
            HostPattern::Ipv6(address) => write!(f, "[{}]", Ipv6Text(*address)),
        }
    }
}

/// The port with its colon; nothing when unstated.
impl fmt::Display for PortPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PortPattern::Unstated => Ok(()),
            PortPattern::Any => f.write_str(":*"),
            PortPattern::Exact(port) => write!(f, ":{port}"),
        }
    }
}

pub(super) fn unicode(entry: &Entry) -> Option<String> {
    let read = |name: &str| -> Box<str> {
        // The name was checked when it was parsed, so this can't fail. If it did, the A-labels would stay.
        match Uts46::new().to_unicode(name.as_bytes(), AsciiDenyList::URL, Hyphens::Allow) {
            (unicode, Ok(())) => unicode.into(),
            (_, Err(_)) => name.into(),
        }
    };
    let host = match &entry.host {
        HostPattern::Name(name) => HostPattern::Name(read(name)),
        HostPattern::Below(apex) => HostPattern::Below(read(apex)),
        HostPattern::AtOrBelow(apex) => HostPattern::AtOrBelow(read(apex)),
        HostPattern::Glob { prefix, suffix, parent } => {
            HostPattern::Glob { prefix: prefix.clone(), suffix: suffix.clone(), parent: read(parent) }
        }
        HostPattern::Ipv4(_) | HostPattern::Ipv6(_) => return None,
    };
    (host != entry.host).then(|| Entry { host, ..entry.clone() }.to_string())
}
