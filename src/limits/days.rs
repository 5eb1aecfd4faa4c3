//! Opens of the day on disk, so that a restart gives no day twice.
//!
//! Kept are the opens of widgets and embedders, in a file of their own. What has changed is written in one transaction that
//! survives a loss of power, [`WRITE`] after the last write began; so what a killed process loses is less than a second of
//! opens. With the first write of a day, the rows of the one before are gone. Opens of addresses are kept in memory only:
//! nothing about visitors is written down, and after a restart an address may use its day again.
//!
//! The file has a row for each counter of an embedder that has opened something on this day, so its size is bounded like
//! theirs. What is wrong with it keeps nobody from opening anything: a file that can't be read is moved aside, one that can't
//! be written is told once and tried again, and meanwhile the day is counted in memory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::clock::Moment;
use super::limiter::Limiter;
use super::widgets::{CountedUse, EmbedderCounter, WidgetCounter};
use crate::database::{DatabaseError, Lendable};
use file::{DayFile, KeptDay, KeptOpens};

mod file;

/// Time from the beginning of a write to that of the next. With the write itself, less than a second.
const WRITE: Duration = Duration::from_millis(700);

/// Time between two sweeps of counters that count nothing.
const SWEEP: Duration = Duration::from_secs(10);

/// Writes before the file is let go of: of what is there then, and of what came meanwhile.
const LAST_WRITES: usize = 2;

/// Keeper of the opens of the day.
#[derive(Debug)]
pub struct LimitDays {
    limiter: Arc<Limiter>,
    file: DayFile,
    /// Whether what the file said at first has been counted. Held while it is read and written.
    is_read: Mutex<bool>,
    /// The last read or write has failed.
    is_failing: AtomicBool,
}

/// Opens that are not on disk as they are now.
struct ChangedOpens {
    widget: Arc<WidgetCounter>,
    embedder: Arc<EmbedderCounter>,
    today: u32,
}

impl LimitDays {
    /// A keeper of what is in this file, which is opened, or made, when it is first used. `is_counted`: the limiter knows
    /// what is in the file already, from the process that has handed it over.
    pub fn open(path: &Path, limiter: Arc<Limiter>, is_counted: bool) -> Arc<Self> {
        limiter.has_kept_day.store(is_counted, Ordering::Release);
        let (file, is_read) = (DayFile::new(path), Mutex::new(is_counted));
        Arc::new(Self { limiter, file, is_read, is_failing: AtomicBool::new(false) })
    }

    /// Counts what the file says of this day. If it can't be read now, that is done once it can.
    pub async fn begin(self: &Arc<Self>) {
        let days = Arc::clone(self);
        // A panic has been told by its hook.
        let _ = spawn_blocking(move || days.write()).await;
    }

    /// Writes what has changed each second, and sweeps counters that count nothing. Runs for ever.
    pub async fn run(self: Arc<Self>) {
        let (mut written, mut swept) = (Instant::now(), Instant::now());
        loop {
            let is_failing = self.is_failing.load(Ordering::Relaxed);
            sleep_until(written + if is_failing { Duration::from_secs(1) } else { WRITE }).await;
            written = Instant::now();
            let is_time = swept.elapsed() >= SWEEP;
            if is_time {
                swept = written;
            }
            let days = Arc::clone(&self);
            let work = move || {
                days.write();
                if is_time {
                    days.limiter.sweep();
                }
            };
            // A panic has been told by its hook.
            let _ = spawn_blocking(work).await;
        }
    }

    /// Writes what has changed. Returns whether that could be done.
    fn write(&self) -> bool {
        let mut is_read = self.is_read.lock();
        if self.file.is_lent() {
            return false;
        }
        let written = self.read_first(&mut is_read).and_then(|()| self.write_changes());
        let was_failing = self.is_failing.swap(written.is_err(), Ordering::Relaxed);
        match &written {
            Ok(()) if was_failing => tracing::info!("opens of the day are kept again"),
            Ok(()) => {}
            Err(error) if !was_failing => tracing::warn!(
                "limits.path: {error}; until then, a restart forgets how much of `opens_per_day` is used; it is tried again \
                 each second"
            ),
            Err(_) => {}
        }
        written.is_ok()
    }

