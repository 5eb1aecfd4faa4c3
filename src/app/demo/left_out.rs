//! Demo of a binary that is built without it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;

use crate::app::AppError;
use crate::config::Settings;
use crate::edge::admission::route::HostPages;

/// Demo that does not exist.
pub(in crate::app) struct Demo(Infallible);

impl Demo {
    pub(in crate::app) fn start(settings: &Settings) -> Result<Option<Self>, AppError> {
        Self::fault(settings).map_or(Ok(None), Err)
    }

    /// The error of a configuration that asks for a demo this binary doesn't have.
    pub(in crate::app) fn fault(settings: &Settings) -> Option<AppError> {
        super::is_wanted(settings).then_some(AppError::NoDemo)
    }

    pub(in crate::app) fn addr(&self) -> SocketAddr {
        match self.0 {}
    }

    pub(in crate::app) fn pages(&self) -> Arc<dyn HostPages> {
        match self.0 {}
    }
}

#[async_trait]
impl BackgroundService for Demo {
    async fn start(&self, _: ShutdownWatch) {
        match self.0 {}
    }
}
