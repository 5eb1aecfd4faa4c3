//! The operational log: what an operator reads, as text on standard error. Pingora logs through the
//! same place; of its own doings, only warnings matter to an operator. What libraries say for developers is whole
//! requests, with tickets, cookies and visitors' addresses in them: that is written at no level.

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// Sets the level; `false` when the log is gone.
    pub fn set(&self, level: LevelFilter) -> bool {
        let set = self.0.reload(targets(level)).is_ok();
        hear(level);
        set
    }
}

/// What is written at this level.
fn targets(level: LevelFilter) -> Targets {
    // An error there is a client that left in the middle of HTTP/2's greeting, as browsers do with connections that
    // they opened ahead of need.
    let greetings = if level > LevelFilter::INFO { of_libraries(level) } else { LevelFilter::OFF };
    Targets::new()
        .with_default(of_libraries(level))
        .with_target("embedgate", level)
        .with_target("pingora_core::apps", greetings)
        // It warns of frames that a client sends out of turn, one line each: nobody is to fill a disk with them.
        .with_target("h2", of_libraries(level).min(LevelFilter::ERROR))
}

/// `info` of pingora tells each step of its start and stop; who asks for `debug` wants that, too.
fn of_libraries(level: LevelFilter) -> LevelFilter {
    if level > LevelFilter::INFO { LevelFilter::INFO } else { level.min(LevelFilter::WARN) }
}

/// What is below the level is not even handed over: libraries have many lines for each request.
fn hear(level: LevelFilter) {
    log::set_max_level(match of_libraries(level).into_level() {
        None => log::LevelFilter::Off,
        Some(tracing::Level::ERROR) => log::LevelFilter::Error,
        Some(tracing::Level::WARN) => log::LevelFilter::Warn,
        Some(tracing::Level::INFO) => log::LevelFilter::Info,
        Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
        Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
    });
}

/// Starts the log of this process. Fails when one was started before.
pub fn start(level: LevelFilter) -> Result<LevelHandle, TryInitError> {
    let (log, handle) = prepare(level);
    log.try_init()?;
    hear(level);
    Ok(LevelHandle(handle))
}

/// The log at this level. The filter is a layer of its own right above the registry: put together with another first, it
/// would not tell how much it lets through, and each of a library's lines would be asked about.
fn prepare(level: LevelFilter) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let text = fmt::layer().with_writer(std::io::stderr).with_target(false);
    (tracing_subscriber::registry().with(filter).with(text), handle)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// What is below the level costs no more than a glance at it: h2 has some 125 lines for each request.
    #[test]
    fn the_log_tells_how_much_it_lets_through() {
        for level in [LevelFilter::OFF, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG] {
            let (log, _handle) = prepare(level);
            assert_eq!(log.max_level_hint(), Some(level));
        }
    }

    #[test]
    fn what_clients_do_is_no_error_of_the_edge() {
        let usual = targets(LevelFilter::INFO);
        assert!(!usual.would_enable("pingora_core::apps", &Level::ERROR));
        assert!(usual.would_enable("pingora_core::services::listening", &Level::ERROR));
        assert!(
            usual.would_enable("pingora_load_balancing", &Level::WARN)
                && !usual.would_enable("pingora_load_balancing", &Level::INFO)
        );
        assert!(usual.would_enable("embedgate::app", &Level::INFO));
        assert!(!usual.would_enable("h2::proto::ping_pong", &Level::WARN));
        assert!(targets(LevelFilter::DEBUG).would_enable("pingora_core::apps", &Level::ERROR));
    }
}
