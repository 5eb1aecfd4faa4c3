//! Reload: the configuration is read again while the edge runs, and what of it can change without a new process changes
//! at once, whole or not at all.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::control::class_answers;
use super::demo::Demo;
use super::log::{address_scope, decision_scope, level, request_scope};
use super::source::brake;
use super::upgrade::{FOLLOW, Feed, on_thread};
use super::{AppError, certificate_concerns, notifications};
use crate::admin::{ClassAnswers, NotReconfigured, Reconfigure, Reconfigured};
use crate::config::{self, Changes, ConfigError, Settings};
use crate::edge::session::registry::SessionRegistry;
use crate::edge::setup::{LiveSetup, Setup, SetupParts};
use crate::files::private::IfMissing;
use crate::notifications::outbox::Outbox;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::fleet::Fleet;
use crate::rules::publisher::{Publisher, limit_of_older};
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::operational_log::LevelHandle;
use crate::telemetry::request_log::RequestLog;
use embedgate_policy::decision::EdgePolicy;

/// Everything that a reload changes, and the settings in force.
pub(super) struct Reloader {
    pub(super) config: PathBuf,
    /// The settings in force.
    pub(super) settings: Mutex<Arc<Settings>>,
    /// Held while a reload or an upgrade runs: there is one at a time.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// The process that has taken over.
    pub(super) relieved_by: OnceLock<u32>,
    /// The process before this one, which obeys the same policy.
    pub(super) feed: Arc<Feed>,
    pub(super) parts: SetupParts,
    pub(super) setup: LiveSetup,
    pub(super) demo: Demo,
    pub(super) sessions: Arc<SessionRegistry>,
    /// Sessions that have left the edge.
    pub(super) remembered: Arc<RememberedSessions>,
    pub(super) publisher: Arc<Publisher>,
    /// The fleet that shares the rules.
    pub(super) fleet: Option<Arc<dyn Fleet>>,
    pub(super) answers: Arc<ArcSwap<ClassAnswers>>,
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) requests: Arc<RequestLog>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) level: LevelHandle,
    pub(super) metrics: Arc<Metrics>,
    /// Where the edge's requests are served.
    pub(super) edge: Handle,
}

/// Reason why a configuration was not taken.
enum ReloadError {
    Config(ConfigError),
    App(AppError),
    HandedOver,
}

impl Reloader {
    /// Reads the configuration again, and says in the log what has come of it. It is not broken off.
    ///
    /// # Errors
    ///
    /// The configuration has faults, or another process has taken over.
    pub(super) async fn run(self: &Arc<Self>) -> Result<Changes, NotReconfigured> {
        let reloader = Arc::clone(self);
        // A task of its own: a caller who leaves must not leave a half of it.
        let run = tokio::spawn(async move { reloader.run_to_the_end().await });
        run.await.unwrap_or_else(|error| Err(NotReconfigured::Faults(vec![error.to_string()])))
    }

    async fn run_to_the_end(&self) -> Result<Changes, NotReconfigured> {
        let faults: Vec<String> = match self.reload().await {
            Ok(changes) => {
                self.metrics.reloads.done();
                return Ok(changes);
            }
            Err(ReloadError::Config(error)) => error.faults().iter().map(ToString::to_string).collect(),
            Err(ReloadError::App(error)) => error.to_string().lines().map(str::to_owned).collect(),
            Err(ReloadError::HandedOver) => return Err(NotReconfigured::HandedOver),
        };
        self.metrics.reloads.failed();
        tracing::error!("configuration refused, the running one stays in force: {}", faults.join("; "));
        Err(NotReconfigured::Faults(faults))
    }

