//! Tally of the sightings since the last write: exact counts by widget, list and embedder, in bounded memory.

use std::collections::HashMap;
use std::mem;

use jiff::Timestamp;

use super::seen::ClientCounts;
use super::sighting::{ClientClass, Sighting, SightingKind};
use embedgate_policy::verdict::Reason;

/// List of a widget's embedders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EmbedderList {
    /// Those that were let in by right.
    Admitted,
    /// Those that were refused, or let through by `access: monitor` alone.
    Refused,
    /// Pages that browsers have reported.
    Reported,
}

/// Sightings of one embedder in one list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TalliedEmbedder {
    /// The number of sightings.
    pub(super) count: u64,
    /// How many of them an entry admitted.
    pub(super) by_entry: u64,
    /// How many of them `access: monitor` let through.
    pub(super) monitored: u64,
    /// The reason of the last one.
    pub(super) reason: Option<Reason>,
    /// The time of the first and of the last one, in seconds since 1970.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) clients: ClientCounts,
}

/// Line of the tally.
#[derive(Clone, Copy, Debug)]
pub(super) struct TallyLine<'t> {
    pub(super) widget: &'t str,
    pub(super) list: EmbedderList,
    pub(super) origin: &'t str,
    pub(super) tallied: &'t TalliedEmbedder,
}

/// Tally of the sightings since the last write.
#[derive(Debug, Default)]
pub(super) struct SightingTally {
    /// By key: the widget's id, a byte for the list, the embedder.
    lines: HashMap<Box<str>, TalliedEmbedder>,
    /// Memory of the lines, in bytes.
    bytes: u64,
    /// Most memory of the lines.
    limit: u64,
    /// Key that is looked up, in memory that is used again.
    key: String,
}

/// Memory that a line takes at most beside its key. A table that grows has a place for each line twice, and each place up
/// to 16/7 times; a write sorts what is there; the key's memory is rounded up.
const LINE: u64 = (size_of::<(Box<str>, TalliedEmbedder)>() as u64 + 1) * 48 / 14
    + size_of::<TallyLine<'static>>() as u64 * 2
    + 16;

impl EmbedderList {
    const ALL: [Self; 3] = [Self::Admitted, Self::Refused, Self::Reported];

    /// The byte in keys. No id has it, and it comes before those that ids have.
    pub(super) fn byte(self) -> u8 {
        self as u8
    }
}

impl SightingTally {
    /// An empty tally that takes at most about so many bytes.
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    /// Its memory, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether it has no room for one more embedder.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.limit
    }

    /// Adds a sighting. Returns whether there was room for it.
    pub(super) fn add(&mut self, sighting: &Sighting<'_>) -> bool {
        let (list, reason, by_entry, monitored) = match sighting.kind {
            SightingKind::Admitted { would_deny: Some(reason), .. } => {
                (EmbedderList::Refused, Some(reason), false, true)
            }
            SightingKind::Admitted { reason, would_deny: None } => {
                (EmbedderList::Admitted, Some(reason), is_by_entry(reason), false)
            }
            SightingKind::Refused { reason } => (EmbedderList::Refused, Some(reason), false, false),
            SightingKind::Reported => (EmbedderList::Reported, None, false, false),
        };
        self.key.clear();
        self.key.push_str(sighting.widget);
        self.key.push(list.byte().into());
        self.key.push_str(sighting.embedder);
        let at = u32::try_from(sighting.at.as_second()).unwrap_or_default();
        if !self.lines.contains_key(&*self.key) {
            if self.is_full() {
                return false;
            }
            self.bytes += LINE + self.key.len() as u64;
            self.lines.insert(self.key.as_str().into(), TalliedEmbedder::at(at));
        }
        if let Some(tallied) = self.lines.get_mut(&*self.key) {
            tallied.count += 1;
            tallied.by_entry += u64::from(by_entry);
            tallied.monitored += u64::from(monitored);
            if at >= tallied.last {
                tallied.reason = reason;
            }
            tallied.first = tallied.first.min(at);
            tallied.last = tallied.last.max(at);
            tallied.clients.add(sighting.client);
        }
        true
    }

    /// Its lines, those of a widget together, widgets in the order of their ids.
    pub(super) fn lines(&self) -> Vec<TallyLine<'_>> {
        let mut lines: Vec<_> = self.lines.iter().filter_map(|(key, tallied)| line(key, tallied)).collect();
        lines.sort_unstable_by_key(|line| (line.widget, line.list, line.origin));
        lines
    }

    /// Forgets everything, and returns its memory.
    pub(super) fn clear(&mut self) {
        *self = Self { limit: self.limit, key: mem::take(&mut self.key), ..Self::default() };
    }
}

impl TalliedEmbedder {
    fn at(at: u32) -> Self {
        let clients = ClientCounts::default();
        Self { count: 0, by_entry: 0, monitored: 0, reason: None, first: at, last: at, clients }
    }

