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
use crate::edge::reply::{Denial, Destination, Reply};
use crate::edge::request::{self, Upgrade};
use crate::edge::route::Target;
use crate::policy::decision::Class;
use crate::policy::headers::cors;

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
        let head = session.as_downstream().as_http1().map(|http1| http1.get_headers_raw_bytes());
        if let Err(refusal) = request::check(session.req_header(), head.as_deref().unwrap_or_default()) {
            return Some(Reply::refusal(refusal));
        }
        let upgrade = request::upgrade(session.req_header());
        if upgrade == Upgrade::Other {
            session.req_header_mut().remove_header(&header::UPGRADE);
        }
        let digest = session.digest();
        let asker = Asker {
            peer: session.client_addr().and_then(|addr| addr.as_inet()).map(|addr| addr.ip()),
            tls: digest.is_some_and(|digest| digest.ssl_digest.is_some()),
        };
        let request = session.req_header();
        let target = self.target(request);
        self.judge(request, target, upgrade, asker, context)
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
        let (route, widget) = match target {
            Target::Route { route, widget } => (route, widget),
            Target::DemoPage(_) if upgrade == Upgrade::WebSocket => {
                return Some(Reply::refusal(request::WEBSOCKET_ELSEWHERE));
            }
            Target::DemoPage(upstream) => {
                context.upstream = Some(Arc::clone(upstream));
                return None;
            }
            Target::Tickets { widget } => {
                context.class = Some(Class::Session);
                if upgrade == Upgrade::WebSocket {
                    return Some(Reply::refusal(request::WEBSOCKET_ELSEWHERE));
                }
                return Some(self.ticket_reply(widget, request).with_transport_security(client.https));
            }
            Target::None => return Some(Reply::not_found().with_transport_security(client.https)),
        };
        context.class = Some(route.class);
        if upgrade == Upgrade::WebSocket && route.class != Class::Session {
            return Some(Reply::refusal(request::WEBSOCKET_ELSEWHERE));
        }
        context.websocket = upgrade == Upgrade::WebSocket;
        if context.websocket && request::has_body(request) {
            return Some(Reply::refusal(request::WEBSOCKET_WITH_BODY));
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
        let reply = match judged {
            Judged::Denied(denied) => denial(request, &denied, route.class, route.credentials),
            Judged::Allowed(allowed) if is_preflight => {
                Reply::preflight(request, allowed.visit.cors(), false)
            }
            Judged::Allowed(allowed) => {
                context.upstream = Some(allowed.upstream);
                context.visit = Some(allowed.visit);
                return None;
            }
        };
        Some(reply.with_transport_security(client.https))
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
pub(super) fn denial(request: &RequestHeader, denied: &Denied<'_>, class: Class, credentials: bool) -> Reply {
    let grant = cors(class, &denied.decision, &denied.embedder, credentials);
    if request::is_preflight(request) && grant.is_some() {
        return Reply::preflight(request, grant, true);
    }
    let destination = Destination::parse(request::lines(request, SEC_FETCH_DEST));
    let absent = class == Class::Public;
    let denial = Denial { told: denied.told(), decision_id: &denied.id, destination, absent };
    Reply::denial(&denial, grant)
}

const SEC_FETCH_DEST: header::HeaderName = header::HeaderName::from_static("sec-fetch-dest");
