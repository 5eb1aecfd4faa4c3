//! Record of one widget, as it is kept, and how sightings are added to it.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::firsts::FirstSightings;
use super::frequent::{KeptEmbedder, KeptEmbedders, NewSightings, second};
use super::seen::{EntryActivity, WidgetActivity};
use super::sketch::FrequencySketch;
use super::tally::{EmbedderList, TalliedEmbedder, TallyLine};
use embedgate_policy::allowlist::Judgement;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::entry::EntryKind;
use embedgate_policy::origin::Origin;

/// Record of one widget. Later versions may add fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct KeptWidget {
    /// The last sighting, in seconds since 1970.
    #[serde(rename = "l")]
    pub(super) last: u32,
    /// The revision whose entries these are.
    #[serde(rename = "v")]
    revision: u64,
    #[serde(rename = "e")]
    entries: BTreeMap<Box<str>, KeptEntry>,
    #[serde(rename = "a")]
    admitted: KeptEmbedders,
    #[serde(rename = "r")]
    refused: KeptEmbedders,
    #[serde(rename = "p")]
    reported: KeptEmbedders,
}

/// Entry, as it is kept. Times are seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct KeptEntry {
    #[serde(rename = "f")]
    first: u32,
    #[serde(rename = "l")]
    last: u32,
    #[serde(rename = "n")]
    count: u64,
}

/// Whether lists may have more embedders than they have, or only others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Growth {
    /// Lists of embedders that were let in.
    pub(super) of_admitted: bool,
    /// Lists of those that were refused or reported, which anybody can make up.
    pub(super) of_others: bool,
}

