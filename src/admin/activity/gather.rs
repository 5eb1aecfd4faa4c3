//! Reading of what was seen, by this edge and by the others of its fleet. It waits, so it belongs on a thread of its own.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use http::StatusCode;
use tokio::runtime::Handle;

use crate::activity::gathered::{self, Gathered};
use crate::activity::reader::{ActivityError, RefusedEmbedder};
use crate::activity::seen::WidgetActivity;
use crate::admin::Admin;
use crate::admin::problem::Problem;
use crate::rules::fleet::Fleet;

/// Time in which the other edges answer a question.
const WITHIN: Duration = Duration::from_secs(1);

/// The same for further questions of a call, once an edge did not answer.
const AGAIN: Duration = Duration::from_millis(100);

/// Widgets that are read at once.
pub(super) const AT_ONCE: usize = 100;

/// Reader of what all edges have seen, for one call.
pub(in crate::admin) struct Gather<'a> {
    admin: &'a Admin,
    fleet: Option<&'a dyn Fleet>,
    within: Duration,
    missing: BTreeSet<String>,
}

impl<'a> Gather<'a> {
    pub(in crate::admin) fn new(admin: &'a Admin) -> Self {
        Self::within(admin, WITHIN)
    }

    /// One that waits at most so long for the others.
    pub(in crate::admin) fn within(admin: &'a Admin, within: Duration) -> Self {
        Self { admin, fleet: admin.fleet.as_deref(), within, missing: BTreeSet::new() }
    }

    /// One that asks no other edge.
    pub(in crate::admin) fn of_this_edge(admin: &'a Admin) -> Self {
        Self { fleet: None, ..Self::new(admin) }
    }

    /// Names of the edges that did not answer.
    pub(in crate::admin) fn missing(self) -> Vec<String> {
        self.missing.into_iter().collect()
    }

    /// Whether every edge has answered.
    pub(in crate::admin) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    /// Activity of one widget.
    pub(in crate::admin) fn widget(&mut self, id: &str) -> Result<WidgetActivity, Problem> {
        let (reader, fleet) = (&*self.admin.activity, self.fleet);
        let asked = gathered::widget(reader, fleet, id, self.within);
        self.noted(Handle::current().block_on(asked))
    }

    /// Some widgets with activity after `after`, in the order of their ids, at most `limit`. None is left out up to the last of
    /// them, and there are none only where none follows.
    pub(super) fn some(
        &mut self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, Problem> {
        let (reader, fleet) = (&*self.admin.activity, self.fleet);
        let asked = gathered::page(reader, fleet, after, limit, self.within);
        self.noted(Handle::current().block_on(asked))
    }

    /// The embedders that were refused most often, over all widgets.
    pub(in crate::admin) fn most_refused(&mut self) -> Result<Vec<RefusedEmbedder>, Problem> {
        let (reader, fleet) = (&*self.admin.activity, self.fleet);
        let asked = gathered::most_refused(reader, fleet, self.within);
        self.noted(Handle::current().block_on(asked))
    }

    fn noted<T>(&mut self, read: Result<Gathered<T>, ActivityError>) -> Result<T, Problem> {
        let Gathered { seen, missing } = read.map_err(|error| unreadable(&error))?;
        // Who does not answer once is not waited for as long again.
        if !missing.is_empty() {
            self.within = self.within.min(AGAIN);
        }
        self.missing.extend(missing);
        Ok(seen)
    }
}

fn unreadable(error: &ActivityError) -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "storage_failed", error.to_string())
}

/// Activity of one widget after the other, asked for in the order of their ids, and read many at once.
pub(in crate::admin) struct SeenInOrder {
    read: VecDeque<(Box<str>, WidgetActivity)>,
    after: Option<Box<str>>,
    is_whole: bool,
}

impl SeenInOrder {
    /// Of widgets after this id.
    pub(in crate::admin) fn after(id: Option<&str>) -> Self {
        Self { read: VecDeque::new(), after: id.map(Box::from), is_whole: false }
    }

    /// The activity of a widget, whose id is greater than those before.
    pub(in crate::admin) fn of(
        &mut self,
        id: &str,
        gather: &mut Gather<'_>,
    ) -> Result<WidgetActivity, Problem> {
        loop {
            while let Some((next, activity)) = self.read.pop_front() {
                if *next == *id {
                    return Ok(activity);
                }
                if *next > *id {
                    self.read.push_front((next, activity));
                    return Ok(WidgetActivity::default());
                }
            }
            if self.is_whole {
                return Ok(WidgetActivity::default());
            }
            let page = gather.some(self.after.as_deref(), AT_ONCE)?;
            match page.last() {
                Some((last, _)) => self.after = Some(last.clone()),
                None => self.is_whole = true,
            }
            self.read.extend(page);
        }
    }
}
