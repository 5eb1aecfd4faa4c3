//! `POST /v1/widgets/{id}/propose`: a draft of a list by what was seen.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::activity::{SeenSite, SiteJudge, is_preview, judged, let_in};
use super::input::KnownId;
use super::openapi::ReadProblems;
use super::problem::Problem;
use super::{Admin, blocking};
use crate::activity::seen::{EmbedderActivity, WidgetActivity};
use embedgate_policy::decision::Decision;
use embedgate_policy::entry::Entry;
use embedgate_policy::entry::listed::ListedEntry;
use embedgate_policy::verdict::Reason;
use embedgate_policy::widget::{Access, MAX_DOCUMENT_BYTES, MAX_ENTRIES, Widget, WidgetId};

/// What whoever reads a proposal has to know.
const CAUTION: &str = "Anybody can send a request that names any site, and a report, so look at each site before you save the \
                       draft. Nothing is saved.";

/// Proposal of a list, by what was seen.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Proposal {
    /// The widget's document with `access: enforce`, and with an entry for each site that was let in without one. It can be
    /// saved as it is.
    draft: Widget,
    /// Whether the list can be enforced now, in words.
    pub(super) summary: String,
    /// What to mind.
    pub(super) caution: &'static str,
    /// Since when sightings are kept.
    since: Timestamp,
    /// Edges of the fleet that did not answer: what they have seen is missing here.
    missing: Vec<String>,
    /// The sites, those that the draft adds first, and most frequent first. Previews on the vendor's dashboards are left out.
    pub(super) sites: Vec<ProposedSite>,
    /// Sites that the draft has no entry for although they were let in, with the reason.
    pub(super) not_proposed: Vec<SiteLeftOut>,
    /// A site that is not known at all was seen at most so often.
    untracked: u64,
}

/// Site with what a proposal makes of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProposedSite {
    pub(super) standing: SiteStanding,
    #[serde(flatten)]
    pub(super) site: SeenSite,
}

/// Standing of a site in a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum SiteStanding {
    /// It was let in, the list does not admit it, and the draft adds `entry_to_add`.
    Added,
    /// The list admits it already.
    Listed,
    /// An entry let it in that is no longer listed, and nothing has since, so the draft does not add it.
    Removed,
    /// It was only ever refused, so the draft does not add it.
    Refused,
    /// Only browsers' reports name it, as a page around the widget's page. The draft does not add it.
    Unverified,
}

/// Site that can't be proposed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SiteLeftOut {
    /// Why, and what to do.
    pub(super) why: String,
    #[serde(flatten)]
    pub(super) site: SeenSite,
}

/// Propose a list
///
/// A draft of the document with `access: enforce` and an exact entry for each site that was let in without one: it answers
/// whether the list can be enforced now. Nothing is saved, and nothing is selected: sightings can be forged, so a person has to
/// look. It takes no body.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/propose",
    operation_id = "propose",
    tag = "activity",
    params(("id" = WidgetId, Path, description = "The widget's id.")),
    responses((status = 200, description = "The draft", body = Proposal), ReadProblems),
)]
pub(super) async fn propose(
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
) -> Result<Json<Proposal>, Problem> {
    blocking(move || {
        judged(&admin, &id, |judge, seen, missing| Ok(Json(proposed(&admin, judge, seen, missing))))
    })
    .await
}

/// The proposal for the widget that is judged.
pub(super) fn proposed(
    admin: &Admin,
    judge: &SiteJudge<'_>,
    activity: &WidgetActivity,
    missing: Vec<String>,
) -> Proposal {
    Drafted::of(judge, activity).told(judge.widget, activity, admin.activity.since(), missing)
}

/// Draft with what was made of each site.
struct Drafted {
    draft: Widget,
    /// What it has more than the document.
    added: HashSet<Entry>,
    /// Its size as JSON.
    bytes: usize,
    sites: Vec<ProposedSite>,
    not_proposed: Vec<SiteLeftOut>,
}