    /// Counts what the file says, once.
    fn read_first(&self, is_read: &mut bool) -> Result<(), DatabaseError> {
        if *is_read {
            return Ok(());
        }
        let KeptDay { day, opens } = self.file.read()?;
        *is_read = true;
        self.limiter.has_kept_day.store(true, Ordering::Release);
        let clock = &self.limiter.clock;
        let day = clock.adopt(day);
        let now = clock.now();
        if day == now.day.number() {
            opens.iter().for_each(|kept| self.count(kept, &now));
        }
        Ok(())
    }

    fn count(&self, kept: &KeptOpens, now: &Moment) {
        let KeptOpens { widget, embedder, opens, is_listed } = kept;
        let widget = self.limiter.widgets.widget(widget);
        let embedder = self.limiter.widgets.embedder(&widget, embedder, &|| *is_listed);
        {
            let mut counted = embedder.counter.lock();
            counted.used.add_earlier(now, *opens);
            counted.kept = (now.day, *opens);
        }
        widget.counter.lock().used.add_earlier(now, *opens);
    }

    fn write_changes(&self) -> Result<(), DatabaseError> {
        let now = self.limiter.clock.now();
        let widgets = std::mem::take(&mut *self.limiter.opened.lock());
        // What is opened from here on is marked again.
        for widget in &widgets {
            // In order with what has been counted before it was marked.
            let _ = widget.is_changed.swap(false, Ordering::AcqRel);
        }
        let is_of_today = match self.file.day() {
            Ok(Some(day)) => day == now.day.number(),
            // As long as nothing was opened, there is no file.
            Ok(None) => widgets.is_empty(),
            Err(error) => {
                widgets.iter().for_each(|widget| self.limiter.opened_in(widget));
                return Err(error);
            }
        };
        // A new file has nothing of what was written before the old one was moved aside.
        let changed = match is_of_today {
            true => changed(&widgets, &now, |counted| {
                let (day, kept) = counted.kept;
                if day == now.day { kept } else { 0 }
            }),
            false => changed(&self.limiter.widgets.all(), &now, |_| 0),
        };
        let rows = changed.iter().map(|changed| KeptOpens {
            widget: changed.widget.id.clone(),
            embedder: changed.embedder.key.clone(),
            opens: changed.today,
            is_listed: changed.embedder.is_listed,
        });
        let written = self.file.write(now.day.number(), rows);
        for ChangedOpens { widget, embedder, today } in changed {
            match written {
                Ok(()) => embedder.counter.lock().kept = (now.day, today),
                Err(_) => self.limiter.opened_in(&widget),
            }
        }
        written
    }
}

/// The opens of these widgets that are not on disk as they are now. `kept`: what is on disk of them.
fn changed(
    widgets: &[Arc<WidgetCounter>],
    now: &Moment,
    kept: impl Fn(&CountedUse) -> u32,
) -> Vec<ChangedOpens> {
    let mut changed = Vec::new();
    for widget in widgets {
        for embedder in widget.embedders() {
            let (today, kept) = {
                let mut counted = embedder.counter.lock();
                (counted.used.used(now).today, kept(&counted))
            };
            if today != kept {
                changed.push(ChangedOpens { widget: Arc::clone(widget), embedder, today });
            }
        }
    }
    changed
}

impl Lendable for LimitDays {
    fn let_go(&self) {
        for _ in 0..LAST_WRITES {
            if !self.write() {
                break;
            }
        }
        // Nobody writes meanwhile.
        let _is_read = self.is_read.lock();
        self.file.let_go();
    }

    fn take_back(&self) {
        self.file.take_back();
    }
}

#[cfg(test)]
mod tests;
