//! Embedders that were refused most often, over all widgets.
//!
//! Each widget's record counts its own. Here are those with the highest counts, as the records had them when they last
//! changed, so what is said of them is as right as the records are.

use serde::{Deserialize, Serialize};

use super::frequent::KeptEmbedder;
use super::reader::RefusedEmbedder;
use super::seen::SHOWN;

/// Embedders that there is room for. Fewer are shown: widgets may be deleted.
const CAPACITY: usize = 256;

/// The embedders that were refused most often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct MostRefused {
    refused: Vec<KeptRefusal>,
}

/// Embedder of a widget, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct KeptRefusal {
    widget: Box<str>,
    embedder: KeptEmbedder,
}

impl MostRefused {
    /// Takes an embedder whose count has changed, if it is among those with the highest ones.
    pub(super) fn offer(&mut self, widget: &str, embedder: &KeptEmbedder) {
        let is_full = self.refused.len() >= CAPACITY;
        let least = self.refused.iter().enumerate().min_by_key(|(_, known)| known.embedder.rank());
        let least = least.filter(|_| is_full).map(|(at, known)| (at, known.embedder.rank()));
        // One that is there already was no more frequent before.
        if least.is_some_and(|(_, rank)| embedder.rank() < rank) {
            return;
        }
        let least = least.map(|(at, _)| at);
        let known = self
            .refused
            .iter()
            .position(|known| *known.widget == *widget && known.embedder.origin == embedder.origin);
        let new = KeptRefusal { widget: widget.into(), embedder: embedder.clone() };
        match known.or(least).and_then(|at| self.refused.get_mut(at)) {
            Some(place) => *place = new,
            None => self.refused.push(new),
        }
    }

    /// Whether there is one of a widget that is not known.
    pub(super) fn has_unknown(&self, is_known: impl Fn(&str) -> bool) -> bool {
        self.refused.iter().any(|refused| !is_known(&refused.widget))
    }

    /// Drops those of widgets that are not known, so that others have their places.
    pub(super) fn retain(&mut self, is_known: impl Fn(&str) -> bool) {
        self.refused.retain(|refused| is_known(&refused.widget));
    }

    /// Those that are shown, most often first. `is_known`: whether there is a widget with this id.
    pub(super) fn told(&self, is_known: impl Fn(&str) -> bool) -> Vec<RefusedEmbedder> {
        let mut known: Vec<_> = self.refused.iter().filter(|refused| is_known(&refused.widget)).collect();
        known.sort_by(|one, other| other.embedder.rank().cmp(&one.embedder.rank()));
        known
            .into_iter()
            .take(SHOWN)
            .map(|KeptRefusal { widget, embedder }| RefusedEmbedder {
                widget: widget.clone(),
                embedder: embedder.told(),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::frequent::{KeptEmbedders, NewSightings};
    use crate::activity::seen::ClientCounts;
    use crate::activity::sketch::FrequencySketch;
    use crate::activity::tally::TalliedEmbedder;

    /// Counts a refusal in the list of its widget, and offers what comes of it.
    fn refuse(most: &mut MostRefused, list: &mut KeptEmbedders, widget: &str, name: u32, count: u64) {
        let clients = ClientCounts::default();
        let tallied =
            TalliedEmbedder { count, by_entry: 0, monitored: 0, reason: None, first: 1, last: 1, clients };
        let origin = format!("https://n{name}.example");
        let new = NewSightings { origin: &origin, tallied: &tallied, entry: None };
        let mut sketch = FrequencySketch::new(1 << 16);
        let key = |sketch: &FrequencySketch, origin: &str| sketch.key(widget, 1, origin);
        if let Some(embedder) = list.count(new, true, &mut sketch, key) {
            most.offer(widget, embedder);
        }
    }

    #[test]
    fn it_is_as_the_lists_of_all_widgets() {
        let mut most = MostRefused::default();
        let mut expected = Vec::new();
        for widget in 0..40_u32 {
            let (id, mut list) = (format!("w{widget}"), KeptEmbedders::default());
            for name in 0..20 {
                // Each comes several times, and counts of all sizes come in any order.
                let count = u64::from((widget * 7 + name * 13) % 101 * 40 + widget);
                for part in [1, count / 2, count - count / 2] {
                    refuse(&mut most, &mut list, &id, name, part);
                }
                expected.push((count + 1, id.clone(), format!("https://n{name}.example")));
            }
        }
        expected.sort_by(|one, other| other.cmp(one));
        let told = |known: &dyn Fn(&str) -> bool| -> Vec<(u64, String, String)> {
            let of = |refused: RefusedEmbedder| {
                (refused.embedder.count, refused.widget.to_string(), refused.embedder.origin.to_string())
            };
            most.told(known).into_iter().map(of).collect()
        };
        let counts =
            |told: &[(u64, String, String)]| told.iter().map(|(count, ..)| *count).collect::<Vec<_>>();
        assert_eq!(counts(&told(&|_| true)), counts(&expected)[..SHOWN]);
        // A widget that was deleted makes room for others.
        let deleted = expected[0].1.clone();
        let rest: Vec<_> = expected.iter().filter(|(_, id, _)| *id != deleted).cloned().collect();
        let known = |id: &str| id != deleted;
        assert_eq!(counts(&told(&known)), counts(&rest)[..SHOWN]);
        assert!(told(&known).iter().all(|(_, id, _)| *id != deleted));
    }

    #[test]
    fn widgets_that_are_not_known_leave_their_places() {
        let mut most = MostRefused::default();
        let mut list = KeptEmbedders::default();
        for name in 0..100 {
            refuse(&mut most, &mut list, "deleted", name, 1000);
        }
        for widget in 0..20_u32 {
            let mut list = KeptEmbedders::default();
            (0..20).for_each(|name| refuse(&mut most, &mut list, &format!("w{widget}"), name, 1));
        }
        assert_eq!(most.refused.len(), CAPACITY);
        let known = |id: &str| id != "deleted";
        assert!(most.has_unknown(known));
        most.retain(known);
        assert!(!most.has_unknown(known) && most.refused.len() == CAPACITY - 100);
    }
}
