//! The way of a request, whatever protocol brings it: check → route → judge → reply, or the cache, an upstream or a
//! tunnel → record. Every step stands here or in a room of its own, once.
//!
//! A request's state is its type: what has one reading is [`Received`], what asks for a widget is [`admit::Routed`], what
//! the rules let through is [`Admitted`].

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::{Method, StatusCode};
use ipnet::IpNet;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::body::Length;
use super::cache::{Asked, AssetCache, Begun, Caching, Hit};
use super::deadline::Deadline;
use super::downstream::Downstream;
use super::exchange::head::Outgoing;
use super::exchange::{CLIENT_TIMEOUT, ForwardRequest, Forwarded, Forwarder};
use super::failure;
use super::http1::DRAIN;
use super::http1::head::Refused;
use super::redirect::HttpsRedirect;
use super::reply::{Recipient, Reply};
use super::request::Noted;
use super::route::RouteTable;
use super::sessions::Sessions;
use super::tickets::{Tickets, presented};
use super::tunnel::{Handshake, Tunnels};
use super::upstream::Upstream;
use super::visit::Visit;
use crate::edge::message::RequestHead;
use crate::policy::decision::{Class, EdgePolicy};
use crate::rules::live::LiveRules;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;

mod admit;
mod tickets;

use admit::{Admitted, Received};

/// What serving requests takes, all of it shared.
#[derive(Debug)]
pub struct Pipeline {
    /// The rules in force.
    pub rules: LiveRules,
    /// What holds for all widgets.
    pub policy: Arc<ArcSwap<EdgePolicy>>,
    /// Which path goes where.
    pub routes: RouteTable,
    /// Proxies that are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Where plain HTTP is sent to, if it is.
    pub redirect: Option<HttpsRedirect>,
    /// Tickets for iframe sessions.
    pub tickets: Tickets,
    /// Assets in memory.
    pub cache: AssetCache,
    /// Registry of open sessions.
    pub sessions: Arc<Sessions>,
    /// WebSockets.
    pub tunnels: Tunnels,
    /// The way to the upstreams.
    pub forwarder: Forwarder,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log.
    pub decisions: Arc<DecisionLog>,
}

/// Who is on the other side of a connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerInfo {
    /// The address that opened it.
    pub address: Option<IpAddr>,
    /// Whether it is encrypted.
    pub tls: bool,
}

/// What is counted of a request.
#[derive(Debug)]
struct Record {
    started: Instant,
    class: Option<Class>,
    /// The status that the browser is told, once it is known.
    status: Option<u16>,
}

/// What became of an admitted request.
enum Delivered {
    /// It is answered, as far as it can be.
    Whole,
    /// A change of the rules took a tunnel back before anything was answered.
    Revoked,
}

impl Pipeline {
    /// Serves one request.
    pub async fn serve(
        &self,
        client: &mut impl Downstream,
        (mut request, noted): (RequestHead, Noted),
        peer: PeerInfo,
        deadline: &mut Deadline,
    ) {
        let mut record = Record { started: Instant::now(), class: None, status: None };
        let head_only = request.method == Method::HEAD;
        let served = match self.receive(&mut request, (noted, client.length()), peer) {
            Ok(received) => self.answer(client, &mut request, &received, &mut record, deadline).await,
            Err(reply) => respond(client, reply, head_only, &mut record, deadline).await,
        };
        let sent = match served {
            Ok(()) => sent(client, deadline).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            client.abort(false);
            tracing::debug!(kind = error.etype().as_str(), "request ended early");
        }
        let is_answered =
            client.has_begun() || record.status == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        if let Some(status) = record.status.filter(|_| is_answered) {
            self.metrics.answered(record.class, status, record.started.elapsed());
        }
    }

    /// Refuses what is no request.
    pub async fn refuse(
        &self,
        client: &mut impl Downstream,
        refused: &Refused,
        peer: PeerInfo,
        deadline: &mut Deadline,
    ) {
        let mut record = Record { started: Instant::now(), class: None, status: None };
        let reply = self.refused(&refused.read, refused.refusal, peer);
        let answered = respond(client, reply, false, &mut record, deadline).await;
        if let (Ok(()), Some(status)) = (answered, record.status)
            && sent(client, deadline).await.is_ok()
        {
            self.metrics.answered(None, status, record.started.elapsed());
        }
    }

    async fn answer(
        &self,
        client: &mut impl Downstream,
        request: &mut RequestHead,
        received: &Received,
        record: &mut Record,
        deadline: &mut Deadline,
    ) -> Result<()> {
        let head_only = request.method == Method::HEAD;
        loop {
            let admitted = self.route(request, received, record).and_then(|routed| self.admit(&routed));
            let mut admitted = match admitted {
                Ok(admitted) => admitted,
                Err(reply) => return respond(client, reply, head_only, record, deadline).await,
            };
            match self.deliver(client, request, received, &mut admitted, record, deadline).await {
                Ok(Delivered::Whole) => return Ok(()),
                // To be judged again, and denied as anybody else is now.
                Ok(Delivered::Revoked) => {}
                Err(error) => {
                    self.record_failure(&error, admitted.upstream.name());
                    let status = failure::status(&error).filter(|_| !client.has_begun());
                    let Some(status) = status else {
                        // What was passed on goes out, the end does not.
                        let _ = sent(client, deadline).await;
                        client.abort(false);
                        return Ok(());
                    };
                    let visit = &admitted.visit;
                    let to =
                        Recipient { request, own: &visit.shared.route.own, https: received.client.https };
                    let reply = Reply::failed(to, status, &visit.own.decision_id, visit.cors());
                    return respond(client, reply, head_only, record, deadline).await;
                }
            }
        }
    }

