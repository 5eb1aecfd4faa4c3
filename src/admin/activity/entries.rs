//! Use of a widget's entries: when each last admitted somebody, and since when that could be seen.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::gather::Gather;
use crate::activity::seen::WidgetActivity;
use crate::admin::problem::Problem;
use crate::admin::{Admin, refusal};
use crate::rules::documents::{HistoryEntry, HistoryState};
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::lint::{EntryUse, Finding, STALE_AFTER, stale_entries, uses_its_list};
use embedgate_policy::widget::Widget;

/// Time that the answer to a save waits for what other edges have seen.
const PATIENCE_OF_A_SAVE: Duration = Duration::from_millis(250);

/// The use of each entry, in the order of the list. Where one has admitted nobody for `after`, the history says since when it
/// is listed.
pub(in crate::admin) fn uses(
    admin: &Admin,
    widget: &Widget,
    activity: &WidgetActivity,
    (after, now): (SignedDuration, Timestamp),
) -> Result<Vec<EntryUse>, Problem> {
    let policy = admin.policy.load();
    let mut uses = as_recorded(admin, widget, activity);
    if !uses_its_list(widget, &policy) || !uses.iter().any(|used| used.is_stale(after, now)) {
        return Ok(uses);
    }
    let history = admin.publisher.documents().history(widget.id.as_str());
    let history = history.map_err(|error| refusal::of_storage(&error))?;
    let listed = listed_since(widget, &history, &policy, now);
    for (used, listed) in uses.iter_mut().zip(listed) {
        used.watched_since = listed.map_or(used.watched_since, |listed| listed.max(used.watched_since));
    }
    Ok(uses)
}

/// The use of each entry, as if all were listed since the first sighting is kept.
fn as_recorded(admin: &Admin, widget: &Widget, activity: &WidgetActivity) -> Vec<EntryUse> {
    let watched_since = admin.activity.since();
    let used = |entry: String| activity.entries.get(entry.as_str()).map(|used| used.last);
    let rules = widget.allowed_domains.iter();
    rules.map(|rule| EntryUse { watched_since, last: used(rule.entry.to_string()) }).collect()
}

/// Since when each entry of a widget is listed, without a break in which the list decided nothing; `None` where that is not
/// kept. `history`: newest first.
fn listed_since(
    widget: &Widget,
    history: &[HistoryEntry],
    policy: &EdgePolicy,
    now: Timestamp,
) -> Vec<Option<Timestamp>> {
    let entries: Vec<String> = widget.allowed_domains.iter().map(|rule| rule.entry.to_string()).collect();
    // What the history does not have yet was never in force.
    let mut since = vec![Some(now); entries.len()];
    let mut unbroken: Vec<usize> = (0..entries.len()).collect();
    for past in history {
        let listed: HashSet<String> = match &past.state {
            HistoryState::Document(document) if uses_its_list(document, policy) => {
                document.allowed_domains.iter().map(|rule| rule.entry.to_string()).collect()
            }
            HistoryState::Document(_) | HistoryState::Deleted => break,
        };
        unbroken.retain(|&index| {
            let is_listed = entries.get(index).is_some_and(|entry| listed.contains(entry));
            if let Some(since) = since.get_mut(index).filter(|_| is_listed) {
                *since = past.at;
            }
            is_listed
        });
    }
    since
}

/// The stale entries of a widget, by what all edges have seen of it.
pub(in crate::admin) fn stale(
    admin: &Admin,
    widget: &Widget,
    activity: &WidgetActivity,
    now: Timestamp,
) -> Result<Vec<Finding>, Problem> {
    let uses = uses(admin, widget, activity, (STALE_AFTER, now))?;
    Ok(stale_entries(widget, &uses, &admin.policy.load(), now))
}

/// The stale entries of a widget that was saved. Other edges are asked only where this one has not seen all entries used;
/// if one of them does not answer, nothing can be said.
pub(in crate::admin) fn stale_once_saved(
    admin: &Admin,
    widget: &Widget,
    now: Timestamp,
) -> Result<Vec<Finding>, Problem> {
    let mut alone = Gather::of_this_edge(admin);
    let found = stale(admin, widget, &alone.widget(widget.id.as_str())?, now)?;
    if found.is_empty() || admin.fleet.is_none() {
        return Ok(found);
    }
    let mut gather = Gather::within(admin, PATIENCE_OF_A_SAVE);
    let activity = gather.widget(widget.id.as_str())?;
    if gather.is_whole() { stale(admin, widget, &activity, now) } else { Ok(Vec::new()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::fixtures::widget;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn listed(history: &[(Option<i64>, Option<&str>)]) -> Vec<Option<i64>> {
        let entry = |&(second, document): &(Option<i64>, Option<&str>)| HistoryEntry {
            revision: 1,
            at: second.map(at),
            actor: None,
            state: document.map_or(HistoryState::Deleted, |json| HistoryState::Document(widget(json))),
        };
        let history: Vec<HistoryEntry> = history.iter().map(entry).collect();
        let policy = EdgePolicy { open_allowed: true, ..EdgePolicy::default() };
        let both = widget(r#"{"id": "w", "allowed_domains": ["a.example", "b.example"]}"#);
        let since = listed_since(&both, &history, &policy, at(99));
        since.into_iter().map(|since| since.map(Timestamp::as_second)).collect()
    }

    #[test]
    fn an_entry_is_listed_since_the_last_change_that_listed_it() {
        let both = Some(r#"{"id": "w", "allowed_domains": ["b.example", "a.example"]}"#);
        let (only_a, open) = (
            Some(r#"{"id": "w", "allowed_domains": ["a.example"]}"#),
            Some(r#"{"id": "w", "access": "open", "allowed_domains": ["a.example", "b.example"]}"#),
        );
        let disabled =
            Some(r#"{"id": "w", "enabled": false, "allowed_domains": ["a.example", "b.example"]}"#);
        for (history, a, b) in [
            (vec![], Some(99), Some(99)),
            (vec![(Some(5), both)], Some(5), Some(5)),
            (vec![(Some(5), both), (Some(3), only_a)], Some(3), Some(5)),
            (vec![(Some(7), both), (Some(5), only_a), (Some(3), both)], Some(3), Some(7)),
            // What is not in force yet, or not any more.
            (vec![(Some(5), only_a), (Some(3), both)], Some(3), Some(99)),
            (vec![(Some(5), both), (Some(4), None), (Some(3), both)], Some(5), Some(5)),
            (vec![(Some(5), both), (Some(4), open), (Some(3), both)], Some(5), Some(5)),
            (vec![(Some(5), both), (Some(4), disabled), (Some(3), both)], Some(5), Some(5)),
            // By a version that kept no history.
            (vec![(Some(5), both), (None, only_a)], None, Some(5)),
        ] {
            assert_eq!(listed(&history), [a, b], "{history:?}");
        }
    }
}
