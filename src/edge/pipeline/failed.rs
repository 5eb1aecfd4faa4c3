//! Replies to allowed requests that failed.

use std::sync::Arc;

use http::{StatusCode, header};
use jiff::Timestamp;
use pingora_core::{Error, ErrorSource};

use crate::edge::admission::judge::Allowed;
use crate::edge::admission::reply::{Recipient, Reply};
use crate::edge::admission::request::lines;
use crate::edge::forward::failure;
use crate::edge::http::message::RequestHead;
use crate::edge::http::trace_context::TraceId;
use crate::telemetry::shown_decisions::{ShownDecision, ShownOutcome, ShownTicket, ShownVerdict};
use embedgate_policy::origin::{Embedder, OriginBuf};
use embedgate_policy::verdict::Verdict;

/// The reply to an allowed request that failed with this error, at its upstream or in its own body. `arrived`: when the
/// request did.
pub(super) fn reply(
    request: &RequestHead,
    allowed: &Allowed,
    https: bool,
    (error, status): (&Error, StatusCode),
    arrived: Timestamp,
) -> Reply {
    let admission = &allowed.admission;
    let to = Recipient { request, own: &admission.shared.route.own, https };
    Reply::failed(to, status, &admission.own.decision_id, admission.cors())
        .about(shown(request, allowed, error, arrived))
}

/// The decision, which was of no interest until the request failed.
fn shown(request: &RequestHead, allowed: &Allowed, error: &Error, arrived: Timestamp) -> Arc<ShownDecision> {
    let (shared, own) = (&allowed.admission.shared, &allowed.admission.own);
    let opened_by = own.opened_by().and_then(|page| OriginBuf::parse(page.to_str().ok()?).ok());
    let is_upstream_s = *error.esource() == ErrorSource::Upstream;
    let verdict = ShownVerdict {
        widget: Some(shared.widget.clone()),
        class: shared.route.class,
        verdict: Verdict::Allow,
        reason: own.reason,
        would_deny: own.would_deny,
        embedder: Embedder::identify(lines(request, header::ORIGIN), lines(request, header::REFERER)).into(),
        missing_denied: shared.route.missing_denied,
        ticket: opened_by.map_or(ShownTicket::Absent, ShownTicket::Valid),
        ticket_fault: None,
        near_miss: None,
        failure: is_upstream_s.then(|| (Arc::clone(allowed.upstream.shared_name()), failure::kind(error))),
    };
    let trace_id = TraceId::of(&request.fields);
    let (id, trace_id) = (own.decision_id.to_bytes(), trace_id.as_ref().map(TraceId::as_str));
    let outcome = ShownOutcome::Judged(verdict);
    Arc::new(ShownDecision::new(id, arrived, &request.method, trace_id, outcome))
}
