//! Settings in their working form, and the part of them that a SIGHUP changes while the edge runs.

use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tracing_subscriber::filter::LevelFilter;

use super::AppError;
use crate::config::{self, EmptyAllowlist, LogLevel, Settings};
use crate::edge::session::registry::SessionRegistry;
use crate::telemetry::decision_log::{DecisionLog, Scope};
use crate::telemetry::operational_log::LevelHandle;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::suffix::PublicSuffixes;

/// Policy of the edge for all widgets, by the settings.
pub fn edge_policy(settings: &Settings) -> EdgePolicy {
    EdgePolicy {
        own_origins: settings.edge.public_origins.clone(),
        system_origins: settings.policy.system_origins.clone(),
        open_allowed: settings.policy.empty_allowlist == EmptyAllowlist::Open,
    }
}

/// The public suffix list of the settings, or the one compiled in.
///
/// # Errors
///
/// The file can't be read or is not a public suffix list.
pub fn public_suffixes(settings: &Settings) -> Result<Arc<PublicSuffixes>, AppError> {
    let Some(path) = &settings.policy.public_suffix_list else {
        return Ok(Arc::new(PublicSuffixes::shipped().clone()));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| AppError::Unreadable { path: path.clone(), source })?;
    let suffixes = PublicSuffixes::parse(&text);
    suffixes.map(Arc::new).map_err(|source| AppError::Suffixes { path: path.clone(), source })
}

/// Scope of the decision log, by the settings.
pub fn decision_scope(log: config::LoggedDecisions) -> Scope {
    match log {
        config::LoggedDecisions::All => Scope::All,
        config::LoggedDecisions::Denied => Scope::Denied,
        config::LoggedDecisions::Off => Scope::Off,
    }
}

pub(super) fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// Parts of the edge that a SIGHUP can change.
pub(super) struct LiveSettings {
    config: PathBuf,
    settings: Mutex<Settings>,
    policy: Arc<ArcSwap<EdgePolicy>>,
    sessions: Arc<SessionRegistry>,
    decisions: Arc<DecisionLog>,
    level: LevelHandle,
}

impl LiveSettings {
    pub(super) fn new(
        config: PathBuf,
        settings: Settings,
        policy: Arc<ArcSwap<EdgePolicy>>,
        sessions: Arc<SessionRegistry>,
        decisions: Arc<DecisionLog>,
        level: LevelHandle,
    ) -> Self {
        Self { config, settings: Mutex::new(settings), policy, sessions, decisions, level }
    }

    /// Reads the configuration again. One with errors changes nothing.
    pub(super) fn reload(&self) {
        let new = match config::load(&self.config, config::process_environment()) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("configuration refused, the running one stays in force:\n{error}");
                return;
            }
        };
        let mut running = self.settings.lock();
        let changes = config::compare(&running, &new);
        self.policy.store(Arc::new(edge_policy(&config::in_force(&running, &new))));
        self.sessions.judge_all();
        self.decisions.set_scope(decision_scope(new.log.decisions));
        self.decisions.set_most_per_second(new.log.decisions_per_second);
        // The change is reported to readers of the old level and of the new one.
        self.level.set(level(running.log.level).max(level(new.log.level)));
        if changes.is_empty() {
            tracing::info!("configuration reloaded; nothing changed");
        }
        if !changes.live.is_empty() {
            tracing::info!("configuration reloaded; now in force: {}", changes.live.join(", "));
        }
        if !changes.restart.is_empty() {
            tracing::warn!("changed, but needs a restart: {}", changes.restart.join(", "));
        }
        self.level.set(level(new.log.level));
        *running = config::in_force(&running, &new);
    }
}
