//! Pipeline of requests, over any protocol: check → route → judge → reply, or the cache, an upstream or a
//! tunnel → record. Each step exists once, here or in its own module.
//!
//! The type of a request is its state: [`Received`] after the checks, `Routed` with a route, and [`Admitted`] after the
//! verdict.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::Guard;
use http::{Method, StatusCode};
use pingora_core::{Error, ErrorSource, Result};
use tokio::time::Instant;

use super::admission::judge::Allowed;
use super::admission::reply::{Recipient, Reply};
use super::admission::request::Noted;
use super::admission::terms::Admission;
use super::admission::tickets::presented;
use super::cache::{AssetRequest, BegunLookup, CacheState, Hit};
use super::forward::exchange::head::Outgoing;
use super::forward::exchange::{ForwardRequest, Forwarded, Forwarder};
use super::forward::failure;
use super::forward::upstream::Upstream;
use super::http::body::{BodyLength, Frame};
use super::http::http1::head::Refused;
use super::http::limits::DRAIN;
use super::patience::Patience;
use super::pipeline::downstream::Downstream;
use super::session::opening::Handshake;
use super::session::registry::SessionRegistry;
use super::setup::{LiveSetup, Setup};
use crate::activity::recorder::ActivityRecorder;
use crate::edge::http::message::RequestHead;
use crate::pacing::deadline::Deadline;
use crate::rules::live::LiveRules;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use embedgate_policy::verdict::Class;

mod admit;
mod calls;
pub(super) mod downstream;

use admit::{Admitted, Received};

/// Pipeline, with everything that requests share.
#[derive(Debug)]
pub struct Pipeline {
    /// The rules in force.
    pub rules: LiveRules,
    /// The setup in force.
    pub setup: LiveSetup,
    /// Registry of open sessions.
    pub sessions: Arc<SessionRegistry>,
    /// The forwarder to upstreams.
    pub forwarder: Forwarder,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// The decision log.
    pub decisions: Arc<DecisionLog>,
    /// The recorder of who embeds.
    pub activity: Arc<ActivityRecorder>,
}

/// Peer of a connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerInfo {
    /// The address that opened it.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
}

/// Record of a request, for the metrics.
#[derive(Debug)]
struct RequestRecord {
    started: Instant,
    class: Option<Class>,
    /// The status for the browser, once it is known.
    status: Option<u16>,
}

