//! Hourly bound of notices that anybody can cause, or that come in masses. What is beyond it is counted, and told in one
//! summary at the end of the hour.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::notifications::notice::Notice;

/// First sightings and denials of embedders that are told in an hour, of each widget.
const EMBEDDERS: u32 = 20;

/// Changes of rules that are told in an hour, of all widgets together.
const RULES: u32 = 200;

/// Widgets that are counted in an hour. What comes of others then is told one by one.
const WIDGETS: usize = 50_000;

/// Name of the counts of changed rules: no widget's id is empty.
const OF_RULES: &str = "";

const HOUR: i64 = 3600;

/// Counts of one widget in its hour; those of changed rules are of all widgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct HourCounts {
    /// Its beginning, in seconds since 1970.
    #[serde(rename = "h")]
    since: i64,
    /// What was told.
    #[serde(rename = "t")]
    told: u32,
    /// Denied embedders beyond that, or changes.
    #[serde(rename = "d")]
    denied: u64,
    /// Seen embedders beyond that.
    #[serde(rename = "s")]
    seen: u64,
}

/// Counts of the hours that run.
#[derive(Debug, Default)]
pub(super) struct HourlyBound {
    counts: HashMap<Box<str>, HourCounts>,
    /// Names of counts that have changed since they were kept.
    changed: HashSet<Box<str>>,
}

impl HourlyBound {
    /// Counts that were kept.
    pub(super) fn restored(kept: impl Iterator<Item = (Box<str>, HourCounts)>) -> Self {
        Self { counts: kept.collect(), changed: HashSet::new() }
    }

    /// Whether a notice is told; if not, it is counted. Ask [`HourlyBound::summaries`] before.
    pub(super) fn tells(&mut self, notice: &Notice, now: Timestamp) -> bool {
        let (name, most) = match notice {
            Notice::EmbedderFirstDenied { widget, .. } | Notice::EmbedderFirstSeen { widget, .. } => {
                (&**widget, EMBEDDERS)
            }
            Notice::RulesChanged { .. } => (OF_RULES, RULES),
            // What was seen at once and summed up there belongs to the summary of the hour.
            Notice::EmbedderSummary { widget, .. } => (&**widget, 0),
            _ => return true,
        };
        if self.counts.len() >= WIDGETS && !self.counts.contains_key(name) {
            return true;
        }
        let counts = self.counts_of(name, now);
        if counts.told < most {
            counts.told += 1;
            return true;
        }
        match notice {
            Notice::EmbedderFirstSeen { .. } => counts.seen += 1,
            Notice::EmbedderSummary { denied, seen, .. } => {
                counts.denied += denied;
                counts.seen += seen;
            }
            _ => counts.denied += 1,
        }
        false
    }

    /// Counts changes of rules that nobody had room for.
    pub(super) fn add_changes(&mut self, changes: u64, now: Timestamp) {
        if changes > 0 {
            self.counts_of(OF_RULES, now).denied += changes;
        }
    }

    fn counts_of(&mut self, name: &str, now: Timestamp) -> &mut HourCounts {
        if !self.changed.contains(name) {
            self.changed.insert(name.into());
        }
        let since = now.as_second().div_euclid(HOUR) * HOUR;
        self.counts.entry(name.into()).or_insert(HourCounts { since, ..HourCounts::default() })
    }

    /// The summaries of the hours that are over, which are forgotten with that.
    pub(super) fn summaries(&mut self, now: Timestamp) -> Vec<Notice> {
        let mut summaries = Vec::new();
        let (counts, changed) = (&mut self.counts, &mut self.changed);
        counts.retain(|name, hour| {
            // A clock that was set back must not hold them for long.
            let runs = (hour.since..hour.since + HOUR).contains(&now.as_second());
            if !runs {
                changed.insert(name.clone());
                summaries.extend(hour.summary(name));
            }
            runs
        });
        summaries
    }

