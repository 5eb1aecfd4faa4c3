//! `wait=fleet`: a change is answered once every edge enforces it, or with those that don't when the time is over.

use std::time::Duration;

use axum::extract::FromRequestParts;
use http::StatusCode;
use http::request::Parts;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::Admin;
use super::input::Parameters;
use super::problem::Problem;
use crate::rules::fleet::EdgeState;
use crate::rules::publisher::Published;

/// Time to wait if none is stated.
const USUAL: Duration = Duration::from_secs(2);

/// Longest time that may be stated.
const LONGEST: Duration = Duration::from_secs(60);

/// Query of a change, beside what else the call takes.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// `fleet`: the answer comes once every edge of the fleet enforces the change. It is 202, with those that don't in
    /// `behind`, if that takes longer than `timeout`. Without a fleet, nobody else is waited for.
    #[param(inline, nullable = false)]
    wait: Option<WaitFor>,
    /// How long to wait, with its unit, at most 60s. Only with `wait`. Left out: 2s.
    #[param(inline, nullable = false)]
    timeout: Option<WaitTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum WaitFor {
    Fleet,
}

/// Time that a caller waits for other edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WaitTime(Duration);

impl WaitTime {
    pub(super) fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for WaitTime {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let text = text.as_str();
        let shown = text.escape_debug();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(format!("`{shown}` has no unit; write `{shown}s` for seconds (units: ms, s)"));
        }
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let time = match (digits.parse(), unit) {
            (Ok(number), "ms") => Duration::from_millis(number),
            (Ok(number), "s") => Duration::from_secs(number),
            _ => {
                return Err(format!(
                    "`{shown}` is not a time; write it with its unit, such as `500ms` or `2s`"
                ));
            }
        };
        if digits.starts_with('0') || time > LONGEST {
            return Err(format!("`{shown}` is none of the times that are taken, from 1ms to 60s"));
        }
        Ok(Self(time))
    }
}

impl PartialSchema for WaitTime {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^(([1-9]|[1-5][0-9]|60)s|([1-9][0-9]{0,3}|[1-5][0-9]{4}|60000)ms)$"))
            .examples(["2s"])
            .into()
    }
}

impl ToSchema for WaitTime {}

/// Time for every edge to enforce a change, if the caller waits for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FleetWait(Option<Duration>);

impl<S: Sync> FromRequestParts<S> for FleetWait {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Parameters(WaitQuery { wait, timeout }) = Parameters::from_request_parts(parts, state).await?;
        match (wait, timeout) {
            (Some(WaitFor::Fleet), timeout) => Ok(Self(Some(timeout.map_or(USUAL, WaitTime::get)))),
            (None, None) => Ok(Self(None)),
            (None, Some(_)) => {
                let detail = "it is the time for `wait=fleet`, which is missing; add that, or leave this out";
                Err(Problem::invalid_parameter("timeout", detail))
            }
        }
    }
}

impl FleetWait {
    /// Refuses to wait for what changes nothing.
    pub(super) fn refused_for(self, what: &str) -> Result<(), Problem> {
        match self.0 {
            None => Ok(()),
            Some(_) => {
                let detail = format!("{what} changes nothing, so there is nothing to wait for; leave it out");
                Err(Problem::invalid_parameter("wait", detail))
            }
        }
    }

    /// Waits for a change that is in force on this edge, if the caller asked for that.
    pub(super) async fn until_enforced(self, admin: &Admin, published: &Published) -> FleetShare {
        let sequence = published.sequence;
        let (Some(within), Some(fleet)) = (self.0, &admin.fleet) else {
            return FleetShare { sequence, ..FleetShare::default() };
        };
        let since = Instant::now();
        let behind = match sequence {
            // A kill switch that the bucket doesn't have yet is in force on this edge alone.
            _ if !published.durable => {
                let own = fleet.own().name;
                let edges = fleet.status(within).await.edges.into_iter();
                let waited_for = edges.filter(|edge| edge.name != own && edge.state != EdgeState::Stale);
                waited_for.map(|edge| edge.name).collect()
            }
            None => return FleetShare::default(),
            Some(sequence) => fleet.enforced(sequence, within).await,
        };
        // What the bucket doesn't have, an edge that is not named here doesn't have either when it comes back.
        let is_pending = !published.durable || !behind.is_empty();
        admin.metrics.fleet.waited(since.elapsed(), !is_pending);
        FleetShare { sequence, behind, is_pending }
    }
}

/// Share that a fleet has in a change: the message of its bucket, and who does not enforce it yet.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct FleetShare {
    /// The sequence of the change in the fleet's bucket; without a fleet there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    sequence: Option<u64>,
    /// With `wait=fleet`: the edges that do not enforce the change yet. Left out if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    behind: Vec<String>,
    /// Whether the change was waited for, and may not be enforced everywhere.
    #[serde(skip)]
    is_pending: bool,
}

