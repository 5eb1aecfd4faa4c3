//! Background services of the server, each on a thread of its own.

use std::hint::black_box;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;

use super::Ended;
use super::live::LiveSettings;
use super::signals::Signals;
use super::welcome::Welcome;
use crate::admin::{self, Admin, MutualTls, Readiness};
use crate::edge::session::registry::SessionRegistry;
use crate::files::Reload;
use crate::rules::source::SourceFollower;
use crate::telemetry::decision_log::DecisionLog;

/// Value that the first start takes: a service starts once.
struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().take()
    }
}

/// Service of the admin listener. It runs to the end: a probe in the grace period learns that the edge stops.
pub(super) struct AdminTask(Arc<Admin>, Once<(TcpListener, Option<Arc<MutualTls>>)>);

impl AdminTask {
    pub(super) fn new(admin: Arc<Admin>, listener: TcpListener, tls: Option<Arc<MutualTls>>) -> Self {
        Self(admin, Once::new((listener, tls)))
    }
}

#[async_trait]
impl BackgroundService for AdminTask {
    async fn start(&self, _: ShutdownWatch) {
        let Some((listener, tls)) = self.1.take() else { return };
        if let Err(error) = admin::serve(Arc::clone(&self.0), listener, tls).await {
            tracing::error!(%error, "the admin listener failed");
        }
    }
}

/// Service of the listener for probes. It runs to the end, as the admin listener does.
pub(super) struct ProbeTask(Arc<Admin>, Once<TcpListener>);

impl ProbeTask {
    pub(super) fn new(admin: Arc<Admin>, listener: TcpListener) -> Self {
        Self(admin, Once::new(listener))
    }
}

#[async_trait]
impl BackgroundService for ProbeTask {
    async fn start(&self, _: ShutdownWatch) {
        let Some(listener) = self.1.take() else { return };
        if let Err(error) = admin::serve_probes(Arc::clone(&self.0), listener).await {
            tracing::error!(%error, "the listener for probes failed");
        }
    }
}

/// Watch on the source of the rules. It runs to the end: requests that are still open obey the rules, too.
pub(super) struct SourceTask(Once<Box<dyn SourceFollower>>);

impl SourceTask {
    pub(super) fn new(follower: Box<dyn SourceFollower>) -> Self {
        Self(Once::new(follower))
    }
}

#[async_trait]
impl BackgroundService for SourceTask {
    async fn start(&self, _: ShutdownWatch) {
        let (_to_the_end, never) = tokio::sync::watch::channel(false);
        if let Some(follower) = self.0.take() {
            follower.follow(never).await;
        }
    }
}

/// Service that judges open sessions again when an entry expires.
pub(super) struct SessionTask(Arc<SessionRegistry>);

impl SessionTask {
    pub(super) fn new(sessions: Arc<SessionRegistry>) -> Self {
        Self(sessions)
    }
}

#[async_trait]
impl BackgroundService for SessionTask {
    /// Goes on through the grace period: the remaining sessions obey the rules, too.
    async fn start(&self, _shutdown: ShutdownWatch) {
        self.0.watch_expiries().await;
    }
}

/// Service that reloads certificates and keys when their files change.
pub(super) struct FileTask(Vec<Arc<dyn Reload>>);

/// Time between two looks at the files. The system's notices are not used, because links and some file
/// systems give none.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

impl FileTask {
    pub(super) fn new(files: Vec<Arc<dyn Reload>>) -> Self {
        Self(files)
    }
}

#[async_trait]
impl BackgroundService for FileTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if self.0.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(FILE_INTERVAL) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            for files in &self.0 {
                match files.reload_if_changed() {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("new {} in force", files.name()),
                    Err(error) => {
                        tracing::error!(%error, "new {} refused; the last good ones stay in force", files.name())
                    }
                }
            }
        }
    }
}

/// Service that makes the allocator return unused memory. On its own the allocator does so when a thread ends
/// or when more is allocated, which can take long after many visitors have left.
pub(super) struct MemoryTask;

/// Time between two runs. The allocator itself keeps freed memory for a second, in case it is needed again.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

#[async_trait]
impl BackgroundService for MemoryTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(MEMORY_INTERVAL) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            // The allocator knows only threads that have allocated something.
            let thread = thread::Builder::new().spawn(|| drop(black_box(Box::new(0_u8))));
            // If no thread can be started now, one may be the next time.
            let _ = thread.map(JoinHandle::join);
        }
    }
}

/// Service that sums up the decisions which the log left out.
pub(super) struct DecisionTask(Arc<DecisionLog>);

/// Time between two sums: the bound is about seconds.
const SUM_INTERVAL: Duration = Duration::from_secs(1);

impl DecisionTask {
    pub(super) fn new(decisions: Arc<DecisionLog>) -> Self {
        Self(decisions)
    }
}

#[async_trait]
impl BackgroundService for DecisionTask {
    /// Goes on through the grace period, as the decisions do.
    async fn start(&self, _: ShutdownWatch) {
        loop {
            tokio::time::sleep(SUM_INTERVAL).await;
            self.0.sum_up();
        }
    }
}

/// Service that logs the edge's addresses once it is ready.
pub(super) struct WelcomeTask(Welcome, Arc<Readiness>);

impl WelcomeTask {
    pub(super) fn new(welcome: Welcome, readiness: Arc<Readiness>) -> Self {
        Self(welcome, readiness)
    }
}

#[async_trait]
impl BackgroundService for WelcomeTask {
    async fn start(&self, shutdown: ShutdownWatch) {
        while self.1.obstacle().await.is_some() {
            if *shutdown.borrow() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.0.log();
    }
}

/// Service that reloads the configuration on SIGHUP.
pub(super) struct ReloadTask(LiveSettings, Signals);

impl ReloadTask {
    pub(super) fn new(live: LiveSettings, signals: Signals) -> Self {
        Self(live, signals)
    }
}

#[async_trait]
impl BackgroundService for ReloadTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut signals = self.1.clone();
        loop {
            tokio::select! {
                // One that comes while the file is read causes another reading.
                () = signals.hangup() => self.0.reload(),
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Service that ends the process at once on a second stop signal.
pub(super) struct ImpatienceTask(Signals, Sender<Ended>);

impl ImpatienceTask {
    /// The other end of `end` ends the process.
    pub(super) fn new(signals: Signals, end: Sender<Ended>) -> Self {
        Self(signals, end)
    }
}

#[async_trait]
impl BackgroundService for ImpatienceTask {
    async fn start(&self, _: ShutdownWatch) {
        self.0.impatience().await;
        tracing::info!("the edge ends at once");
        // An error means that the process is ending already.
        let _ = self.1.send(Ok(()));
    }
}
