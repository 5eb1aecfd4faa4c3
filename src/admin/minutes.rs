//! `GET /v1/minutes`: traffic by minute.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use utoipa::{IntoParams, ToSchema};

use super::Admin;
use super::input::Parameters;
use super::openapi::StatusProblems;
use super::problem::Problem;
use crate::telemetry::minutes::{MOST_MINUTES, TrafficMinute};

/// Minutes that are told where nobody says how many.
const USUAL: usize = 60;

/// Milliseconds of a minute.
const MINUTE: i64 = 60_000;

/// Query of the minutes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MinutesQuery {
    /// How many of the last minutes.
    #[param(minimum = 1, maximum = 1440, default = 60, nullable = false)]
    last: Option<usize>,
}

/// Traffic by minute.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MinutesAnswer {
    /// The last minutes that are over, oldest first. Those before this process was started are missing.
    minutes: Vec<TrafficMinute>,
    /// The minute that is not over yet, as far as it has gone.
    under_way: TrafficMinute,
}

/// Read traffic by minute
///
/// What was allowed and denied, errors, and how long answers took, in each of the last minutes, for all widgets together. This
/// edge keeps those of the last 24 hours in memory. Over longer times, and for alerts, use `/metrics`, where it comes from.
#[utoipa::path(
    get,
    path = "/v1/minutes",
    operation_id = "minutes",
    tag = "edge",
    params(MinutesQuery),
    responses((status = 200, description = "The minutes", body = MinutesAnswer), StatusProblems),
)]
pub(super) async fn minutes(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<MinutesQuery>,
) -> Result<Json<MinutesAnswer>, Problem> {
    let last = query.last.unwrap_or(USUAL);
    if !(1..=MOST_MINUTES).contains(&last) {
        let detail = format!("must be a number from 1 to {MOST_MINUTES}");
        return Err(Problem::invalid_parameter("last", detail));
    }
    let now = Timestamp::now().as_second();
    let minutes = admin.minutes.last(last, now);
    let under_way = admin.minutes.under_way(now, &admin.metrics.traffic());
    Ok(Json(MinutesAnswer { minutes, under_way }))
}

/// Ends each minute with what was counted in it. Runs for ever.
pub async fn keep_minutes(admin: Arc<Admin>) {
    loop {
        let now = Timestamp::now().as_millisecond();
        let left = MINUTE - now.rem_euclid(MINUTE);
        sleep(Duration::from_millis(left.unsigned_abs())).await;
        admin.minutes.end((now + left - MINUTE).div_euclid(1000), admin.metrics.traffic());
    }
}
