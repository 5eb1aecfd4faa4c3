//! Life of a running edge, from the first request to its end.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use humantime::format_duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};

use super::reload::Reloader;
use super::signals::Signals;
use super::sockets::{ADMIN_LISTEN, PROBE_LISTEN};
use super::systemd::Systemd;
use super::upgrade::{Feed, HandOver, Link, Program, Relief, RunningFollower, Unfollowed, UpgradeSocket};
use super::{AppError, lent, tasks};
use crate::admin::{Admin, Intake, Readiness, StoppableListener};
use crate::database::Lendable;
use crate::edge::connection::listeners::Accepting;
use crate::edge::connection::service::EdgeService;
use crate::edge::error::EdgeError;
use crate::limits::limiter::Limiter;
use crate::rules::publisher::Publisher;
use crate::rules::source::RulesFile;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::request_log::RequestLog;

/// Time for calls of the control plane to be answered before the process ends.
const CALLS_END: Duration = Duration::from_secs(5);

/// Time for probes on connections that were just accepted.
const LAST_PROBES: Duration = Duration::from_millis(200);

/// Time for connections to end when no rules reach this process any more.
const ORPHANED: Duration = Duration::from_secs(5);

/// Running edge, with what its end and its relief need.
pub(super) struct Life {
    pub(super) signals: Signals,
    pub(super) reloader: Arc<Reloader>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) edge: Arc<EdgeService>,
    pub(super) accepting: Vec<Accepting>,
    pub(super) control: Vec<ControlListener>,
    /// What the calls of the control plane are about.
    pub(super) admin: Arc<Admin>,
    pub(super) publisher: Arc<Publisher>,
    /// The database files beside the rules.
    pub(super) lent: Vec<Arc<dyn Lendable>>,
    pub(super) limiter: Arc<Limiter>,
    pub(super) feed: Arc<Feed>,
    pub(super) program: Program,
    pub(super) socket: UpgradeSocket,
    /// Those who ask for an upgrade.
    pub(super) askers: mpsc::Receiver<Link>,
    /// What keeps the rules current.
    pub(super) follower: Option<RunningFollower>,
    /// The files that they come from.
    pub(super) file: Option<Arc<dyn RulesFile>>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) requests: Arc<RequestLog>,
    pub(super) systemd: Systemd,
}

/// Listener of the control plane.
pub(super) struct ControlListener {
    addr: SocketAddr,
    /// A second handle, to hand over.
    socket: TcpListener,
    intake: Intake,
    task: Option<JoinHandle<()>>,
    /// Its open connections end with a relief: what they ask is only about the process that is the edge.
    probes: bool,
}

impl ControlListener {
    /// Prepares a listener, with what accepts.
    pub(super) fn prepare(
        listener: TcpListener,
        probes: bool,
    ) -> Result<(Self, StoppableListener), AppError> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let key = if probes { PROBE_LISTEN } else { ADMIN_LISTEN };
        let addr =
            listener.local_addr().map_err(|source| EdgeError::Listen { key, addr: nowhere, source })?;
        let fault = |source| EdgeError::Listen { key, addr, source };
        let (socket, intake) = (listener.try_clone().map_err(fault)?, Intake::default());
        let accepts = StoppableListener::new(listener, intake.clone()).map_err(fault)?;
        Ok((Self { addr, socket, intake, task: None, probes }, accepts))
    }

    /// Serves what it accepts.
    pub(super) fn serve(&mut self, service: impl Future<Output = ()> + Send + 'static) {
        self.task = Some(tokio::spawn(service));
    }

    /// Accepts no more connections, as another process does. Those that it has accepted go on, for probes only a moment.
    fn relieved(self) -> Intake {
        self.intake.stop();
        if let Some(task) = self.task.filter(|_| self.probes) {
            drop(tokio::spawn(async move {
                sleep(LAST_PROBES).await;
                task.abort();
            }));
        }
        self.intake
    }
}

/// What a running edge is asked for.
enum Wish {
    Stop,
    /// An upgrade, by a signal or by somebody who waits for its outcome.
    Upgrade(Option<Link>),
}

impl Life {
    /// Serves until a signal stops the edge, or another process has taken over, and the last connection has ended. A
    /// second signal ends it at once.
    pub(super) async fn live(mut self) -> Result<(), AppError> {
        let signals = self.signals.clone();
        loop {
            let upgrade = match self.wish().await {
                Wish::Stop => {
                    tokio::select! {
                        () = self.stop() => {}
                        () = signals.impatience() => tracing::info!("the edge ends at once"),
                    }
                    break self.socket.remove();
                }
                Wish::Upgrade(asker) => self.upgrade(asker).await,
            };
            if let Some((relief, asker)) = upgrade {
                tokio::select! {
                    () = Box::pin(self.drain(relief, asker)) => {}
                    () = signals.impatience() => tracing::info!("the process ends at once"),
                }
                break;
            }
        }
        let open = self.edge.open_connections();
        if open > 0 {
            tracing::warn!(connections = open, "connections were cut");
        }
        tasks::keep_last_stops(&self.publisher).await;
        lent::keep_last(&self.lent).await;
        self.decisions.sum_up();
        self.requests.sum_up();
        Ok(())
    }

    /// Waits for the next wish.
    async fn wish(&mut self) -> Wish {
        let signals = self.signals.clone();
        tokio::select! {
            () = signals.stop() => Wish::Stop,
            () = self.signals.upgrade() => Wish::Upgrade(None),
            asker = self.askers.recv() => Wish::Upgrade(asker),
        }
    }