impl Drafted {
    fn of(judge: &SiteJudge<'_>, activity: &WidgetActivity) -> Self {
        let widget = judge.widget;
        let draft = Widget { access: Some(Access::Enforce), ..widget.clone() };
        let mut drafted = Self {
            bytes: draft.to_json().to_string().len(),
            draft,
            added: HashSet::new(),
            sites: Vec::new(),
            not_proposed: Vec::new(),
        };
        let (let_in, removed) = (let_in(activity), removed(widget, activity));
        for seen in &most_frequent_first(activity) {
            let decision = judge.by_list(&seen.origin);
            if is_preview(&decision) {
                continue;
            }
            let site = judge.told(seen);
            if decision.is_allowed() {
                drafted.sites.push(ProposedSite { standing: SiteStanding::Listed, site });
            } else if !let_in.contains_key(&*seen.origin) {
                let standing = match seen.reason {
                    None => SiteStanding::Unverified,
                    Some(_) => SiteStanding::Refused,
                };
                drafted.sites.push(ProposedSite { standing, site });
            } else if removed.contains(&*seen.origin) {
                drafted.sites.push(ProposedSite { standing: SiteStanding::Removed, site });
            } else {
                let entry = judge.entry_to_add(&seen.origin, &decision);
                match entry.ok_or_else(|| no_entry(judge, &decision)).and_then(|entry| drafted.add(entry)) {
                    Ok(()) => drafted.sites.push(ProposedSite { standing: SiteStanding::Added, site }),
                    Err(why) => drafted.not_proposed.push(SiteLeftOut { why, site }),
                }
            }
        }
        drafted.sites.sort_by_key(|site| site.standing);
        drafted
    }

    /// Adds an entry, if the document takes it.
    fn add(&mut self, entry: Entry) -> Result<(), String> {
        // One entry for a loopback host admits it over http and https.
        if self.added.contains(&entry) {
            return Ok(());
        }
        if self.draft.allowed_domains.len() >= MAX_ENTRIES {
            return Err(format!(
                "a list has at most {MAX_ENTRIES} entries; cover several sites with one, such as `*.example.com`"
            ));
        }
        // With its quotes and a comma.
        self.bytes += entry.to_string().len() + 3;
        if self.bytes > MAX_DOCUMENT_BYTES {
            return Err(format!("a document has at most {MAX_DOCUMENT_BYTES} bytes"));
        }
        self.added.insert(entry.clone());
        self.draft.allowed_domains.push(ListedEntry { entry, expires_at: None, note: None });
        Ok(())
    }

    fn told(
        self,
        before: &Widget,
        activity: &WidgetActivity,
        since: Timestamp,
        missing: Vec<String>,
    ) -> Proposal {
        let untracked = activity.admitted.untracked.max(activity.refused.untracked);
        let summary = self.summary(before, untracked, &missing);
        let Self { draft, sites, not_proposed, .. } = self;
        Proposal { draft, summary, caution: CAUTION, since, missing, sites, not_proposed, untracked }
    }

    fn summary(&self, before: &Widget, untracked: u64, missing: &[String]) -> String {
        let with = |standing| self.sites.iter().filter(|site| site.standing == standing).count();
        let (added, listed, left_out) =
            (with(SiteStanding::Added), with(SiteStanding::Listed), self.not_proposed.len());
        let (removed, unverified) = (with(SiteStanding::Removed), with(SiteStanding::Unverified));
        let is_all_known = removed + unverified == 0 && untracked == 0 && missing.is_empty();
        let now = match before.effective_access() {
            Access::Enforce => "The list is enforced already",
            _ if added + left_out > 0 => "Not as the list is",
            _ if listed + removed + unverified == 0 && is_all_known => "No site was seen yet",
            _ if is_all_known => "The list admits every site that was let in, so it can be enforced as it is",
            _ => {
                "As far as is known, the list admits every site that it should; look at the rest before you enforce it"
            }
        };
        let mut summary = format!("{now}: {} admitted by the list", sites(listed));
        if added > 0 {
            summary.push_str(&format!(", {} let in without an entry, which the draft adds", sites(added)));
        }
        if left_out > 0 {
            summary.push_str(&format!(", {} let in that no entry of the draft admits", sites(left_out)));
        }
        if removed > 0 {
            summary.push_str(&format!(", {} let in by an entry that was taken off", sites(removed)));
        }
        if unverified > 0 {
            summary.push_str(&format!(", {} that only browsers' reports name", sites(unverified)));
        }
        if untracked > 0 {
            summary
                .push_str(&format!("; sites that are not known may have asked up to {untracked} times each"));
        }
        if !missing.is_empty() {
            summary.push_str(&format!("; {} did not answer, and may have seen others", missing.join(", ")));
        }
        summary.push('.');
        summary
    }
}

