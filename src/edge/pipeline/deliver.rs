//! Delivery of an admitted request: from memory, from its upstream, or by a tunnel.

use std::sync::Arc;

use pingora_core::{ErrorSource, Result};

use super::Pipeline;
use super::admit::{Admitted, Received};
use super::downstream::Downstream;
use super::record::{AnswerEnd, RequestRecord};
use crate::edge::admission::judge::Allowed;
use crate::edge::admission::terms::Admission;
use crate::edge::admission::tickets::presented;
use crate::edge::cache::{AssetRequest, BegunLookup, CacheState, Hit};
use crate::edge::forward::exchange::head::Outgoing;
use crate::edge::forward::exchange::{ForwardRequest, Forwarded, Naming};
use crate::edge::forward::failure;
use crate::edge::forward::upstream::Upstream;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::message::RequestHead;
use crate::edge::patience::Patience;
use crate::edge::session::opening::Handshake;
use crate::edge::session::registry::SessionGuard;

/// Outcome of an admitted request.
pub(super) enum Delivered {
    /// The request is answered, as far as possible.
    Whole,
    /// A change of the rules revoked a tunnel before anything was answered.
    Revoked,
}

impl Pipeline {
    /// Answers an admitted request from memory, or forwards it for as long as the rules allow.
    pub(super) async fn deliver(
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
        // A copy without tickets and cookies of the edge's own: if the request is judged again, it needs them.
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
                naming: session.as_ref().map(|session| self.naming(session)),
                https: received.client.https,
                report: &mut record.report,
                asset: is_looked_at.then_some((&mut caching, asked(request, admission, upstream, received))),
            };
            let forwarding = self.forwarder.forward(client, forward, patience);
            match &*session {
                None => forwarding.await,
                Some(session) => tokio::select! {
                    biased;
                    forwarded = forwarding => forwarded,
                    at = session.revocation().revoked() => {
                        self.metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
                        if received.is_handshake() && !client.has_begun() {
                            return Ok(Delivered::Revoked);
                        }
                        record.ended(AnswerEnd::Revoked);
                        // No end is sent, so that the client sees the cut.
                        record.cut(client, true);
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
                let mut line = self.tunnel_line(request, received, admission, upstream, record);
                let handshake = Handshake {
                    switched: *switched,
                    line: &mut line,
                    subprotocol,
                    cookie: admission.own.answer.given.take().and_then(|given| given.cookie),
                    session,
                    limits: *tunnel_limits,
                    metrics: Arc::clone(&self.metrics),
                };
                let opened = Box::pin(handshake.open(client, patience)).await;
                match opened {
                    Ok(true) => record.is_tunnel = true,
                    Ok(false) => record.ended(AnswerEnd::Revoked),
                    Err(error) => return Err(error),
                }
                Ok(Delivered::Whole)
            }
            Err(error) if *error.esource() == ErrorSource::Upstream && !client.has_begun() => {
                let Some(hit) = caching.instead_of_an_error() else { return Err(error) };
                self.note_failure(&error, upstream.name(), &admission.own.decision_id, record);
                caching.restore_conditions(request);
                from_memory(client, &hit, request, admission, record)
            }
            Err(error) => Err(error),
        }
    }
}

impl Pipeline {
    fn naming<'a>(&'a self, session: &'a SessionGuard) -> Naming<'a> {
        Naming { session, remembered: &self.remembered, setup: &self.setup }
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
        embedder: admission.own.verified(),
        upstream: upstream.name(),
        https: received.client.https,
        length: received.length,
    }
}

fn from_memory(
    client: &mut impl Downstream,
    hit: &Hit,
    request: &RequestHead,
    admission: &Admission,
    record: &mut RequestRecord,
) -> Result<Delivered> {
    let (head, body) = hit.answer(request, admission);
    (record.report.status, record.report.bytes) = (Some(head.status.as_u16()), body.len() as u64);
    client.head(head, body.is_empty())?;
    if !body.is_empty() {
        client.frame(Frame::Data(body), true)?;
    }
    Ok(Delivered::Whole)
}
