//! The operational log: what an operator reads, as text on standard error. The proxy library logs through the
//! same place.

use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt, reload};

/// Changes the level of a running process.
#[derive(Clone, Debug)]
pub struct LevelHandle(reload::Handle<LevelFilter, Registry>);

impl LevelHandle {
    /// Sets the level; `false` when the log is gone.
    pub fn set(&self, level: LevelFilter) -> bool {
        self.0.reload(level).is_ok()
    }
}

/// Starts the log of this process. Fails when one was started before.
pub fn start(level: LevelFilter) -> Result<LevelHandle, TryInitError> {
    let (filter, handle) = reload::Layer::new(level);
    let text = fmt::layer().with_writer(std::io::stderr).with_target(false);
    tracing_subscriber::registry().with(filter.and_then(text)).try_init()?;
    Ok(LevelHandle(handle))
}
