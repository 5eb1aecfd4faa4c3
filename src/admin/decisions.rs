//! `GET /v1/decisions/{id}`: a decision whose id somebody was shown, and what the rules in force say now.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, header};
use jiff::Timestamp;

use super::explain::with_limits;
use super::openapi::ReadProblems;
use super::problem::Problem;
use super::{Admin, blocking, refusal};
use crate::rules::fleet::{AnswersPeers, PeerQuestion};
use crate::telemetry::shown_decisions::{
    DecisionText, KEPT_DECISIONS, KEPT_FAILURES, KEPT_REFUSALS, ShownAnswer, ShownDecision, ShownEmbedder,
    ShownOutcome, ShownTicket, ShownVerdict,
};
use embedgate_policy::explain::{
    AskedBy, DecisionAnswer, Explanation, PastDecision, PastFailure, PastVerdict, explain,
};
use embedgate_policy::origin::Embedder;

/// Topic of the question to the other edges of a fleet.
const TOPIC: &str = "decision";

/// Time for other edges to answer.
const WITHIN: Duration = Duration::from_secs(1);

/// What other edges of a fleet are told of the decisions that this one keeps.
pub struct PeerDecisions(Weak<Admin>);

impl PeerDecisions {
    /// Answers from what this edge keeps, for as long as its admin listener is there.
    pub fn new(admin: &Arc<Admin>) -> Self {
        Self(Arc::downgrade(admin))
    }
}

impl AnswersPeers for PeerDecisions {
    fn answer(&self, topic: &str, body: &[u8], most: usize) -> Option<Vec<u8>> {
        let (admin, id) = (self.0.upgrade()?, str::from_utf8(body).ok()?);
        if topic != TOPIC {
            return None;
        }
        // `null` is an answer, too: this edge has no such decision.
        let answer = of_this_edge(&admin, id).ok()?;
        serde_json::to_vec(&answer).ok().filter(|json| json.len() <= most)
    }
}

/// Find a decision
///
/// A denial, refusal or failure shows a decision id. Tells what was decided then, and what the rules in force say of the
/// same request now, with the entry to add. Each edge keeps the last 10,000 denials, the last 2,000
/// failures of upstreams and the last 2,000 other ones, since its start. In a fleet the other edges are asked, too.
#[utoipa::path(
    get,
    path = "/v1/decisions/{id}",
    operation_id = "getDecision",
    tag = "verdicts",
    params(("id" = String, Path, description = "The decision's id")),
    responses((status = 200, description = "The decision, then and now", body = DecisionAnswer), ReadProblems),
)]
pub(super) async fn decision(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let json = found(&admin, &id).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json).into_response())
}

/// The decision, as JSON of a [`DecisionAnswer`]: this edge's, or another's of the fleet.
pub(super) async fn found(admin: &Arc<Admin>, id: &str) -> Result<Vec<u8>, Problem> {
    let (asked, own) = (id.to_owned(), Arc::clone(admin));
    match blocking(move || of_this_edge(&own, &asked)).await? {
        Some(answer) => serde_json::to_vec(&answer).map_err(|error| Problem::internal(error.to_string())),
        None => of_another_edge(admin, id).await.map_err(|missing| unknown(id, &missing)),
    }
}

/// The decision as another edge of the fleet tells it; else those that did not answer.
async fn of_another_edge(admin: &Admin, id: &str) -> Result<Vec<u8>, BTreeSet<String>> {
    let is_id = DecisionText::try_from(id.as_bytes()).is_ok();
    let Some(fleet) = admin.fleet.as_ref().filter(|_| is_id) else { return Err(BTreeSet::new()) };
    let asked = fleet.ask(PeerQuestion { topic: TOPIC, body: id.into() }, WITHIN).await;
    asked.answers.into_values().find(|answer| answer != b"null").ok_or(asked.missing)
}

