//! Sites that were seen, each judged again by the widget's list in force.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::activity::seen::{ClientCounts, EmbedderActivity, FrequentEmbedders, WidgetActivity};
use embedgate_policy::compiled::{WidgetRules, WidgetRulesBuf};
use embedgate_policy::decision::{Decision, EdgePolicy, Facts, TicketState, decide};
use embedgate_policy::entry::Entry;
use embedgate_policy::explain::entry_to_add;
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::{Class, Reason};
use embedgate_policy::widget::{Access, Widget};

/// Most sites in one list of an answer.
pub(in crate::admin) const MOST_SITES: usize = 50;

/// Site that was seen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::admin) struct SeenSite {
    /// Its origin; `null` or `file://` for pages without one that could be compared.
    #[schema(example = "https://shop.example.com")]
    pub(in crate::admin) origin: String,
    /// The number of its requests, or reports: at most so many, and fewer by at most `error`.
    pub(in crate::admin) count: u64,
    /// By how much `count` may be too high.
    pub(in crate::admin) error: u64,
    /// How many of its requests `access: monitor` let through, although the list did not admit them.
    pub(in crate::admin) monitored: u64,
    /// The reason of the last verdict, of the refusal where `monitor` let it through; `null` for reports.
    pub(in crate::admin) reason: Option<Reason>,
    /// The entry of the list that admits it now; `null` if none does, or the widget is disabled.
    pub(in crate::admin) entry: Option<String>,
    /// The entry to add so that the list admits it; `null` if the list does, or no entry can.
    pub(in crate::admin) entry_to_add: Option<String>,
    /// It is one of the vendor's own dashboards, which may preview every widget.
    pub(in crate::admin) preview: bool,
    /// When it was first seen.
    first: Timestamp,
    /// When it was last seen.
    pub(in crate::admin) last: Timestamp,
    /// Its requests by the class of the client.
    clients: ClassedRequests,
}

/// Numbers of requests by the class of the client. WebSocket handshakes are not classed. They decide nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::admin) struct ClassedRequests {
    /// Of browsers that say where a request comes from.
    browser: u64,
    /// Of clients that say it comes from the widget's own origin, and name another one.
    contradictory: u64,
    /// Of clients that say nothing: an old browser, plain http, or no browser.
    unknown: u64,
}

impl From<ClientCounts> for ClassedRequests {
    fn from(ClientCounts { browser, contradictory, unknown }: ClientCounts) -> Self {
        Self { browser, contradictory, unknown }
    }
}

/// Sites of one kind, most frequent first.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(in crate::admin) struct SeenSites {
    /// The sites, at most 50.
    pub(in crate::admin) sites: Vec<SeenSite>,
    /// How many more are known.
    pub(in crate::admin) omitted: usize,
    /// A site that is not known at all was seen at most so often.
    untracked: u64,
}

impl SeenSites {
    pub(super) fn of(sites: impl Iterator<Item = SeenSite>, untracked: u64) -> Self {
        let mut sites: Vec<SeenSite> = sites.collect();
        let omitted = sites.len().saturating_sub(MOST_SITES);
        sites.truncate(MOST_SITES);
        Self { sites, omitted, untracked }
    }
}

/// How many sites, and how many requests of theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::admin) struct SiteTotals {
    /// The number of sites.
    pub(in crate::admin) sites: usize,
    /// The number of their requests, at most.
    pub(in crate::admin) requests: u64,
}

impl FromIterator<u64> for SiteTotals {
    fn from_iter<I: IntoIterator<Item = u64>>(requests: I) -> Self {
        requests.into_iter().fold(Self::default(), |totals, requests| Self {
            sites: totals.sites + 1,
            requests: totals.requests.saturating_add(requests),
        })
    }
}

/// Judge of sites by one widget's rules, as of a page's first request.
pub(in crate::admin) struct SiteJudge<'w> {
    pub(in crate::admin) widget: &'w Widget,
    rules: WidgetRulesBuf,
    policy: EdgePolicy,
    pub(in crate::admin) now: Timestamp,
}

