//! Effect of a document on the sites that were seen lately.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use crate::activity::seen::WidgetActivity;
use crate::admin::activity::{SiteJudge, let_in};
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::verdict::Reason;

/// How far back sightings count: 30 days.
const LATELY: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Most sites that are listed.
const MOST_LISTED: usize = 100;

/// Effect on sites that were seen in the last 30 days.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EmbedderEffects {
    /// The effect in words.
    #[schema(example = "3 sites that loaded the widget in the last 30 days would be refused")]
    summary: String,
    /// How many sites that loaded the widget would be refused.
    newly_refused: usize,
    /// How many sites that are refused now would be admitted.
    newly_admitted: usize,
    /// The sites that would be refused, most frequent first, at most 100.
    refused: Vec<AffectedSite>,
    /// The sites that would be admitted, most frequent first, at most 100.
    admitted: Vec<AffectedSite>,
    /// A site that is not known at all was seen at most so often.
    untracked: u64,
    /// Edges of the fleet that did not answer: what they have seen is missing here.
    missing: Vec<String>,
}

/// Site to which a document makes a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
struct AffectedSite {
    /// Its origin.
    #[schema(example = "https://shop.example.com")]
    origin: String,
    /// The number of its requests, at most.
    count: u64,
    /// When it was last seen.
    last: Timestamp,
    /// The reason of the verdict by the document.
    reason: Reason,
}

impl EmbedderEffects {
    /// The effect of a document in place of the rules in force, which are `None` where there is no such widget.
    pub(super) fn of(
        before: Option<WidgetRules<'_>>,
        after: &SiteJudge<'_>,
        activity: &WidgetActivity,
        missing: Vec<String>,
    ) -> Self {
        let let_in = let_in(activity);
        let (mut refused, mut admitted) = (Vec::new(), Vec::new());
        for (origin, (count, last)) in seen(activity) {
            if after.now.duration_since(last) > LATELY {
                continue;
            }
            let (was, is) = (after.by_other_rules(origin, before), after.by_rules(origin));
            let site = || AffectedSite { origin: origin.to_owned(), count, last, reason: is.reason };
            match (was.is_allowed(), is.is_allowed()) {
                (true, false) if let_in.contains_key(origin) => refused.push(site()),
                (false, true) => admitted.push(site()),
                _ => {}
            }
        }
        for sites in [&mut refused, &mut admitted] {
            sites.sort_by_key(|site| std::cmp::Reverse((site.count, site.last)));
        }
        let (newly_refused, newly_admitted) = (refused.len(), admitted.len());
        refused.truncate(MOST_LISTED);
        admitted.truncate(MOST_LISTED);
        Self {
            summary: summary(newly_refused, newly_admitted),
            newly_refused,
            newly_admitted,
            refused,
            admitted,
            untracked: activity.admitted.untracked.max(activity.refused.untracked),
            missing,
        }
    }
}

/// Every site that has asked, with the number of its requests and the last time.
fn seen(activity: &WidgetActivity) -> BTreeMap<&str, (u64, Timestamp)> {
    let mut sites: BTreeMap<&str, (u64, Timestamp)> = BTreeMap::new();
    for seen in activity.admitted.embedders.iter().chain(&activity.refused.embedders) {
        let (count, last) = sites.entry(&seen.origin).or_insert((0, seen.last));
        (*count, *last) = (count.saturating_add(seen.count), seen.last.max(*last));
    }
    sites
}

