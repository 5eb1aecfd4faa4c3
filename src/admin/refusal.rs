//! Why the writer refused, as an answer.

use http::StatusCode;

use super::problem::{ErrorPart, Problem};
use crate::rules::error::{RuleFault, RulesError};

/// The refusal of one change.
pub(super) fn of_one(error: RulesError) -> Problem {
    let fault = match error.faults() {
        [] => return of_storage(&error),
        [first, ..] => first.clone(),
    };
    let status = match fault.code {
        "stale_revision" => StatusCode::CONFLICT,
        "precondition_failed" => StatusCode::PRECONDITION_FAILED,
        "unknown_widget" => return Problem::unknown_widget(),
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, fault.code, fault.detail.clone()).with_errors(vec![ErrorPart::from(fault)])
}

/// What kept the writer from keeping anything.
pub(super) fn of_storage(error: &RulesError) -> Problem {
    let status = match error {
        RulesError::ReadOnly { .. } => StatusCode::CONFLICT,
        RulesError::AuditUnavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        RulesError::StorageFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
        RulesError::WideChange(wide) => return Problem::wide_change(*wide, error.to_string()),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.code(), error.to_string())
}

impl From<RuleFault> for ErrorPart {
    fn from(RuleFault { pointer, code, detail, .. }: RuleFault) -> Self {
        Self { pointer, code, detail, ..Self::default() }
    }
}
