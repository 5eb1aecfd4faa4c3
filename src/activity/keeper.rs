//! Keeper: takes sightings out of the recorder, adds them up, and keeps them.
//!
//! # What survives
//!
//! The keeper looks into the recorder 20 times a second while something happens, and writes what it has added up
//! [`WRITE`] after the last write began, in one transaction that survives a loss of power. So less than a second of
//! sightings is lost with the process. Nothing is lost with a stop, or when an upgrade hands over.
//!
//! # Memory
//!
//! `activity.bytes` bounds all of it, however many widgets and embedders there are, because what was seen is on disk:
//!
//! | part | at most |
//! |---|---|
//! | sightings that nobody has taken yet | 3 MiB |
//! | the tally since the last write, and the one that is being written; a full one is written at once | an eighth of the bytes |
//! | the sketch of embedders that no list has a place for | a sixteenth |
//! | pages of the file, those that are being written included | a quarter |
//! | the record that is being read or changed, and what the library notes of changed pages | the rest |
//!
//! While nothing can be written, the tally fills, then the recorder's queue; what comes then is dropped and counted.
//!
//! # Disk
//!
//! Records take at most eight times the memory. Lists of embedders that were refused or reported, which anybody can make
//! up, grow up to half of that, and lists of those that were let in up to all of it. After that, a list still counts whom
//! it has, and takes somebody more frequent in the place of its least. The file has free space beside the records.

use std::mem;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep};

use super::kept::Growth;
use super::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use super::recorder::ActivityRecorder;
use super::seen::WidgetActivity;
use super::sketch::FrequencySketch;
use super::store::ActivityStore;
use super::tally::{SightingTally, TallyLine};
use crate::rules::live::LiveRules;
use crate::telemetry::metrics::ActivityMetrics;

/// Sightings that may wait to be added up.
const ROOM: usize = 16 * 1024;

/// Time between two looks into the recorder while something happens.
const LOOK: Duration = Duration::from_millis(50);

/// The same while nothing happens.
const IDLE_LOOK: Duration = Duration::from_millis(200);

/// Time between two writes. With a look and the write itself, less than a second.
const WRITE: Duration = Duration::from_millis(600);

/// The same while nothing can be written.
const RETRY: Duration = Duration::from_secs(1);

/// Time between two looks for records of widgets that were deleted.
const SWEEP: Duration = Duration::from_secs(60);

/// Records that each of them looks at.
const SWEPT: usize = 1000;

/// A record of a widget that was deleted is kept for so long after its last sighting: a widget can be brought back.
const FORGOTTEN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Records take so many times the memory on disk.
const ON_DISK: u64 = 8;

