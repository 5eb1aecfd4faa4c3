//! Pipeline of requests, over any protocol: check → route → judge → reply, or the cache, an upstream or a
//! tunnel → record. Each step exists once, here or in its own module.
//!
//! The type of a request is its state: [`admit::Received`] after the checks, `Routed` with a route, and
//! [`admit::Admitted`] after the verdict.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::Guard;
use http::{Method, StatusCode};
use pingora_core::{Error, ErrorSource, Result};
use tokio::time::{Instant, timeout_at};

use super::admission::decision_id::DecisionId;
use super::admission::judge::VerdictRecorder;
use super::admission::reply::Reply;
use super::admission::request::Noted;
use super::forward::exchange::Forwarder;
use super::forward::failure;
use super::http::body::BodyLength;
use super::http::http1::head::Refused;
use super::http::limits::DRAIN;
use super::patience::Patience;
use super::pipeline::downstream::Downstream;
use super::session::registry::SessionRegistry;
use super::setup::{LiveSetup, Setup};
use crate::edge::http::message::RequestHead;
use crate::limits::limiter::Limiter;
use crate::limits::shares::ShareWait;
use crate::notifications::remembered::RememberedSessions;
use crate::pacing::deadline::Deadline;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::request_log::RequestLog;
use crate::telemetry::shown_decisions::ShownAnswer;

mod admit;
mod calls;
mod deliver;
pub(super) mod downstream;
mod failed;
mod record;

use admit::Admittance;
use deliver::Delivered;
use record::{AnswerEnd, RequestRecord};

/// Longest time that one request waits for larger shares of limits, in a fleet.
const MOST_WAITING: Duration = Duration::from_millis(250);

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
    /// The recorder of verdicts.
    pub verdicts: VerdictRecorder,
    /// The counter of what is opened, on widgets with limits.
    pub limiter: Arc<Limiter>,
    /// Sessions that have left the edge.
    pub remembered: Arc<RememberedSessions>,
    /// The request log.
    pub requests: Arc<RequestLog>,
}

/// Peer of a connection.
#[derive(Clone, Copy, Debug)]
pub struct PeerInfo {
    /// The address that opened it.
    pub address: Option<IpAddr>,
    /// Whether the connection is encrypted.
    pub tls: bool,
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
        let mut record = RequestRecord::begin();
        let setup = self.setup.borrow();
        let mut patience = Patience::new(&setup.bounds, deadline);
        let served =
            self.answer(client, (&mut request, noted), peer, setup, &mut record, &mut patience).await;
        let sent = match served {
            Ok(()) => patience.sent(client).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            record.ended(AnswerEnd::of(&error));
            record.cut(client, false);
            tracing::debug!(kind = error.etype().as_str(), "request ended early");
        }
        let is_answered =
            client.has_begun() || record.report.status == Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        self.record(&record, is_answered, &request, peer);
    }

    /// Answers a head that was refused.
    pub async fn refuse(
        &self,
        client: &mut impl Downstream,
        refused: &Refused,
        peer: PeerInfo,
        deadline: &mut Deadline,
    ) {
        let mut record = RequestRecord::begin();
        let setup = self.setup.borrow();
        let mut patience = Patience::new(&setup.bounds, deadline);
        let reply = setup.refused(&refused.read, refused.refusal, peer);
        drop(setup);
        let answered = self.respond(client, reply, false, &mut record, &mut patience).await;
        let sent = match answered {
            Ok(()) => patience.sent(client).await,
            Err(error) => Err(error),
        };
        if let Err(error) = &sent {
            record.ended(AnswerEnd::of(error));
        }
        self.record(&record, sent.is_ok(), &refused.read, peer);
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
                return self.respond(client, reply, head_only, record, patience).await;
            }
        };
        let mut waits_until = None;
        let may_wait = |until: Option<Instant>| until.is_none_or(|until| Instant::now() < until);
        let mut judged = self.judge(&setup, request, &received, true, record);
        drop(setup);
        loop {
            let mut admitted = match judged {
                Ok(Admittance::Admitted(admitted)) => admitted,
                // Other rules or another policy came into force in between: the request is judged by those.
                Ok(Admittance::Overtaken) => {
                    judged =
                        self.judge(&self.setup.borrow(), request, &received, may_wait(waits_until), record);
                    continue;
                }
                Ok(Admittance::Waits(ShareWait(wait))) => {
                    let until = *waits_until.get_or_insert_with(|| Instant::now() + MOST_WAITING);
                    // Whoever has waited asks again, whatever has come.
                    let _ = timeout_at(until, wait).await;
                    judged =
                        self.judge(&self.setup.borrow(), request, &received, may_wait(waits_until), record);
                    continue;
                }
                Err(reply) => return self.respond(client, reply, head_only, record, patience).await,
            };
            match self.deliver(client, request, &received, &mut admitted, record, patience).await {
                Ok(Delivered::Whole) => {
                    record.allowed = Some(admitted.allowed);
                    return Ok(());
                }
                // The request is judged again, and denied like any other.
                Ok(Delivered::Revoked) => {
                    // Its session must not be in its own way where others are limited.
                    drop(admitted);
                    judged =
                        self.judge(&self.setup.borrow(), request, &received, may_wait(waits_until), record);
                }
                Err(error) => {
                    let allowed = admitted.allowed;
                    let decision_id = &allowed.admission.own.decision_id;
                    self.note_failure(&error, allowed.upstream.name(), decision_id, record);
                    let status = failure::status(&error).filter(|_| !client.has_begun());
                    let reply = status.map(|status| {
                        let https = received.client.https;
                        failed::reply(request, &allowed, https, (&error, status), record.arrived())
                    });
                    record.allowed = Some(allowed);
                    let Some(reply) = reply else {
                        // Data that was passed on is sent, but not the end of the body.
                        let _ = patience.sent(client).await;
                        record.ended(AnswerEnd::of(&error));
                        record.cut(client, false);
                        return Ok(());
                    };
                    return self.respond(client, reply, head_only, record, patience).await;
                }
            }
        }
    }

    /// Sends a reply, after the rest of a small body is read.
    async fn respond(
        &self,
        client: &mut impl Downstream,
        reply: Reply,
        head_only: bool,
        record: &mut RequestRecord,
        patience: &mut Patience<'_>,
    ) -> Result<()> {
        let status = reply.status().as_u16();
        (record.report.status, record.report.bytes) = (Some(status), reply.length() as u64);
        if head_only {
            record.report.bytes = 0;
        }
        // Before it is sent: whoever was shown an id may ask about it at once.
        if let Some(decision) = reply.shown() {
            let decision = Arc::clone(decision);
            record.shown = Some(Arc::clone(&decision));
            self.verdicts.keep_shown(ShownAnswer { status, decision });
        }
        if !reply.closes() && client.length() != BodyLength::Absent {
            // If it does not arrive in time, the connection is closed after the reply.
            let _ = patience.deadline.within(DRAIN, poll_fn(|context| client.poll_drained(context))).await;
        }
        client.reply(reply, head_only)
    }

    fn note_failure(
        &self,
        error: &Error,
        upstream: &str,
        decision_id: &DecisionId,
        record: &mut RequestRecord,
    ) {
        if *error.esource() == ErrorSource::Upstream {
            let (kind, cause) = (failure::kind(error), failure::cause(error));
            self.metrics.upstreams.failed(upstream, kind);
            record.failure = Some(kind);
            tracing::warn!(upstream, decision_id = decision_id.as_str(), kind, cause, "upstream failed");
        } else {
            tracing::debug!(upstream, kind = error.etype().as_str(), "request ended early");
        }
    }
}
