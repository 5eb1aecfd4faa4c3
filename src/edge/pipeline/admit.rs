//! Pipeline up to the verdict: checks, routing, judging, and the replies of the edge's own.

use std::sync::Arc;

use http::header;
use jiff::Timestamp;

use super::{PeerInfo, Pipeline, RequestRecord};
use crate::edge::admission::client::ClientInfo;
use crate::edge::admission::fetch_metadata::SEC_FETCH_DEST;
use crate::edge::admission::judge::{Allowed, Denied, Judge, Judged, Opener, Told};
use crate::edge::admission::reply::{Denial, Recipient, Reply};
use crate::edge::admission::request;
use crate::edge::admission::request::{Noted, PathEscapes, RequestRefusal, Upgrade};
use crate::edge::admission::route::{EdgeCall, Route, Target};
use crate::edge::cache::AssetCache;
use crate::edge::http::body::BodyLength;
use crate::edge::http::limits::HeadLimits;
use crate::edge::http::message::RequestHead;
use crate::edge::session::registry::SessionGuard;
use crate::edge::session::tunnel::TunnelLimits;
use crate::edge::setup::Setup;
use crate::limits::shares::ShareWait;
use embedgate_policy::headers::{DenialShape, Destination, cors};
use embedgate_policy::verdict::Class;

/// Request that has passed the checks.
#[derive(Debug)]
pub(super) struct Received {
    /// The sender.
    pub(super) client: ClientInfo,
    /// The length of the body.
    pub(super) length: BodyLength,
    upgrade: Upgrade,
    escapes: PathEscapes,
}

/// Request with a route.
#[derive(Debug)]
struct Routed<'r> {
    /// The recipient of a reply.
    to: Recipient<'r>,
    route: &'r Arc<Route>,
    /// The widget's id, as the request names it.
    widget: &'r str,
}

/// What comes of judging a request that the edge does not answer itself.
#[derive(Debug)]
pub(super) enum Admittance {
    /// It is admitted.
    Admitted(Admitted),
    /// What was allowed here is denied by what has come into force since: it has to be judged again.
    Overtaken,
    /// It has to be judged again after this, because a larger share of a limit is on its way.
    Waits(ShareWait),
}

/// Request that the rules allow.
#[derive(Debug)]
pub(super) struct Admitted {
    /// The upstream, and the terms for it and for its answer; boxed, because they are large and moved.
    pub(super) allowed: Box<Allowed>,
    /// The guard in the session registry, if the request is a session.
    pub(super) session: Option<SessionGuard>,
    /// The cache, for an asset.
    pub(super) cache: Option<AssetCache>,
    /// The time limits of a tunnel.
    pub(super) tunnel_limits: TunnelLimits,
}

impl Received {
    /// Whether the request is a WebSocket handshake.
    pub(super) fn is_handshake(&self) -> bool {
        self.upgrade == Upgrade::WebSocket
    }
}

impl Pipeline {
    /// Finds the route of a request and judges it. The error is the reply of the edge's own. `may_wait`: whether a larger
    /// share of a limit may be waited for.
    pub(super) fn judge(
        &self,
        setup: &Setup,
        request: &RequestHead,
        received: &Received,
        may_wait: bool,
        record: &mut RequestRecord,
    ) -> Result<Admittance, Reply> {
        let routed = self.route(setup, request, received, record)?;
        let opener = Opener {
            limiter: &self.limiter,
            client: &received.client,
            trusted_proxies: &setup.trusted_proxies,
            is_handshake: received.is_handshake(),
            may_wait,
        };
        self.admit(setup, &routed, &opener, record)
    }
}

impl Setup {
    /// Checks a request. An upgrade that the edge does not serve is removed. The error is the reply to a request that is
    /// refused before it is judged.
    pub(super) fn check(
        &self,
        request: &mut RequestHead,
        (noted, length): (Noted, BodyLength),
        peer: PeerInfo,
    ) -> Result<Received, Reply> {
        let limits = HeadLimits { bytes: self.bounds.header_bytes, fields: self.bounds.header_fields };
        let escapes =
            request::check(request, noted, limits).map_err(|refusal| self.refused(request, refusal, peer))?;
        let client = ClientInfo::read(request, peer.address, peer.tls, &self.trusted_proxies);
        let upgrade = request::upgrade(request, noted);
        if upgrade == Upgrade::Other {
            request.fields.remove(&header::UPGRADE);
        }
        Ok(Received { client, length, upgrade, escapes })
    }

    /// The reply to a request that is refused before it is judged. If it has a route, the route's profile
    /// applies.
    pub(super) fn refused(&self, request: &RequestHead, refusal: RequestRefusal, peer: PeerInfo) -> Reply {
        let client = ClientInfo::read(request, peer.address, peer.tls, &self.trusted_proxies);
        let own = self.routes.own(&self.routes.find(request));
        Reply::refusal(Recipient { request, own, https: client.https }, refusal)
    }
}

