//! Operational log: lines for operators on standard error, as text or as JSON. Pingora logs through it too, but only its warnings
//! matter to an operator. Debug lines of libraries contain whole requests, with tickets, cookies and
//! visitors' addresses, so they are never written.

use tracing::Subscriber;
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Registry, fmt, reload};

use super::queue::{LogFlush, LogQueue};

mod format;

pub use format::LineForm;

use format::{LineFormat, OneLine};

/// Handle to change the log's level while the process runs.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// Sets the level; `false` if the log has ended.
    pub fn set(&self, level: LevelFilter) -> bool {
        let set = self.0.reload(targets(level)).is_ok();
        hear(level);
        set
    }
}

/// Filter of the lines that are written at this level.
fn targets(level: LevelFilter) -> Targets {
    // These errors are clients that left during the HTTP/2 preface, as browsers do with connections that they
    // opened in advance.
    let greetings = if level > LevelFilter::INFO { of_libraries(level) } else { LevelFilter::OFF };
    Targets::new()
        .with_default(of_libraries(level))
        .with_target("embedgate", level)
        .with_target("pingora_core::apps", greetings)
        // A connection that is lost is made anew, and the source says so.
        .with_target("async_nats", LevelFilter::OFF)
        // These warn once for each unexpected frame or handshake message of a client, and a client must not be able
        // to fill a disk.
        .with_target("h2", of_libraries(level).min(LevelFilter::ERROR))
        .with_target("rustls", of_libraries(level).min(LevelFilter::ERROR))
}

/// Level of libraries. Pingora's `info` reports each step of its start and stop, which is useful only at
/// `debug`.
fn of_libraries(level: LevelFilter) -> LevelFilter {
    if level > LevelFilter::INFO { LevelFilter::INFO } else { level.min(LevelFilter::WARN) }
}

/// Sets the level of the `log` crate, so that lines below it are not even built: libraries have many for each
/// request.
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

/// Starts the log of this process, behind a queue.
///
/// # Errors
///
/// The process already has a log.
pub fn start(level: LevelFilter, form: LineForm) -> Result<(LevelHandle, LogQueue, LogFlush), TryInitError> {
    let (queue, flush) = LogQueue::start(std::io::stderr());
    let (log, handle) = prepare(level, form, queue.writer());
    log.try_init()?;
    hear(level);
    Ok((LevelHandle(handle), queue, flush))
}

/// Builds the log at this level. The filter is a separate layer directly above the registry. Combined with
/// another layer, it would not report its maximum level, and every line of a library would be checked.
fn prepare(
    level: LevelFilter,
    form: LineForm,
    out: NonBlocking,
) -> (impl Subscriber + Send + Sync, reload::Handle<Targets, Registry>) {
    let (filter, handle) = reload::Layer::new(targets(level));
    let lines =
        fmt::layer().event_format(LineFormat::new(form)).with_writer(move || OneLine::new(out.clone()));
    (tracing_subscriber::registry().with(filter).with(lines), handle)
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    /// What is below the level costs no more than a glance at it: h2 has some 125 lines for each request.
    #[test]
    fn the_log_tells_how_much_it_lets_through() {
        for level in [LevelFilter::OFF, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG] {
            let (queue, _flush) = LogQueue::start(std::io::sink());
            for form in [LineForm::Text, LineForm::Json] {
                let (log, _handle) = prepare(level, form, queue.writer());
                assert_eq!(log.max_level_hint(), Some(level));
            }
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
        assert!(!usual.would_enable("rustls::common_state", &Level::WARN));
        assert!(targets(LevelFilter::DEBUG).would_enable("pingora_core::apps", &Level::ERROR));
    }
}
