//! `POST /v1/rules/apply`: the rules file is read again and put in force, though it touches many widgets.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::auth::Writer;
use super::enforcement::{FleetWait, WaitQuery};
use super::input::Parameters;
use super::openapi::ApplyProblems;
use super::problem::{ErrorPart, Problem};
use super::{Admin, blocking, refusal};
use crate::rules::change::ChangedWidget;
use crate::rules::error::{FaultList, RuleFault, RulesError, SaveError, SourceError};

/// Query of an application of the rules file.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RulesFileQuery {
    /// Confirms a wide change (`wide_change`): the largest number of widgets that it may touch.
    #[param(nullable = false, maximum = 18446744073709551615_u64)]
    confirm: Option<usize>,
}

/// Rules of the file in force.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppliedFile {
    /// The version of the rule book in force.
    generation: u64,
    /// Widgets that are new.
    created: usize,
    /// Widgets that have changed.
    updated: usize,
    /// Widgets that are gone, because the file does not have them any more.
    deleted: usize,
    /// Widgets that are as they were.
    unchanged: usize,
}

/// Apply the rules file
///
/// Reads the rules file, or the folder of them, as it is now, and puts it in force. An edit of the file does so by itself,
/// unless it would touch many widgets at once: then the rules in force stay, `/v1/status` tells of it, and this call
/// confirms it. A file with errors changes nothing. Rules of a file are this edge's alone, so with `wait=fleet` there is nobody
/// else to wait for.
#[utoipa::path(
    post,
    path = "/v1/rules/apply",
    operation_id = "applyRulesFile",
    tag = "edge",
    params(RulesFileQuery, WaitQuery),
    responses((status = 200, description = "In force", body = AppliedFile), ApplyProblems),
)]
pub(super) async fn apply(
    Writer(caller): Writer,
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<RulesFileQuery>,
    _: FleetWait,
) -> Result<Json<AppliedFile>, Problem> {
    let Some(file) = admin.rules_file.clone() else {
        let detail = "rules do not come from a file here, so there is none to apply: change widgets by the API, or set \
                      rules.source to \"file\"";
        return Err(Problem::new(StatusCode::CONFLICT, "no_rules_file", detail));
    };
    let actor = caller.actor();
    blocking(move || {
        let published = file.apply(query.confirm, actor).map_err(|error| refused(&error))?;
        let count = |which: fn(&ChangedWidget) -> bool| {
            published.changed.iter().filter(|changed| which(changed)).count()
        };
        Ok(Json(AppliedFile {
            generation: published.generation,
            created: count(|changed| changed.before.is_none()),
            updated: count(|changed| changed.before.is_some() && changed.after.is_some()),
            deleted: count(|changed| changed.after.is_none()),
            unchanged: published.unchanged(),
        }))
    })
    .await
}

/// What kept a rules file from being put in force.
fn refused(error: &RulesError) -> Problem {
    match error {
        RulesError::Source(SourceError::Invalid(faults)) | RulesError::Save(SaveError::Invalid(faults)) => {
            faulty(faults)
        }
        RulesError::Source(error) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.code(), error.to_string())
        }
        RulesError::Save(error) => refusal::of_save(error),
        RulesError::Store(error) => refusal::of_storage(error),
    }
}

/// The faults of the file, each with its place in it.
fn faulty(faults: &FaultList) -> Problem {
    let part = |fault: &RuleFault| ErrorPart {
        pointer: fault.pointer.clone(),
        code: fault.code,
        detail: match &fault.place {
            Some(place) => format!("{place}: {}", fault.detail),
            None => fault.detail.clone(),
        },
        ..ErrorPart::default()
    };
    let parts: Vec<ErrorPart> = faults.into_iter().map(part).collect();
    let detail = match parts.as_slice() {
        [only] => only.detail.clone(),
        several => format!("nothing was changed: {} errors, see `errors`", several.len()),
    };
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_document", detail).with_errors(parts)
}
