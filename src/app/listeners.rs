//! The listeners of the edge as one service of the server. The library gives each service threads of its own; what
//! listens with TLS and what listens without share these.

use async_trait::async_trait;
use futures_util::future::join_all;
use pingora::listeners::ListenerConfig;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::Service;
use pingora::services::listening::Service as ListeningService;

use crate::edge::service::EdgeService;

const NAME: &str = "edge";

/// Listeners that serve different things.
#[derive(Default)]
pub(super) struct Listeners(Vec<ListeningService<EdgeService>>);

impl Listeners {
    /// Adds listeners that serve this.
    pub(super) fn add(&mut self, edge: EdgeService, listeners: impl IntoIterator<Item = ListenerConfig>) {
        let mut service = ListeningService::new(NAME.to_owned(), edge);
        for listener in listeners {
            service.add_listener(listener);
        }
        self.0.push(service);
    }
}

#[async_trait]
impl Service for Listeners {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
    ) {
        let listening = self
            .0
            .iter_mut()
            .map(|service| service.start_service(fds.clone(), shutdown.clone(), listeners_per_fd));
        join_all(listening).await;
    }

    fn name(&self) -> &str {
        NAME
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(self.0.iter().filter_map(Service::listen_addresses).flatten().collect())
    }
}