/// The decision, if this edge has it. Waits for the disk.
fn of_this_edge(admin: &Admin, id: &str) -> Result<Option<DecisionAnswer>, Problem> {
    let text = DecisionText::try_from(id.to_ascii_lowercase().as_bytes()).ok();
    let Some(ShownAnswer { status, decision }) = text.and_then(|text| admin.decisions.shown().find(&text))
    else {
        return Ok(None);
    };
    let now = decision.verdict().map(|verdict| judged_now(admin, verdict)).transpose()?.flatten();
    Ok(Some(DecisionAnswer { decision: past(&decision, status), now }))
}

/// What the rules in force say of the request.
fn judged_now(admin: &Admin, verdict: &ShownVerdict) -> Result<Option<Explanation>, Problem> {
    let (Some(id), Some(facts)) = (verdict.widget(), verdict.facts()) else { return Ok(None) };
    let widget = admin.publisher.documents().get(id).map_err(|error| refusal::of_storage(&error))?;
    let policy = admin.policy.load();
    let explanation = explain(id, &facts, widget.as_ref(), &policy, Timestamp::now());
    Ok(Some(with_limits(admin, explanation, &facts, widget.as_ref(), &policy)))
}

fn past(decision: &ShownDecision, status: u16) -> PastDecision {
    let (refused, judged) = match &decision.outcome {
        ShownOutcome::Refused(detail) => (Some(detail.concat()), None),
        ShownOutcome::Judged(verdict) => (None, Some(past_verdict(verdict))),
    };
    PastDecision {
        time: decision.time,
        decision_id: decision.id().to_owned(),
        status,
        method: decision.method.as_ref().map(Method::to_string),
        trace_id: decision.trace_id.clone(),
        refused,
        judged,
    }
}

fn past_verdict(verdict: &ShownVerdict) -> PastVerdict {
    let failure = verdict.failure.as_ref();
    PastVerdict {
        widget: verdict.widget().map(str::to_owned),
        class: verdict.class,
        verdict: verdict.verdict,
        reason: verdict.reason,
        would_deny: verdict.would_deny,
        embedder: asked_by(&verdict.embedder),
        opened_by: match &verdict.ticket {
            ShownTicket::Valid(page) => Some(page.to_string()),
            ShownTicket::Absent | ShownTicket::Invalid | ShownTicket::Expired => None,
        },
        ticket_fault: verdict.ticket_fault.map(Cow::Borrowed),
        near_miss: verdict.near_miss.clone(),
        failure: failure.map(|(upstream, kind)| PastFailure {
            upstream: upstream.to_string(),
            kind: Cow::Borrowed(kind),
        }),
    }
}

fn asked_by(embedder: &ShownEmbedder) -> AskedBy {
    match embedder {
        ShownEmbedder::Absent => Embedder::Absent.into(),
        ShownEmbedder::Opaque(origin) => Embedder::Opaque(*origin).into(),
        ShownEmbedder::Malformed(error) => Embedder::Malformed(*error).into(),
        ShownEmbedder::Known(origin) => AskedBy::Known { origin: origin.to_string() },
        ShownEmbedder::Long(beginning) => AskedBy::Known { origin: format!("{beginning}...") },
    }
}

fn unknown(id: &str, missing: &BTreeSet<String>) -> Problem {
    let silent = match missing.is_empty() {
        true => String::new(),
        false => {
            let names: Vec<&str> = missing.iter().map(String::as_str).collect();
            format!(" These edges did not answer: {}.", names.join(", "))
        }
    };
    let detail = match DecisionText::try_from(id.as_bytes()) {
        Ok(_) => format!(
            "no edge that was asked has such a decision in memory: each keeps the last {KEPT_DECISIONS} denials and \
             {KEPT_FAILURES} failures of upstreams since its start, and the last {KEPT_REFUSALS} other ones.{silent} The logs of decisions and requests on standard output name it, if they were on: search \
             them for the id"
        ),
        Err(_) => "a decision id has 36 characters, such as 01939b1c-2f6e-7cc3-98c4-dc0c0c07398f".to_owned(),
    };
    Problem::new(StatusCode::NOT_FOUND, "unknown_decision", detail)
}
