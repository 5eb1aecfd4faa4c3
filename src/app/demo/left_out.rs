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

    pub(in crate::app) fn unserved(settings: &Settings) -> Result<Option<DemoUpstream>, AppError> {
        if super::is_wanted(settings) { Err(AppError::NoDemo) } else { Ok(None) }
    }

    pub(in crate::app) fn upstream(&self, settings: &Settings) -> Result<Option<DemoUpstream>, AppError> {
        Self::unserved(settings)
    }
}
