//! What runs beside the proxy, each as a background service of the server, on a thread of its own.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use tokio::signal::unix::SignalKind;

use super::live::LiveSettings;
use super::signals::received;
use super::welcome::Welcome;
use crate::admin::{self, Admin, MutualTls, Readiness};
use crate::certificates::Reload;
use crate::config::Settings;
use crate::edge::demo::Demo;
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

/// Serves the admin listener.
pub(super) struct AdminTask(Arc<Admin>, Once<(TcpListener, Option<Arc<MutualTls>>)>);

impl AdminTask {
    pub(super) fn new(admin: Arc<Admin>, listener: TcpListener, tls: Option<Arc<MutualTls>>) -> Self {
        Self(admin, Once::new((listener, tls)))
    }
}

#[async_trait]
impl BackgroundService for AdminTask {
    async fn start(&self, shutdown: ShutdownWatch) {
        let Some((listener, tls)) = self.1.take() else { return };
        if let Err(error) = admin::serve(Arc::clone(&self.0), listener, tls, shutdown).await {
            tracing::error!(%error, "the admin listener failed");
        }
    }
}

/// Follows the source of the rules.
pub(super) struct SourceTask(Once<FileSource>);

impl SourceTask {
    pub(super) fn new(source: FileSource) -> Self {
        Self(Once::new(source))
    }
}

#[async_trait]
impl BackgroundService for SourceTask {
    async fn start(&self, shutdown: ShutdownWatch) {
        if let Some(source) = self.0.take() {
            source.watch(shutdown).await;
        }
    }
}

/// Serves the demo upstream.
pub(super) struct DemoTask(Once<(Demo, TcpListener)>);

impl DemoTask {
    pub(super) fn new(demo: Demo, listener: TcpListener) -> Self {
        Self(Once::new((demo, listener)))
    }
}

#[async_trait]
impl BackgroundService for DemoTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let Some((demo, listener)) = self.0.take() else { return };
        let serving = async {
            listener.set_nonblocking(true)?;
            demo.serve(tokio::net::TcpListener::from_std(listener)?).await
        };
        tokio::select! {
            result = serving => if let Err(error) = result {
                tracing::error!(%error, "the demo upstream failed");
            },
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
    }
}

/// Reads certificates again when their files change.
pub(super) struct CertificateTask(Vec<Arc<dyn Reload>>);

/// Between two looks at the files. Looking needs no notice from the system, which links and some file systems
/// don't give.
const CERTIFICATE_INTERVAL: Duration = Duration::from_secs(1);

impl CertificateTask {
    pub(super) fn new(certificates: Vec<Arc<dyn Reload>>) -> Self {
        Self(certificates)
    }
}

#[async_trait]
impl BackgroundService for CertificateTask {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        if self.0.is_empty() {
            return;
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(CERTIFICATE_INTERVAL) => {}
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
            for certificates in &self.0 {
                match certificates.reload_if_changed() {
                    Ok(false) => {}
                    Ok(true) => tracing::info!("new certificates in force"),
                    Err(error) => {
                        tracing::error!(%error, "certificates not taken; the last good ones stay in force")
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
    async fn start(&self, mut shutdown: ShutdownWatch) {
        loop {
            tokio::select! {
                () = received(SignalKind::hangup()) => self.0.reload(),
                _ = shutdown.wait_for(|stop| *stop) => return,
            }
        }
    }
}