    /// The settings in force.
    pub(super) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.lock())
    }

    /// Puts another policy in force for requests and open sessions, and within this time in the process before this one.
    pub(super) fn apply_policy(&self, policy: EdgePolicy, limit: Duration) {
        // Not for each contact of the new process with the source of the rules.
        if self.setup.replace_policy(policy) {
            self.sessions.judge_all();
        }
        self.feed.policy(self.setup.policy(), limit_of_older(limit));
    }

    async fn reload(&self) -> Result<Changes, ReloadError> {
        let _turn = self.turn.lock().await;
        if self.relieved_by.get().is_some() {
            return Err(ReloadError::HandedOver);
        }
        let running = self.settings();
        let new = config::load(&self.config, config::process_environment()).map_err(ReloadError::Config)?;
        let changes = config::compare(&running, &new);
        let next = config::in_force(&running, &new);
        let in_force = self.setup.load();
        let demo = self.demo.upstream(&next).map_err(ReloadError::App)?;
        let setup = Setup::prepare(&next, &self.parts, demo, Some((&*in_force, &*running)))
            .map_err(|errors| ReloadError::App(errors.into()))?;
        let receiver = notifications::receiver(&next, IfMissing::Made).map_err(ReloadError::App)?;
        // The last that takes time or can fail: from here on, everything changes.
        let setup = self.started(setup).await?;
        self.setup.replace(setup);
        self.setup.load().cache.tell_size(&self.metrics);
        self.sessions.judge_all();
        self.remembered.set_kept_for(next.tickets.renewable_for);
        self.remembered.judge_all();
        self.publisher.set_brake(brake(&next.policy));
        if let Some(fleet) = &self.fleet {
            fleet.set_max_staleness(next.policy.max_staleness);
        }
        self.answers.store(Arc::new(class_answers(&next)));
        self.outbox.set_receiver(receiver);
        self.decisions.set_scope(decision_scope(next.log.decisions));
        self.decisions.set_most_per_second(next.log.decisions_per_second);
        self.requests.set_scope(request_scope(next.log.requests), address_scope(next.log.client_address));
        self.requests.set_most_per_second(next.log.requests_per_second);
        self.tell(&running, &next, &changes);
        *self.settings.lock() = Arc::new(next);
        let (feed, policy) = (Arc::clone(&self.feed), Arc::clone(self.setup.policy()));
        // An error means that the system refuses a thread; the next change tells the old process.
        let _ = on_thread(move || feed.policy(&policy, FOLLOW)).await;
        Ok(changes)
    }

    /// Looks up the servers of new upstreams, where the edge's requests are served.
    async fn started(&self, setup: Setup) -> Result<Setup, ReloadError> {
        let starting = self.edge.spawn(async move {
            setup.start().await;
            setup
        });
        starting.await.map_err(|error| ReloadError::App(AppError::Internal(error.to_string())))
    }

    fn tell(&self, running: &Settings, next: &Settings, changes: &Changes) {
        // The change is reported to readers of the old level and of the new one.
        self.level.set(level(running.log.level).max(level(next.log.level)));
        for warning in next.warnings.iter().filter(|warning| !running.warnings.contains(warning)) {
            tracing::warn!("{warning}");
        }
        if running.edge != next.edge {
            for concern in certificate_concerns(next, Timestamp::now()) {
                tracing::warn!("{concern}");
            }
        }
        if changes.is_empty() {
            tracing::info!("configuration reloaded; nothing changed");
        }
        if !changes.live.is_empty() {
            tracing::info!("configuration reloaded; now in force: {}", changes.live.join(", "));
        }
        if !changes.upgrade.is_empty() {
            let names = changes.upgrade.join(", ");
            tracing::warn!("changed, but needs an upgrade or a restart: {names}");
        }
        self.level.set(level(next.log.level));
    }
}

/// Reload on a call of the admin API.
pub(super) struct ReloadOnCall(pub(super) Arc<Reloader>);

#[async_trait]
impl Reconfigure for ReloadOnCall {
    async fn reload(&self) -> Result<Reconfigured, NotReconfigured> {
        let Changes { live, upgrade } = self.0.run().await?;
        Ok(Reconfigured { in_force: live, needs_upgrade: upgrade })
    }
}