impl FleetShare {
    /// The status of the answer; 202 if the change was waited for and may not be enforced everywhere.
    pub(super) fn status(&self, usual: StatusCode) -> StatusCode {
        if self.is_pending { StatusCode::ACCEPTED } else { usual }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::Arc;

    use http::Request;
    use proptest::prelude::*;
    use proptest::string::string_regex;

    use super::*;
    use crate::admin::fleet::fake::FakeFleet;
    use crate::admin::tests::served_in;
    use crate::rules::fleet::Fleet;

    async fn asked(query: &str) -> Result<Option<u64>, String> {
        let request = Request::get(format!("/v1/widgets/w{query}")).body(()).unwrap();
        let wait = FleetWait::from_request_parts(&mut request.into_parts().0, &()).await;
        let FleetWait(wait) = wait.map_err(|problem| problem.detail().to_owned())?;
        Ok(wait.map(|wait| u64::try_from(wait.as_millis()).unwrap()))
    }

    #[tokio::test]
    async fn the_query_to_wait_is_read_strictly() {
        for (query, wait) in [
            ("", None),
            ("?confirm=3", None),
            ("?wait=fleet", Some(2000)),
            ("?wait=fleet&timeout=1ms", Some(1)),
            ("?timeout=60s&wait=fleet", Some(60_000)),
        ] {
            assert_eq!(asked(query).await, Ok(wait), "{query}");
        }
        for (query, says) in [
            ("?timeout=2s", "timeout: it is the time for `wait=fleet`"),
            ("?wait=edge", "wait: unknown variant `edge`, expected `fleet`"),
            ("?wait=", "wait: it has no value"),
            ("?wait=fleet&timeout=5", "timeout: `5` has no unit; write `5s`"),
            ("?wait=fleet&timeout=2m", "such as `500ms` or `2s`"),
            ("?wait=fleet&timeout=s", "such as `500ms` or `2s`"),
            ("?wait=fleet&timeout=-1s", "such as `500ms` or `2s`"),
            ("?wait=fleet&timeout=1.5s", "such as `500ms` or `2s`"),
            ("?wait=fleet&timeout=0s", "from 1ms to 60s"),
            ("?wait=fleet&timeout=02s", "from 1ms to 60s"),
            ("?wait=fleet&timeout=61s", "from 1ms to 60s"),
            ("?wait=fleet&timeout=99999999999999999999s", "such as `500ms` or `2s`"),
        ] {
            let told = asked(query).await.unwrap_err();
            assert!(told.contains(says), "{query}: {told}");
        }
    }

    #[tokio::test]
    async fn the_edges_that_are_behind_are_named() {
        let fleet = FakeFleet::new();
        let served = served_in(Vec::new(), Some(Arc::clone(&fleet) as Arc<dyn Fleet>));
        let published = Published {
            generation: 3,
            outcomes: Vec::new(),
            changed: Vec::new(),
            removed: 0,
            document: None,
            durable: true,
            sequence: Some(7),
        };
        let not_kept = Published { durable: false, sequence: None, ..published.clone() };
        let nothing = Published { sequence: None, ..published.clone() };
        let (two, unasked) = (FleetWait(Some(Duration::from_secs(2))), FleetWait(None));
        for (other, published, wait, behind, status, asked) in [
            (EdgeState::Current, &published, two, false, 201, "enforced 7 2s"),
            (EdgeState::Behind, &published, two, true, 202, "enforced 7 2s"),
            (EdgeState::Behind, &published, unasked, false, 201, ""),
            (EdgeState::Behind, &nothing, two, false, 201, ""),
            // Wherever the other edge is, it can't know of it.
            (EdgeState::Current, &not_kept, two, true, 202, "status 2s"),
            (EdgeState::Silent, &not_kept, two, true, 202, "status 2s"),
            // It may come back at any moment, without it.
            (EdgeState::Stale, &not_kept, two, false, 202, "status 2s"),
            (EdgeState::Current, &not_kept, unasked, false, 201, ""),
        ] {
            *fleet.other.lock() = other;
            let share = wait.until_enforced(&served.admin, published).await;
            let named: &[String] = if behind { &["edge-2".to_owned()] } else { &[] };
            assert_eq!(
                (share.behind.as_slice(), share.sequence),
                (named, published.sequence),
                "{other:?} {asked}"
            );
            assert_eq!(share.status(StatusCode::CREATED).as_u16(), status, "{other:?} {asked}");
            assert_eq!(std::mem::take(&mut *fleet.asked.lock()).concat(), asked, "{other:?}");
        }
        let waits = "embedgate_fleet_waits_total";
        assert_eq!(served.metric(&format!("{waits}{{outcome=\"enforced\"}}")).await, 1.0);
        assert_eq!(served.metric(&format!("{waits}{{outcome=\"behind\"}}")).await, 4.0);
        assert_eq!(served.metric("embedgate_fleet_enforced_duration_seconds_count").await, 1.0);
    }

    /// The described pattern, as the tool for properties takes it.
    fn described() -> String {
        let RefOr::T(Schema::Object(schema)) = WaitTime::schema() else { panic!("no pattern") };
        schema.pattern.unwrap().trim_matches(['^', '$']).to_owned()
    }

    proptest! {
        #[test]
        fn what_is_described_is_taken(text in string_regex(&described()).unwrap()) {
            prop_assert!(WaitTime::try_from(text).is_ok());
        }
    }
}
