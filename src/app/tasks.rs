//! Background tasks of a running edge.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::signals::Signals;
use super::upgrade::hang_up;
use super::welcome::Welcome;
use crate::admin::{Admin, NotReconfigured, Readiness, keep_minutes};
use crate::edge::setup::LiveSetup;
use crate::files::Reload;
use crate::rules::publisher::Publisher;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::request_log::RequestLog;

use super::reload::Reloader;

/// Begins those that need nothing but what the control plane has.
pub(super) fn begin(admin: &Arc<Admin>, signals: &Signals, reloader: &Arc<Reloader>) {
    tokio::spawn(return_memory());
    tokio::spawn(keep_stops(Arc::clone(&admin.publisher)));
    tokio::spawn(sum_up(Arc::clone(&admin.decisions), Arc::clone(&admin.requests)));
    tokio::spawn(keep_minutes(Arc::clone(admin)));
    tokio::spawn(reload_on_hangup(signals.clone(), Arc::clone(reloader)));
}

/// Time between two looks at the files. The system's notices are not used, because links and some file
/// systems give none.
const FILE_INTERVAL: Duration = Duration::from_secs(1);

/// Reloads certificates and keys when their files change: those of the setup in force, and `others`.
pub(super) async fn watch_files(setup: LiveSetup, others: Vec<Arc<dyn Reload>>) {
    loop {
        sleep(FILE_INTERVAL).await;
        let setup = setup.load();
        let certificates = setup.certificates().map(|certificates| &**certificates as &dyn Reload);
        for files in certificates.chain(others.iter().map(|files| &**files)) {
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

/// Time between two runs. The allocator itself keeps freed memory for a second, in case it is needed again.
const MEMORY_INTERVAL: Duration = Duration::from_secs(1);

/// Makes the allocator return unused memory. On its own the allocator does so when more is allocated, which can take long
/// after many visitors have left.
async fn return_memory() {
    loop {
        sleep(MEMORY_INTERVAL).await;
        embedgate_allocator::collect();
    }
}

/// Time between two times that a busy thread looks for memory of its own to return.
const THREAD_INTERVAL: Duration = Duration::from_millis(100);

/// Returns memory that this thread has allocated and others have freed, as happens with connections, which move between
/// threads. Called whenever the thread has nothing to do.
pub(super) fn return_memory_of_thread() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    let now = Instant::now();
    if LAST.get().is_none_or(|last| now.duration_since(last) >= THREAD_INTERVAL) {
        embedgate_allocator::collect();
        LAST.set(Some(now));
    }
}

/// Time between two tries to keep a kill switch: soon after there is room.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the kill switches that are in force and could not be kept, and makes durable what was recorded without that.
async fn keep_stops(publisher: Arc<Publisher>) {
    let mut failing = false;
    loop {
        sleep(KEEP_INTERVAL).await;
        sync_audit_log(&publisher).await;
        let error = try_to_keep_stops(&publisher).await.err();
        if let Some((widgets, error)) = error.as_ref().filter(|_| !failing) {
            tracing::error!(
                error,
                "still not kept: the kill switch of {widgets}; it is tried again each second, and a restart would lose it"
            );
        }
        failing = error.is_some();
    }
}

/// The same once more before the process ends.
pub(super) async fn keep_last_stops(publisher: &Arc<Publisher>) {
    sync_audit_log(publisher).await;
    if let Err((widgets, error)) = try_to_keep_stops(publisher).await {
        tracing::error!(
            error,
            "lost: the kill switch of {widgets}, which could not be kept; disable it again after the next start"
        );
    }
}

async fn sync_audit_log(publisher: &Arc<Publisher>) {
    if !publisher.has_others() {
        return;
    }
    let publisher = Arc::clone(publisher);
    let synced = tokio::task::spawn_blocking(move || publisher.sync_audit_log()).await;
    if let Ok(Err(error)) = synced {
        tracing::error!(%error, "the last records of the audit log would not survive a power cut");
    }
}

/// The widgets whose kill switch can't be kept, and why.
async fn try_to_keep_stops(publisher: &Arc<Publisher>) -> Result<(), (String, String)> {
    if publisher.not_kept().is_empty() {
        return Ok(());
    }
    let writer = Arc::clone(publisher);
    let kept = tokio::task::spawn_blocking(move || writer.keep_stops()).await;
    let error = match kept {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    let widgets: Vec<String> = publisher.not_kept().iter().map(|stop| stop.id.to_string()).collect();
    Err((widgets.join(", "), error))
}

/// Time between two sums: the bound is about seconds.
const SUM_INTERVAL: Duration = Duration::from_secs(1);

/// Sums up the decisions and requests which the logs left out, and has no more told to a feed that nobody reads.
async fn sum_up(decisions: Arc<DecisionLog>, requests: Arc<RequestLog>) {
    loop {
        sleep(SUM_INTERVAL).await;
        decisions.sum_up();
        requests.sum_up();
        decisions.rest();
    }
}

/// Logs the edge's addresses once it is ready.
pub(super) async fn welcome(welcome: Welcome, readiness: Arc<Readiness>) {
    while readiness.obstacle().await.is_some() {
        sleep(Duration::from_millis(20)).await;
    }
    welcome.log();
}

/// Reloads the configuration on each SIGHUP.
async fn reload_on_hangup(mut signals: Signals, reloader: Arc<Reloader>) {
    loop {
        // One that comes while the file is read causes another reading.
        signals.hangup().await;
        // The log says what has come of it.
        let reloaded = reloader.run().await;
        if let (Err(NotReconfigured::HandedOver), Some(pid)) = (reloaded, reloader.relieved_by.get()) {
            hang_up(*pid);
        }
    }
}