impl Pipeline {
    /// Finds the route of a request, or the reply of the edge's own.
    fn route<'r>(
        &self,
        setup: &'r Setup,
        request: &'r RequestHead,
        received: &Received,
        record: &mut RequestRecord,
    ) -> Result<Routed<'r>, Reply> {
        let https = received.client.https;
        if let Some(redirect) = setup.redirect.as_ref().filter(|_| !https) {
            return Err(redirect.reply(request));
        }
        let target = setup.routes.find(request);
        let to = Recipient { request, own: setup.routes.own(&target), https };
        if received.escapes.slash.is_some_and(|first| !takes_encoded_slashes(&target, request, first)) {
            return Err(Reply::refusal(to, request::ENCODED_SLASH));
        }
        if received.escapes.any && setup.routes.has_another_reading(request) {
            return Err(Reply::refusal(to, request::ENCODED_LITERAL));
        }
        let (route, widget) = match target {
            Target::Route { route, widget } => (route, widget),
            Target::Unnamed { route, refusal } => {
                record.class = Some(route.class);
                return Err(Reply::refusal(to, refusal));
            }
            Target::Page(_) | Target::Call { .. } if received.is_handshake() => {
                return Err(Reply::refusal(to, request::WEBSOCKET_ELSEWHERE));
            }
            Target::Page(page) => return Err(Reply::page(to, page)),
            Target::Call { call: EdgeCall::Ticket, widget } => {
                record.class = Some(Class::Session);
                return Err(self.ticket_reply(setup, widget, to, record));
            }
            Target::Call { call: EdgeCall::Report, widget } => {
                return Err(self.report_reply(setup, widget, to, &received.client, record));
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

    /// Judges a request, as [`Pipeline::judge`] says.
    fn admit(
        &self,
        setup: &Setup,
        routed: &Routed<'_>,
        opener: &Opener<'_>,
        record: &mut RequestRecord,
    ) -> Result<Admittance, Reply> {
        let &Routed { to, route, widget } = routed;
        let judged = self.judge_with(setup, to, |judge| {
            judge.judge(&self.rules, route, widget, to.request, opener, Timestamp::now())
        });
        let mut allowed = match judged {
            Judged::Denied(denied) => {
                record.is_told = self.verdicts.logs_denials();
                let limited = opener.is_handshake.then(|| limited_socket(to, &denied, record)).flatten();
                let of_route = (route.class, route.credentials);
                return Err(limited.unwrap_or_else(|| denial(to, &denied, of_route, record)));
            }
            Judged::Allowed(allowed) => allowed,
            Judged::Waits(wait) => return Ok(Admittance::Waits(wait)),
        };
        if request::is_preflight(to.request) {
            let reply = Reply::preflight(to, allowed.admission.cors(), false);
            record.allowed = Some(allowed);
            return Err(reply);
        }
        let session = match allowed.session.take() {
            None => None,
            Some(session) => match self.sessions.open(widget, session, allowed.admission.own.decision_id) {
                Some(session) => Some(session),
                None => return Ok(Admittance::Overtaken),
            },
        };
        Ok(Admittance::Admitted(Admitted {
            allowed,
            session,
            cache: (route.class == Class::Asset).then(|| setup.cache.clone()),
            tunnel_limits: setup.tunnel_limits,
        }))
    }

    /// Judges by the rules, the policy and the keys in force.
    pub(super) fn judge_with<T>(
        &self,
        setup: &Setup,
        to: Recipient<'_>,
        judging: impl FnOnce(&Judge<'_>) -> T,
    ) -> T {
        judging(&Judge {
            policy: &setup.policy(),
            tickets: &setup.tickets,
            reports: &setup.reports,
            verdicts: &self.verdicts,
            stream_idle: setup.tunnel_limits.idle,
            https: to.https,
        })
    }
}

fn takes_encoded_slashes(target: &Target<'_>, request: &RequestHead, first: usize) -> bool {
    match target {
        Target::Route { route, .. } | Target::Unnamed { route, .. } => {
            route.takes_encoded_slashes(request.uri.path(), first)
        }
        Target::Call { .. } | Target::Page(_) | Target::None => false,
    }
}

/// The reply to a WebSocket handshake that passes a limit; `None` for other denials.
fn limited_socket(to: Recipient<'_>, denied: &Denied<'_>, record: &mut RequestRecord) -> Option<Reply> {
    let Told::Limit(limit) = denied.told() else { return None };
    let (reply, shown) = (Reply::limited_socket(to, limit)?, denied.shown.as_ref()?);
    record.decided = Some(denied.id);
    Some(reply.about(Arc::clone(shown)))
}

/// The reply to a denied request. Its preflight succeeds if there is a page that can then read the denial
/// itself. `credentials`: whether the route takes them.
pub(super) fn denial(
    to: Recipient<'_>,
    denied: &Denied<'_>,
    (class, credentials): (Class, bool),
    record: &mut RequestRecord,
) -> Reply {
    record.decided = Some(denied.id);
    let grant = cors(class, &denied.decision, &denied.embedder, credentials);
    let Some(shown) = &denied.shown else { return Reply::preflight(to, grant, true) };
    let destination = Destination::parse(request::lines(to.request, SEC_FETCH_DEST));
    let shape = DenialShape::of(denied.decision.reason, class, destination);
    Reply::denial(to, &Denial { told: denied.told(), decision_id: &denied.id, shape }, grant)
        .about(Arc::clone(shown))
}
