//! Recorder of sightings on the way of requests: bounded queues that never hold anybody up.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_queue::ArrayQueue;
use jiff::Timestamp;

use super::sighting::{ClientClass, Sighting, SightingKind};

/// Room for the texts of most sightings: a slot of the queue is two cache lines with it.
const SHORT: usize = 104;

/// Room for the longest id, and for the longest origin that is recorded: the longest name with a scheme and a port, and a
/// scheme may be longer than `https`. Only made-up schemes make origins that are longer still.
const LONG: usize = 64 + 288;

/// Sightings with short texts for each one with long texts that there is room for.
const SHORT_FOR_LONG: usize = 8;

/// What the queue keeps beside each sighting.
const STAMP: usize = size_of::<usize>();

/// Recorder of sightings. Requests leave them in a queue, and the keeper takes them out. Recording waits for nobody and
/// allocates nothing.
#[derive(Debug)]
pub struct ActivityRecorder {
    short: ArrayQueue<SightingSlot<SHORT>>,
    long: ArrayQueue<SightingSlot<LONG>>,
    dropped: AtomicU64,
}

/// Sighting in the queue.
#[derive(Clone, Copy, Debug)]
struct SightingSlot<const ROOM: usize> {
    /// In seconds since 1970.
    at: u32,
    kind: SightingKind,
    client: Option<ClientClass>,
    widget: u8,
    embedder: u16,
    text: [u8; ROOM],
}

