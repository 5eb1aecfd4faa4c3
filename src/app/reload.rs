//! Reload: the configuration is read again while the edge runs, and what of it can change without a new process changes
//! at once, whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::control::class_answers;
use super::demo::Demo;
use super::log::{decision_scope, level};
use super::{AppError, certificate_concerns};
use crate::admin::{ClassAnswers, Reconfigure, Reconfigured};
use crate::config::{self, Changes, ConfigError, Settings};
use crate::edge::session::registry::SessionRegistry;
use crate::edge::setup::{LiveSetup, Setup, SetupParts};
use crate::telemetry::decision_log::DecisionLog;
use crate::telemetry::metrics::{Metrics, ReloadOutcome};
use crate::telemetry::operational_log::LevelHandle;
use jiff::Timestamp;

/// Everything that a reload changes, and the settings in force.
pub(super) struct Reloader {
    pub(super) config: PathBuf,
    /// Held while a reload runs: there is one at a time.
    pub(super) settings: Mutex<Settings>,
    pub(super) parts: SetupParts,
    pub(super) setup: LiveSetup,
    pub(super) demo: Demo,
    pub(super) sessions: Arc<SessionRegistry>,
    pub(super) answers: Arc<ArcSwap<ClassAnswers>>,
    pub(super) decisions: Arc<DecisionLog>,
    pub(super) level: LevelHandle,
    pub(super) metrics: Arc<Metrics>,
    /// Where the edge's requests are served.
    pub(super) edge: Handle,
}

/// Reason why a configuration was not taken.
enum ReloadError {
    Config(ConfigError),
    App(AppError),
}

impl Reloader {
    /// Reads the configuration again, and says in the log what has come of it.
    pub(super) async fn run(&self) -> Result<Changes, Vec<String>> {
        let refused = match self.reload().await {
            Ok(changes) => {
                self.metrics.reloads.count(ReloadOutcome::Done);
                return Ok(changes);
            }
            Err(ReloadError::Config(error)) => error.faults().iter().map(ToString::to_string).collect(),
            Err(ReloadError::App(error)) => vec![error.to_string()],
        };
        self.metrics.reloads.count(ReloadOutcome::Refused);
        let lines: Vec<String> = refused;
        tracing::error!("configuration refused, the running one stays in force:\n{}", lines.join("\n"));
        Err(lines)
    }

    async fn reload(&self) -> Result<Changes, ReloadError> {
        let mut running = self.settings.lock().await;
        let new = config::load(&self.config, config::process_environment()).map_err(ReloadError::Config)?;
        let changes = config::compare(&running, &new);
        let next = config::in_force(&running, &new);
        let in_force = self.setup.load();
        let demo = self.demo.upstream(&next).map_err(ReloadError::App)?;
        let setup = Setup::prepare(&next, &self.parts, demo, Some((&*in_force, &*running)))
            .map_err(|error| ReloadError::App(error.into()))?;
        // The last that takes time or can fail: from here on, everything changes.
        let setup = self.started(setup).await?;
        self.setup.replace(setup);
        self.sessions.judge_all();
        self.answers.store(Arc::new(class_answers(&next)));
        self.decisions.set_scope(decision_scope(next.log.decisions));
        self.decisions.set_most_per_second(next.log.decisions_per_second);
        self.tell(&running, &next, &changes);
        *running = next;
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

#[async_trait]
impl Reconfigure for Reloader {
    async fn reload(&self) -> Result<Reconfigured, Vec<String>> {
        match self.run().await {
            Ok(Changes { live, upgrade }) => Ok(Reconfigured { in_force: live, needs_upgrade: upgrade }),
            Err(lines) => Err(lines),
        }
    }
}