    /// Starts a new process and hands over to it. `None`: that failed, and this one goes on.
    async fn upgrade(&mut self, asker: Option<Link>) -> Option<(Relief, Option<Link>)> {
        tracing::info!("an upgrade begins: {}", self.program);
        self.socket.desk().set_busy(true);
        // A reload that is confirmed now would be undone by the new process, which has read its configuration before.
        let _turn = tokio::select! {
            turn = Arc::clone(&self.reloader.turn).lock_owned() => Some(turn),
            () = self.signals.stop() => None,
        };
        let Self {
            signals,
            accepting,
            control,
            admin,
            publisher,
            lent,
            limiter,
            reloader,
            program,
            socket,
            follower,
            file,
            ..
        } = self;
        let edge = accepting.iter().map(|accepting| (accepting.addr(), accepting.socket()));
        let control = control.iter().map(|listener| (listener.addr, listener.socket.as_fd()));
        let listeners = edge.chain(control).collect();
        let file = file.as_ref();
        let files = lent;
        let remembered = &reloader.remembered;
        let (gate, page_sessions) = (&admin.gate, &admin.page_sessions);
        let hand_over = HandOver {
            program,
            socket,
            listeners,
            gate,
            page_sessions,
            publisher,
            files,
            limiter,
            remembered,
            follower,
            file,
        };
        match hand_over.hand_over(signals.stop()).await {
            Ok(relief) => {
                // The first is the only one.
                let _ = self.reloader.relieved_by.set(relief.pid);
                Some((relief, asker))
            }
            Err(error) => {
                if let Some(asker) = asker {
                    asker.answer(Err(error.to_string())).await;
                }
                self.socket.desk().set_busy(false);
                self.metrics.upgrades.failed();
                tracing::error!("the upgrade failed, and this process goes on: {error}");
                None
            }
        }
    }

    /// Serves what is open after another process has taken over.
    async fn drain(&mut self, relief: Relief, asker: Option<Link>) {
        let settings = self.reloader.settings();
        let (upgrade_drain, grace_period) = (settings.edge.upgrade_drain, settings.edge.grace_period);
        let (pid, version, counts) = (relief.pid, relief.version.clone(), relief.counts.clone());
        self.systemd.relieved(pid);
        let intakes: Vec<Intake> = self.control.drain(..).map(ControlListener::relieved).collect();
        self.stop_accepting().await;
        self.edge.tell();
        if let Some(asker) = asker {
            asker.answer(Ok((pid, version))).await;
        }
        tracing::info!(
            connections = self.edge.open_connections(),
            "process {pid} has taken over; open connections go on for at most {}",
            format_duration(upgrade_drain)
        );
        let Self { edge, feed, signals, publisher, reloader, .. } = &*self;
        let policy = Arc::clone(reloader);
        let apply = move |told, limit| policy.apply_policy(told, limit);
        let followed = relief.follow(Arc::clone(publisher), apply);
        let end = async {
            let (ended, period) = tokio::select! {
                ended = edge.ended(upgrade_drain) => (ended, grace_period.min(upgrade_drain / 10)),
                () = signals.stop() => (false, grace_period),
            };
            if !ended {
                tracing::info!(
                    connections = edge.open_connections(),
                    "open connections end within {}",
                    format_duration(period)
                );
            }
            match ended || edge.close(period).await {
                true => tracing::info!("the last connection has ended"),
                false => tracing::warn!("the time of open connections is over"),
            }
            // The rules reach an older process only through this one.
            tokio::select! {
                () = feed.ended() => {}
                () = signals.stop() => {}
            }
            // What the last connections have opened. An error means that the process is gone.
            let _ = counts.tell().await;
            // A caller whose connection was accepted here may not have asked yet.
            join_all(intakes.iter().map(|intake| intake.ended(CALLS_END))).await;
        };
        tokio::select! {
            () = end => {}
            unfollowed = followed => {
                match unfollowed {
                    Unfollowed::Gone => tracing::warn!("process {pid}, which has taken over, is gone, so sessions end"),
                    Unfollowed::Fault(error) => {
                        tracing::error!("process {pid} can't be followed, so sessions end: {error}");
                    }
                }
                edge.orphan();
                edge.ended(ORPHANED).await;
            }
        }
    }

    async fn stop_accepting(&mut self) {
        for accepting in self.accepting.drain(..) {
            accepting.stop().await;
        }
    }

    async fn stop(&mut self) {
        let settings = self.reloader.settings();
        let (drain_delay, grace_period) = (settings.edge.drain_delay, settings.edge.grace_period);
        self.systemd.stopping();
        self.readiness.stop();
        if !drain_delay.is_zero() {
            tracing::info!("/readyz says 503; the listeners close in {}", format_duration(drain_delay));
            sleep(drain_delay).await;
        }
        self.stop_accepting().await;
        self.edge.tell();
        tracing::info!(
            connections = self.edge.open_connections(),
            "the listeners are closed, and open connections are told"
        );
        let until = Instant::now() + grace_period;
        match self.edge.close(grace_period).await {
            true => tracing::info!("the last connection has ended"),
            false => tracing::warn!("the grace period is over"),
        }
        // Without this process, an older one would end its sessions at once. It may be stopping, too.
        // An error means that the period is over.
        let _ = timeout_at(until, self.feed.ended()).await;
        self.admin.gate.calls_ended(CALLS_END).await;
        self.limiter.give_back().await;
        if let Some(follower) = self.follower.take() {
            follower.stop().await;
        }
    }
}