/// Keeper of what was seen.
#[derive(Debug)]
pub struct ActivityKeeper {
    recorder: Arc<ActivityRecorder>,
    rules: LiveRules,
    store: ActivityStore,
    metrics: ActivityMetrics,
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
            tally: SightingTally::new(bytes / 16),
            sketch: FrequencySketch::new(bytes / 16),
            uncertain: None,
            swept: None,
        };
        Self {
            recorder: Arc::new(ActivityRecorder::new(ROOM)),
            rules,
            store: ActivityStore::new(path, bytes / 4),
            metrics,
            bytes,
            begun: Timestamp::now(),
            gathered: Mutex::new(SightingTally::new(bytes / 16)),
            being_written: AtomicU64::new(counting.sketch.bytes()),
            failing: AtomicBool::new(false),
            counting: Mutex::new(counting),
        }
    }

    /// The recorder whose sightings it takes.
    pub fn recorder(&self) -> &Arc<ActivityRecorder> {
        &self.recorder
    }

    /// Takes sightings and keeps them each second. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        // A file that has to be repaired first takes a while.
        self.on_thread(Self::write).await;
        let (mut written, mut swept) = (Instant::now(), Instant::now());
        // Not waited for: meanwhile there is more to add up.
        let mut writing = JoinSet::new();
        loop {
            // A panic has been told by its hook.
            while writing.try_join_next().is_some() {}
            let look = self.look();
            let is_failing = self.failing.load(Ordering::Relaxed);
            let pause = if is_failing { RETRY } else { WRITE };
            let is_time = (look == Look::Some || is_failing) && written.elapsed() >= pause
                || look == Look::Full && !is_failing;
            if is_time && writing.is_empty() {
                written = Instant::now();
                let keeper = Arc::clone(&self);
                writing.spawn_blocking(move || keeper.write());
            }
            if swept.elapsed() >= SWEEP && writing.is_empty() {
                swept = Instant::now();
                self.on_thread(Self::sweep).await;
            }
            sleep(if look == Look::Nothing { IDLE_LOOK } else { LOOK }).await;
        }
    }

    /// Keeps what was seen so far, and closes the file, so that another process can open it.
    pub fn let_go(&self) {
        // One that is under way first.
        while (self.look() != Look::Nothing || !self.counting.lock().tally.is_empty()) && self.try_write() {}
        self.store.let_go();
    }

    /// Goes on with the file after another process did not take over.
    pub fn take_back(&self) {
        self.store.take_back();
    }

    async fn on_thread(self: &Arc<Self>, work: fn(&Self)) {
        let keeper = Arc::clone(self);
        // A panic has been told by its hook.
        let _ = spawn_blocking(move || work(&keeper)).await;
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

    fn write(&self) {
        self.try_write();
    }

    /// Writes what was added up. Returns whether that could be done.
    fn try_write(&self) -> bool {
        if self.store.is_lent() {
            return false;
        }
        let mut counting = self.counting.lock();
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

    /// Writes what was gathered, or else what could not be written before. Returns how many sightings that were.
    fn write_tally(&self, counting: &mut Counting) -> Result<u64, ActivityError> {
        let writes = self.store.about(|about| about.writes)?;
        if counting.uncertain.take() == Some(writes) {
            // It has happened. Counted again, it would be told of embedders that they were seen more often than they were.
            counting.tally.clear();
        }
        if counting.tally.is_empty() {
            mem::swap(&mut counting.tally, &mut self.gathered.lock());
        }
        self.note_bytes(counting);
        let Counting { tally, sketch, uncertain, .. } = counting;
        if tally.is_empty() {
            return Ok(0);
        }
        sketch.renew_if_worn();
        let book = self.rules.load_full();
        let written = self.store.write(|batch| {
            for lines in tally.lines().chunk_by(|one, next| one.widget == next.widget) {
                let Some(TallyLine { widget, .. }) = lines.first() else { continue };
                // It was deleted since.
                let Some(rules) = book.get(widget) else { continue };
                let on_disk = batch.about.bytes;
                let growth = Growth {
                    of_admitted: on_disk < self.bytes * ON_DISK,
                    of_others: on_disk < self.bytes * ON_DISK / 2,
                };
                let mut record = batch.widget(widget)?.unwrap_or_default();
                let most_refused = &mut batch.about.most_refused;
                let refused = |embedder: &_| most_refused.offer(widget, embedder);
                if record.add(lines, rules, growth, sketch, refused) {
                    batch.keep(widget, &record)?;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            *uncertain = Some(writes + 1);
            return Err(error);
        }
        Ok(tally.sightings())
    }

    /// Takes records away that nobody can see any more, a few of all at a time.
    fn sweep(&self) {
        let book = self.rules.load_full();
        let from = self.counting.lock().swept.take();
        // Before the first rules, every widget is unknown.
        if self.store.is_lent() || book.generation() == 0 {
            return;
        }
        let swept = self.store.ids(from.as_deref(), SWEPT).and_then(|ids| {
            let limit = Timestamp::now().as_second() - FORGOTTEN.as_secs();
            let mut old = Vec::new();
            for id in ids.iter().filter(|id| book.get(id).is_none()) {
                let record = self.store.widget(id)?;
                old.extend(record.filter(|record| i64::from(record.last) < limit).map(|_| id));
            }
            if !old.is_empty() {
                self.store.write(|batch| old.iter().try_for_each(|id| batch.forget(id)))?;
            }
            Ok(ids.into_iter().next_back())
        });
        // An error is told by the next write.
        self.counting.lock().swept = swept.unwrap_or_default();
    }
}

impl ActivityReader for ActivityKeeper {
    fn since(&self) -> Timestamp {
        let since = self.store.about(|about| Timestamp::from_second(about.since.into()).ok());
        since.ok().flatten().unwrap_or(self.begun)
    }

    fn widget(&self, id: &str) -> Result<WidgetActivity, ActivityError> {
        Ok(self.store.widget(id)?.map(|record| record.told()).unwrap_or_default())
    }

    fn page(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, WidgetActivity)>, ActivityError> {
        let page = self.store.page(after, limit)?;
        Ok(page.into_iter().map(|(id, record)| (id, record.told())).collect())
    }

    fn most_refused(&self) -> Vec<RefusedEmbedder> {
        let book = self.rules.load_full();
        let told = self.store.about(|about| about.most_refused.told(|id| book.get(id).is_some()));
        told.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