impl<'w> SiteJudge<'w> {
    pub(in crate::admin) fn new(widget: &'w Widget, policy: &EdgePolicy, now: Timestamp) -> Self {
        // What the rules say is asked, and not whether this edge may go by them now.
        let policy = EdgePolicy { stale_at: None, ..policy.clone() };
        Self { widget, rules: widget.compile(), policy, now }
    }

    /// The verdict by the rules as they are.
    pub(in crate::admin) fn by_rules(&self, origin: &str) -> Decision {
        self.decided(origin, self.rules.as_rules())
    }

    /// The verdict by other rules; `None` where there is no such widget.
    pub(in crate::admin) fn by_other_rules(&self, origin: &str, rules: Option<WidgetRules<'_>>) -> Decision {
        judged(origin, rules, &self.policy, self.now)
    }

    /// The verdict if the widget were enabled and its list enforced.
    pub(in crate::admin) fn by_list(&self, origin: &str) -> Decision {
        let rules = WidgetRules { access: Access::Enforce, enabled: true, ..self.rules.as_rules() };
        self.decided(origin, rules)
    }

    fn decided(&self, origin: &str, rules: WidgetRules<'_>) -> Decision {
        judged(origin, Some(rules), &self.policy, self.now)
    }

    /// The entry that admits a site.
    pub(in crate::admin) fn entry(&self, decision: &Decision) -> Option<String> {
        let rule = self.widget.allowed_domains.get(usize::try_from(decision.entry?).ok()?)?;
        Some(rule.entry.to_string())
    }

    /// The entry to add so that the list admits a site.
    pub(in crate::admin) fn entry_to_add(&self, origin: &str, decision: &Decision) -> Option<Entry> {
        entry_to_add(decision, Origin::parse(origin).ok()?, self.widget)
    }

    /// What is told of a site.
    pub(in crate::admin) fn told(&self, seen: &EmbedderActivity) -> SeenSite {
        let decision = self.by_list(&seen.origin);
        SeenSite {
            origin: seen.origin.to_string(),
            count: seen.count,
            error: seen.error,
            monitored: seen.monitored,
            reason: seen.reason,
            entry: self.entry(&decision).filter(|_| self.widget.enabled),
            entry_to_add: self.entry_to_add(&seen.origin, &decision).map(|entry| entry.to_string()),
            preview: is_preview(&decision),
            first: seen.first,
            last: seen.last,
            clients: seen.clients.into(),
        }
    }

    /// What is told of a list.
    pub(in crate::admin) fn all_told(&self, seen: &FrequentEmbedders) -> SeenSites {
        SeenSites::of(seen.embedders.iter().map(|seen| self.told(seen)), seen.untracked)
    }

    /// What `enforce` would refuse of what was let in: requests of sites that the list does not admit now.
    pub(in crate::admin) fn would_refuse(&self, activity: &WidgetActivity) -> SiteTotals {
        let refused =
            |(origin, requests): (&str, u64)| (!self.by_list(origin).is_allowed()).then_some(requests);
        let_in(activity).into_iter().filter_map(refused).collect()
    }
}

/// Whether the verdict is about one of the vendor's own dashboards.
pub(in crate::admin) fn is_preview(decision: &Decision) -> bool {
    decision.reason == Reason::SystemOrigin
}

fn judged(origin: &str, rules: Option<WidgetRules<'_>>, policy: &EdgePolicy, now: Timestamp) -> Decision {
    let facts = Facts {
        widget: rules.map_or("", |rules| rules.id),
        class: Class::Asset,
        embedder: Embedder::identify(std::iter::once(origin.as_bytes()), std::iter::empty()),
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    decide(&facts, rules, policy, now)
}

/// The sites that were let in, each with the number of its requests, at most.
pub(in crate::admin) fn let_in(activity: &WidgetActivity) -> BTreeMap<&str, u64> {
    let mut sites: BTreeMap<&str, u64> = BTreeMap::new();
    let admitted = activity.admitted.embedders.iter().map(|seen| (&*seen.origin, seen.count));
    let monitored = activity.refused.embedders.iter().map(|seen| (&*seen.origin, seen.monitored));
    for (origin, requests) in admitted.chain(monitored.filter(|(_, monitored)| *monitored > 0)) {
        let sum = sites.entry(origin).or_default();
        *sum = sum.saturating_add(requests);
    }
    sites
}
