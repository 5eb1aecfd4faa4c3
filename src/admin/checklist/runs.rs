//! Runs of checklists: one at a time for a widget, few in all, and the last result of each.

use std::collections::HashSet;
use std::num::NonZeroUsize;

use http::StatusCode;
use jiff::Timestamp;
use lru::LruCache;
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::problem::Problem;
use crate::checklist::Checklist;
use embedgate_policy::widget::WidgetId;

/// Most runs at a time.
const AT_ONCE: usize = 4;

/// Most results that are kept.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(499);

/// Runs under way, and the last results.
pub struct ChecklistRuns(Mutex<RunsUnderWay>);

struct RunsUnderWay {
    running: HashSet<WidgetId>,
    last: LruCache<WidgetId, LastRun>,
}

/// Last run of a checklist.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::admin) struct LastRun {
    /// When it ended.
    pub(in crate::admin) at: Timestamp,
    /// What was found.
    pub(in crate::admin) checklist: Checklist,
}

/// Place of a run, which is free again when this is dropped.
pub(super) struct RunPlace<'r> {
    runs: &'r ChecklistRuns,
    widget: WidgetId,
}

impl Default for ChecklistRuns {
    fn default() -> Self {
        Self(Mutex::new(RunsUnderWay { running: HashSet::new(), last: LruCache::new(KEPT) }))
    }
}

impl ChecklistRuns {
    /// The last run of a widget's checklist.
    pub(in crate::admin) fn last(&self, widget: &WidgetId) -> Option<LastRun> {
        self.0.lock().last.get(widget).cloned()
    }

    /// Takes a place for a run.
    pub(super) fn begin(&self, widget: &WidgetId) -> Result<RunPlace<'_>, Problem> {
        let mut under_way = self.0.lock();
        if under_way.running.contains(widget) {
            let detail = "a checklist of this widget is running; wait for it";
            return Err(Problem::new(StatusCode::CONFLICT, "checklist_running", detail));
        }
        if under_way.running.len() >= AT_ONCE {
            let detail = "as many checklists are running as there may be; try again in a moment";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too_busy", detail));
        }
        under_way.running.insert(widget.clone());
        Ok(RunPlace { runs: self, widget: widget.clone() })
    }
}

impl RunPlace<'_> {
    /// Keeps a result.
    pub(super) fn done(&self, checklist: Checklist) {
        let run = LastRun { at: Timestamp::now(), checklist };
        self.runs.0.lock().last.put(self.widget.clone(), run);
    }
}

impl Drop for RunPlace<'_> {
    fn drop(&mut self) {
        self.runs.0.lock().running.remove(&self.widget);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> WidgetId {
        WidgetId::parse(text).unwrap()
    }

    #[test]
    fn there_are_few_runs_and_one_for_a_widget() {
        let runs = ChecklistRuns::default();
        let code = |widget: &str| runs.begin(&id(widget)).map(drop).map_err(|problem| problem.code());
        let first = runs.begin(&id("a")).ok();
        assert_eq!(code("a"), Err("checklist_running"));
        let _others: Vec<_> = ["b", "c", "d"].map(|widget| runs.begin(&id(widget)).ok()).into();
        assert_eq!(code("e"), Err("too_busy"));
        drop(first);
        assert_eq!(code("e"), Ok(()));
        assert_eq!(code("a"), Ok(()));
        assert!(runs.last(&id("a")).is_none());
    }
}
