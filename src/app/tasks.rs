//! What runs beside the proxy, each as a background service of the server, on a thread of its own.

use std::net::TcpListener;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::ServiceReadyNotifier;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::SignalKind;

use super::AppError;
use super::live::LiveSettings;
use super::signals::{listen, next};
use super::welcome::Welcome;
use crate::admin::{self, Admin, MutualTls, Readiness};
use crate::config::Settings;
use crate::edge::sessions::Sessions;
use crate::files::Reload;
use crate::rules::source::file::FileSource;

/// A value that the first start takes away: a service starts once.
struct Once<T>(Mutex<Option<T>>);

impl<T> Once<T> {
    fn new(value: T) -> Self {
        Self(Mutex::new(Some(value)))
    }

    fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Serves the admin listener, to the end: who asks during the grace period learns that the edge is going.
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

/// Follows the source of the rules, to the end: requests that are still open obey the rules, too.
pub(super) struct SourceTask(Once<FileSource>);

impl SourceTask {
    pub(super) fn new(source: FileSource) -> Self {
        Self(Once::new(source))
    }
}

#[async_trait]
impl BackgroundService for SourceTask {
    async fn start(&self, _: ShutdownWatch) {
        let (_to_the_end, never) = tokio::sync::watch::channel(false);
        if let Some(source) = self.0.take() {
            source.watch(never).await;
        }
    }
}

/// Judges open sessions again when an entry expires.
pub(super) struct SessionTask(Arc<Sessions>);

impl SessionTask {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self(sessions)
    }
}

#[async_trait]
impl BackgroundService for SessionTask {
    /// Goes on through the grace period: sessions that are left then obey as before.
    async fn start(&self, _shutdown: ShutdownWatch) {
        self.0.watch_expiries().await;
    }
}

/// Reads certificates and keys again when their files change.
pub(super) struct FileTask(Vec<Arc<dyn Reload>>);

/// Between two looks at the files. Looking needs no notice from the system, which links and some file systems
/// don't give.
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
                        tracing::error!(%error, "{} not taken; the last good ones stay in force", files.name())
                    }
                }
            }
        }
    }
}

/// Says where to look, once the edge is ready.
pub(super) struct WelcomeTask(Welcome, Arc<Readiness>);

impl WelcomeTask {
    pub(super) fn new(settings: &Settings, readiness: Arc<Readiness>) -> Self {
        Self(Welcome::new(settings), readiness)
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
        self.0.say();
    }
}

/// Reads the configuration again on SIGHUP.
pub(super) struct ReloadTask(LiveSettings);

impl ReloadTask {
    pub(super) fn new(live: LiveSettings) -> Self {
        Self(live)
    }
}

#[async_trait]
impl BackgroundService for ReloadTask {
    async fn start_with_ready_notifier(&self, mut shutdown: ShutdownWatch, ready: ServiceReadyNotifier) {
        // One listener for all of them: a signal that comes while the file is read means another reading.
        let mut hangups = listen(SignalKind::hangup());
        ready.notify_ready();
        loop {
            tokio::select! {
                () = next(&mut hangups) => self.0.reload(),
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}

/// Ends the process at once when somebody who asked it to stop does not want to wait any longer.
pub(super) struct ImpatienceTask(Sender<Result<(), AppError>>);

impl ImpatienceTask {
    /// The other end of `end` ends the process.
    pub(super) fn new(end: Sender<Result<(), AppError>>) -> Self {
        Self(end)
    }
}

#[async_trait]
impl BackgroundService for ImpatienceTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let mut interrupts = listen(SignalKind::interrupt());
        if shutdown.wait_for(|stop| *stop).await.is_ok() {
            next(&mut interrupts).await;
            // Nobody there: the process is ending already.
            let _ = self.0.send(Ok(()));
        }
    }
}
