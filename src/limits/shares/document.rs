//! Documents that the edges of a fleet write about their shares.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use embedgate_policy::limits::LimitKind;

use super::Budget;

/// Start of the keys of leases, before the name of the edge.
pub(super) const LEASES: &str = "edge.";

/// Start of the keys of shares, before the number of the budget.
pub(super) const SHARES: &str = "share.";

/// Number of a budget, the same on all edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BudgetId(u128);

/// Budget by its names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BudgetName {
    pub(super) widget: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) embedder: Option<String>,
    pub(super) kind: LimitKind,
}

/// Shares of one budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareDocument {
    #[serde(flatten)]
    pub(super) name: BudgetName,
    /// The day that it is about, counted from 1970, where opens of a day are shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) day: Option<i64>,
    #[serde(default)]
    pub(super) shares: Vec<HeldShare>,
    /// Those who lack something, while nothing is free.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) wishes: Vec<ShareWish>,
}

/// Lease of a process: what it holds is good for as long as it renews it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareHolder {
    /// The name of its edge.
    pub(super) edge: String,
    /// The process; the one that goes on in its place after an upgrade counts as the same.
    pub(super) process: String,
    /// How often its lease has run out. What it held before is good again once it has written it again.
    pub(super) lapse: u32,
}

/// Share that a process holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HeldShare {
    #[serde(flatten)]
    pub(super) holder: ShareHolder,
    pub(super) share: u32,
}

/// Wish of a process for more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShareWish {
    pub(super) process: String,
    pub(super) need: u32,
    /// Grows with each time that it is repeated.
    pub(super) nth: u32,
}

impl BudgetName {
    pub(super) fn of(budget: &Budget<'_>) -> Self {
        let Budget { widget, embedder, kind, .. } = budget;
        Self { widget: (*widget).to_owned(), embedder: embedder.map(str::to_owned), kind: *kind }
    }

    pub(super) fn budget(&self) -> Budget<'_> {
        let Self { widget, embedder, kind } = self;
        Budget { widget, embedder: embedder.as_deref(), kind: *kind, is_newcomer: false }
    }
}

impl BudgetId {
    /// The number of a budget. Embedders choose their names, so that nobody finds two with the same it takes a real digest.
    pub(super) fn of(budget: &Budget<'_>) -> Self {
        let Budget { widget, embedder, kind, .. } = budget;
        let mut digest = Context::new(&SHA256);
        for part in [kind.as_str(), widget, embedder.map_or("", |_| "of"), embedder.unwrap_or_default()] {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        let digest = digest.finish();
        let start = digest.as_ref().iter().take(16);
        Self(start.fold(0, |number, byte| number << 8 | u128::from(*byte)))
    }

    /// What is left of it, divided by `by`.
    pub(super) fn remainder(self, by: usize) -> usize {
        (self.0 % by as u128) as usize
    }

    pub(super) fn key(self) -> String {
        let Self(number) = self;
        format!("{SHARES}{number:032x}")
    }

    /// The number in a key; `None` where it is another's.
    pub(super) fn of_key(key: &str) -> Option<Self> {
        u128::from_str_radix(key.strip_prefix(SHARES)?, 16).ok().map(Self)
    }
}

impl ShareDocument {
    /// Shares of which nobody holds any.
    pub(super) fn new(name: BudgetName) -> Self {
        Self { name, day: None, shares: Vec::new(), wishes: Vec::new() }
    }

    /// All shares together.
    pub(super) fn total(&self) -> u32 {
        self.shares.iter().fold(0, |total, held| total.saturating_add(held.share))
    }

    /// How much is written; nothing where nobody holds or wishes anything.
    pub(super) fn written(&self) -> Vec<u8> {
        if self.shares.is_empty() && self.wishes.is_empty() {
            return Vec::new();
        }
        // Texts and numbers can always be written.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_budget_has_a_number_of_its_own_that_its_key_tells() {
        let of =
            |widget, embedder, kind| BudgetId::of(&Budget { widget, embedder, kind, is_newcomer: false });
        let numbers = [
            of("w", None, LimitKind::Sessions),
            of("w", None, LimitKind::OpensPerDay),
            of("w", Some(""), LimitKind::Sessions),
            of("w", Some("https://a.example"), LimitKind::Sessions),
            of("wh", Some("ttps://a.example"), LimitKind::Sessions),
        ];
        for (n, number) in numbers.iter().enumerate() {
            assert!(!numbers[..n].contains(number));
            assert_eq!(BudgetId::of_key(&number.key()), Some(*number));
        }
        assert_eq!(BudgetId::of_key("edge.1"), None);
        assert_eq!(BudgetId::of_key("share.x"), None);
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let name = BudgetName {
            widget: "w".into(),
            embedder: Some("https://a.example".into()),
            kind: LimitKind::OpensPerDay,
        };
        let mut document = ShareDocument::new(name);
        assert_eq!(document.written(), b"");
        let holder = ShareHolder { edge: "edge-1".into(), process: "p".into(), lapse: 2 };
        document.shares.push(HeldShare { holder, share: u32::MAX });
        document.wishes.push(ShareWish { process: "q".into(), need: 3, nth: 1 });
        document.day = Some(20_000);
        assert_eq!(serde_json::from_slice::<ShareDocument>(&document.written()).unwrap(), document);
        document.shares.push(document.shares[0].clone());
        assert_eq!(document.total(), u32::MAX, "more than can be counted is more than any limit");
    }
}
