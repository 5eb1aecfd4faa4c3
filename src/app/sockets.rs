//! Listening sockets that were opened before this process: by systemd (socket activation), or by the process that it
//! relieves.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use tokio::net::TcpSocket;

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
    fn other(&mut self, key: &'static str, addr: SocketAddr) -> Result<TcpListener, EdgeError> {
        match self.take(addr) {
            Some(socket) => Ok(socket),
            None => TcpListener::bind(addr).map_err(|source| EdgeError::Listen { key, addr, source }),
        }
    }

    /// Tries every address of the configuration for which there is no socket, and listens on none.
    pub(super) fn try_others(mut self, settings: &Settings) -> Vec<AppError> {
        let mut faults = Vec::new();
        for (key, addr) in addresses(settings) {
            if self.take(addr).is_none()
                && let Err(source) = bind(addr)
            {
                faults.push(EdgeError::Listen { key, addr, source }.into());
            }
        }
        faults.extend(self.left().map(AppError::UnknownSocket));
        faults
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

pub(super) const ADMIN_LISTEN: &str = "admin.listen";
pub(super) const PROBE_LISTEN: &str = "admin.probe.listen";

/// The addresses of all listeners, each with the key that names it, in the order in which they are bound.
fn addresses(settings: &Settings) -> impl Iterator<Item = (&'static str, SocketAddr)> {
    let control = [(ADMIN_LISTEN, settings.admin.listen)].into_iter();
    let control = control.chain(settings.admin.probe.map(|addr| (PROBE_LISTEN, addr)));
    control.chain(data_listeners(settings).map(|(addr, kind)| (kind.key(), addr)))
}

fn data_listeners(settings: &Settings) -> impl Iterator<Item = (SocketAddr, ListenerKind)> {
    let plain = settings.edge.listen.iter().map(|addr| (*addr, None));
    let tls = settings.edge.tls.iter().zip(0..).map(|(tls, place)| (tls.listen, Some(place)));
    plain.chain(tls).map(|(addr, tls)| {
        (addr, ListenerKind { tls, proxy_protocol: settings.edge.proxy_protocol.contains(&addr) })
    })
}

/// Binds as listeners do, and gives it up again: nobody can connect meanwhile.
fn bind(addr: SocketAddr) -> std::io::Result<()> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(addr)
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
        let admin = sockets.other(ADMIN_LISTEN, settings.admin.listen)?;
        let probes = settings.admin.probe.map(|addr| sockets.other(PROBE_LISTEN, addr)).transpose()?;
        let edge = data_listeners(settings).map(|(addr, kind)| sockets.edge(addr, kind));
        Ok(Self { edge: edge.collect::<Result<_, _>>()?, admin, probes })
    }
}

/// The addresses of the data listeners.
pub(super) fn data_addresses(settings: &Settings) -> Vec<SocketAddr> {
    settings.edge.listen.iter().copied().chain(settings.edge.tls.iter().map(|tls| tls.listen)).collect()
}
