//! `/v1/notifications`: what is on its way to the receiver of webhooks, and what was given up.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::auth::Writer;
use super::input::Parameters;
use super::openapi::{NotificationProblems, ReadProblems};
use super::problem::Problem;
use super::widgets::within;
use crate::notifications::outbox::{DeadLetters, LetterPlace, NotSent, OutboxState, ShownLetter};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// Query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct NotificationsQuery {
    /// The largest number of dead letters on the page.
    #[param(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<usize>,
    /// The `next` of the page before. Left out: the first page.
    #[param(nullable = false, pattern = "^[0-9]{1,19}[.][0-9]{1,19}$")]
    after: Option<String>,
}

/// Notifications on their way, and a page of those that were given up.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct NotificationPage {
    #[serde(flatten)]
    state: OutboxState,
    /// Those that were given up, last ones first; 1,000 are kept at most.
    dead: Vec<ShownLetter>,
    /// The `after` of the next page; `null` on the last page.
    next: Option<String>,
}

/// Notification that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TakenNotification {
    /// Its `webhook-id`.
    #[schema(example = "msg_2c26b46b68ffc68ff99b453c1d304134")]
    id: String,
}

/// List notifications
///
/// Those that wait to arrive, why they do, and those that were given up (dead letters), a page at a time.
#[utoipa::path(
    get,
    path = "/v1/notifications",
    operation_id = "listNotifications",
    tag = "notifications",
    params(NotificationsQuery),
    responses((status = 200, description = "A page", body = NotificationPage), ReadProblems),
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<NotificationsQuery>,
) -> Result<Json<NotificationPage>, Problem> {
    let limit = within(query.limit, PAGE, LARGEST_PAGE)?;
    let after = query.after.as_deref().map(|place| {
        let detail = "must be the `next` of the page before";
        LetterPlace::parse(place).ok_or_else(|| Problem::invalid_parameter("after", detail))
    });
    let DeadLetters { letters, next } = admin.outbox.dead_letters(after.transpose()?, limit);
    let next = next.map(|next| next.to_string());
    Ok(Json(NotificationPage { state: admin.outbox.state(), dead: letters, next }))
}

/// Send a test notification
///
/// Takes one of the type `test`. `GET /v1/notifications` shows whether it has arrived, and if not, why.
#[utoipa::path(
    post,
    path = "/v1/notifications/test",
    operation_id = "testNotification",
    tag = "notifications",
    responses((status = 202, description = "Taken", body = TakenNotification), NotificationProblems),
)]
pub(super) async fn test(
    _: Writer,
    State(admin): State<Arc<Admin>>,
) -> Result<(StatusCode, Json<TakenNotification>), Problem> {
    let id = admin.outbox.test().await.map_err(not_sent)?;
    Ok((StatusCode::ACCEPTED, Json(TakenNotification { id })))
}

/// Try a dead letter again
///
/// Puts a notification that was given up last in its queue again, with the same id.
#[utoipa::path(
    post,
    path = "/v1/notifications/{id}/retry",
    operation_id = "retryNotification",
    tag = "notifications",
    params(("id" = String, Path, description = "The notification's id.")),
    responses((status = 202, description = "Taken", body = TakenNotification), NotificationProblems),
)]
pub(super) async fn retry(
    _: Writer,
    State(admin): State<Arc<Admin>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<(StatusCode, Json<TakenNotification>), Problem> {
    // One that is no text is no id, either.
    let id = id.map(|Path(id)| id).unwrap_or_default();
    admin.outbox.retry(&id).map_err(not_sent)?;
    Ok((StatusCode::ACCEPTED, Json(TakenNotification { id })))
}

fn not_sent(reason: NotSent) -> Problem {
    let (status, code) = match reason {
        NotSent::NoReceiver => (StatusCode::CONFLICT, "no_receiver"),
        NotSent::TakenOver => (StatusCode::SERVICE_UNAVAILABLE, "handed_over"),
        NotSent::NoLetter => (StatusCode::NOT_FOUND, "unknown_notification"),
    };
    Problem::new(status, code, reason.to_string())
}
