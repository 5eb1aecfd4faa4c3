//! Signals, listened to from the first moment of the process on: one that comes early is not lost, and none does what
//! the system does with a signal that nobody listens to.
//!
//! SIGHUP reads the configuration again. SIGUSR2 starts an upgrade. SIGTERM, SIGQUIT and SIGINT stop the edge, a second one of them ends it at
//! once.

use std::io;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Signals that have come so far.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Number of requests to read the configuration again.
    hangups: watch::Receiver<u64>,
    /// Number of requests for an upgrade.
    upgrades: watch::Receiver<u64>,
    /// Number of requests to stop.
    stops: watch::Receiver<u64>,
    /// A stop before this ends the process: there is nothing to close.
    serves: Arc<AtomicBool>,
}

impl Signals {
    /// Listens from now on, on a thread of its own.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn listen() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let (hung_up, hangups) = watch::channel(0);
        let (upgraded, upgrades) = watch::channel(0);
        let (stopped, stops) = watch::channel(0);
        let heard = {
            // Listening begins here, and not only when the thread runs.
            let _entered = runtime.enter();
            Heard::listen()?
        };
        let signals = Self { hangups, upgrades, stops, serves: Arc::new(AtomicBool::new(false)) };
        let serves = Arc::clone(&signals.serves);
        let tell = move || runtime.block_on(heard.tell(&hung_up, &upgraded, &stopped, &serves));
        thread::Builder::new().name("signals".to_owned()).spawn(tell)?;
        Ok(signals)
    }

    /// Resolves with the next request to read the configuration again, or with those that came since the last.
    pub(super) async fn hangup(&mut self) {
        if self.hangups.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves with the next request for an upgrade, or with those that came since the last.
    pub(super) async fn upgrade(&mut self) {
        if self.upgrades.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once this many requests to stop have come.
    async fn stops(&self, count: u64) {
        if self.stops.clone().wait_for(|stops| *stops >= count).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Resolves once the edge has to stop.
    pub(super) async fn stop(&self) {
        self.stops(1).await;
    }

    /// From now on, a request to stop is for the edge to handle.
    pub(super) fn serving(&self) {
        self.serves.store(true, Ordering::Release);
    }

    /// Resolves once a second request to stop has come.
    pub(super) async fn impatience(&self) {
        self.stops(2).await;
    }
}

/// Signals that the process listens to.
struct Heard {
    hangups: Signal,
    interrupts: Signal,
    terminations: Signal,
    quits: Signal,
    users: [Signal; 2],
}

impl Heard {
    fn listen() -> io::Result<Self> {
        Ok(Self {
            hangups: signal(SignalKind::hangup())?,
            interrupts: signal(SignalKind::interrupt())?,
            terminations: signal(SignalKind::terminate())?,
            quits: signal(SignalKind::quit())?,
            users: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
        })
    }

    async fn tell(
        mut self,
        hung_up: &watch::Sender<u64>,
        upgraded: &watch::Sender<u64>,
        stopped: &watch::Sender<u64>,
        serves: &AtomicBool,
    ) {
        let [first, second] = &mut self.users;
        loop {
            let name = tokio::select! {
                Some(()) = self.hangups.recv() => {
                    hung_up.send_modify(|count| *count += 1);
                    continue;
                }
                Some(()) = first.recv() => {
                    tracing::warn!("SIGUSR1 does nothing in this version");
                    continue;
                }
                Some(()) = second.recv() => {
                    upgraded.send_modify(|count| *count += 1);
                    continue;
                }
                Some(()) = self.interrupts.recv() => "SIGINT",
                Some(()) = self.terminations.recv() => "SIGTERM",
                Some(()) = self.quits.recv() => "SIGQUIT",
                else => return,
            };
            tracing::info!("{name}: the edge stops");
            if !serves.load(Ordering::Acquire) {
                end_at_once();
            }
            stopped.send_modify(|count| *count += 1);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing was served yet, so no decision waits to be written")]
fn end_at_once() -> ! {
    process::exit(0)
}
