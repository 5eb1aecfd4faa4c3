//! Keeper: takes sightings out of the recorder, adds them up, and keeps them.
//!
//! # What survives
//!
//! The keeper looks into the recorder 20 times a second while something happens, and writes what it has added up
//! [`WRITE`] after the last write began, sooner where writes take long, in one transaction that survives a loss of power.
//! So less than a second of sightings is lost with the process; where a write takes half a second or more, those of two
//! writes. At a stop, and before an upgrade gives the file away, it writes what is there, and once more what came during
//! that write. What the old process sees after that is not kept.
//!
//! # Memory
//!
//! `activity.bytes` bounds all of it, however many widgets and embedders there are, because what was seen is on disk:
//!
//! | part | at most |
//! |---|---|
//! | sightings that nobody has taken yet | 3 MiB |
//! | the tally since the last write, and the one that is being written; a full one is written at once | a quarter of the bytes |
//! | the sketch of embedders that no list has a place for | a sixteenth |
//! | pages of the file, those that are being written included | a quarter |
//! | the record that is being read or changed, and what the library notes of changed pages | the rest |
//!
//! While nothing can be written, the tally fills, then the recorder's queue; what comes then is dropped and counted.
//!
//! # Disk
//!
//! Records take about eight times the memory at most. Lists of embedders that were refused or reported, which anybody can
//! make up, grow up to half of that, and lists of those that were let in up to all of it. After that, a list still has a few
//! places, and where they are taken, somebody more frequent takes that of its least. The file has free space beside the
//! records.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use self::worker::KeeperThread;
use super::firsts::{FirstSightings, NoticeTaker};
use super::kept::Growth;
use super::reader::ActivityError;
use super::recorder::ActivityRecorder;
use super::sketch::FrequencySketch;
use super::store::ActivityStore;
use super::tally::{SightingTally, TallyLine};
use crate::database::Lendable;
use crate::notifications::notifier::Notify;
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::ActivityMetrics;

mod reading;
mod sweep;
mod worker;

/// Sightings that may wait to be added up.
const ROOM: usize = 16 * 1024;

/// Time between two looks into the recorder while something happens.
const LOOK: Duration = Duration::from_millis(50);

/// The same while nothing happens.
const IDLE_LOOK: Duration = Duration::from_millis(200);

/// Time from the beginning of a write to that of the next. With a look and the write itself, less than a second.
const WRITE: Duration = Duration::from_millis(600);

/// Time in which the next write has ended, too, even if it takes twice as long as the last one. The rest of the second is for
/// a look.
const WRITTEN: Duration = Duration::from_millis(950);

/// Time between two writes while nothing can be written.
const RETRY: Duration = Duration::from_secs(1);

/// Writes before the file is let go of: of what is there then, and of what came meanwhile. There may always be more.
const LAST_WRITES: usize = 2;

/// Time between two looks for records of widgets that were deleted.
const SWEEP: Duration = Duration::from_secs(60);

/// A tally takes at most this part of the memory. There are two.
const TALLY: u64 = 8;

/// Records take so many times the memory on disk.
const ON_DISK: u64 = 8;

/// Keeper of what was seen.
#[derive(Debug)]
pub struct ActivityKeeper {
    recorder: Arc<ActivityRecorder>,
    rules: LiveRules,
    store: ActivityStore,
    metrics: ActivityMetrics,
    notices: NoticeTaker,
    /// Most memory, in bytes.
    bytes: u64,
    begun: Timestamp,
    /// What has been added up since the last write began. A write takes it, so that more can be added up meanwhile.
    gathered: Mutex<SightingTally>,
    /// Memory of the tally that is being written.
    being_written: AtomicU64,
    /// The last write has failed.
    failing: AtomicBool,
    counting: Mutex<Counting>,
}

/// Counts on their way to the file. Held while it is written.
#[derive(Debug)]
struct Counting {
    tally: SightingTally,
    sketch: FrequencySketch,
    /// The first sightings of the tally were told.
    is_told: bool,
    /// Number of a write that has failed, and may have happened all the same.
    uncertain: Option<u64>,
    /// The last record that was looked at, on the way through all of them.
    swept: Option<Box<str>>,
}

/// What comes of looking into the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// There is nothing to write.
    Nothing,
    /// There is something to write when it is time.
    Some,
    /// There is no room for more.
    Full,
}

impl ActivityKeeper {
    /// A keeper of what is in this file, which is opened, or made, when it is first used. `bytes`: the most memory.
    /// `rules`: where entries are looked up.
    pub fn open(path: &Path, bytes: u64, rules: LiveRules, metrics: ActivityMetrics) -> Self {
        let counting = Counting {
            tally: SightingTally::new(bytes / TALLY),
            sketch: FrequencySketch::new(bytes / 16),
            is_told: false,
            uncertain: None,
            swept: None,
        };
        Self {
            recorder: Arc::new(ActivityRecorder::new(ROOM)),
            rules,
            store: ActivityStore::new(path, bytes / 4),
            metrics,
            notices: NoticeTaker::default(),
            bytes,
            begun: Timestamp::now(),
            gathered: Mutex::new(SightingTally::new(bytes / TALLY)),
            being_written: AtomicU64::new(counting.sketch.bytes()),
            failing: AtomicBool::new(false),
            counting: Mutex::new(counting),
        }
    }

    /// Tells whom it sees for the first time.
    #[must_use]
    pub fn telling(self, notices: Arc<dyn Notify>) -> Self {
        Self { notices: NoticeTaker::new(notices), ..self }
    }

    /// The recorder whose sightings it takes.
    pub fn recorder(&self) -> &Arc<ActivityRecorder> {
        &self.recorder
    }

