//! Outcomes that a decision can have: what metrics have a place for from the start.

use crate::verdict::{Class, Reason, Verdict};

/// Whether a request of this class can get this verdict for this reason.
pub const fn is_possible(class: Class, verdict: Verdict, reason: Reason) -> bool {
    match (class, verdict) {
        (Class::Public, Verdict::Allow) => matches!(reason, Reason::Public),
        (Class::Public, Verdict::Deny) => matches!(reason, Reason::UnknownWidget | Reason::WidgetDisabled),
        (Class::Asset | Class::Frame | Class::Session, Verdict::Allow) => match reason {
            Reason::Exact | Reason::Wildcard | Reason::Glob | Reason::Unrestricted | Reason::SystemOrigin => {
                true
            }
            Reason::OwnOrigin | Reason::NoEmbedder => !matches!(class, Class::Session),
            Reason::Ticket => !matches!(class, Class::Asset),
            _ => false,
        },
        (Class::Asset | Class::Frame | Class::Session, Verdict::Deny) => match reason {
            // `monitor` does not turn these into an allow.
            Reason::UnknownWidget | Reason::WidgetDisabled | Reason::MalformedOrigin | Reason::StaleRules => {
                true
            }
            _ => can_be_monitored(class, reason),
        },
    }
}

/// Whether `monitor`, as the access or the mode of the limits, can let a request of this class through that `enforce` would
/// deny for this reason.
pub const fn can_be_monitored(class: Class, reason: Reason) -> bool {
    match reason {
        Reason::NoEmbedder
        | Reason::NotListed
        | Reason::InsecureScheme
        | Reason::PortMismatch
        | Reason::ExpiredEntry
        | Reason::OpaqueOrigin
        | Reason::UnsupportedScheme
        | Reason::Locked => !matches!(class, Class::Public),
        Reason::TicketMissing | Reason::TicketInvalid | Reason::TicketExpired => {
            matches!(class, Class::Session)
        }
        // Only sessions are limited.
        Reason::LimitSessions | Reason::LimitOpens => matches!(class, Class::Session),
        _ => false,
    }
}
