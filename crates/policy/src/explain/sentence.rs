//! Sentence about a verdict.

use super::{Advice, Explanation};
use crate::limits::{LimitKind, LimitMode, LimitUsage};
use crate::origin::{Embedder, OpaqueOrigin, Origin};
use crate::verdict::{Class, Reason, Verdict};

/// Grounds of a sentence that are not in the explanation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grounds<'a> {
    pub(super) embedder: Embedder<'a>,
    /// The origin that is compared with the list.
    pub(super) compared: Option<Origin<'a>>,
    pub(super) advised: Option<&'a Advice>,
}

pub(super) fn of(asked: &Explanation, grounds: Grounds<'_>) -> String {
    match asked.would_deny {
        Some(denial) => format!(
            "The widget only monitors, so the request is allowed. With `enforce` it would be denied: {}",
            of_reason(denial, asked, grounds)
        ),
        None => of_reason(asked.reason, asked, grounds),
    }
}

/// Hint about a limit that is used up.
pub(super) fn of_reached(mode: LimitMode, limit: &LimitUsage) -> String {
    let reason = match limit.kind {
        LimitKind::Sessions => Reason::LimitSessions,
        LimitKind::OpensPerMinute | LimitKind::OpensPerDay => Reason::LimitOpens,
    };
    match mode {
        LimitMode::Enforce => format!("one more open is refused now ({reason}): {limit}"),
        LimitMode::Monitor => {
            format!("one more open is let through, because the limits only monitor ({reason}): {limit}")
        }
    }
}

fn of_reason(reason: Reason, asked: &Explanation, grounds: Grounds<'_>) -> String {
    let Grounds { embedder, compared, advised } = grounds;
    let id = &asked.widget;
    let origin = compared.map_or_else(|| asked.embedder.to_string(), |origin| origin.to_string());
    let entry = asked.entry.as_ref().map_or("", |named| &named.entry);
    let near = asked.near_miss.as_ref().map_or("", |named| &named.entry);
    let denied = asked.verdict == Verdict::Deny || asked.would_deny.is_some();
    let sentence = match reason {
        Reason::Exact => format!("{origin} may embed {id}: the entry `{entry}` names it."),
        Reason::Wildcard | Reason::Glob => {
            format!("{origin} may embed {id}: the entry `{entry}` covers it.")
        }
        Reason::Unrestricted => format!("{id} is open: any page may embed it, and the list is not used."),
        Reason::Ticket => {
            format!("The iframe's ticket says that {origin} opened {id}, and the entry `{entry}` admits it.")
        }
        Reason::NoEmbedder if denied => {
            "The request has neither `Origin` nor `Referer`, but it needs one.".to_owned()
        }
        Reason::NotListed => format!("No entry of {id} admits {origin}."),
        Reason::InsecureScheme => {
            format!("The entry `{near}` requires https, but {origin} is plain http; serve the site over https.")
        }
        Reason::PortMismatch => {
            format!("The entry `{near}` admits the host of {origin}, but not its port.")
        }
        Reason::ExpiredEntry => {
            format!("The entry `{near}` admitted {origin} but has expired; renew its `expires_at`.")
        }
        Reason::MalformedOrigin => match embedder {
            Embedder::Malformed(error) if error.is_of_a_page() => {
                format!("Browsers open pages under such an address, but no entry can name one: {error}.")
            }
            Embedder::Malformed(error) => format!("This isn't what browsers send: {error}."),
            _ => "The embedder is not written as browsers write it.".to_owned(),
        },
        Reason::UnsupportedScheme => {
            format!("{origin} has a scheme other than http and https, and no entry names it.")
        }
        Reason::UnknownWidget => format!("There is no widget `{id}`."),
        Reason::WidgetDisabled if asked.class == Class::Public => {
            format!("The public pages of {id} are switched off (`public_trust_center` is false).")
        }
        Reason::WidgetDisabled => format!("{id} is switched off (`enabled` is false)."),
        Reason::Locked => format!("The list of {id} is empty and enforced, so it admits nobody."),
        Reason::SystemOrigin => {
            "A system origin may preview every widget; this does not mean that a live site works.".to_owned()
        }
        Reason::OwnOrigin => {
            "The request's origin is the edge's own origin, which the widget's iframe has.".to_owned()
        }
        Reason::NoEmbedder => "The request names no embedder; what it opens is judged separately.".to_owned(),
        Reason::Public => "Public pages are for everyone.".to_owned(),
        Reason::OpaqueOrigin if embedder == Embedder::Opaque(OpaqueOrigin::File) => {
            "The page is a local file (`file://`), which has no origin that an entry could name; an app such as \
             Electron can serve its pages under a scheme of its own (`app://name`) or from localhost."
                .to_owned()
        }
        Reason::OpaqueOrigin => {
            "The page has an opaque origin (`null`), as sandboxed frames and local files have: it could be any page."
                .to_owned()
        }
        Reason::TicketMissing => {
            "The request's origin is the edge's own origin, but it has no ticket that says which page opened the \
            widget. The widget's iframe has to present its document's ticket, or `tickets.cookie` has to be turned on, \
            which makes the browser send it. An app that fills in the address it \
            connects to, as React Native does, has to send an `Origin` of its own that can be listed."
                .to_owned()
        }
        Reason::TicketInvalid => "The ticket was not issued by this edge, or is for another widget.".to_owned(),
        Reason::TicketExpired => "The ticket has expired; the iframe has to ask for a fresh one.".to_owned(),
        Reason::LimitSessions => {
            "As many sessions are open as the widget's limits allow; one more is admitted once one has ended.".to_owned()
        }
        Reason::LimitOpens => {
            "As many sessions were opened lately as the widget's limits allow; one more is admitted a little later.".to_owned()
        }
        Reason::StaleRules => {
            "This edge has not been in contact with the source of its rules for longer than `policy.max_staleness`, so \
             it denies everything but public pages, whatever the rules say. It serves again as soon as it is in contact; \
             `/readyz` and the log say what keeps it from that."
                .to_owned()
        }
    };
    match advised.filter(|_| denied) {
        // The sentence already says so.
        Some(Advice::Secure { missing: None, .. }) if reason == Reason::InsecureScheme => sentence,
        Some(Advice::Add(entry)) => format!("{sentence} To admit it, add the entry `{entry}`."),
        Some(Advice::Secure { missing, by_voice }) => {
            let why = match by_voice {
                true => format!("{id} has voice, and browsers give a plain-http page no microphone"),
                false => "No entry can have that scheme".to_owned(),
            };
            match missing {
                Some(entry) => {
                    format!(
                        "{sentence} {why}: serve the site over https, and add the entry `{entry}` for it."
                    )
                }
                None => format!("{sentence} {why}: serve the site over https."),
            }
        }
        None => sentence,
    }
}
