//! `GET /v1/backup`: a copy of the running store.

use std::io::Read;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{self, HeaderValue};
use jiff::Timestamp;

use super::openapi::{BackupProblems, StoreFile};
use super::problem::Problem;
use super::{Admin, blocking, refusal};
use crate::files::temporary::TemporaryFile;

/// Bytes that are read at once.
const PIECE: u64 = 256 * 1024;

/// Copy the store
///
/// A consistent copy of the running store, with everything that was answered before this call: widgets, deletions and
/// history. Saves go on meanwhile. Not in it is a kill switch that was answered with `"durable": false` and could not be kept
/// yet. `embedgate restore` puts it back. One copy is made at a time.
#[utoipa::path(
    get,
    path = "/v1/backup",
    operation_id = "backup",
    tag = "edge",
    responses(
        (
            status = 200, description = "The store's file", content_type = "application/octet-stream", body = StoreFile,
            headers(
                ("Content-Disposition" = String, description = "A name for the file"),
                ("Content-Length" = u64, description = "Its length"),
            )
        ),
        BackupProblems,
    ),
)]
pub(super) async fn backup(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let Some(path) = admin.backup_path.clone() else {
        let detail =
            "rules do not come from a store here, so there is none to copy: copy the rules file instead";
        return Err(Problem::new(StatusCode::CONFLICT, "no_store", detail));
    };
    let turn = admin.bounds.backup()?;
    let (file, length, turn) = blocking(move || {
        let file = TemporaryFile::at(path).map_err(|error| unwritable(&error))?;
        admin.publisher.backup(file.path()).map_err(|error| refusal::of_storage(&error))?;
        let (file, length) = file.open().map_err(|error| unwritable(&error))?;
        Ok((file, length, turn))
    })
    .await?;
    let pieces = stream::try_unfold((file, turn), |(mut file, turn)| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = Vec::new();
            let read = file.by_ref().take(PIECE).read_to_end(&mut piece);
            read.map(|_| (piece, file))
        });
        let (piece, file) = read.await.map_err(std::io::Error::other)??;
        let more = (!piece.is_empty()).then(|| (Bytes::from(piece), (file, turn)));
        Ok::<_, std::io::Error>(more)
    });
    let name =
        Timestamp::now().strftime("attachment; filename=\"embedgate-%Y%m%dT%H%M%SZ.redb\"").to_string();
    let name = HeaderValue::try_from(name).unwrap_or(HeaderValue::from_static("attachment"));
    let fields = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (header::CONTENT_DISPOSITION, name),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((fields, Body::from_stream(pieces)).into_response())
}

/// The copy can't be written or read where the store is.
fn unwritable(error: &std::io::Error) -> Problem {
    let detail = format!("the copy can't be made beside the store: {error}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "storage_failed", detail)
}
