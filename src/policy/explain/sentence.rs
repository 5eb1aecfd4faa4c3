//! A verdict in a sentence.

use super::{AskedBy, Explanation};
use crate::policy::decision::{Class, Reason, Verdict};
use crate::policy::origin::Origin;

pub(super) fn of(asked: &Explanation, compared: Option<Origin<'_>>) -> String {
    match asked.would_deny {
        Some(denial) => format!(
            "The widget only monitors, so the request passes; enforced, it would be denied: {}",
            of_reason(denial, asked, compared)
        ),
        None => of_reason(asked.reason, asked, compared),
    }
}

fn of_reason(reason: Reason, asked: &Explanation, compared: Option<Origin<'_>>) -> String {
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
        Reason::Unrestricted => format!("{id} is open: any site may embed it, and the list isn't asked."),
        Reason::Ticket => {
            format!("The iframe's ticket says that {origin} opened {id}, and the entry `{entry}` admits it.")
        }
        Reason::NoEmbedder if denied => {
            "The request has neither `Origin` nor `Referer`, and here one is needed.".to_owned()
        }
        Reason::NotListed => format!("No entry of {id} admits {origin}."),
        Reason::InsecureScheme => {
            format!("The entry `{near}` wants https, and {origin} is plain http; serve the site over https.")
        }
        Reason::PortMismatch => {
            format!("The entry `{near}` admits the host of {origin}, but not its port.")
        }
        Reason::ExpiredEntry => {
            format!("The entry `{near}` admitted {origin} and has expired; renew its `expires_at`.")
        }
        Reason::MalformedOrigin => match &asked.embedder {
            AskedBy::Malformed { detail, .. } => format!("This isn't what browsers send: {detail}."),
            _ => "The embedder isn't written as browsers do.".to_owned(),
        },
        Reason::UnsupportedScheme => {
            format!("{origin} has a scheme other than http and https, and no entry names it.")
        }
        Reason::UnknownWidget => format!("There is no widget `{id}`."),
        Reason::WidgetDisabled if asked.class == Class::Public => {
            format!("The public pages of {id} are switched off (`public_trust_center` is false).")
        }
        Reason::WidgetDisabled => format!("{id} is switched off (`enabled` is false)."),
        Reason::Locked => format!("The list of {id} is empty and enforced, which admits nobody."),
        Reason::SystemOrigin => {
            "A system origin may preview every widget; this doesn't show that a live site works.".to_owned()
        }
        Reason::OwnOrigin => "The request comes from the widget's own iframe.".to_owned(),
        Reason::NoEmbedder => "The request names no embedder; what it opens is judged on its own.".to_owned(),
        Reason::Public => "Public pages are for everyone.".to_owned(),
        Reason::OpaqueOrigin => {
            "The page has an opaque origin (`null`), as sandboxed frames and local files have: it could be any page."
                .to_owned()
        }
        Reason::TicketMissing => {
            "The widget's own iframe sent no ticket, so nobody knows which site opened it.".to_owned()
        }
        Reason::TicketInvalid => "The ticket isn't one of this edge's, or is for another widget.".to_owned(),
        Reason::TicketExpired => "The ticket is past its lifetime; the iframe asks for a fresh one.".to_owned(),
    };
    match (&asked.entry_to_add, denied) {
        (Some(entry), true) => format!("{sentence} To admit it, add the entry `{entry}`."),
        _ => sentence,
    }
}
