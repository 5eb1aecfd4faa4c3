//! `GET /v1/widgets/{id}/activity`: who embeds a widget, by which entry, and who is refused.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::entries::uses;
use super::gather::Gather;
use super::sites::{ClassedRequests, MOST_SITES, SeenSites, SiteJudge, SiteTotals};
use super::stale_after;
use crate::activity::seen::{ClientCounts, EmbedderActivity, WidgetActivity};
use crate::admin::input::{KnownId, Parameters};
use crate::admin::openapi::ReadProblems;
use crate::admin::problem::Problem;
use crate::admin::{Admin, blocking, stored};
use embedgate_policy::entry::EntryKind;
use embedgate_policy::lint::uses_its_list;
use embedgate_policy::origin::Origin;
use embedgate_policy::widget::{Access, WidgetId};

/// Query of a widget's activity.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::admin) struct WidgetActivityQuery {
    /// For how many days an entry must have admitted nobody to be stale.
    #[param(minimum = 1, maximum = 3650, default = 30)]
    stale_days: Option<u32>,
}

/// Activity of one widget.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct ActivityOfWidget {
    /// The widget.
    widget: WidgetId,
    /// The access in effect.
    access: Access,
    /// Since when sightings are kept.
    pub(in crate::admin) since: Timestamp,
    /// Edges of the fleet that did not answer: what they have seen is missing here.
    pub(in crate::admin) missing: Vec<String>,
    /// The entries of the list, in its order.
    pub(in crate::admin) entries: Vec<UsedEntry>,
    /// What `enforce` would refuse of what was let in: requests of sites that the list does not admit now.
    pub(in crate::admin) would_refuse: SiteTotals,
    /// Sites that were let in without an entry: by an open widget, as previews on the vendor's dashboards, or by an entry that
    /// is no longer listed. `entry` admits one now.
    pub(in crate::admin) admitted: SeenSites,
    /// Sites that were refused, or that only `monitor` let through.
    pub(in crate::admin) refused: SeenSites,
    /// Reports of browsers that a page around the widget's page is not on the list. They are not verified: anybody can send
    /// one.
    pub(in crate::admin) reported: SeenSites,
}

/// Use of an entry.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct UsedEntry {
    /// Its place in the document.
    #[schema(example = "/allowed_domains/0")]
    pub(in crate::admin) pointer: String,
    /// The entry in canonical text.
    #[schema(example = "*.example.com")]
    pub(in crate::admin) entry: String,
    /// When it expires; `null`: never.
    pub(in crate::admin) expires_at: Option<Timestamp>,
    /// How many requests it has admitted.
    pub(in crate::admin) count: u64,
    /// When it first admitted one; `null`: it never has.
    first: Option<Timestamp>,
    /// When it last admitted one.
    pub(in crate::admin) last: Option<Timestamp>,
    /// It has admitted nobody for `stale_days`, although it was listed and sightings were kept.
    pub(in crate::admin) stale: bool,
    /// The classes of the clients that it admitted, as far as their sites are known.
    pub(in crate::admin) clients: ClassedRequests,
    /// For wildcards and globs: the hosts that used it, most frequent first, at most 50.
    pub(in crate::admin) hosts: Vec<UsingHost>,
}

/// Host that used an entry.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::admin) struct UsingHost {
    /// The host.
    #[schema(example = "shop.example.com")]
    pub(in crate::admin) host: String,
    /// The number of its requests: at most so many, and fewer by at most `error`.
    pub(in crate::admin) count: u64,
    /// By how much `count` may be too high.
    error: u64,
    /// When it was first seen.
    first: Timestamp,
    /// When it was last seen.
    pub(in crate::admin) last: Timestamp,
}

/// Read who embeds a widget
///
/// Its entries with their use, sites that were let in without one, sites that were refused with the entry that would admit
/// each, and what browsers reported. Of a fleet, what all edges have seen, added up.
#[utoipa::path(
    get,
    path = "/v1/widgets/{id}/activity",
    operation_id = "widgetActivity",
    tag = "activity",
    params(("id" = WidgetId, Path, description = "The widget's id."), WidgetActivityQuery),
    responses((status = 200, description = "The activity", body = ActivityOfWidget), ReadProblems),
)]
pub(in crate::admin) async fn of_widget(
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    Parameters(query): Parameters<WidgetActivityQuery>,
) -> Result<Json<ActivityOfWidget>, Problem> {
    let after = stale_after(query.stale_days)?;
    blocking(move || {
        judged(&admin, &id, |judge, seen, missing| told(&admin, judge, seen, after, missing)).map(Json)
    })
    .await
}