    /// Answers an admitted request from memory, or passes it on for as long as the rules allow it.
    async fn deliver(
        &self,
        client: &mut impl Downstream,
        request: &mut RequestHead,
        received: &Received,
        admitted: &mut Admitted,
        record: &mut Record,
        deadline: &mut Deadline,
    ) -> Result<Delivered> {
        // A request that is judged again needs its tickets again.
        let mut bare = presented::stripped(request);
        let subprotocol = received.is_handshake().then(|| presented::subprotocol(&request.fields)).flatten();
        let request = bare.as_mut().unwrap_or(request);
        let Admitted { upstream, visit, session } = admitted;
        let mut caching = Caching::Outside;
        if visit.shared.route.class == Class::Asset {
            match self.cache.begin(&asked(request, visit, upstream, received)).await {
                Begun::Hit(hit) => return from_memory(client, &hit, request, visit, record),
                Begun::Goes(goes) => caching = goes,
            }
            caching.ask(request);
        }
        let forwarded = {
            let outgoing = Outgoing {
                request,
                visit,
                client: &received.client,
                host: upstream.host(),
                length: received.length,
                is_handshake: received.is_handshake(),
            };
            let is_looked_at = matches!(caching, Caching::Filling(_) | Caching::Unsafe(_));
            let forward = ForwardRequest {
                outgoing,
                upstream,
                https: received.client.https,
                status: &mut record.status,
                asset: is_looked_at.then_some((&mut caching, asked(request, visit, upstream, received))),
            };
            let forwarding = self.forwarder.forward(client, forward, deadline);
            match session {
                None => forwarding.await,
                Some(session) => tokio::select! {
                    biased;
                    forwarded = forwarding => forwarded,
                    at = session.revocation().revoked() => {
                        self.metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
                        if received.is_handshake() && !client.has_begun() {
                            return Ok(Delivered::Revoked);
                        }
                        // The client must see that it was cut: no end is sent.
                        client.abort(true);
                        return Ok(Delivered::Whole);
                    }
                },
            }
        };
        match forwarded {
            Ok(Forwarded::Done) => Ok(Delivered::Whole),
            Ok(Forwarded::ServeCached(hit)) => {
                caching.ask_no_more(request);
                from_memory(client, &hit, request, visit, record)
            }
            Ok(Forwarded::Switched(switched)) => {
                // Only sessions are handshakes; one that is over by now was revoked.
                let Some(session) = session.take() else { return Ok(Delivered::Revoked) };
                let handshake = Handshake { switched: *switched, subprotocol, session };
                Box::pin(self.tunnels.open(client, handshake, deadline)).await.map(|()| Delivered::Whole)
            }
            Err(error) if *error.esource() == ErrorSource::Upstream && !client.has_begun() => {
                let Some(hit) = caching.instead_of_an_error() else { return Err(error) };
                self.record_failure(&error, upstream.name());
                caching.ask_no_more(request);
                from_memory(client, &hit, request, visit, record)
            }
            Err(error) => Err(error),
        }
    }

    fn record_failure(&self, error: &Error, upstream: &str) {
        if *error.esource() == ErrorSource::Upstream {
            self.metrics.upstream_failed(upstream, failure::kind(error));
            tracing::warn!(upstream, kind = failure::kind(error), cause = ?error.root_cause(), "upstream failed");
        } else {
            tracing::debug!(upstream, kind = error.etype().as_str(), "request ended early");
        }
    }
}

/// What the cache has to know of an allowed request for an asset.
fn asked<'r>(
    request: &'r RequestHead,
    visit: &'r Visit,
    upstream: &'r Upstream,
    received: &Received,
) -> Asked<'r> {
    Asked {
        request,
        shared: &visit.shared,
        embedder: visit.own.verified.as_ref(),
        upstream: upstream.name(),
        https: received.client.https,
        length: received.length,
    }
}

/// Puts an answer of the edge's own on its way, once the rest of a small body is read.
async fn respond(
    client: &mut impl Downstream,
    reply: Reply,
    head_only: bool,
    record: &mut Record,
    deadline: &mut Deadline,
) -> Result<()> {
    record.status = Some(reply.status().as_u16());
    if !reply.closes() && client.length() != Length::Absent {
        // Where it does not come in time, the connection is closed behind the answer.
        let _ = deadline.within(DRAIN, poll_fn(|context| client.poll_drained(context))).await;
    }
    client.reply(reply, head_only)
}

/// Waits until the client has taken what is on its way to it, for as long as it goes on taking some of it.
async fn sent(client: &mut impl Downstream, deadline: &mut Deadline) -> Result<()> {
    let (mut waiting, mut until) = (client.waiting(), None);
    poll_fn(|context| {
        if let Poll::Ready(sent) = client.poll_sent(context) {
            return Poll::Ready(sent);
        }
        if std::mem::replace(&mut waiting, client.waiting()) != waiting {
            until = None;
        }
        let until = *until.get_or_insert_with(|| tokio::time::Instant::now() + CLIENT_TIMEOUT);
        deadline.poll_until(until, context).map(|()| Err(Error::new_down(ErrorType::WriteTimedout)))
    })
    .await
}

fn from_memory(
    client: &mut impl Downstream,
    hit: &Hit,
    request: &RequestHead,
    visit: &Visit,
    record: &mut Record,
) -> Result<Delivered> {
    let (head, body) = hit.answer(request, visit);
    record.status = Some(head.status.as_u16());
    client.head(head, body.is_empty())?;
    if !body.is_empty() {
        client.frame(super::body::Frame::Data(body), true)?;
    }
    Ok(Delivered::Whole)
}
