//! Life of a running edge, from the first request to its end.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::reload::Reloader;
use super::signals::Signals;
use super::systemd::Systemd;
use super::upgrade::{Feed, HandOver, Incoming, Link, Program, Relief, UpgradeSocket};
use super::{AppError, logged};
use crate::admin::{Gate, Intake, Readiness};
use crate::edge::connection::listeners::Accepting;
use crate::edge::connection::service::EdgeService;
use crate::edge::error::EdgeError;
use crate::rules::publisher::Publisher;
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::{Metrics, UpgradeOutcome};

/// Time for calls of the control plane to be answered before the process ends.
const CALLS_END: Duration = Duration::from_secs(5);

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
    pub(super) gate: Arc<Gate>,
    pub(super) publisher: Arc<Publisher>,
    pub(super) feed: Arc<Feed>,
    pub(super) program: Program,
    pub(super) socket: UpgradeSocket,
    pub(super) incoming: mpsc::Receiver<Incoming>,
    /// Takes calls that an older process passes on.
    pub(super) passed_on: mpsc::Sender<UnixStream>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) systemd: Systemd,
}

/// Listener of the control plane.
pub(super) struct ControlListener {
    addr: SocketAddr,
    /// A second handle, to hand over.
    socket: TcpListener,
    intake: Intake,
}

impl ControlListener {
    /// Serves what a listener accepts.
    pub(super) fn serve<S: Future<Output = io::Result<()>> + Send + 'static>(
        name: &'static str,
        listener: TcpListener,
        serve: impl FnOnce(TcpListener, Intake) -> S,
    ) -> Result<Self, AppError> {
        let listen = |source| EdgeError::Listen { addr: SocketAddr::from(([0, 0, 0, 0], 0)), source };
        let addr = listener.local_addr().map_err(listen)?;
        let socket = listener.try_clone().map_err(|source| EdgeError::Listen { addr, source })?;
        let intake = Intake::default();
        tokio::spawn(logged(name, serve(listener, intake.clone())));
        Ok(Self { addr, socket, intake })
    }

    /// Accepts no more connections. Those that it has accepted go on.
    fn stop(self) -> Intake {
        self.intake.stop();
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
        self.decisions.sum_up();
        Ok(())
    }

    /// Waits for the next wish.
    async fn wish(&mut self) -> Wish {
        let signals = self.signals.clone();
        loop {
            tokio::select! {
                () = signals.stop() => return Wish::Stop,
                () = self.signals.upgrade() => return Wish::Upgrade(None),
                incoming = self.incoming.recv() => match incoming {
                    Some(Incoming::Upgrade(asker)) => return Wish::Upgrade(Some(asker)),
                    // If too many wait, the caller is told to try again.
                    Some(Incoming::Call(call)) => drop(self.passed_on.try_send(call)),
                    Some(Incoming::TakeOver { .. }) => tracing::warn!("a process wants to take over unasked"),
                    None => return Wish::Stop,
                },
            }
        }
    }

    /// Starts a new process and hands over to it. `None`: that failed, and this one goes on.
    async fn upgrade(&mut self, asker: Option<Link>) -> Option<(Relief, Option<Link>)> {
        tracing::info!("an upgrade begins: {}", self.program);
        let Self { signals, accepting, control, gate, publisher, program, socket, incoming, .. } = self;
        let edge = accepting.iter().map(|accepting| (accepting.addr(), accepting.socket()));
        let control = control.iter().map(|listener| (listener.addr, listener.socket.as_fd()));
        let listeners = edge.chain(control).collect();
        let outgoing = HandOver { program, socket, incoming, listeners, gate, publisher };
        match outgoing.hand_over(signals.stop()).await {
            Ok(relief) => Some((relief, asker)),
            Err(error) => {
                if let Some(asker) = asker {
                    asker.answer(Err(error.to_string())).await;
                }
                self.metrics.upgrades.count(UpgradeOutcome::Failed);
                tracing::error!("the upgrade failed, and this process goes on: {error}");
                None
            }
        }
    }

    /// Serves what is open after another process has taken over.
    async fn drain(&mut self, relief: Relief, asker: Option<Link>) {
        let (upgrade_drain, grace_period) = {
            let settings = self.reloader.settings.lock().await;
            (settings.edge.upgrade_drain, settings.edge.grace_period)
        };
        self.systemd.relieved();
        let intakes: Vec<Intake> = self.control.drain(..).map(ControlListener::stop).collect();
        self.stop_accepting().await;
        self.edge.tell();
        if let Some(asker) = asker {
            asker.answer(Ok((relief.pid, relief.version.clone()))).await;
        }
        tracing::info!(
            connections = self.edge.open_connections(),
            "process {} has taken over; open connections go on for at most {upgrade_drain:?}",
            relief.pid
        );
        let Self { edge, feed, signals, publisher, .. } = &*self;
        let followed = relief.follow(Arc::clone(publisher));
        let end = async {
            if !edge.ended(upgrade_drain).await {
                tracing::info!(connections = edge.open_connections(), "the time of open connections is over");
                edge.close(grace_period.min(upgrade_drain / 10)).await;
            }
            tracing::info!("the last connection has ended");
            // The rules reach an older process only through this one.
            feed.ended().await;
            // A caller whose connection was accepted here may not have asked yet.
            join_all(intakes.iter().map(|intake| intake.ended(CALLS_END))).await;
        };
        tokio::select! {
            () = end => {}
            () = followed => {
                tracing::warn!("the process that has taken over is gone, so sessions end");
                edge.orphan();
                edge.ended(ORPHANED).await;
            }
            () = signals.stop() => {
                edge.close(grace_period).await;
            }
        }
    }

    async fn stop_accepting(&mut self) {
        for accepting in self.accepting.drain(..) {
            accepting.stop().await;
        }
    }

    async fn stop(&mut self) {
        let (drain_delay, grace_period) = {
            let settings = self.reloader.settings.lock().await;
            (settings.edge.drain_delay, settings.edge.grace_period)
        };
        self.systemd.stopping();
        self.readiness.stop();
        if !drain_delay.is_zero() {
            tracing::info!("/readyz says 503; the listeners close in {drain_delay:?}");
            sleep(drain_delay).await;
        }
        self.stop_accepting().await;
        self.edge.tell();
        tracing::info!(
            connections = self.edge.open_connections(),
            "the listeners are closed, and open connections are told"
        );
        match self.edge.close(grace_period).await {
            true => tracing::info!("the last connection has ended"),
            false => tracing::warn!("the grace period is over"),
        }
        self.gate.calls_ended(CALLS_END).await;
    }
}
