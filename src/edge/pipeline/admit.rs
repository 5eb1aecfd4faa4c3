//! A request up to its verdict, and what the edge answers itself: refused, redirected, denied, preflight.

use std::sync::Arc;

use http::header;
use jiff::Timestamp;

use super::{PeerInfo, Pipeline, Record};
use crate::edge::body::Length;
use crate::edge::client::Client;
use crate::edge::judge::{Denied, Judge, Judged};
use crate::edge::message::RequestHead;
use crate::edge::reply::{Denial, Recipient, Reply};
use crate::edge::request::{self, Noted, Refusal, Upgrade};
use crate::edge::route::{Route, Target};
use crate::edge::sessions::SessionGuard;
use crate::edge::upstream::Upstream;
use crate::edge::visit::Visit;
use crate::policy::decision::Class;
use crate::policy::headers::{DenialShape, Destination, cors};

/// A request that has one reading.
#[derive(Debug)]
pub(super) struct Received {
    /// Who sent it.
    pub(super) client: Client,
    /// How long its body is.
    pub(super) length: Length,
    upgrade: Upgrade,
}

/// A request for a widget.
#[derive(Debug)]
pub(super) struct Routed<'r> {
    /// Whom an answer of the edge's own is for.
    to: Recipient<'r>,
    route: &'r Arc<Route>,
    /// What the path names as the widget.
    widget: &'r str,
}

/// A request that the rules let through.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Where it goes.
    pub(super) upstream: Arc<Upstream>,
    /// What its upstream is told, and what its answer needs.
    pub(super) visit: Visit,
    /// Its entry in the registry, where it is a session.
    pub(super) session: Option<SessionGuard>,
}

impl Received {
    /// Whether it opens a WebSocket.
    pub(super) fn is_handshake(&self) -> bool {
        self.upgrade == Upgrade::WebSocket
    }
}

impl Pipeline {
    /// Checks that a request has one reading. A wish for an upgrade that the edge does not serve is taken out.
    pub(super) fn receive(
        &self,
        request: &mut RequestHead,
        (noted, length): (Noted, Length),
        peer: PeerInfo,
    ) -> Result<Received, Reply> {
        request::check(request, noted).map_err(|refusal| self.refused(request, refusal, peer))?;
        let client = Client::read(request, peer.address, peer.tls, &self.trusted_proxies);
        let upgrade = request::upgrade(request, noted);
        if upgrade == Upgrade::Other {
            request.fields.remove(&header::UPGRADE);
        }
        Ok(Received { client, length, upgrade })
    }

    /// The answer to a request that is refused before it is judged. What its route says to everyone holds for it, too,
    /// where it finds one.
    pub(super) fn refused(&self, request: &RequestHead, refusal: Refusal, peer: PeerInfo) -> Reply {
        let client = Client::read(request, peer.address, peer.tls, &self.trusted_proxies);
        let own = self.routes.own(&self.target(request));
        Reply::refusal(Recipient { request, own, https: client.https }, refusal)
    }

    /// Where a request goes.
    fn target<'t>(&'t self, request: &'t RequestHead) -> Target<'t> {
        self.routes.find(|| request::host(request), request.uri.path())
    }

    /// Finds the route of a request, or says what the edge answers itself.
    pub(super) fn route<'r>(
        &'r self,
        request: &'r RequestHead,
        received: &Received,
        record: &mut Record,
    ) -> Result<Routed<'r>, Reply> {
        let https = received.client.https;
        if let Some(redirect) = self.redirect.as_ref().filter(|_| !https) {
            return Err(redirect.reply(request));
        }
        let target = self.target(request);
        let to = Recipient { request, own: self.routes.own(&target), https };
        let (route, widget) = match target {
            Target::Route { route, widget } => (route, widget),
            Target::Page(_) | Target::Tickets { .. } if received.is_handshake() => {
                return Err(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
            }
            Target::Page(page) => return Err(Reply::page(to, page)),
            Target::Tickets { widget } => {
                record.class = Some(Class::Session);
                return Err(self.ticket_reply(widget, to));
            }
            Target::None => return Err(Reply::not_found(to)),
        };
        record.class = Some(route.class);
        if received.is_handshake() {
            if route.class != Class::Session {
                return Err(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
            }
            if !received.length.is_none() {
                return Err(Reply::refusal(to, request::WEBSOCKET_WITH_BODY));
            }
        }
        Ok(Routed { to, route, widget })
    }

    /// Judges a request, or says what the edge answers itself.
    pub(super) fn admit(&self, routed: &Routed<'_>) -> Result<Admitted, Reply> {
        let &Routed { to, route, widget } = routed;
        let is_preflight = request::is_preflight(to.request);
        loop {
            let judged = self
                .judge_with(|judge| judge.judge(&self.rules, route, widget, to.request, Timestamp::now()));
            let mut allowed = match judged {
                Judged::Denied(denied) => return Err(denial(to, &denied, route.class)),
                Judged::Allowed(allowed) => allowed,
            };
            if is_preflight {
                return Err(Reply::preflight(to, allowed.visit.cors(), false));
            }
            let session = match allowed.session.take() {
                None => None,
                Some(facts) => match self.sessions.open(widget, facts) {
                    Some(session) => Some(session),
                    // Other rules came into force in between: it is judged by those.
                    None => continue,
                },
            };
            return Ok(Admitted { upstream: allowed.upstream, visit: allowed.visit, session });
        }
    }

    /// Judges by what is in force now.
    pub(super) fn judge_with<T>(&self, judging: impl FnOnce(&Judge<'_>) -> T) -> T {
        judging(&Judge {
            policy: &self.policy.load(),
            tickets: &self.tickets,
            metrics: &self.metrics,
            decisions: &self.decisions,
            stream_idle: self.tunnels.idle_limit(),
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
    Reply::denial(to, &Denial { told: denied.told(), decision_id: &denied.id, shape }, grant)
}

const SEC_FETCH_DEST: header::HeaderName = header::HeaderName::from_static("sec-fetch-dest");
