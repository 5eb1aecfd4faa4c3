//! Demo of a binary that has it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{WIDGET, is_wanted, public_origin};
use crate::app::AppError;
use crate::app::control::page_address;
use crate::config::Settings;
use crate::edge::admission::route::HostPages;
use crate::edge::setup::DemoUpstream;

/// The demo, which listens on a loopback port of its own from the first configuration on that asks for it.
pub(in crate::app) struct Demo {
    addr: Mutex<Option<SocketAddr>>,
    runtime: Handle,
}

#[derive(Debug)]
struct Sites(embedgate_demo::DemoSite);

impl Demo {
    /// A demo that will run on this runtime.
    pub(in crate::app) fn new(runtime: Handle) -> Self {
        Self { addr: Mutex::new(None), runtime }
    }

    /// The demo as an upstream that is not served, to try a configuration.
    pub(in crate::app) fn unserved(settings: &Settings) -> Result<Option<DemoUpstream>, AppError> {
        let addr = SocketAddr::from(([127, 0, 0, 1], 1));
        Ok(is_wanted(settings).then(|| DemoUpstream { addr, pages: Arc::new(Sites::of(settings)) }))
    }

    /// The demo as an upstream, if this configuration asks for it.
    pub(in crate::app) fn upstream(&self, settings: &Settings) -> Result<Option<DemoUpstream>, AppError> {
        if !is_wanted(settings) {
            return Ok(None);
        }
        let mut addr = self.addr.lock();
        let addr = match *addr {
            Some(addr) => addr,
            None => *addr.insert(self.start().map_err(AppError::Demo)?),
        };
        Ok(Some(DemoUpstream { addr, pages: Arc::new(Sites::of(settings)) }))
    }

    /// Serves until the process ends, so that open requests end as on any upstream.
    fn start(&self) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let _entered = self.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        drop(tokio::spawn(async move {
            if let Err(error) = embedgate_demo::DemoSite::serve(listener).await {
                tracing::error!(%error, "the demo upstream failed");
            }
        }));
        Ok(addr)
    }
}

impl Sites {
    fn of(settings: &Settings) -> Self {
        Self(embedgate_demo::DemoSite {
            public_origin: public_origin(settings),
            widget: WIDGET.to_owned(),
            operators_page: page_address(settings),
        })
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