fn summary(refused: usize, admitted: usize) -> String {
    let sites = |number: usize| if number == 1 { "1 site".to_owned() } else { format!("{number} sites") };
    let mut told = format!("{} that loaded the widget in the last 30 days would be refused", sites(refused));
    if admitted > 0 {
        let are = if admitted == 1 { "is" } else { "are" };
        told.push_str(&format!(", {} that {are} refused now would be admitted", sites(admitted)));
    }
    told
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::activity::seen::{EmbedderActivity, FrequentEmbedders};
    use crate::rules::fixtures::widget;
    use embedgate_policy::decision::EdgePolicy;

    const NOW: i64 = 100 * 86_400;

    fn at(days_ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - days_ago * 86_400).unwrap()
    }

    fn embedders(seen: &[(&str, u64, u64, i64)]) -> FrequentEmbedders {
        let embedder = |&(origin, count, monitored, days_ago): &(&str, u64, u64, i64)| EmbedderActivity {
            origin: origin.into(),
            count,
            error: 0,
            monitored,
            reason: Some(Reason::NotListed),
            entry: None,
            first: at(50),
            last: at(days_ago),
            clients: Default::default(),
        };
        FrequentEmbedders { embedders: seen.iter().map(embedder).collect(), untracked: 0 }
    }

    fn effect(before: Option<&str>, after: &str, activity: &WidgetActivity) -> EmbedderEffects {
        let (before, after) = (before.map(|json| widget(json).compile()), widget(after));
        let policy = EdgePolicy { open_allowed: true, ..EdgePolicy::default() };
        let judge = SiteJudge::new(&after, &policy, at(0));
        EmbedderEffects::of(before.as_ref().map(|rules| rules.as_rules()), &judge, activity, Vec::new())
    }

    fn origins(sites: &[AffectedSite]) -> Vec<(&str, u64)> {
        sites.iter().map(|site| (site.origin.as_str(), site.count)).collect()
    }

    #[test]
    fn who_was_seen_is_judged_by_the_old_rules_and_by_the_new() {
        let activity = WidgetActivity {
            admitted: embedders(&[
                ("https://a.example", 7, 0, 1),
                ("https://b.example", 9, 0, 30),
                ("https://old.example", 90, 0, 31),
                ("https://stays.example", 5, 0, 0),
                ("null", 2, 0, 0),
            ]),
            refused: embedders(&[
                ("https://new.example", 3, 0, 2),
                ("https://a.example", 1, 0, 0),
                ("https://tried.example", 4, 0, 0),
                ("https://let.example", 6, 2, 0),
            ]),
            ..WidgetActivity::default()
        };
        let list =
            |entries: &str, more: &str| format!(r#"{{"id": "w", "allowed_domains": [{entries}]{more}}}"#);
        let all = r#""a.example", "b.example", "old.example", "stays.example", "tried.example""#;
        let told = effect(Some(&list(all, "")), &list(r#""stays.example", "new.example""#, ""), &activity);
        assert_eq!(origins(&told.refused), [("https://b.example", 9), ("https://a.example", 8)]);
        assert_eq!(origins(&told.admitted), [("https://new.example", 3)]);
        assert_eq!(
            told.summary,
            "2 sites that loaded the widget in the last 30 days would be refused, 1 site that is refused now would be admitted"
        );

        // What only monitor lets through would be refused.
        let told = effect(Some(&list(all, r#", "access": "monitor""#)), &list(all, ""), &activity);
        assert_eq!(origins(&told.refused), [("https://let.example", 6), ("null", 2)]);
        // The kill switch, and a widget that is new.
        let told = effect(Some(&list(all, "")), &list(all, r#", "enabled": false"#), &activity);
        assert_eq!(told.newly_refused, 3);
        assert!(told.refused.iter().all(|site| site.reason == Reason::WidgetDisabled));
        let told = effect(None, &list(r#""a.example""#, ""), &activity);
        assert_eq!((told.newly_refused, origins(&told.admitted)), (0, vec![("https://a.example", 8)]));
    }

    #[test]
    fn very_many_sites_are_counted_and_the_most_frequent_listed() {
        let names: Vec<String> = (0..150).map(|n| format!("https://s{n}.example")).collect();
        let seen: Vec<_> = names.iter().zip(1..).map(|(name, count)| (name.as_str(), count, 0, 0)).collect();
        let activity = WidgetActivity { admitted: embedders(&seen), ..WidgetActivity::default() };
        let told = effect(Some(r#"{"id": "w"}"#), r#"{"id": "w", "access": "enforce"}"#, &activity);
        assert_eq!((told.newly_refused, told.refused.len(), told.refused[0].count), (150, 100, 150));
        assert!(told.summary.starts_with("150 sites that loaded the widget"), "{}", told.summary);
    }
}
