//! Budget of reports: how many count in a minute, of each widget from each address.
//!
//! Its memory is fixed: [`CELLS`] counters of eight bytes, 256 KiB. A widget and an address have one of them, by a hash
//! that is another in each process. Two that have the same one share its budget: of either, fewer may count, never more.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use crate::sockets::network;

/// Most reports that count in a minute, of one widget from one address.
const MOST: u64 = 60;

/// Number of counters.
const CELLS: usize = 32 * 1024;

/// Bits of the count in a counter; the minute is above them.
const COUNT_BITS: u32 = 8;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const _: () = assert!(MOST <= COUNT);

/// Budget of reports.
pub struct ReportBudget {
    cells: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl ReportBudget {
    /// A budget of which nothing is spent.
    pub fn new() -> Self {
        let cells = std::iter::repeat_with(AtomicU64::default).take(CELLS).collect();
        Self { cells, hasher: RandomState::new() }
    }

    /// Whether one more report counts. Addresses of the same network count as one.
    pub fn take(&self, widget: &str, address: Option<IpAddr>, now: Timestamp) -> bool {
        let hash = self.hasher.hash_one((widget, address.map(network)));
        let place = usize::try_from(hash % CELLS as u64).unwrap_or_default();
        let Some(cell) = self.cells.get(place) else { return false };
        let minute = u64::try_from(now.as_second() / 60).unwrap_or_default();
        let taken = cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |was| {
            let count = if was >> COUNT_BITS == minute { was & COUNT } else { 0 };
            (count < MOST).then(|| minute << COUNT_BITS | (count + 1))
        });
        taken.is_ok()
    }
}

impl fmt::Debug for ReportBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReportBudget").field("cells", &self.cells.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// How many of a hundred count.
    fn counted(budget: &ReportBudget, widget: &str, address: &str, now: &str) -> usize {
        let (address, now) = (Some(address.parse().unwrap()), at(now));
        (0..100).filter(|_| budget.take(widget, address, now)).count()
    }

    #[test]
    fn sixty_count_in_a_minute() {
        let budget = ReportBudget::new();
        let noon = "2026-11-30T12:00:07Z";
        assert_eq!(counted(&budget, "w", "192.0.2.1", noon), 60);
        assert_eq!(counted(&budget, "w", "192.0.2.1", "2026-11-30T12:00:59Z"), 0);
        assert_eq!(counted(&budget, "w", "192.0.2.1", "2026-11-30T12:01:00Z"), 60);
        // The same network of 64 bits.
        assert_eq!(counted(&budget, "w", "2001:db8::1", noon), 60);
        assert_eq!(counted(&budget, "w", "2001:db8::2", noon), 0);
        assert_eq!(counted(&budget, "w", "::ffff:192.0.2.1", "2026-11-30T12:01:01Z"), 0);
    }

    /// Of so few, hardly any share a counter; where all were in one, none but the first would count.
    #[test]
    fn each_widget_and_address_has_its_own() {
        let budget = ReportBudget::new();
        let noon = "2026-11-30T12:00:00Z";
        let one = |place: u32| {
            counted(&budget, &format!("w{}", place / 10), &format!("192.0.2.{}", place % 10), noon)
        };
        let whole = (0..100).filter(|place| one(*place) == 60).count();
        assert!(whole >= 90, "{whole}");
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_by_the_counters() {
        let budget = ReportBudget::new();
        let now = at("2026-11-30T12:00:00Z");
        let flood = (0..50_000_u32).flat_map(|address| [Some(IpAddr::from(address.to_be_bytes())); 60]);
        let counted = flood.filter(|address| budget.take("w", *address, now)).count();
        let most = CELLS * usize::try_from(MOST).unwrap();
        assert!(counted <= most && counted > most / 2, "{counted}");
    }

    #[test]
    fn threads_together_count_no_more() {
        let budget = ReportBudget::new();
        let now = at("2026-11-30T12:00:00Z");
        let counted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..1000).filter(|_| budget.take("w", None, now)).count()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(counted, 60);
    }
}
