//! Stale entries: those that have admitted nobody for long. What was seen of them is a parameter.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Severity};
use crate::decision::EdgePolicy;
use crate::widget::{Access, Widget};

/// Time without an admission from which an entry is reported: 30 days.
pub const STALE_AFTER: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Use of an entry, as far as it is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryUse {
    /// Since when the entry is in force and its use is recorded.
    pub watched_since: Timestamp,
    /// When it last admitted somebody; `None`: never.
    pub last: Option<Timestamp>,
}

impl EntryUse {
    /// Whether the entry has admitted nobody for so long, although it was in force and its use recorded.
    pub fn is_stale(self, after: SignedDuration, now: Timestamp) -> bool {
        now.duration_since(self.idle_since()) >= after
    }

    fn idle_since(self) -> Timestamp {
        self.last.map_or(self.watched_since, |last| last.max(self.watched_since))
    }
}

/// Whether a widget's list decides who may embed it, or would under `enforce`. The lists of open and of disabled widgets
/// admit nobody.
pub fn uses_its_list(widget: &Widget, policy: &EdgePolicy) -> bool {
    let is_open = widget.effective_access() == Access::Open && policy.open_allowed;
    widget.enabled && !is_open
}

/// The entries that have admitted nobody for [`STALE_AFTER`], in the order of the list. `uses`: what is known of each
/// entry, in the same order. Expired entries are left out, as they can admit nobody.
pub fn stale_entries(
    widget: &Widget,
    uses: &[EntryUse],
    policy: &EdgePolicy,
    now: Timestamp,
) -> Vec<Finding> {
    if !uses_its_list(widget, policy) {
        return Vec::new();
    }
    let rules = widget.allowed_domains.iter().zip(uses).enumerate();
    let stale = rules.filter(|(_, (rule, used))| !rule.is_expired(now) && used.is_stale(STALE_AFTER, now));
    let told = stale.map(|(index, (rule, used))| {
        let entry = rule.entry.to_string();
        let days = now.duration_since(used.idle_since()).as_hours() / 24;
        let since = match used.last.filter(|last| *last >= used.watched_since) {
            Some(last) => format!("last at {}", seconds(last)),
            None => format!("watched since {}", seconds(used.watched_since)),
        };
        Finding {
            code: "stale_entry",
            severity: Severity::Info,
            pointer: format!("/allowed_domains/{index}"),
            detail: format!(
                "`{entry}` has admitted nobody for {days} days ({since}); remove it if the site no longer embeds the widget"
            ),
            entry: Some(entry),
        }
    });
    told.collect()
}

/// A time in whole seconds, which is as much as a person looks at.
fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::suffix::PublicSuffixes;

    const DAY: i64 = 24 * 3600;
    const NOW: i64 = 2_000 * DAY;

    fn at(days_ago: i64) -> Timestamp {
        Timestamp::from_second(NOW - days_ago * DAY).unwrap()
    }

    fn found(document: &Value, uses: &[(i64, Option<i64>)], policy: &EdgePolicy) -> Vec<(String, String)> {
        let widget = Widget::parse(document.to_string().as_bytes(), PublicSuffixes::shipped()).unwrap();
        let uses: Vec<EntryUse> = uses
            .iter()
            .map(|&(watched, last)| EntryUse { watched_since: at(watched), last: last.map(at) })
            .collect();
        let findings = stale_entries(&widget, &uses, policy, at(0));
        findings.into_iter().map(|finding| (finding.pointer, finding.detail)).collect()
    }

    #[test]
    fn entries_that_have_admitted_nobody_for_thirty_days_are_told() {
        let document = json!({ "id": "w", "allowed_domains": [
            "new.example", "used.example", "left.example", "never.example",
            { "pattern": "over.example", "expires_at": "1970-01-02T00:00:00Z" }, "back.example",
            "again.example",
        ] });
        let uses = [
            (29, None),
            (90, Some(29)),
            (90, Some(30)),
            (45, None),
            (90, None),
            (10, Some(80)),
            (40, Some(80)),
        ];
        let told = found(&document, &uses, &EdgePolicy::default());
        let [left, never, again] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(left.0, "/allowed_domains/2");
        assert!(left.1.starts_with("`left.example` has admitted nobody for 30 days (last at 19"), "{left:?}");
        assert_eq!(never.0, "/allowed_domains/3");
        assert!(never.1.contains("for 45 days (watched since 19"), "{never:?}");
        // It was put back on the list after it was last used.
        assert!(again.1.contains("for 40 days (watched since 19"), "{again:?}");
    }

    #[test]
    fn a_list_that_decides_nothing_is_not_stale() {
        let closed = EdgePolicy::default();
        let open = EdgePolicy { open_allowed: true, ..EdgePolicy::default() };
        for (more, policy, is_told) in [
            (json!({}), &open, true),
            (json!({ "access": "monitor" }), &open, true),
            (json!({ "access": "open" }), &open, false),
            (json!({ "access": "open" }), &closed, true),
            (json!({ "enabled": false }), &open, false),
        ] {
            let mut document = json!({ "id": "w", "allowed_domains": ["example.com"] });
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            assert_eq!(found(&document, &[(99, None)], policy).len(), usize::from(is_told), "{document}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_stale_that_was_used_or_begun_within_the_time(
            watched in 0..100_i64, last in proptest::option::of(0..100_i64), days in 1..60_i64,
        ) {
            let used = EntryUse { watched_since: at(watched), last: last.map(at) };
            let idle = last.map_or(watched, |last| last.min(watched));
            prop_assert_eq!(used.is_stale(SignedDuration::from_hours(days * 24), at(0)), idle >= days);
        }
    }
}
