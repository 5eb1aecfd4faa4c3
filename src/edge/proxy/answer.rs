//! A request up to its verdict, and what the edge answers itself: refused, redirected, denied, preflight.

use std::net::IpAddr;
use std::sync::Arc;

use http::header;
use jiff::Timestamp;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

use super::{Context, EdgeProxy};
use crate::edge::client::Client;
use crate::edge::judge::{Denied, Judge, Judged};
use crate::edge::reply::{Denial, Recipient, Reply};
use crate::edge::request::{self, Refusal, Upgrade};
use crate::edge::route::Target;
use crate::policy::decision::Class;
use crate::policy::headers::{DenialShape, Destination, cors};

/// Who is on the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// The address that opened it.
    pub peer: Option<IpAddr>,
    /// Whether it is encrypted.
    pub tls: bool,
}

impl EdgeProxy {
    /// The edge's own answer to a request, or `None` when it goes on to an upstream.
    pub(super) fn answer(&self, session: &mut Session, context: &mut Context) -> Option<Reply> {
        let asker = asker(session);
        let head = session.as_downstream().as_http1().map(|http1| http1.get_headers_raw_bytes());
        if let Err(refusal) = request::check(session.req_header(), head.as_deref().unwrap_or_default()) {
            return Some(self.refused(session.req_header(), refusal, asker));
        }
        let upgrade = request::upgrade(session.req_header());
        if upgrade == Upgrade::Other {
            session.req_header_mut().remove_header(&header::UPGRADE);
        }
        let request = session.req_header();
        let target = self.target(request);
        self.judge(request, target, upgrade, asker, context)
    }

    /// The answer to a request that isn't judged. It says what its route says to everyone, where it finds one.
    fn refused(&self, request: &RequestHeader, refusal: Refusal, asker: Asker) -> Reply {
        let https = Client::read(request, asker.peer, asker.tls, &self.trusted_proxies).https;
        let own = self.routes.own(&self.target(request));
        Reply::refusal(Recipient { request, own, https }, refusal)
    }

    /// Where a request goes.
    pub(super) fn target<'t>(&'t self, request: &'t RequestHeader) -> Target<'t> {
        self.routes.find(|| request::host(request), request.uri.path())
    }

    /// The same for a request that was checked and has found its target.
    pub(super) fn judge(
        &self,
        request: &RequestHeader,
        target: Target<'_>,
        upgrade: Upgrade,
        asker: Asker,
        context: &mut Context,
    ) -> Option<Reply> {
        let client = Client::read(request, asker.peer, asker.tls, &self.trusted_proxies);
        context.client = Some(client);
        if let Some(redirect) = self.redirect.as_ref().filter(|_| !client.https) {
            return Some(redirect.reply(request));
        }
        let to = Recipient { request, own: self.routes.own(&target), https: client.https };
        let (route, widget) = match target {
            Target::Route { route, widget } => (route, widget),
            Target::DemoPage(_) if upgrade == Upgrade::WebSocket => {
                return Some(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
            }
            Target::DemoPage(upstream) => {
                context.upstream = Some(Arc::clone(upstream));
                return None;
            }
            Target::Tickets { widget } => {
                context.class = Some(Class::Session);
                if upgrade == Upgrade::WebSocket {
                    return Some(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
                }
                return Some(self.ticket_reply(widget, to));
            }
            Target::None => return Some(Reply::not_found(to)),
        };
        context.class = Some(route.class);
        if upgrade == Upgrade::WebSocket && route.class != Class::Session {
            return Some(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
        }
        context.websocket = upgrade == Upgrade::WebSocket;
        if context.websocket && request::has_body(request) {
            return Some(Reply::refusal(to, request::WEBSOCKET_WITH_BODY));
        }
        let is_preflight = request::is_preflight(request);
        let judged = loop {
            let mut judged =
                self.judge_with(|judge| judge.judge(&self.rules, route, widget, request, Timestamp::now()));
            let Judged::Allowed(allowed) = &mut judged else { break judged };
            if route.class != Class::Session || is_preflight {
                break judged;
            }
            let facts = allowed.session.take();
            context.session = facts.and_then(|facts| self.sessions.open(widget, facts));
            if context.session.is_some() {
                break judged;
            }
            // Other rules came into force in between: it is judged by those.
        };
        match judged {
            Judged::Denied(denied) => Some(denial(to, &denied, route.class)),
            Judged::Allowed(allowed) if is_preflight => {
                Some(Reply::preflight(to, allowed.visit.cors(), false))
            }
            Judged::Allowed(allowed) => {
                context.upstream = Some(allowed.upstream);
                context.visit = Some(allowed.visit);
                None
            }
        }
    }

    /// Judges by what is in force now.
    pub(super) fn judge_with<T>(&self, judging: impl FnOnce(&Judge<'_>) -> T) -> T {
        judging(&Judge {
            policy: &self.policy.load(),
            tickets: &self.tickets,
            metrics: &self.metrics,
            decisions: &self.decisions,
        })
    }
}

/// The answer to a denied request. Its preflight passes where there is a page that can read the denial itself.
pub(super) fn denial(to: Recipient<'_>, denied: &Denied<'_>, class: Class) -> Reply {
    let grant = cors(class, &denied.decision, &denied.embedder, false);
    if request::is_preflight(to.request) && grant.is_some() {
        return Reply::preflight(to, grant, true);
    }
    let destination = Destination::parse(request::lines(to.request, SEC_FETCH_DEST));
    let shape = DenialShape::of(class, destination);
    Reply::denial(to, &Denial { embedder: &denied.told(), decision_id: &denied.id, shape }, grant)
}

fn asker(session: &Session) -> Asker {
    Asker {
        peer: session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip()),
        tls: session.digest().is_some_and(|digest| digest.ssl_digest.is_some()),
    }
}

const SEC_FETCH_DEST: header::HeaderName = header::HeaderName::from_static("sec-fetch-dest");