    /// Takes sightings and keeps them each second. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let (mut written, mut swept) = (Instant::now(), Instant::now());
        let mut took = Duration::ZERO;
        // Not waited for: meanwhile there is more to add up. Only one at a time.
        let mut worker = match KeeperThread::start(Arc::clone(&self)) {
            Ok(worker) => worker,
            Err(error) => {
                tracing::error!(%error, "nothing of embedders is kept: there is no thread for it");
                return;
            }
        };
        // A file that has to be repaired first takes a while.
        worker.begin(Self::write);
        loop {
            took = worker.taken().unwrap_or(took);
            let look = self.look();
            let is_failing = self.failing.load(Ordering::Relaxed);
            let pause = if is_failing { RETRY } else { pause_after(took) };
            let is_time = (look == Look::Some || is_failing) && written.elapsed() >= pause
                || look == Look::Full && !is_failing;
            if worker.is_idle() {
                if is_time {
                    written = Instant::now();
                    worker.begin(Self::write);
                } else if swept.elapsed() >= SWEEP && !is_failing {
                    swept = Instant::now();
                    worker.begin(Self::sweep);
                }
            }
            sleep(if look == Look::Nothing { IDLE_LOOK } else { LOOK }).await;
        }
    }

    /// Takes sightings out of the recorder.
    fn look(&self) -> Look {
        let mut tally = self.gathered.lock();
        if !tally.is_full() {
            self.recorder.drain(|sighting| tally.add(sighting) && !tally.is_full());
        }
        let look = match (tally.is_empty(), tally.is_full()) {
            (true, _) => Look::Nothing,
            (false, false) => Look::Some,
            (false, true) => Look::Full,
        };
        let being_written = self.being_written.load(Ordering::Relaxed);
        let bytes = self.recorder.bytes() + tally.bytes() + being_written + self.store.bytes();
        self.metrics.set(bytes, self.recorder.dropped());
        look
    }

    fn write(&self) -> Option<Duration> {
        let begun = Instant::now();
        self.try_write();
        Some(begun.elapsed())
    }

    /// Writes what was added up, one after the other. Returns whether that could be done.
    fn try_write(&self) -> bool {
        let mut counting = self.counting.lock();
        if self.store.is_lent() {
            return false;
        }
        let was_failing = self.failing.load(Ordering::Relaxed);
        let written = self.write_tally(&mut counting);
        match &written {
            Ok(sightings) => {
                self.metrics.recorded(*sightings);
                counting.tally.clear();
                if was_failing {
                    tracing::info!("what is seen of embedders is kept again");
                }
            }
            Err(error) if !was_failing => tracing::warn!(
                "activity.path: {error}; until then, nothing of embedders is kept; it is tried again each second"
            ),
            Err(_) => {}
        }
        self.failing.store(written.is_err(), Ordering::Relaxed);
        self.note_bytes(&counting);
        written.is_ok()
    }

    fn note_bytes(&self, Counting { tally, sketch, .. }: &Counting) {
        self.being_written.store(tally.bytes() + sketch.bytes(), Ordering::Relaxed);
    }

    /// Writes what was gathered, or else what could not be written before. Returns how many sightings of widgets that
    /// are there those were.
    fn write_tally(&self, counting: &mut Counting) -> Result<u64, ActivityError> {
        let writes = self.store.about(|about| about.writes)?;
        if counting.uncertain.take() == Some(writes) {
            // It has happened. Counted again, it would be told of embedders that they were seen more often than they were.
            counting.tally.clear();
        }
        if counting.tally.is_empty() {
            mem::swap(&mut counting.tally, &mut self.gathered.lock());
            counting.is_told = false;
        }
        self.note_bytes(counting);
        let Counting { tally, sketch, is_told, uncertain, .. } = counting;
        if tally.is_empty() {
            return Ok(0);
        }
        sketch.renew_if_worn();
        let book = self.rules.load_full();
        let mut recorded = 0;
        let mut firsts = if *is_told { FirstSightings::default() } else { self.notices.firsts() };
        let written = self.store.write(|batch| {
            batch.about.writes = writes + 1;
            for lines in tally.lines().chunk_by(|one, next| one.widget == next.widget) {
                let Some(TallyLine { widget, .. }) = lines.first() else { continue };
                // It was deleted since.
                let Some(rules) = book.get(widget) else { continue };
                recorded += lines.iter().map(|line| line.tallied.count).sum::<u64>();
                let on_disk = batch.about.bytes;
                let growth = Growth {
                    of_admitted: on_disk < self.bytes * ON_DISK,
                    of_others: on_disk < self.bytes * ON_DISK / 2,
                };
                let mut record = batch.widget(widget)?.unwrap_or_default();
                let most_refused = &mut batch.about.most_refused;
                let refused = |embedder: &_| most_refused.offer(widget, embedder);
                if record.add(lines, rules, growth, sketch, &mut firsts, refused) {
                    batch.keep(widget, &record)?;
                }
            }
            *is_told = true;
            Ok(())
        });
        if let Err(error) = written {
            *uncertain = Some(writes + 1);
            return Err(error);
        }
        Ok(recorded)
    }
}

/// Time from the beginning of a write that took so long to that of the next.
fn pause_after(took: Duration) -> Duration {
    WRITTEN.saturating_sub(took * 2).min(WRITE)
}

impl Lendable for ActivityKeeper {
    fn let_go(&self) {
        for _ in 0..LAST_WRITES {
            let look = self.look();
            // One that is under way first.
            let is_kept = look == Look::Nothing && self.counting.lock().tally.is_empty();
            if is_kept || !self.try_write() {
                break;
            }
        }
        // Nobody writes meanwhile.
        let _counting = self.counting.lock();
        self.store.let_go();
    }

    fn take_back(&self) {
        self.store.take_back();
    }
}

#[cfg(test)]
mod tests;
