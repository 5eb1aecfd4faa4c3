//! `POST /v1/batch`: many changes, one swap, all or nothing.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Writer;
use super::input::{self, NDJSON, Parameters};
use super::openapi::{BatchLine, WriteProblems};
use super::problem::{ErrorPart, Problem};
use super::{Admin, blocking, refusal};
use crate::policy::widget::WidgetId;
use crate::rules::change::{Absent, ApplyOptions, ChangedWidget, Stale};
use crate::rules::error::RulesError;

mod lines;

use lines::Lines;

const LARGEST: usize = 64 << 20;

/// How the batch is taken.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// What becomes of lines whose revision is not above the stored one.
    #[serde(default)]
    #[param(inline, required = false)]
    stale: StaleLines,
    /// Make the rule book exactly this: widgets that are not named are deleted.
    #[serde(default)]
    #[param(required = false)]
    replace: bool,
    /// How many widgets it may change at most where that has to be confirmed (`wide_change`): a `replace` that leaves
    /// no widget at all.
    #[param(nullable = false, maximum = 18446744073709551615_u64)]
    confirm: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum StaleLines {
    /// They are errors, and with them the batch.
    #[default]
    Refuse,
    /// They are left out.
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
        }
    }
}

/// What became of the batch.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    /// The version of the rule book that holds it.
    generation: u64,
    /// Lines that made a difference.
    applied: usize,
    /// Lines that found everything as they wanted it.
    unchanged: usize,
    /// Lines that came too late and were left out.
    skipped: usize,
    /// Widgets that were deleted because the batch does not name them.
    removed: usize,
}

/// Save and delete many widgets
///
/// One change a line, `{"put": {...}}` or `{"delete": {"id": ..., "revision": ...}}`, up to 64 MiB and 100,000 lines.
/// All come in force with one swap, or none does; then `errors` lists what is wrong with which line. A `replace` that
/// leaves no widget has to be confirmed by the number of those that it deletes.
#[utoipa::path(
    post,
    path = "/v1/batch",
    operation_id = "applyBatch",
    tag = "widgets",
    params(BatchQuery),
    request_body(content = BatchLine, content_type = "application/x-ndjson", description = "One JSON object a line"),
    responses((status = 200, description = "In force", body = Applied), WriteProblems),
)]
pub(super) async fn apply(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<BatchQuery>,
    request: Request,
) -> Result<Json<Applied>, Problem> {
    let mut body = input::checked(request, NDJSON, LARGEST)?.into_data_stream();
    let (mut lines, mut total) = (Lines::new(Arc::clone(&admin.suffixes)), 0usize);
    // Read line by line as it comes: what is kept is what was understood.
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| input::torn(&error))?;
        total += chunk.len();
        if total > LARGEST {
            return Err(Problem::too_large(LARGEST, "the body"));
        }
        lines.take(&chunk)?;
    }
    let actor = caller.actor();
    blocking(move || {
        let parsed = lines.finish()?;
        let options = ApplyOptions::from(query);
        if !parsed.errors.is_empty() {
            // What the writer would say about the others is told as well: one round is enough to mend all.
            let others = admin.publisher.live().load_full().apply(&parsed.changes, options);
            let mut errors = parsed.errors;
            let faults = others.err().into_iter().flatten().map(Into::into);
            errors.extend(faults.map(|fault| parsed.numbers.locate(fault)));
            return Err(refused(errors).with_omitted(parsed.errors_omitted));
        }
        let (changes, numbers) = (parsed.changes, parsed.numbers);
        let named: HashSet<WidgetId> = match query.replace {
            true => changes.iter().map(|change| change.id().clone()).collect(),
            false => HashSet::new(),
        };
        let published = admin.publisher.apply_confirmed(changes, options, query.confirm, actor);
        let published = published.map_err(|error| match error {
            RulesError::Invalid { faults } => {
                refused(faults.into_iter().map(|fault| numbers.locate(fault)).collect())
            }
            error => refusal::of_storage(&error),
        })?;
        let unnamed = |changed: &&ChangedWidget| changed.after.is_none() && !named.contains(&changed.id);
        let removed = published.changed.iter().filter(unnamed).count();
        Ok(Json(Applied {
            generation: published.generation,
            applied: published.applied(),
            unchanged: published.unchanged(),
            skipped: published.skipped(),
            removed: if query.replace { removed } else { 0 },
        }))
    })
    .await
}

fn refused(mut errors: Vec<ErrorPart>) -> Problem {
    errors.sort_by_key(|error| error.line);
    let opens = errors.iter().any(|error| error.code == "would_open_widget");
    Problem::refused_batch(if opens { "would_open_widget" } else { "invalid_document" }, errors)
}
