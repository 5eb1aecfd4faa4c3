//! Demo of a binary that is built without it.

use tokio::runtime::Handle;

use crate::app::AppError;
use crate::config::Settings;
use crate::edge::setup::DemoUpstream;

/// Demo that does not exist.
pub(in crate::app) struct Demo;

impl Demo {
    pub(in crate::app) fn new(_: Handle) -> Self {
        Self
    }

    /// The error of a configuration that asks for a demo this binary doesn't have.
    pub(in crate::app) fn fault(settings: &Settings) -> Option<AppError> {
        super::is_wanted(settings).then_some(AppError::NoDemo)
    }

    pub(in crate::app) fn upstream(&self, settings: &Settings) -> Result<Option<DemoUpstream>, AppError> {
        Self::fault(settings).map_or(Ok(None), Err)
    }
}
