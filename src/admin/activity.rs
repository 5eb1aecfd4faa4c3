//! What was seen of embedders, for people: by widget, over all widgets, and what it means for a list.
//!
//! | part | does |
//! |---|---|
//! | `gather` | reads what all edges have seen |
//! | `sites` | judges the sites again by the list in force |
//! | `entries` | tells when each entry was last of use, and since when that could be seen |
//! | `of_widget` | `GET /v1/widgets/{id}/activity` |
//! | `overview` | `GET /v1/activity` |
//! | `on_host` | the same for the sites of one host |

mod entries;
mod gather;
mod of_widget;
mod on_host;
mod overview;
mod sites;

use jiff::SignedDuration;

pub(super) use entries::{stale, stale_once_saved};
pub(super) use gather::{Gather, SeenInOrder};
pub(super) use of_widget::{__path_of_widget, ActivityOfWidget, UsedEntry, judged, of_widget, told};
pub(super) use overview::{__path_overview, RefusedMost, judged_again, overview};
pub(super) use sites::{ClassedRequests, SeenSite, SeenSites, SiteJudge, is_preview, let_in};

use super::problem::Problem;
use embedgate_policy::lint::STALE_AFTER;

/// The longest time that is taken for `stale_days`: ten years.
const MOST_DAYS: u32 = 3650;

/// The time without a sighting after which something is stale.
fn stale_after(days: Option<u32>) -> Result<SignedDuration, Problem> {
    match days {
        None => Ok(STALE_AFTER),
        Some(days) if (1..=MOST_DAYS).contains(&days) => Ok(SignedDuration::from_hours(i64::from(days) * 24)),
        Some(_) => {
            Err(Problem::invalid_parameter("stale_days", format!("must be a number from 1 to {MOST_DAYS}")))
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
