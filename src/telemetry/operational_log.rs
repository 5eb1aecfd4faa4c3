//! The operational log: what an operator reads, as text on standard error. The proxy library logs through the
//! same place; of its own doings, only warnings matter to an operator.

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<Targets, Registry>);

impl LevelHandle {
    /// Sets the level; `false` when the log is gone.
    pub fn set(&self, level: LevelFilter) -> bool {
        self.0.reload(targets(level)).is_ok()
    }
}

/// What is written at this level.
fn targets(level: LevelFilter) -> Targets {
    // `info` of the library tells each step of its start and stop; who asks for `debug` wants that, too.
    let library = if level == LevelFilter::INFO { LevelFilter::WARN } else { level };
    Targets::new().with_default(level).with_target("pingora", library)
}

/// Starts the log of this process. Fails when one was started before.
pub fn start(level: LevelFilter) -> Result<LevelHandle, TryInitError> {
    let (filter, handle) = reload::Layer::new(targets(level));
    let text = fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(filter.and_then(text)).try_init()?;
    Ok(LevelHandle(handle))
}
