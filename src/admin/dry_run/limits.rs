//! Effect of a document's limits on what is used already.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::Admin;
use crate::rules::sessions::OpenSession;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart, LimitUsage, Limits};
use embedgate_policy::widget::Widget;

/// Limit of the document, and how much of it is used already on this edge.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct LimitEffect {
    /// Whose opens and sessions are counted together.
    part: LimitPart,
    /// What is counted.
    kind: LimitKind,
    /// The limit.
    limit: u32,
    /// The limit in force now; `null` where there is none.
    #[schema(required)]
    in_force: Option<u32>,
    /// How much of it is used now; for embedders and addresses by the one that has used most. Opens are counted from the
    /// moment on that the widget has limits.
    used: u32,
    /// The embedder that has used so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    whose: Option<String>,
    /// By how much more than the limit is used. Open sessions above a limit stay.
    above: u32,
    /// The use in words.
    #[schema(example = "widget: 12 of 20 opens used this minute; 8 more are admitted")]
    summary: String,
}

impl LimitEffect {
    /// The effects of a document's limits in place of those in force, in the order in which limits are asked.
    pub(super) fn of(
        admin: &Admin,
        widget: &Widget,
        in_force: &Limits,
        sessions: &[OpenSession],
        policy: &EdgePolicy,
    ) -> Vec<Self> {
        let id = widget.id.as_str();
        let mut usage = admin.limits.usage(id, &widget.limits, None);
        // Nothing is counted before a widget has limits, and then the sessions that are open count.
        if in_force.is_empty() {
            let open = OpenCount::of(id, sessions, policy);
            usage.iter_mut().for_each(|limit| open.add_to(limit));
        }
        let effect = |usage: LimitUsage| {
            let summary = in_words(&usage, widget.limits.mode);
            let LimitUsage { part, kind, limit, used, whose } = usage;
            let in_force = in_force.of(part).of(kind).map(|limit| limit.get());
            Self { part, kind, limit, in_force, used, whose, above: used.saturating_sub(limit), summary }
        };
        usage.into_iter().map(effect).collect()
    }
}

/// The use of a limit, and what becomes of the next open.
fn in_words(usage: &LimitUsage, mode: LimitMode) -> String {
    let (limit, used) = (usage.limit, usage.used);
    if used < limit {
        return format!("{usage}; {} more are admitted", limit - used);
    }
    let next = match mode {
        LimitMode::Enforce => "the next open is refused",
        LimitMode::Monitor => "the next open is let through and noted",
    };
    match usage.kind {
        LimitKind::Sessions if used > limit => format!("{usage}; {} above the limit stay open, and {next}", used - limit),
        _ => format!("{usage}; {next}"),
    }
}

/// Sessions that are open, of all embedders and of the one with most.
struct OpenCount {
    all: u32,
    most: Option<(String, u32)>,
}

impl OpenCount {
    fn of(widget: &str, sessions: &[OpenSession], policy: &EdgePolicy) -> Self {
        let mut by_embedder = HashMap::<&str, u32>::new();
        let mut all = 0;
        for session in sessions {
            let page = session.facts.page(widget, policy);
            // A preview counts as nothing.
            if page.is_some_and(|page| policy.system_origins.contains(page.as_origin())) {
                continue;
            }
            all += 1;
            if let Some(embedder) = session.facts.facts(widget).counted_embedder(policy) {
                *by_embedder.entry(embedder).or_default() += 1;
            }
        }
        let most = by_embedder.into_iter().max_by_key(|(embedder, count)| (*count, std::cmp::Reverse(*embedder)));
        Self {
            all,
            most: most.map(|(embedder, count)| (embedder.to_owned(), count)),
        }
    }

    fn add_to(&self, limit: &mut LimitUsage) {
        match (limit.part, limit.kind, &self.most) {
            (LimitPart::Widget, LimitKind::Sessions, _) => limit.used = self.all,
            (LimitPart::Embedder, LimitKind::Sessions, Some((embedder, count))) => {
                (limit.used, limit.whose) = (*count, Some(embedder.clone()));
            }
            _ => {}
        }
    }
}
