//! `GET /v1/activity`: who embeds, over all widgets, one page at a time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::entries::uses;
use super::gather::{Gather, SeenInOrder};
use super::on_host::{self, AskedSites, HostFilter};
use super::sites::{SeenSite, SeenSites, SiteJudge, SiteTotals};
use super::stale_after;
use crate::activity::reader::RefusedEmbedder;
use crate::activity::seen::WidgetActivity;
use crate::admin::input::Parameters;
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::widgets::{after, within};
use crate::admin::{Admin, blocking, refusal, stored};
use embedgate_policy::lint::uses_its_list;
use embedgate_policy::widget::{Access, Environment, Widget, WidgetId};

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

/// A page that has so many sites or stale entries takes no other widget.
pub(super) const MOST_TOLD: usize = 10_000;

/// Query of the activity over all widgets.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct ActivityQuery {
    /// How many widgets to look at.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<usize>,
    /// Only widgets after this id: the `next` of the previous page.
    #[param(value_type = Option<WidgetId>)]
    after: Option<String>,
    /// For how many days an entry must have admitted nobody to be stale; with `host`, how many days are looked back.
    #[param(minimum = 1, maximum = 3650, default = 30)]
    stale_days: Option<u32>,
    /// Only widgets that sites of this host have loaded, or tried to, in the last `stale_days`. A host, an origin, or an entry
    /// such as `*.preview.example.com`.
    #[param(min_length = 1, example = "old.preview.example.com")]
    host: Option<String>,
}

/// Page of activity.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ActivityPage {
    /// Since when sightings are kept.
    since: Timestamp,
    /// Edges of the fleet that did not answer: what they have seen is missing here.
    missing: Vec<String>,
    /// The number of widgets that any site may embed, of all.
    unrestricted: usize,
    /// The number of widgets with `access: monitor`, of all.
    monitored: usize,
    /// The sites that were refused most often, or that only `monitor` let through, of all widgets: at most 50. Only on the
    /// first page, and not with `host`.
    most_refused: Vec<RefusedMost>,
    /// The widgets of the page that have something to tell, sorted by id: those that are open or monitored, have refused a
    /// site, or have a stale entry; with `host`, those that such a site has loaded or tried to.
    widgets: Vec<WidgetOverview>,
    /// How many widgets were looked at.
    looked_at: usize,
    /// The `after` of the next page; `null` on the last page.
    next: Option<WidgetId>,
}

/// Site that a widget has refused often.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct RefusedMost {
    /// The widget.
    pub(in crate::admin) widget: WidgetId,
    #[serde(flatten)]
    pub(in crate::admin) site: SeenSite,
}

/// Activity of a widget in short.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WidgetOverview {
    /// The widget.
    widget: WidgetId,
    /// Its environment.
    environment: Environment,
    /// The access in effect.
    access: Access,
    /// Any site may embed it.
    unrestricted: bool,
    /// What was refused, or what only `monitor` let through.
    refused: SiteTotals,
    /// What `enforce` would refuse of what was let in: requests of sites that the list does not admit now.
    would_refuse: SiteTotals,
    /// The entries that have admitted nobody for `stale_days`.
    stale_entries: Vec<String>,
    /// With `host`: its sites that were let in.
    pub(super) admitted_sites: SeenSites,
    /// With `host`: its sites that were refused, or that only `monitor` let through.
    pub(super) refused_sites: SeenSites,
    /// With `host`: its sites that browsers' reports name as a page around the widget's page. They are not verified.
    pub(super) reported_sites: SeenSites,
}

/// Read who embeds, over all widgets
///
/// How many widgets are open or monitored, what `enforce` would refuse, stale entries, and the sites that were refused most
/// often. With `host`: which widgets the sites of that host still load, and by which entry. A page looks at `limit` widgets,
/// and has those with something to tell. It ends earlier once it has 10,000 sites or stale entries: `next` says where to go on.
#[utoipa::path(
    get,
    path = "/v1/activity",
    operation_id = "activity",
    tag = "activity",
    params(ActivityQuery),
    responses((status = 200, description = "A page", body = ActivityPage), ReadProblems),
)]
pub(in crate::admin) async fn overview(
    State(admin): State<Arc<Admin>>,
    Parameters(query): Parameters<ActivityQuery>,
) -> Result<Json<ActivityPage>, Problem> {
    let limit = within(query.limit, PAGE, LARGEST_PAGE)?;
    let (after, lately) = (after(query.after.as_deref())?, stale_after(query.stale_days)?);
    let host = query.host.map(|host| HostFilter::parse(&host, &admin.suffixes)).transpose()?;
    blocking(move || page(&admin, after, limit, (lately, host.as_ref())).map(Json)).await
}

/// Widgets of a page.
#[derive(Default)]
pub(super) struct PageOfWidgets {
    pub(super) widgets: Vec<WidgetOverview>,
    pub(super) looked_at: usize,
    pub(super) next: Option<WidgetId>,
}

