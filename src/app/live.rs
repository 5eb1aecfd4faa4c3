//! Settings in their working form, and what of them a SIGHUP changes while the edge runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tracing_subscriber::filter::LevelFilter;

use super::AppError;
use crate::config::{self, EmptyAllowlist, LogLevel, Settings};
use crate::edge::sessions::Sessions;
use crate::policy::decision::EdgePolicy;
use crate::policy::suffix::PublicSuffixes;
use crate::telemetry::decision_log::{DecisionLog, Scope};
use crate::telemetry::operational_log::LevelHandle;

/// What the settings say for all widgets.
pub fn edge_policy(settings: &Settings) -> EdgePolicy {
    EdgePolicy {
        own_origins: settings.edge.public_origins.clone(),
        system_origins: settings.policy.system_origins.clone(),
        open_allowed: settings.policy.empty_allowlist == EmptyAllowlist::Open,
    }
}

/// The public suffix list of the settings, or the one compiled in.
pub fn public_suffixes(settings: &Settings) -> Result<Arc<PublicSuffixes>, AppError> {
    let Some(path) = &settings.policy.public_suffix_list else {
        return Ok(Arc::new(PublicSuffixes::shipped().clone()));
    };
    let text = std::fs::read_to_string(path)
        .map_err(|source| AppError::Unreadable { path: path.clone(), source })?;
    let suffixes = PublicSuffixes::parse(&text);
    suffixes.map(Arc::new).map_err(|source| AppError::Suffixes { path: path.clone(), source })
}

/// Which decisions the settings want logged.
pub fn decision_scope(log: config::DecisionLog) -> Scope {
    match log {
        config::DecisionLog::All => Scope::All,
        config::DecisionLog::Denied => Scope::Denied,
        config::DecisionLog::Off => Scope::Off,
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

/// What a SIGHUP can change.
pub(super) struct LiveSettings {
    config: PathBuf,
    settings: Mutex<Settings>,
    policy: Arc<ArcSwap<EdgePolicy>>,
    sessions: Arc<Sessions>,
    decisions: Arc<DecisionLog>,
    level: LevelHandle,
}

impl LiveSettings {
    pub(super) fn new(
        config: PathBuf,
        settings: Settings,
        policy: Arc<ArcSwap<EdgePolicy>>,
        sessions: Arc<Sessions>,
        decisions: Arc<DecisionLog>,
        level: LevelHandle,
    ) -> Self {
        Self { config, settings: Mutex::new(settings), policy, sessions, decisions, level }
    }

    /// Reads the configuration again. One with faults changes nothing.
    pub(super) fn reload(&self) {
        let new = match config::load(&self.config, config::process_environment()) {
            Ok(new) => new,
            Err(error) => {
                tracing::error!("configuration not taken, the running one stays:\n{error}");
                return;
            }
        };
        let mut running = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = config::compare(&running, &new);
        self.policy.store(Arc::new(edge_policy(&config::in_force(&running, &new))));
        self.sessions.judge_all();
        self.decisions.set_scope(decision_scope(new.log.decisions));
        // What is said of the change is for whoever reads at the old level or at the new one.
        self.level.set(level(running.log.level).max(level(new.log.level)));
        if changes.is_empty() {
            tracing::info!("configuration read again; nothing changed");
        }
        if !changes.live.is_empty() {
            tracing::info!("configuration read again; in force now: {}", changes.live.join(", "));
        }
        if !changes.restart.is_empty() {
            tracing::warn!("changed, but in force only after a restart: {}", changes.restart.join(", "));
        }
        self.level.set(level(new.log.level));
        *running = config::in_force(&running, &new);
    }
}
