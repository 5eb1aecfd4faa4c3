//! Connections on which another process passes calls on.

use std::io;

use axum::serve::Listener;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// Listener of connections that somebody else has accepted.
pub(super) struct PassedOn(mpsc::Receiver<UnixStream>);

impl PassedOn {
    pub(super) fn new(connections: mpsc::Receiver<UnixStream>) -> Self {
        Self(connections)
    }
}

impl Listener for PassedOn {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.0.recv().await {
            Some(connection) => (connection, ()),
            // No more will come.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(())
    }
}
