//! Refusals of the writer, as problem documents.

use http::StatusCode;
use http::header::{self, HeaderValue};

use super::problem::{ErrorPart, Problem};
use crate::rules::error::{BucketError, RuleFault, SaveError, StoreError};
use crate::rules::fleet::FleetError;

/// Seconds after which another try makes sense.
const RETRY_AFTER: &str = "1";

/// The refusal of one change.
pub(super) fn of_one(error: SaveError) -> Problem {
    let fault = match error.faults() {
        [] => return of_save(&error),
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

/// The refusal of an edit: of the change that it makes, or every fault of the document that it makes.
pub(super) fn of_edit(error: SaveError) -> Problem {
    const OF_THE_CHANGE: [&str; 7] = [
        "invalid_revision",
        "precondition_failed",
        "stale_revision",
        "unknown_revision",
        "unknown_widget",
        "would_open_widget",
        "would_restrict_widget",
    ];
    match error.faults() {
        [] => of_save(&error),
        [first, ..] if OF_THE_CHANGE.contains(&first.code) => of_one(error),
        faults => Problem::invalid_document(faults.iter().cloned().map(ErrorPart::from).collect()),
    }
}

/// What kept the writer from saving anything.
pub(super) fn of_save(error: &SaveError) -> Problem {
    let status = match error {
        SaveError::ReadOnly { .. } => StatusCode::CONFLICT,
        SaveError::AuditUnavailable { .. } | SaveError::HandedOver => StatusCode::SERVICE_UNAVAILABLE,
        SaveError::WideChange { wide, .. } => return Problem::wide_change(*wide, error.to_string()),
        SaveError::Storage(error) => return of_storage(error),
        SaveError::Bucket(error) => return of_bucket(error),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Problem::new(status, error.code(), error.to_string())
}

/// What kept the storage from reading or writing.
pub(super) fn of_storage(error: &StoreError) -> Problem {
    let (status, code) = match error {
        StoreError::Full { .. } | StoreError::NoRoomForCopy { .. } => {
            (StatusCode::INSUFFICIENT_STORAGE, error.code())
        }
        StoreError::Lent { .. } => (StatusCode::SERVICE_UNAVAILABLE, error.code()),
        StoreError::NoStore { .. } => (StatusCode::CONFLICT, error.code()),
        // Whatever it is, the operator finds it in the text and the caller can't do anything about it.
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "storage_failed"),
    };
    Problem::new(status, code, error.to_string())
}

/// What kept a change from being saved in the bucket of a fleet.
fn of_bucket(error: &BucketError) -> Problem {
    match error {
        BucketError::TooLarge { .. } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.code(), error.to_string())
        }
        BucketError::Unavailable { .. }
        | BucketError::Faulted { .. }
        | BucketError::Uncertain { .. }
        | BucketError::Contended { .. }
        | BucketError::NotInForce { .. } => unavailable(error.code(), error.to_string()),
    }
}

/// What kept an operator's decision about a fleet from being carried out.
pub(super) fn of_fleet(error: &FleetError) -> Problem {
    let (status, code) = match error {
        FleetError::Behind { .. } => (StatusCode::CONFLICT, "edge_ahead"),
        FleetError::Alive { .. } => (StatusCode::CONFLICT, "edge_alive"),
        FleetError::NoBucket { .. } => (StatusCode::NOT_FOUND, "no_bucket"),
        FleetError::UnknownEdge { .. } => (StatusCode::NOT_FOUND, "unknown_edge"),
        FleetError::Wide { touched } => return Problem::to_confirm(*touched, error.to_string()),
        FleetError::Unavailable { .. } => return unavailable("bucket_unavailable", error.to_string()),
        FleetError::Save(error) => return of_save(error),
    };
    Problem::new(status, code, error.to_string())
}

/// Something that may be right again soon.
fn unavailable(code: &'static str, detail: String) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
        .with_field(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER))
}

impl From<RuleFault> for ErrorPart {
    fn from(RuleFault { pointer, code, detail, .. }: RuleFault) -> Self {
        Self { pointer, code, detail, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn failures_of_the_storage_have_the_codes_that_are_documented() {
        let source = |kind: ErrorKind| Error::from(kind).into();
        let path = || "data/rules.redb".into();
        for (error, status, code) in [
            (
                StoreError::Unreadable { path: path(), source: source(ErrorKind::NotFound) },
                500,
                "storage_failed",
            ),
            (StoreError::Locked { path: path() }, 500, "storage_failed"),
            (StoreError::Lent { path: path() }, 503, "handed_over"),
            (StoreError::NoStore { name: "widgets.json".into() }, 409, "no_store"),
            (
                StoreError::NoRoomForCopy { path: path(), source: source(ErrorKind::StorageFull) },
                507,
                "storage_full",
            ),
        ] {
            let problem = of_storage(&error);
            assert_eq!((problem.status().as_u16(), problem.code()), (status, code), "{error}");
        }
    }
}