/// Outcome of an admitted request.
enum Delivered {
    /// The request is answered, as far as possible.
    Whole,
    /// A change of the rules revoked a tunnel before anything was answered.
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
        let mut record = RequestRecord { started: Instant::now(), class: None, status: None };
        let setup = self.setup.borrow();
        let mut patience = Patience::new(&setup.bounds, deadline);
        let served =
            self.answer(client, (&mut request, noted), peer, setup, &mut record, &mut patience).await;
        let sent = match served {
            Ok(()) => patience.sent(client).await,
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

    /// Answers a head that was refused.
    pub async fn refuse(
        &self,
        client: &mut impl Downstream,
        refused: &Refused,
        peer: PeerInfo,
        deadline: &mut Deadline,
    ) {
        let mut record = RequestRecord { started: Instant::now(), class: None, status: None };
        let setup = self.setup.borrow();
        let mut patience = Patience::new(&setup.bounds, deadline);
        let reply = setup.refused(&refused.read, refused.refusal, peer);
        drop(setup);
        let answered = respond(client, reply, false, &mut record, &mut patience).await;
        if let (Ok(()), Some(status)) = (answered, record.status)
            && patience.sent(client).await.is_ok()
        {
            self.metrics.answered(None, status, record.started.elapsed());
        }
    }

    async fn answer(
        &self,
        client: &mut impl Downstream,
        (request, noted): (&mut RequestHead, Noted),
        peer: PeerInfo,
        setup: Guard<Arc<Setup>>,
        record: &mut RequestRecord,
        patience: &mut Patience<'_>,
    ) -> Result<()> {
        let head_only = request.method == Method::HEAD;
        // Checked and judged by one setup, which is not kept: a long answer must not keep it alive.
        let received = match setup.check(request, (noted, client.length()), peer) {
            Ok(received) => received,
            Err(reply) => {
                drop(setup);
                return respond(client, reply, head_only, record, patience).await;
            }
        };
        let mut judged = self.judge(&setup, request, &received, record);
        drop(setup);
        loop {
            let mut admitted = match judged {
                Ok(Some(admitted)) => admitted,
                // Other rules or another policy came into force in between: the request is judged by those.
                Ok(None) => {
                    judged = self.judge(&self.setup.borrow(), request, &received, record);
                    continue;
                }
                Err(reply) => return respond(client, reply, head_only, record, patience).await,
            };
            match self.deliver(client, request, &received, &mut admitted, record, patience).await {
                Ok(Delivered::Whole) => return Ok(()),
                // The request is judged again, and denied like any other.
                Ok(Delivered::Revoked) => {
                    judged = self.judge(&self.setup.borrow(), request, &received, record);
                }
                Err(error) => {
                    self.record_failure(&error, admitted.allowed.upstream.name());
                    let status = failure::status(&error).filter(|_| !client.has_begun());
                    let Some(status) = status else {
                        // Data that was passed on is sent, but not the end of the body.
                        let _ = patience.sent(client).await;
                        client.abort(false);
                        return Ok(());
                    };
                    let admission = &admitted.allowed.admission;
                    let to =
                        Recipient { request, own: &admission.shared.route.own, https: received.client.https };
                    let reply = Reply::failed(to, status, &admission.own.decision_id, admission.cors());
                    return respond(client, reply, head_only, record, patience).await;
                }
            }
        }
    }

    /// Answers an admitted request from memory, or forwards it for as long as the rules allow.
    async fn deliver(
        &self,
        client: &mut impl Downstream,
        request: &mut RequestHead,
        received: &Received,
        admitted: &mut Admitted,
        record: &mut RequestRecord,
        patience: &mut Patience<'_>,
    ) -> Result<Delivered> {
        if let BodyLength::Known(length) = received.length {
            failure::check_length(length, admitted.allowed.admission.shared.route.max_body)?;
        }
        if admitted.allowed.admission.shared.route.stream {
            patience.with_stream();
        }
        // A copy without tickets: if the request is judged again, it needs them.
        let mut bare = presented::stripped(request);
        let subprotocol = received.is_handshake().then(|| presented::subprotocol(&request.fields)).flatten();
        let request = bare.as_mut().unwrap_or(request);
        let Admitted { allowed, session, cache, tunnel_limits } = admitted;
        let Allowed { upstream, admission, .. } = &mut **allowed;
        let mut caching = CacheState::Bypass;
        if let Some(cache) = cache {
            match cache.begin(&asked(request, admission, upstream, received)).await {
                BegunLookup::Hit(hit) => return from_memory(client, &hit, request, admission, record),
                BegunLookup::Forward(goes) => caching = goes,
            }
            caching.add_validators(request);
        }
        let forwarded = {
            let outgoing = Outgoing {
                request,
                admission,
                client: &received.client,
                host: upstream.host(),
                length: received.length,
                is_handshake: received.is_handshake(),
            };
            let is_looked_at = matches!(caching, CacheState::Fill(_) | CacheState::Invalidate(_));
            let forward = ForwardRequest {
                outgoing,
                upstream,
                https: received.client.https,
                status: &mut record.status,
                asset: is_looked_at.then_some((&mut caching, asked(request, admission, upstream, received))),
            };
            let forwarding = self.forwarder.forward(client, forward, patience);
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
                        // No end is sent, so that the client sees the cut.
                        client.abort(true);
                        return Ok(Delivered::Whole);
                    }
                },
            }
        };
        match forwarded {
            Ok(Forwarded::Done) => Ok(Delivered::Whole),
            Ok(Forwarded::ServeCached(hit)) => {
                caching.restore_conditions(request);
                from_memory(client, &hit, request, admission, record)
            }
            Ok(Forwarded::Switched(switched)) => {
                // Only sessions have handshakes, so a missing session was revoked.
                let Some(session) = session.take() else { return Ok(Delivered::Revoked) };
                let handshake = Handshake {
                    switched: *switched,
                    subprotocol,
                    cookie: admission.own.answer.given.take().and_then(|given| given.cookie),
                    session,
                    limits: *tunnel_limits,
                    metrics: Arc::clone(&self.metrics),
                };
                Box::pin(handshake.open(client, patience)).await.map(|()| Delivered::Whole)
            }
            Err(error) if *error.esource() == ErrorSource::Upstream && !client.has_begun() => {
                let Some(hit) = caching.instead_of_an_error() else { return Err(error) };
                self.record_failure(&error, upstream.name());
                caching.restore_conditions(request);
                from_memory(client, &hit, request, admission, record)
            }
            Err(error) => Err(error),
        }
    }

    fn record_failure(&self, error: &Error, upstream: &str) {
        if *error.esource() == ErrorSource::Upstream {
            self.metrics.upstreams.failed(upstream, failure::kind(error));
            tracing::warn!(upstream, kind = failure::kind(error), cause = ?error.root_cause(), "upstream failed");
        } else {
            tracing::debug!(upstream, kind = error.etype().as_str(), "request ended early");
        }
    }
}

/// The request for the cache.
fn asked<'r>(
    request: &'r RequestHead,
    admission: &'r Admission,
    upstream: &'r Upstream,
    received: &Received,
) -> AssetRequest<'r> {
    AssetRequest {
        request,
        shared: &admission.shared,
        embedder: admission.own.verified.as_ref(),
        upstream: upstream.name(),
        https: received.client.https,
        length: received.length,
    }
}

/// Sends a reply, after the rest of a small body is read.
async fn respond(
    client: &mut impl Downstream,
    reply: Reply,
    head_only: bool,
    record: &mut RequestRecord,
    patience: &mut Patience<'_>,
) -> Result<()> {
    record.status = Some(reply.status().as_u16());
    if !reply.closes() && client.length() != BodyLength::Absent {
        // If it does not arrive in time, the connection is closed after the reply.
        let _ = patience.deadline.within(DRAIN, poll_fn(|context| client.poll_drained(context))).await;
    }
    client.reply(reply, head_only)
}

fn from_memory(
    client: &mut impl Downstream,
    hit: &Hit,
    request: &RequestHead,
    admission: &Admission,
    record: &mut RequestRecord,
) -> Result<Delivered> {
    let (head, body) = hit.answer(request, admission);
    record.status = Some(head.status.as_u16());
    client.head(head, body.is_empty())?;
    if !body.is_empty() {
        client.frame(Frame::Data(body), true)?;
    }
    Ok(Delivered::Whole)
}
