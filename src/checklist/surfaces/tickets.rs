//! The way of a ticket: it comes with the frame's document, opens a session from inside the iframe, and is renewed there.

use serde_json::Value;

use super::{Deployment, Treated};
use crate::checklist::facts::SurfaceKind;
use crate::checklist::fetch::{CheckClient, CheckRequest, FetchFault, FetchedAnswer};
use crate::checklist::point::{CheckPoint, PointGroup, PointKind};

const TICKETS: PointKind = PointKind::new(
    PointGroup::Edge,
    "tickets",
    "The iframe gets a ticket, opens a session with it and renews it",
);

/// What came of each step, up to the first that failed.
pub(super) enum TicketWalk {
    /// The frame's document has no ticket, and the page got none.
    NoTicket(String),
    /// The session refused it.
    NotTaken(String),
    /// It was not renewed.
    NotRenewed(String),
    /// All steps.
    Whole,
}

impl TicketWalk {
    /// Takes the steps; `None`: there is no frame, or no session to open.
    pub(super) fn take(client: &CheckClient, deployment: &Deployment, site: &str) -> Option<Self> {
        let frame = deployment.surface(SurfaceKind::Frame)?;
        let session = deployment.surface(SurfaceKind::Session)?;
        let tickets = deployment.surface(SurfaceKind::Tickets)?;
        let own = frame.origin().ascii_serialization();
        // As a browser asks for it: a prefetch has no ticket.
        let request =
            CheckRequest::get(&frame).with("referer", format!("{site}/")).with("sec-fetch-dest", "iframe");
        let framed = client.ask(request).ok().as_ref().and_then(with_frame);
        let ticket = match framed {
            Some(ticket) => ticket,
            None => match given(client.ask(CheckRequest::post(&tickets).with("origin", site))) {
                Ok(ticket) => ticket,
                Err(why) => return Some(Self::NoTicket(why)),
            },
        };
        let inside = |request: CheckRequest<'_>| {
            let request = request.with("origin", own.clone());
            client.ask(request.with("authorization", format!("Embed {ticket}")))
        };
        let opened = inside(CheckRequest::get(&session).with("sec-purpose", "prefetch"));
        Some(match Treated::of(&opened) {
            Treated::Refused(why) | Treated::Failed(why) => Self::NotTaken(why),
            Treated::LetThrough(_) | Treated::Limited => match given(inside(CheckRequest::post(&tickets))) {
                Ok(_) => Self::Whole,
                Err(why) => Self::NotRenewed(why),
            },
        })
    }

    pub(super) fn point(&self) -> CheckPoint {
        match self {
            Self::NoTicket(why) => TICKETS.fail(
                format!("the frame's document comes without a ticket, and the page gets none: {why}"),
                "See that nothing between the browser and the edge removes `Server-Timing`, `Referer` or `Origin`.",
            ),
            Self::NotTaken(why) => TICKETS.fail(
                format!("a session does not take the ticket: {why}"),
                "See that all edges behind this address have the same ticket keys, and that `Authorization` reaches them.",
            ),
            Self::NotRenewed(why) => TICKETS.fail(
                format!("the ticket is not renewed: {why}"),
                "See that `tickets.path` reaches this edge, and that all edges have the same ticket keys.",
            ),
            Self::Whole => TICKETS.pass("a ticket came, opened a session, and was renewed"),
        }
    }
}

/// The point where no ticket was asked for.
pub(super) fn skipped(why: &str) -> CheckPoint {
    TICKETS.skipped(why)
}

/// The ticket that comes with the frame's document.
fn with_frame(answer: &FetchedAnswer) -> Option<String> {
    let field = answer.field("server-timing")?;
    let (_, after) = field.split_once("embed-ticket;desc=\"")?;
    let (ticket, _) = after.split_once('"')?;
    Some(ticket.to_owned())
}

/// The ticket of an answer to a call for one.
fn given(asked: Result<FetchedAnswer, FetchFault>) -> Result<String, String> {
    let answer = asked.map_err(|fault| fault.detail)?;
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match told.get("ticket").and_then(Value::as_str) {
        Some(ticket) if answer.status.is_success() => Ok(ticket.to_owned()),
        _ => Err(super::detail(&answer)),
    }
}