fn page(
    admin: &Admin,
    after: Option<WidgetId>,
    limit: usize,
    (lately, host): (SignedDuration, Option<&HostFilter>),
) -> Result<ActivityPage, Problem> {
    let mut gather = Gather::new(admin);
    let now = Timestamp::now();
    let most_refused = match (&after, host) {
        (None, None) => judged_again(admin, gather.most_refused()?, now).collect::<Result<_, _>>()?,
        _ => Vec::new(),
    };
    let PageOfWidgets { widgets, looked_at, next } = match host {
        None => of_documents(admin, &mut gather, after, limit, (lately, now))?,
        Some(host) => on_host::page(admin, &mut gather, after, limit, &AskedSites { host, lately, now })?,
    };
    let (book, policy) = (admin.publisher.live().load_full(), admin.policy.load());
    let census = book.census();
    let number =
        |access| Environment::ALL.map(|environment| census.widgets(environment, access)).iter().sum();
    Ok(ActivityPage {
        since: admin.activity.since(),
        missing: gather.missing(),
        unrestricted: if policy.open_allowed { number(Access::Open) } else { 0 },
        monitored: number(Access::Monitor),
        most_refused,
        widgets,
        looked_at,
        next,
    })
}

/// Sites that were refused, each judged again by the widget's list, one after the other.
pub(in crate::admin) fn judged_again(
    admin: &Admin,
    refused: impl IntoIterator<Item = RefusedEmbedder>,
    now: Timestamp,
) -> impl Iterator<Item = Result<RefusedMost, Problem>> {
    refused.into_iter().filter_map(move |refused| {
        // One that is deleted is of no more interest.
        let widget = admin.publisher.documents().get(&refused.widget).transpose()?;
        let judged = |widget: Widget| {
            let site = SiteJudge::new(&widget, &admin.policy.load(), now).told(&refused.embedder);
            RefusedMost { widget: widget.id, site }
        };
        Some(widget.map(judged).map_err(|error| refusal::of_storage(&error)))
    })
}

fn of_documents(
    admin: &Admin,
    gather: &mut Gather<'_>,
    after: Option<WidgetId>,
    limit: usize,
    (lately, now): (SignedDuration, Timestamp),
) -> Result<PageOfWidgets, Problem> {
    let mut seen = SeenInOrder::after(after.as_ref().map(WidgetId::as_str));
    let mut page = PageOfWidgets::default();
    let (mut entries, mut last) = (0, None);
    for widget in stored::after(admin.publisher.documents(), after) {
        let widget = widget.map_err(|error| refusal::of_storage(&error))?;
        if page.looked_at == limit || entries >= MOST_TOLD {
            page.next = last;
            break;
        }
        page.looked_at += 1;
        last = Some(widget.id.clone());
        let activity = seen.of(widget.id.as_str(), gather)?;
        let told = WidgetOverview::of(admin, &widget, &activity, (lately, now))?;
        entries += told.stale_entries.len();
        page.widgets.extend(Some(told).filter(WidgetOverview::has_something_to_tell));
    }
    Ok(page)
}

impl WidgetOverview {
    /// The overview of a widget, without sites.
    pub(super) fn of(
        admin: &Admin,
        widget: &Widget,
        activity: &WidgetActivity,
        (lately, now): (SignedDuration, Timestamp),
    ) -> Result<Self, Problem> {
        let policy = admin.policy.load();
        let uses = uses(admin, widget, activity, (lately, now))?;
        let rules = widget.allowed_domains.iter().zip(uses).filter(|_| uses_its_list(widget, &policy));
        let stale = rules.filter(|(rule, used)| !rule.is_expired(now) && used.is_stale(lately, now));
        let access = widget.effective_access();
        Ok(Self {
            widget: widget.id.clone(),
            environment: widget.environment,
            access,
            unrestricted: policy.open_allowed && access == Access::Open,
            refused: activity.refused.embedders.iter().map(|seen| seen.count).collect(),
            would_refuse: SiteJudge::new(widget, &policy, now).would_refuse(activity),
            stale_entries: stale.map(|(rule, _)| rule.entry.to_string()).collect(),
            admitted_sites: SeenSites::default(),
            refused_sites: SeenSites::default(),
            reported_sites: SeenSites::default(),
        })
    }

    /// How many sites it tells of.
    pub(super) fn sites(&self) -> usize {
        let Self { admitted_sites, refused_sites, reported_sites, .. } = self;
        [admitted_sites, refused_sites, reported_sites].iter().map(|list| list.sites.len()).sum()
    }

    fn has_something_to_tell(&self) -> bool {
        self.unrestricted
            || self.access == Access::Monitor
            || self.refused.sites > 0
            || !self.stale_entries.is_empty()
    }
}
