//! Demo of a binary that has it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::background::BackgroundService;

use super::{WIDGET, is_wanted, public_origin};
use crate::app::AppError;
use crate::config::Settings;
use crate::edge::admission::route::HostPages;

/// The demo, listening on a loopback port of its own.
pub(in crate::app) struct Demo {
    /// Until it is served.
    listener: Mutex<Option<TcpListener>>,
    addr: SocketAddr,
    sites: Arc<Sites>,
}

#[derive(Debug)]
struct Sites(embedgate_demo::DemoSite);

impl Demo {
    /// Starts to listen, if a configuration asks for the demo.
    pub(in crate::app) fn start(settings: &Settings) -> Result<Option<Self>, AppError> {
        if !is_wanted(settings) {
            return Ok(None);
        }
        let listener = TcpListener::bind("127.0.0.1:0").map_err(AppError::Demo)?;
        let addr = listener.local_addr().map_err(AppError::Demo)?;
        let (public_origin, widget) = (public_origin(settings), WIDGET.to_owned());
        let sites = Arc::new(Sites(embedgate_demo::DemoSite { public_origin, widget }));
        Ok(Some(Self { listener: Mutex::new(Some(listener)), addr, sites }))
    }

    /// The error of a configuration that asks for a demo this binary doesn't have.
    pub(in crate::app) fn fault(_: &Settings) -> Option<AppError> {
        None
    }

    /// The address of the demo's listener.
    pub(in crate::app) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The sites that embed its widget.
    pub(in crate::app) fn pages(&self) -> Arc<dyn HostPages> {
        Arc::clone(&self.sites) as Arc<dyn HostPages>
    }
}

#[async_trait]
impl BackgroundService for Demo {
    /// Serves until the process ends, so that open requests end as on any upstream.
    async fn start(&self, _: ShutdownWatch) {
        let listener = self.listener.lock().take();
        let Some(listener) = listener else { return };
        let serving = async {
            listener.set_nonblocking(true)?;
            embedgate_demo::DemoSite::serve(tokio::net::TcpListener::from_std(listener)?).await
        };
        let served: std::io::Result<()> = serving.await;
        if let Err(error) = served {
            tracing::error!(%error, "the demo upstream failed");
        }
    }
}

impl HostPages for Sites {
    fn page(&self, authority: &str) -> Option<String> {
        self.0.host_page(authority)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sites_have_the_names_that_are_told() {
        assert_eq!(embedgate_demo::HOSTS, super::super::HOSTS);
    }
}