fn sites(number: usize) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} site{plural}")
}

/// Why no entry can be added for a site that the list does not admit.
fn no_entry(judge: &SiteJudge<'_>, decision: &Decision) -> String {
    let near = decision.near_miss.and_then(|at| judge.widget.allowed_domains.get(usize::try_from(at).ok()?));
    let near = near.map(|rule| rule.entry.to_string()).unwrap_or_default();
    match decision.reason {
        Reason::ExpiredEntry => {
            format!("its entry `{near}` has expired: give it a later `expires_at`, or none")
        }
        Reason::OpaqueOrigin => {
            "a page without an origin, as in a sandboxed frame or a local file, could be any page, so no entry can admit it"
                .to_owned()
        }
        Reason::MalformedOrigin => "no browser sends such an origin, so no entry can admit it".to_owned(),
        _ if judge.widget.has_voice() => {
            "browsers give a plain-http page no microphone, so a widget with voice can't list it: it has to be served over \
             https"
                .to_owned()
        }
        _ => "no entry can have its scheme: it has to be served over https".to_owned(),
    }
}

/// Sites that were last let in by an entry that is no longer listed: somebody has taken it off.
fn removed<'a>(widget: &Widget, activity: &'a WidgetActivity) -> HashSet<&'a str> {
    let listed: HashSet<String> = widget.allowed_domains.iter().map(|rule| rule.entry.to_string()).collect();
    let since = |seen: &EmbedderActivity| {
        let let_through = |other: &&EmbedderActivity| other.origin == seen.origin && other.monitored > 0;
        activity.refused.embedders.iter().find(let_through).is_some_and(|other| other.last >= seen.last)
    };
    let admitted = activity.admitted.embedders.iter();
    let by_entry = admitted.filter(|seen| seen.reason != Some(Reason::Unrestricted));
    let unlisted = by_entry.filter(|seen| seen.entry.as_deref().is_some_and(|entry| !listed.contains(entry)));
    unlisted.filter(|seen| !since(seen)).map(|seen| &*seen.origin).collect()
}

/// Every site once, with all that was seen of it: those that were let in, refused, and reported.
fn most_frequent_first(activity: &WidgetActivity) -> Vec<EmbedderActivity> {
    let mut sites: BTreeMap<&str, EmbedderActivity> = BTreeMap::new();
    let requests = activity.admitted.embedders.iter().chain(&activity.refused.embedders);
    for seen in requests {
        match sites.get_mut(&*seen.origin) {
            Some(site) => site.merge(seen.clone()),
            None => drop(sites.insert(&seen.origin, seen.clone())),
        }
    }
    // A report counts only where no request tells of the site.
    for reported in &activity.reported.embedders {
        sites
            .entry(&reported.origin)
            .or_insert_with(|| EmbedderActivity { reason: None, ..reported.clone() });
    }
    let mut sites: Vec<EmbedderActivity> = sites.into_values().collect();
    sites.sort_by_key(|site| std::cmp::Reverse((site.count.saturating_sub(site.error), site.last)));
    sites
}

#[cfg(test)]
mod tests;
