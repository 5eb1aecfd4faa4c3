//! Thread on which the file of activity is written.

use std::io;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::ActivityKeeper;
use crate::rules::caught;

/// Work on the file. It returns how long a write took; `None` where it was none.
type KeeperWork = fn(&ActivityKeeper) -> Option<Duration>;

/// Thread on which the file is written, one thing after the other. It is always the same one: the library's pages stay in
/// memory from write to write, and what one thread allocates and others free stays with the first until it allocates again.
/// With the threads that everybody shares, each of them would come to hold as much as the whole cache.
pub(super) struct KeeperThread {
    work: mpsc::Sender<KeeperWork>,
    done: UnboundedReceiver<Option<Duration>>,
    is_idle: bool,
}

impl KeeperThread {
    /// Starts it. It ends with this.
    pub(super) fn start(keeper: Arc<ActivityKeeper>) -> io::Result<Self> {
        let (work, queue) = mpsc::channel::<KeeperWork>();
        let (ended, done) = unbounded_channel();
        thread::Builder::new().name("activity".to_owned()).spawn(move || {
            for work in queue {
                // A panic has been told by its hook.
                let took = caught(|| work(&keeper)).ok().flatten();
                if ended.send(took).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { work, done, is_idle: true })
    }

    /// Begins work. Whoever calls has seen that it [is idle](Self::is_idle).
    pub(super) fn begin(&mut self, work: KeeperWork) {
        // It ends only with this.
        self.is_idle = self.work.send(work).is_err();
    }

    /// How long a write took that has ended since, if one has.
    pub(super) fn taken(&mut self) -> Option<Duration> {
        let done = self.done.try_recv().ok()?;
        self.is_idle = true;
        done
    }

    /// Whether nothing is under way, as far as [`taken`](Self::taken) has seen.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle
    }
}
