//! Listening sockets that were opened before this process: by systemd (socket activation), or by the process that it
//! relieves.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::AppError;
use crate::config::Settings;
use crate::edge::connection::listeners::{Listener, ListenerKind};
use crate::edge::error::EdgeError;

/// Sockets by their address, until a listener takes them.
#[derive(Debug, Default)]
pub(super) struct Sockets(Vec<(SocketAddr, TcpListener)>);

impl Sockets {
    /// Those of the process that is relieved.
    pub(super) fn handed_over(sockets: Vec<(SocketAddr, TcpListener)>) -> Self {
        Self(sockets)
    }

    /// Those that systemd has opened (`LISTEN_FDS`).
    ///
    /// # Errors
    ///
    /// One of them is no TCP socket that listens.
    pub(super) fn of_systemd() -> Result<Self, AppError> {
        let mut given = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(given.len());
        for index in 0..given.len() {
            let taken = given.take_tcp_listener(index).map_err(AppError::UnusableSocket)?;
            if let Some(listener) = taken {
                sockets.push((listener.local_addr().map_err(AppError::UnusableSocket)?, listener));
            }
        }
        Ok(Self(sockets))
    }

    /// A listener of the edge at this address, bound if there is no socket for it.
    fn edge(&mut self, addr: SocketAddr, kind: ListenerKind) -> Result<Listener, EdgeError> {
        match self.take(addr) {
            Some(socket) => Ok(Listener::inherit(addr, socket, kind)),
            None => Listener::bind(addr, kind),
        }
    }

    /// A listener at this address, bound if there is no socket for it, so that a taken address is a clear error at start
    /// and not a dead listener later.
    fn other(&mut self, addr: SocketAddr) -> Result<TcpListener, EdgeError> {
        match self.take(addr) {
            Some(socket) => Ok(socket),
            None => TcpListener::bind(addr).map_err(|source| EdgeError::Listen { addr, source }),
        }
    }

    /// The address of a socket that nobody has taken.
    pub(super) fn left(&self) -> Option<SocketAddr> {
        self.0.first().map(|(addr, _)| *addr)
    }

    fn take(&mut self, addr: SocketAddr) -> Option<TcpListener> {
        let index = self.0.iter().position(|(of, _)| *of == addr)?;
        Some(self.0.swap_remove(index).1)
    }
}

/// All listeners of the configuration, which don't accept yet.
pub(super) struct Bound {
    /// The data listeners.
    pub(super) edge: Vec<Listener>,
    /// The admin listener.
    pub(super) admin: TcpListener,
    /// The listener for probes.
    pub(super) probes: Option<TcpListener>,
}

impl Bound {
    /// Takes the sockets that there are, and binds the others.
    pub(super) fn bind(settings: &Settings, sockets: &mut Sockets) -> Result<Self, EdgeError> {
        let admin = sockets.other(settings.admin.listen)?;
        let probes = settings.admin.probe.map(|addr| sockets.other(addr)).transpose()?;
        let plain = settings.edge.listen.iter().map(|addr| (*addr, None));
        let tls = settings.edge.tls.iter().zip(0..).map(|(tls, place)| (tls.listen, Some(place)));
        let edge = plain.chain(tls).map(|(addr, tls)| {
            let proxy_protocol = settings.edge.proxy_protocol.contains(&addr);
            sockets.edge(addr, ListenerKind { tls, proxy_protocol })
        });
        Ok(Self { edge: edge.collect::<Result<_, _>>()?, admin, probes })
    }
}