impl ActivityRecorder {
    /// A recorder with room for so many sightings that nobody has taken yet, an eighth of them with long texts.
    pub fn new(room: usize) -> Self {
        Self {
            short: ArrayQueue::new(room.max(1)),
            long: ArrayQueue::new((room / SHORT_FOR_LONG).max(1)),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes a sighting. One without room is dropped and counted.
    #[inline]
    pub fn record(&self, sighting: &Sighting<'_>) {
        let is_taken = match sighting.widget.len() + sighting.embedder.len() {
            ..=SHORT => SightingSlot::of(sighting).is_some_and(|slot| self.short.push(slot).is_ok()),
            _ => SightingSlot::of(sighting).is_some_and(|slot| self.long.push(slot).is_ok()),
        };
        if !is_taken {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Number of sightings that were dropped for want of room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Takes sightings out until there are none, or `see` says that it has had enough. More than there is room for are not
    /// taken at once, however fast others come.
    pub fn drain(&self, mut see: impl FnMut(&Sighting<'_>) -> bool) {
        let _ = drain(&self.short, &mut see).and_then(|()| drain(&self.long, &mut see));
    }

    /// Memory of the queues, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        let short = self.short.capacity() * (size_of::<SightingSlot<SHORT>>() + STAMP);
        let long = self.long.capacity() * (size_of::<SightingSlot<LONG>>() + STAMP);
        (short + long) as u64
    }
}

/// Takes sightings out; `None` once `see` has had enough.
fn drain<const ROOM: usize>(
    queue: &ArrayQueue<SightingSlot<ROOM>>,
    see: &mut impl FnMut(&Sighting<'_>) -> bool,
) -> Option<()> {
    for _ in 0..queue.capacity() {
        let Some(slot) = queue.pop() else { break };
        if !slot.read().is_none_or(|sighting| see(&sighting)) {
            return None;
        }
    }
    Some(())
}

impl<const ROOM: usize> SightingSlot<ROOM> {
    /// `None` where a text is too long.
    #[inline]
    fn of(sighting: &Sighting<'_>) -> Option<Self> {
        let Sighting { widget, embedder, kind, client, at } = *sighting;
        let mut text = [0; ROOM];
        let (of_widget, rest) = text.split_at_mut_checked(widget.len())?;
        of_widget.copy_from_slice(widget.as_bytes());
        rest.get_mut(..embedder.len())?.copy_from_slice(embedder.as_bytes());
        Some(Self {
            // A clock that is beyond 2106 or before 1970 is wrong anyway.
            at: u32::try_from(at.as_second()).unwrap_or_default(),
            kind,
            client,
            widget: u8::try_from(widget.len()).ok()?,
            embedder: u16::try_from(embedder.len()).ok()?,
            text,
        })
    }

    fn read(&self) -> Option<Sighting<'_>> {
        let (widget, rest) = self.text.split_at_checked(self.widget.into())?;
        Some(Sighting {
            widget: str::from_utf8(widget).ok()?,
            embedder: str::from_utf8(rest.get(..self.embedder.into())?).ok()?,
            kind: self.kind,
            client: self.client,
            at: Timestamp::from_second(self.at.into()).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::verdict::Reason;
    use proptest::prelude::*;

    fn sighting<'a>(widget: &'a str, embedder: &'a str) -> Sighting<'a> {
        let kind = SightingKind::Admitted { reason: Reason::Exact, would_deny: None };
        Sighting { widget, embedder, kind, client: None, at: Timestamp::UNIX_EPOCH }
    }

    fn taken(recorder: &ActivityRecorder) -> Vec<(String, String)> {
        let mut taken = Vec::new();
        recorder.drain(|seen| {
            taken.push((seen.widget.to_owned(), seen.embedder.to_owned()));
            true
        });
        taken
    }

    fn kinds() -> impl Strategy<Value = SightingKind> {
        let reason = || proptest::sample::select(&Reason::ALL[..]);
        prop_oneof![
            (reason(), proptest::option::of(reason()))
                .prop_map(|(reason, would_deny)| SightingKind::Admitted { reason, would_deny }),
            reason().prop_map(|reason| SightingKind::Refused { reason }),
            Just(SightingKind::Reported),
        ]
    }

    fn clients() -> impl Strategy<Value = Option<ClientClass>> {
        let classes = [ClientClass::Browser, ClientClass::Contradictory, ClientClass::Unknown];
        proptest::option::of(proptest::sample::select(classes.to_vec()))
    }

    proptest! {
        #[test]
        fn what_was_recorded_is_taken_out(
            widget in "[A-Za-z0-9_-]{1,64}",
            embedder in "[ -~]{1,288}",
            kind in kinds(),
            client in clients(),
            at in 0_i64..=i64::from(u32::MAX),
        ) {
            let recorder = ActivityRecorder::new(8);
            let at = Timestamp::from_second(at).unwrap();
            let recorded = Sighting { widget: &widget, embedder: &embedder, kind, client, at };
            recorder.record(&recorded);
            let mut times = 0;
            recorder.drain(|seen| {
                assert_eq!(*seen, recorded);
                times += 1;
                true
            });
            prop_assert_eq!((times, recorder.dropped()), (1, 0));
        }
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let recorder = ActivityRecorder::new(2);
        let (id, long) = ("w".repeat(64), "s".repeat(288));
        for (widget, embedder) in [("w", "a"), ("w", "b"), ("w", "c"), (&*id, &*long), ("w", &*long)] {
            recorder.record(&sighting(widget, embedder));
        }
        assert_eq!(recorder.dropped(), 2, "one of each length");
        assert_eq!(
            taken(&recorder),
            [("w", "a"), ("w", "b"), (&*id, &*long)].map(|(w, e)| (w.into(), e.into()))
        );
        // Texts that no widget and no usual origin has.
        for (widget, embedder) in [(&*id, "s".repeat(289)), (&*"w".repeat(300), "a".to_owned())] {
            recorder.record(&sighting(widget, &embedder));
        }
        assert_eq!((recorder.dropped(), taken(&recorder)), (4, Vec::new()));
    }

    #[test]
    fn taking_out_ends_when_it_is_enough() {
        let recorder = ActivityRecorder::new(8);
        let long = "s".repeat(200);
        for embedder in ["a", "b", &*long] {
            recorder.record(&sighting("w", embedder));
        }
        let mut seen = 0;
        recorder.drain(|_| {
            seen += 1;
            seen < 2
        });
        assert_eq!((seen, taken(&recorder)), (2, vec![("w".to_owned(), long)]));
    }

    #[test]
    fn nothing_is_allocated_for_a_sighting() {
        let recorder = ActivityRecorder::new(8);
        let long = "s".repeat(200);
        let measured = allocation_counter::measure(|| {
            recorder.record(&sighting("wgt_demo", "https://example.com"));
            recorder.record(&sighting("wgt_demo", &long));
        });
        assert_eq!((measured.count_total, taken(&recorder).len()), (0, 2));
        assert_eq!(size_of::<SightingSlot<SHORT>>() + STAMP, 124);
    }
}
