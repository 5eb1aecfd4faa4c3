//! A binary without the demo.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::app::AppError;
use crate::config::Settings;
use crate::edge::route::HostPages;

/// The demo, of which there is none.
pub(in crate::app) struct Demo(Infallible);

impl Demo {
    pub(in crate::app) fn start(settings: &Settings) -> Result<Option<Self>, AppError> {
        Self::fault(settings).map_or(Ok(None), Err)
    }

    /// Why a configuration asks for more than this binary has.
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
