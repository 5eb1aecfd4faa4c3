//! `POST /v1/batch`: many changes in one swap, all or nothing.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use futures_util::StreamExt;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Writer;
use super::enforcement::{FleetShare, FleetWait, WaitQuery};
use super::input::{self, NDJSON, Parameters};
use super::openapi::{BatchLine, WriteProblems};
use super::problem::{ErrorPart, Problem};
use super::{Admin, blocking, refusal};
use crate::rules::change::{Absent, ApplyOptions, Stale};
use crate::rules::error::SaveError;
use crate::rules::publisher::{BatchTrial, Published};

mod lines;

use lines::Lines;

const LARGEST: usize = 64 << 20;

/// Query of a batch.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// What to do with lines whose revision is not above the stored one.
    #[serde(default)]
    #[param(inline, required = false)]
    stale: StaleLines,
    /// Replace all widgets: those that the batch does not name are deleted.
    #[serde(default)]
    #[param(required = false)]
    replace: bool,
    /// Only say what the batch would do, and whether it would have to be confirmed. A read token is enough.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
    /// Confirms a wide change (`wide_change`): the largest number of widgets that it may touch.
    #[param(nullable = false, maximum = 18446744073709551615_u64)]
    confirm: Option<usize>,
    /// The bucket of a fleet may take the batch in several pieces, each whole or not at all. Without this, a batch that is
    /// larger than the bucket takes at once is refused.
    #[serde(default)]
    #[param(required = false)]
    chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StaleLines {
    /// Refuse the batch.
    #[default]
    Refuse,
    /// Skip these lines.
    Skip,
}

impl From<BatchQuery> for ApplyOptions {
    fn from(query: BatchQuery) -> Self {
        Self {
            stale: match query.stale {
                StaleLines::Refuse => Stale::Refuse,
                StaleLines::Skip => Stale::Skip,
            },
            absent: if query.replace { Absent::Delete } else { Absent::Keep },
            chunked: query.chunked,
        }
    }
}

/// Result of a batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchResult {
    /// The version of the rule book with these changes.
    generation: u64,
    /// Lines that changed something.
    applied: usize,
    /// Lines that changed nothing, because the widget was already so.
    unchanged: usize,
    /// Lines that were skipped, because their revision was not above the stored one.
    skipped: usize,
    /// Widgets that were deleted because the batch does not name them.
    removed: usize,
    #[serde(flatten)]
    share: FleetShare,
}

/// Answer to a batch: what it has done, or with `dry_run` what it would do.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BatchAnswer {
    Applied(BatchResult),
    Tried(BatchTrial),
}

/// Save and delete many widgets
///
/// One change per line, a widget's document, `{"put": {...}}` or `{"delete": {"id": ..., "revision": ...}}`, up to 64 MiB
/// and 100,000 lines. All changes come into force with one swap, or none does; then `errors` lists the errors of
/// each line. A batch over 256 KiB has to arrive within 5 minutes. A batch that would touch many widgets at once is refused with
/// `wide_change` until `confirm` states the number of them, and a `replace` without a line always is. With `dry_run=true`
/// nothing is changed.
///
/// The bucket of a fleet takes a batch whole or not at all, and one that is larger than its limit (413 `too_large`) only with
/// `chunked=true`: then it comes into force piece by piece.
#[utoipa::path(
    post,
    path = "/v1/batch",
    operation_id = "applyBatch",
    tag = "widgets",
    params(BatchQuery, WaitQuery),
    request_body(content = BatchLine, content_type = "application/x-ndjson", description = "One JSON object per line"),
    responses(
        (status = 200, description = "In force, or tried", body = BatchAnswer),
        (status = 202, description = "In force; the edges in `behind` do not enforce it yet", body = BatchResult),
        WriteProblems,
    ),
)]
pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<BatchQuery>,
    wait: FleetWait,
    request: Request,
) -> Result<(StatusCode, Json<BatchAnswer>), Problem> {
    if query.dry_run {
        wait.refused_for("a dry run")?;
    }
    let (mut parts, body) = request.into_parts();
    let writer = match query.dry_run {
        true => None,
        false => Some(Writer::from_request_parts(&mut parts, &()).await?),
    };
    let request = Request::from_parts(parts, body);
    let length = input::stated_length(request.headers()).unwrap_or(LARGEST);
    let body = input::checked(request, NDJSON, LARGEST)?;
    let turn = admin.bounds.turn(length).await?;
    let lines = turn.receive(lines(body, Lines::new(Arc::clone(&admin.suffixes)))).await?;
    let actor = writer.map(|Writer(caller)| caller.actor());
    let for_work = Arc::clone(&admin);
    let done = blocking(move || {
        let admin = for_work;
        // To the end of the work, even if the caller leaves.
        let _turn = turn;
        let parsed = lines.finish()?;
        let options = ApplyOptions::from(query);
        if !parsed.errors.is_empty() {
            // The writer's errors about the other lines are added, so that one round is enough to fix all.
            let others = admin.publisher.live().load_full().apply(&parsed.changes, options);
            let mut errors = parsed.errors;
            let faults = others.err().into_iter().flatten().map(Into::into);
            errors.extend(faults.map(|fault| parsed.numbers.locate(fault)));
            return Err(refused(errors).with_omitted(parsed.errors_omitted));
        }
        let (changes, numbers) = (parsed.changes, parsed.numbers);
        let failed = |error: SaveError| match error {
            SaveError::Invalid(faults) => {
                refused(faults.into_iter().map(|fault| numbers.locate(fault)).collect())
            }
            error => refusal::of_save(&error),
        };
        let Some(actor) = actor else {
            let tried = admin.publisher.try_batch(changes, options).map_err(failed)?;
            return Ok(BatchDone::Tried(tried));
        };
        let published = admin.publisher.apply_confirmed(changes, options, query.confirm, actor);
        published.map(BatchDone::Published).map_err(failed)
    })
    .await?;
    let published = match done {
        BatchDone::Tried(tried) => return Ok((StatusCode::OK, Json(BatchAnswer::Tried(tried)))),
        BatchDone::Published(published) => published,
    };
    let share = wait.until_enforced(&admin, &published).await;
    let status = share.status(StatusCode::OK);
    Ok((status, Json(BatchAnswer::Applied(BatchResult::of(&published, share)))))
}

/// Batch that was done.
enum BatchDone {
    Tried(BatchTrial),
    Published(Published),
}

impl BatchResult {
    fn of(published: &Published, share: FleetShare) -> Self {
        Self {
            generation: published.generation,
            applied: published.applied(),
            unchanged: published.unchanged(),
            skipped: published.skipped(),
            removed: published.removed,
            share,
        }
    }
}

/// The lines of a body. They are parsed as it arrives, so that only parsed changes take memory.
async fn lines(body: Body, mut lines: Lines) -> Result<Lines, Problem> {
    let (mut body, mut total) = (body.into_data_stream(), 0usize);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| input::torn(&error))?;
        total += chunk.len();
        if total > LARGEST {
            return Err(Problem::too_large(LARGEST, "the body"));
        }
        lines.take(&chunk)?;
    }
    Ok(lines)
}

fn refused(mut errors: Vec<ErrorPart>) -> Problem {
    errors.sort_by_key(|error| error.line);
    let opens = errors.iter().any(|error| error.code == "would_open_widget");
    Problem::refused_batch(if opens { "would_open_widget" } else { "invalid_document" }, errors)
}
