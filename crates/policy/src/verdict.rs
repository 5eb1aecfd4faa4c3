//! Vocabulary of verdicts: class, allow or deny, and the stable reason codes in logs, metrics and the admin
//! API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

/// Class of a route: what it serves. It decides what a request without a named embedder may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// The loader and the static files of a widget.
    Asset,
    /// The document inside the iframe.
    Frame,
    /// Chat and voice traffic: HTTP, streams and WebSockets.
    Session,
    /// Trust Center and policy pages, which everyone may read and nobody may embed.
    Public,
}

impl Class {
    /// Every class, in the order of the declaration.
    pub const ALL: [Class; 4] = [Class::Asset, Class::Frame, Class::Session, Class::Public];

    /// The name in configuration, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Asset => "asset",
            Class::Frame => "frame",
            Class::Session => "session",
            Class::Public => "public",
        }
    }
}

impl FromStr for Class {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        Class::ALL.into_iter().find(|class| class.as_str() == text).ok_or(UnknownClass)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Error of an unknown class name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a class is `asset`, `frame`, `session` or `public`")]
pub struct UnknownClass;

/// Verdict on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The request is forwarded.
    Allow,
    /// The edge answers the request with a denial.
    Deny,
}

impl Verdict {
    /// Both verdicts.
    pub const ALL: [Verdict; 2] = [Verdict::Allow, Verdict::Deny];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Declares [`Reason`] with one code and one sentence for each variant, so that they can't drift apart.
macro_rules! reasons {
    ($($variant:ident = $code:literal, $doc:literal;)+) => {
        /// Reason of a verdict. The codes are stable; outsiders never see them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[schema(rename_all = "snake_case")]
        pub enum Reason {
            $(#[doc = $doc] $variant,)+
        }

        impl Reason {
            /// Every reason: first those that allow, then those that only deny.
            pub const ALL: [Reason; [$(Reason::$variant),+].len()] = [$(Reason::$variant),+];

            /// The code in logs, metrics and the admin API.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Reason::$variant => $code,)+
                }
            }
        }
    };
}

reasons! {
    Exact = "exact", "Allow: an entry names exactly this origin.";
    Wildcard = "wildcard", "Allow: a `*.name` or `.name` entry covers this origin.";
    Glob = "glob", "Allow: an entry with a `*` inside its first label covers this origin.";
    Unrestricted = "unrestricted", "Allow: the widget is open, or only monitors.";
    SystemOrigin = "system_origin", "Allow: a preview on the vendor's own dashboard.";
    OwnOrigin = "own_origin", "Allow: the widget's own iframe.";
    Ticket = "ticket", "Allow: a valid ticket whose embedder is on the list.";
    NoEmbedder = "no_embedder", "Allow or deny, by class: the request names no embedder.";
    Public = "public", "Allow: a page for everyone.";
    NotListed = "not_listed", "Deny: no entry admits this origin.";
    InsecureScheme = "insecure_scheme", "Deny: the host is listed for https, the page is http.";
    PortMismatch = "port_mismatch", "Deny: host and scheme are listed, with another port.";
    ExpiredEntry = "expired_entry", "Deny: the entry that admits this origin has expired.";
    OpaqueOrigin = "opaque_origin", "Deny: `Origin` is `null` or `file://`.";
    MalformedOrigin = "malformed_origin", "Deny: `Origin` or `Referer` is malformed, or names a page that no entry can name.";
    UnsupportedScheme = "unsupported_scheme", "Deny: neither http nor https, and not listed.";
    UnknownWidget = "unknown_widget", "Deny: there is no such widget.";
    WidgetDisabled = "widget_disabled", "Deny: the widget, or its Trust Center, is switched off.";
    Locked = "locked", "Deny: the list is enforced and empty.";
    TicketMissing = "ticket_missing", "Deny: a session from the widget's iframe without a ticket.";
    TicketInvalid = "ticket_invalid", "Deny: a ticket that was not issued here or for another widget.";
    TicketExpired = "ticket_expired", "Deny: an expired ticket.";
    LimitSessions = "limit_sessions", "Deny: as many sessions are open as the widget's limits allow.";
    LimitOpens = "limit_opens", "Deny: as many were opened lately as the widget's limits allow.";
    StaleRules = "stale_rules", "Deny: this edge has not been in contact with the source of its rules for too long.";
}

impl Reason {
    /// Whether a limit of the widget was passed, so that nothing is said of the embedder.
    pub const fn is_of_limits(self) -> bool {
        matches!(self, Self::LimitSessions | Self::LimitOpens)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_snake_case() {
        let codes: BTreeSet<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for code in codes {
            assert!(code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{code}");
        }
    }

    #[test]
    fn names_read_back_and_serialise_alike() {
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
        assert_eq!("Asset".parse::<Class>(), Err(UnknownClass));
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
        }
        assert_eq!(serde_json::to_value(Reason::NotListed).unwrap(), "not_listed");
    }
}