    /// The time of the last sighting.
    pub(super) fn last(&self) -> Timestamp {
        Timestamp::from_second(self.last.into()).unwrap_or_default()
    }
}

fn line<'t>(key: &'t str, tallied: &'t TalliedEmbedder) -> Option<TallyLine<'t>> {
    let at = key.bytes().position(|byte| usize::from(byte) < EmbedderList::ALL.len())?;
    let (widget, rest) = key.split_at_checked(at)?;
    let (list, origin) = rest.split_at_checked(1)?;
    let list = *EmbedderList::ALL.get(usize::from(*list.as_bytes().first()?))?;
    Some(TallyLine { widget, list, origin, tallied })
}

/// Whether an entry has admitted the embedder, for a verdict with this reason.
fn is_by_entry(reason: Reason) -> bool {
    matches!(reason, Reason::Exact | Reason::Wildcard | Reason::Glob | Reason::Ticket)
}

impl ClientCounts {
    fn add(&mut self, client: Option<ClientClass>) {
        match client {
            Some(ClientClass::Browser) => self.browser += 1,
            Some(ClientClass::Contradictory) => self.contradictory += 1,
            Some(ClientClass::Unknown) => self.unknown += 1,
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn add(tally: &mut SightingTally, widget: &str, embedder: &str, kind: SightingKind, at: i64) -> bool {
        let at = Timestamp::from_second(at).unwrap();
        tally.add(&Sighting { widget, embedder, kind, client: Some(ClientClass::Browser), at })
    }

    const fn admitted(reason: Reason, would_deny: Option<Reason>) -> SightingKind {
        SightingKind::Admitted { reason, would_deny }
    }

    #[test]
    fn each_sighting_is_in_its_list() {
        let mut tally = SightingTally::new(1 << 20);
        let (unlisted, open) = (Reason::NotListed, Reason::Unrestricted);
        for (kind, at) in [
            (admitted(Reason::Exact, None), 7),
            (admitted(Reason::Ticket, None), 5),
            (admitted(Reason::SystemOrigin, None), 9),
            (admitted(open, Some(unlisted)), 3),
            (SightingKind::Refused { reason: Reason::Locked }, 2),
            (SightingKind::Reported, 4),
        ] {
            assert!(add(&mut tally, "w", "https://a.example", kind, at));
        }
        assert!(add(&mut tally, "w-2", "null", admitted(open, None), 1));
        assert!(add(&mut tally, "w", "https://0.example", admitted(open, None), 1));
        let lines: Vec<_> = tally
            .lines()
            .into_iter()
            .map(|TallyLine { widget, list, origin, tallied }| {
                let TalliedEmbedder { count, by_entry, monitored, reason, first, last, clients } = *tallied;
                assert_eq!(clients, ClientCounts { browser: count, ..ClientCounts::default() });
                (widget, list, origin, [count, by_entry, monitored], reason, [first, last])
            })
            .collect();
        let (page, first) = ("https://a.example", "https://0.example");
        assert_eq!(
            lines,
            [
                ("w", EmbedderList::Admitted, first, [1, 0, 0], Some(open), [1, 1]),
                ("w", EmbedderList::Admitted, page, [3, 2, 0], Some(Reason::SystemOrigin), [5, 9]),
                // The earlier one came later, and its reason is not the last one.
                ("w", EmbedderList::Refused, page, [2, 0, 1], Some(unlisted), [2, 3]),
                ("w", EmbedderList::Reported, page, [1, 0, 0], None, [4, 4]),
                ("w-2", EmbedderList::Admitted, "null", [1, 0, 0], Some(open), [1, 1]),
            ]
        );
        assert_eq!(tally.lines().iter().map(|line| line.tallied.count).sum::<u64>(), 8);
        tally.clear();
        assert!(tally.is_empty() && tally.bytes() == 0 && !tally.is_full());
    }

    #[test]
    fn its_memory_is_what_it_says_at_most() {
        const LIMIT: u64 = 1 << 20;
        let mut tally = SightingTally::new(LIMIT);
        let measured = allocation_counter::measure(|| {
            let mut embedders = 0..;
            let kind = SightingKind::Refused { reason: Reason::NotListed };
            while add(
                &mut tally,
                "wgt_demo",
                &format!("https://n{}.example", embedders.next().unwrap()),
                kind,
                1,
            ) {}
            assert!(tally.lines().len() > 1000 && tally.is_full());
            // One that is there needs no room.
            assert!(add(&mut tally, "wgt_demo", "https://n0.example", kind, 1));
        });
        let most = LIMIT + LINE + 64;
        assert!(tally.bytes() <= most && measured.bytes_max <= most, "{measured:?}");
        // And not much more than it takes.
        assert!(measured.bytes_max * 4 > LIMIT, "{measured:?}");
    }
}