/// What `tell` makes of what all edges have seen of a widget that exists: it gets the judge of its sites, the activity, and
/// the edges that did not answer.
pub(in crate::admin) fn judged<T>(
    admin: &Admin,
    id: &WidgetId,
    tell: impl FnOnce(&SiteJudge<'_>, &WidgetActivity, Vec<String>) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let widget = stored::existing(admin, id)?;
    let mut gather = Gather::new(admin);
    let activity = gather.widget(id.as_str())?;
    let judge = SiteJudge::new(&widget, &admin.policy.load(), Timestamp::now());
    tell(&judge, &activity, gather.missing())
}

/// What is told of a widget's activity. `after`: the time without a sighting after which an entry is stale.
pub(in crate::admin) fn told(
    admin: &Admin,
    judge: &SiteJudge<'_>,
    activity: &WidgetActivity,
    after: SignedDuration,
    missing: Vec<String>,
) -> Result<ActivityOfWidget, Problem> {
    let (widget, policy, now) = (judge.widget, admin.policy.load(), judge.now);
    let listed: HashSet<String> = widget.allowed_domains.iter().map(|rule| rule.entry.to_string()).collect();
    let mut by_entry: BTreeMap<String, Vec<&EmbedderActivity>> = BTreeMap::new();
    let mut without = Vec::new();
    for seen in &activity.admitted.embedders {
        // By the one that let it in, if it is still listed: its own count has no others.
        match seen.entry.as_deref().filter(|entry| listed.contains(*entry)) {
            Some(entry) => by_entry.entry(entry.to_owned()).or_default().push(seen),
            None => without.push(judge.told(seen)),
        }
    }
    let uses = uses(admin, widget, activity, (after, now))?;
    let is_used = uses_its_list(widget, &policy);
    let rules = widget.allowed_domains.iter().zip(uses).enumerate();
    let entries = rules.map(|(index, (rule, used))| {
        let entry = rule.entry.to_string();
        let users = by_entry.get(&entry).map(Vec::as_slice).unwrap_or_default();
        let recorded = activity.entries.get(entry.as_str());
        let mut clients = ClientCounts::default();
        users.iter().for_each(|seen| clients.merge(seen.clients));
        UsedEntry {
            pointer: format!("/allowed_domains/{index}"),
            expires_at: rule.expires_at,
            count: recorded.map_or(0, |recorded| recorded.count),
            first: recorded.map(|recorded| recorded.first),
            last: recorded.map(|recorded| recorded.last),
            stale: is_used && !rule.is_expired(now) && used.is_stale(after, now),
            clients: clients.into(),
            hosts: if rule.entry.kind() == EntryKind::Exact { Vec::new() } else { hosts(users) },
            entry,
        }
    });
    Ok(ActivityOfWidget {
        access: widget.effective_access(),
        since: admin.activity.since(),
        entries: entries.collect(),
        would_refuse: judge.would_refuse(activity),
        admitted: SeenSites::of(without.into_iter(), activity.admitted.untracked),
        refused: judge.all_told(&activity.refused),
        reported: judge.all_told(&activity.reported),
        missing,
        widget: widget.id.clone(),
    })
}

/// The hosts of these sites: one may have several, by port.
fn hosts(sites: &[&EmbedderActivity]) -> Vec<UsingHost> {
    let mut hosts: BTreeMap<&str, UsingHost> = BTreeMap::new();
    for seen in sites {
        let Ok(origin) = Origin::parse(&seen.origin) else { continue };
        let host = hosts.entry(origin.host_str()).or_insert_with(|| UsingHost {
            host: origin.host_str().to_owned(),
            count: 0,
            error: 0,
            first: seen.first,
            last: seen.last,
        });
        host.count = host.count.saturating_add(seen.count);
        host.error = host.error.saturating_add(seen.error);
        (host.first, host.last) = (host.first.min(seen.first), host.last.max(seen.last));
    }
    let mut hosts: Vec<UsingHost> = hosts.into_values().collect();
    hosts.sort_by_key(|host| std::cmp::Reverse((host.count.saturating_sub(host.error), host.last)));
    hosts.truncate(MOST_SITES);
    hosts
}