impl KeptWidget {
    /// Adds the lines of this widget. `firsts` is shown the embedders that it never had, and `refused` the refused ones whose
    /// counts have changed. Returns whether the record has to be written.
    pub(super) fn add(
        &mut self,
        lines: &[TallyLine<'_>],
        rules: WidgetRules<'_>,
        growth: Growth,
        sketch: &mut FrequencySketch,
        firsts: &mut FirstSightings<'_>,
        mut refused: impl FnMut(&KeptEmbedder),
    ) -> bool {
        let mut is_changed = self.drop_unlisted_entries(rules);
        for line in lines {
            let entry = self.add_to_entry(line, rules);
            let (list, may_grow) = match line.list {
                EmbedderList::Admitted => (&mut self.admitted, growth.of_admitted),
                EmbedderList::Refused => (&mut self.refused, growth.of_others),
                EmbedderList::Reported => (&mut self.reported, growth.of_others),
            };
            let new = NewSightings {
                origin: line.origin,
                tallied: line.tallied,
                entry: entry.as_ref().map(|(_, text)| &**text),
            };
            let key =
                |sketch: &FrequencySketch, origin: &str| sketch.key(line.widget, line.list.byte(), origin);
            if firsts.are_wanted() && list.is_new((line.origin, line.tallied.reason), sketch, key) {
                firsts.add(line, rules, entry.as_ref());
            }
            let untracked = list.untracked();
            match list.count(new, may_grow, sketch, key) {
                Some(embedder) if line.list == EmbedderList::Refused => {
                    refused(embedder);
                    is_changed = true;
                }
                Some(_) => is_changed = true,
                None => is_changed |= entry.is_some() || list.untracked() > untracked,
            }
            self.last = self.last.max(line.tallied.last);
        }
        firsts.end_widget();
        is_changed
    }

    /// Counts for the entry that admits the embedder now. Returns its kind and canonical text.
    fn add_to_entry(&mut self, line: &TallyLine<'_>, rules: WidgetRules<'_>) -> Option<(EntryKind, String)> {
        let TalliedEmbedder { by_entry: count, first, last, .. } = *line.tallied;
        if line.list != EmbedderList::Admitted || count == 0 {
            return None;
        }
        let origin = Origin::parse(line.origin).ok()?;
        let Judgement::Admitted { kind, entry } = rules.allowlist.judge(origin, line.tallied.last()) else {
            return None;
        };
        let entry = rules.allowlist.entry(entry)?.to_string();
        match self.entries.get_mut(&*entry) {
            Some(known) => {
                known.first = known.first.min(first);
                known.last = known.last.max(last);
                known.count = known.count.saturating_add(count);
            }
            None => drop(self.entries.insert(entry.as_str().into(), KeptEntry { first, last, count })),
        }
        Some((kind, entry))
    }

    /// Drops entries that are no longer on the list. Returns whether there were any.
    fn drop_unlisted_entries(&mut self, rules: WidgetRules<'_>) -> bool {
        // Documents without a revision may change under the same number.
        if self.revision == rules.revision && self.revision != 0 {
            return false;
        }
        self.revision = rules.revision;
        if self.entries.is_empty() {
            return false;
        }
        let before = self.entries.len();
        // Those that have expired are still on the list.
        let listed: HashSet<String> =
            rules.allowlist.entries(Timestamp::MIN).map(|entry| entry.to_string()).collect();
        self.entries.retain(|entry, _| listed.contains(&**entry));
        self.entries.len() < before
    }

    /// The record for people and other edges.
    pub(super) fn told(&self) -> WidgetActivity {
        let entry = |KeptEntry { first, last, count }: KeptEntry| EntryActivity {
            first: second(first),
            last: second(last),
            count,
        };
        WidgetActivity {
            entries: self.entries.iter().map(|(text, kept)| (text.clone(), entry(*kept))).collect(),
            admitted: self.admitted.told(),
            refused: self.refused.told(),
            reported: self.reported.told(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::activity::sighting::{Sighting, SightingKind};
    use crate::activity::tally::SightingTally;
    use crate::rules::fixtures::widget;
    use embedgate_policy::verdict::Reason;

    const GROWS: Growth = Growth { of_admitted: true, of_others: true };

    fn admitted(reason: Reason) -> SightingKind {
        SightingKind::Admitted { reason, would_deny: None }
    }

    /// Adds sightings at these seconds, as the document has them judged. Returns whether the record has changed, and who
    /// was refused.
    fn add(
        record: &mut KeptWidget,
        document: &str,
        sightings: &[(&str, SightingKind, i64)],
    ) -> (bool, Vec<String>) {
        let compiled = widget(document).compile();
        let mut tally = SightingTally::new(1 << 20);
        for (embedder, kind, at) in sightings {
            let (client, at) = (None, Timestamp::from_second(*at).unwrap());
            assert!(tally.add(&Sighting { widget: "w", embedder, kind: *kind, client, at }));
        }
        let (mut sketch, mut refused) = (FrequencySketch::new(1 << 16), Vec::new());
        let (rules, mut firsts) = (compiled.as_rules(), FirstSightings::default());
        let changed = record.add(&tally.lines(), rules, GROWS, &mut sketch, &mut firsts, |embedder| {
            refused.push(embedder.origin.to_string());
        });
        (changed, refused)
    }

    #[test]
    fn entries_tell_whom_they_have_admitted() {
        let mut record = KeptWidget::default();
        let document = r#"{"id":"w","revision":1,"allowed_domains":["example.com","*.example.org",
            {"pattern":"old.example","expires_at":"2001-01-01T00:00:00Z"}]}"#;
        let after = 1_000_000_000;
        let (changed, refused) = add(
            &mut record,
            document,
            &[
                ("https://example.com", admitted(Reason::Exact), after),
                ("https://a.example.org", admitted(Reason::Wildcard), after + 1),
                ("https://a.example.org", admitted(Reason::Ticket), after + 3),
                ("https://b.example.org", admitted(Reason::Wildcard), after + 2),
                ("https://old.example", admitted(Reason::Exact), 900_000_000),
                ("https://dashboard.example", admitted(Reason::SystemOrigin), after),
                ("https://stranger.example", SightingKind::Refused { reason: Reason::NotListed }, after),
                ("null", SightingKind::Reported, after),
            ],
        );
        assert_eq!((changed, refused), (true, vec!["https://stranger.example".to_owned()]));
        let told = record.told();
        let entries: Vec<_> = told
            .entries
            .iter()
            .map(|(text, entry)| (&**text, entry.first.as_second(), entry.last.as_second(), entry.count))
            .collect();
        assert_eq!(
            entries,
            [
                ("*.example.org", after + 1, after + 3, 3),
                ("example.com", after, after, 1),
                ("old.example", 900_000_000, 900_000_000, 1),
            ]
        );
        let by_entry = |origin: &str| {
            let found = told.admitted.embedders.iter().find(|embedder| *embedder.origin == *origin);
            found.unwrap().entry.clone()
        };
        assert_eq!(by_entry("https://b.example.org").as_deref(), Some("*.example.org"));
        assert_eq!(by_entry("https://dashboard.example"), None);
        assert_eq!((told.refused.embedders.len(), &*told.reported.embedders[0].origin), (1, "null"));
    }

    #[test]
    fn what_leaves_the_list_leaves_the_record() {
        let mut record = KeptWidget::default();
        let site = |name: &'static str| (name, admitted(Reason::Exact), 5);
        let document = |revision, entries| {
            format!(r#"{{"id":"w","revision":{revision},"allowed_domains":[{entries}]}}"#)
        };
        let both = [site("https://a.example"), site("https://b.example")];
        add(&mut record, &document(1, r#""a.example","b.example""#), &both);
        assert_eq!(record.told().entries.len(), 2);
        add(&mut record, &document(2, r#""b.example""#), &[site("https://b.example")]);
        let told = record.told();
        assert_eq!(told.entries.keys().map(|entry| &**entry).collect::<Vec<_>>(), ["b.example"]);
        // That it was embedded there stays known.
        assert_eq!(told.admitted.embedders.len(), 2);
    }

    #[test]
    fn nothing_is_written_for_those_that_only_the_sketch_counts() {
        let compiled = widget(r#"{"id":"w","access":"open"}"#).compile();
        let mut sketch = FrequencySketch::new(1 << 20);
        let (mut record, mut writes) = (KeptWidget::default(), 0);
        let mut firsts = FirstSightings::default();
        for forged in 0..1000 {
            let mut tally = SightingTally::new(1 << 20);
            let embedder = format!("https://n{forged}.example");
            let kind = admitted(Reason::Unrestricted);
            let at = Timestamp::from_second(7).unwrap();
            tally.add(&Sighting { widget: "w", embedder: &embedder, kind, client: None, at });
            let (lines, rules) = (tally.lines(), compiled.as_rules());
            let changed = record.add(&lines, rules, GROWS, &mut sketch, &mut firsts, |_| {});
            writes += u32::from(changed);
        }
        assert!((129..150).contains(&writes), "{writes}");
    }
}
