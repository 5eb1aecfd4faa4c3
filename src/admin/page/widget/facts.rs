//! What the view of one widget shows, read at once: the widget, who embeds it, its limits, its sessions, its history.

use jiff::Timestamp;

use crate::admin::activity::{self, ActivityOfWidget, Gather, SiteJudge, stale};
use crate::admin::problem::Problem;
use crate::admin::propose::{Proposal, proposed};
use crate::admin::widgets::{PastRevision, past};
use crate::admin::{Admin, refusal};
use embedgate_policy::limits::LimitUsage;
use embedgate_policy::lint::{Finding, STALE_AFTER, lint};
use embedgate_policy::widget::{Access, Widget, WidgetId};

/// What is known of one widget.
pub(super) struct ReadWidget {
    pub(super) id: WidgetId,
    /// The revisions that are kept, newest first.
    pub(super) history: Vec<PastRevision>,
    /// `None`: it was deleted.
    pub(super) in_force: Option<ShownWidget>,
}

/// What is known of a widget that there is.
pub(super) struct ShownWidget {
    pub(super) widget: Widget,
    pub(super) activity: ActivityOfWidget,
    /// What enforcing the list would do, where it is not enforced.
    pub(super) proposal: Option<Proposal>,
    pub(super) findings: Vec<Finding>,
    /// How much of each limit is used on this edge.
    pub(super) usage: Vec<LimitUsage>,
    /// Sessions that are open on this edge.
    pub(super) sessions: usize,
    /// Sessions that have left this edge.
    pub(super) remembered: usize,
    /// Whether this edge lets widgets be open.
    pub(super) open_allowed: bool,
    pub(super) now: Timestamp,
}

impl ReadWidget {
    /// Reads what is known of a widget. It waits for the disk, and for the other edges of a fleet.
    pub(super) fn read(admin: &Admin, id: WidgetId) -> Result<Self, Problem> {
        let widget = admin.publisher.documents().get(id.as_str());
        let widget = widget.map_err(|error| refusal::of_storage(&error))?;
        let history = past(admin, &id)?;
        if widget.is_none() && history.is_empty() {
            return Err(Problem::unknown_widget());
        }
        let in_force = widget.map(|widget| ShownWidget::read(admin, widget)).transpose()?;
        Ok(Self { id, history, in_force })
    }
}

impl ShownWidget {
    fn read(admin: &Admin, widget: Widget) -> Result<Self, Problem> {
        let id = widget.id.as_str();
        let (policy, now) = (admin.policy.load(), Timestamp::now());
        let mut gather = Gather::new(admin);
        let seen = gather.widget(id)?;
        let missing = gather.missing();
        let judge = SiteJudge::new(&widget, &policy, now);
        let enforces = widget.effective_access() == Access::Enforce;
        let mut findings = lint(&widget, &policy, &admin.suffixes, now);
        findings.extend(stale(admin, &widget, &seen, now)?);
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Ok(Self {
            activity: activity::told(admin, &judge, &seen, STALE_AFTER, missing.clone())?,
            proposal: (!enforces).then(|| proposed(admin, &judge, &seen, missing)),
            usage: admin.limits.usage(id, &widget.limits, None),
            sessions: admin.sessions.count_of_widget(id),
            remembered: admin.remembered.of_widget(id).iter().map(|(_, sessions)| sessions).sum(),
            open_allowed: policy.open_allowed,
            findings,
            now,
            widget,
        })
    }
}