    /// When the next hour ends, if there is anything to count.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        let ends = self.counts.values().map(|hour| hour.since + HOUR).min()?;
        Timestamp::from_second(ends).ok()
    }

    /// Whether there is something to keep.
    pub(super) fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// What has changed since it was kept; `None` for what is over. `all`: what is there, too, if nothing of it was kept.
    pub(super) fn changes(&self, all: bool) -> impl Iterator<Item = (&str, Option<&HourCounts>)> {
        let others = self.counts.keys().filter(move |name| all && !self.changed.contains(*name));
        self.changed.iter().chain(others).map(|name| (&**name, self.counts.get(name)))
    }

    /// Notes that everything is kept.
    pub(super) fn kept(&mut self) {
        self.changed.clear();
    }
}

impl HourCounts {
    fn summary(&self, name: &str) -> Option<Notice> {
        let since = Timestamp::from_second(self.since).ok()?;
        match (name, self.denied, self.seen) {
            (_, 0, 0) => None,
            (OF_RULES, changes, _) => Some(Notice::RulesSummary { changes, since }),
            (widget, denied, seen) => {
                Some(Notice::EmbedderSummary { widget: widget.to_owned(), denied, seen, since })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use embedgate_policy::verdict::Reason;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn denied(widget: &str) -> Notice {
        Notice::EmbedderFirstDenied {
            widget: widget.to_owned(),
            embedder: "https://x.example".to_owned(),
            reason: Reason::NotListed,
            would_admit: None,
            at: at(0),
        }
    }

    fn seen(widget: &str) -> Notice {
        let (embedder, entry) = ("https://x.example".to_owned(), "*.example".to_owned());
        Notice::EmbedderFirstSeen { widget: widget.to_owned(), embedder, entry, at: at(0) }
    }

    fn changed() -> Notice {
        Notice::RulesChanged { widget: "w".to_owned(), revision: Some(1), actor: None, at: at(0) }
    }

    #[test]
    fn twenty_of_a_widget_are_told_in_an_hour_and_then_a_summary() {
        let mut bound = HourlyBound::default();
        let told = (0..25).filter(|n| {
            let notice = if n % 5 == 4 { seen("w") } else { denied("w") };
            bound.tells(&notice, at(HOUR + *n))
        });
        assert_eq!(told.count(), 20);
        assert!(bound.tells(&denied("other"), at(HOUR + 30)), "each widget has its own");
        assert!(bound.tells(&Notice::Test { at: at(0) }, at(HOUR + 30)));
        assert_eq!(bound.summaries(at(2 * HOUR - 1)), []);
        assert_eq!(bound.ends(), Some(at(2 * HOUR)));
        // It is kept over a restart.
        let kept: Vec<_> = bound.changes(false).map(|(name, hour)| (name.into(), *hour.unwrap())).collect();
        let mut bound = HourlyBound::restored(kept.into_iter());
        assert!(!bound.tells(&denied("w"), at(HOUR + 50)));
        // So is what was summed up where it was seen.
        let more = Notice::EmbedderSummary { widget: "w".to_owned(), denied: 7, seen: 2, since: at(HOUR) };
        assert!(!bound.tells(&more, at(HOUR + 51)));
        let summary =
            Notice::EmbedderSummary { widget: "w".to_owned(), denied: 12, seen: 3, since: at(HOUR) };
        assert_eq!(bound.summaries(at(2 * HOUR)), [summary]);
        assert!(bound.tells(&denied("w"), at(2 * HOUR)));
        // What is over is taken away where it was kept.
        let changes: Vec<_> = bound.changes(false).collect();
        assert!(changes.contains(&("other", None)), "{changes:?}");
    }

    #[test]
    fn changes_of_many_rules_are_summed_up() {
        let mut bound = HourlyBound::default();
        let told = (0..100_000).filter(|_| bound.tells(&changed(), at(10)));
        assert_eq!(told.count(), 200);
        bound.add_changes(7, at(20));
        let summary = Notice::RulesSummary { changes: 99_807, since: at(0) };
        assert_eq!(bound.summaries(at(HOUR)), [summary]);
        assert_eq!(bound.summaries(at(HOUR)), []);
    }
}
