//! A relay of TCP connections, to be cut, silenced and healed: the network between an edge and its servers.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::ports;

/// A relay to one address. It has a thread of its own, so that it goes on whatever a test waits for.
pub struct Relay {
    /// Where it listens.
    pub addr: SocketAddr,
    state: watch::Sender<State>,
    /// Dropped with this.
    _ends: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq)]
struct State {
    way: Way,
    /// Connections that were open before a cut end, even if it is healed at once.
    cuts: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Open,
    Refused,
    Silent,
}

impl Relay {
    /// Starts one to this address.
    pub fn start(to: SocketAddr) -> Self {
        let addr = ports::free();
        let (state, states) = watch::channel(State { way: Way::Open, cuts: 0 });
        let (ends, ended) = oneshot::channel::<()>();
        let listener = std::net::TcpListener::bind(addr).unwrap();
        listener.set_nonblocking(true).unwrap();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(listener, to, states) => {}
                    _ = ended => {}
                }
            });
        });
        Self { addr, state, _ends: ends, _thread: thread }
    }

    /// Where clients of NATS find it.
    pub fn url(&self) -> String {
        format!("nats://{}", self.addr)
    }

    /// Ends all connections and lets none through.
    pub fn cut(&self) {
        self.state.send_modify(|state| *state = State { way: Way::Refused, cuts: state.cuts + 1 });
    }

    /// Lets nothing through, and ends nothing: packets vanish.
    pub fn silence(&self) {
        self.state.send_modify(|state| state.way = Way::Silent);
    }

    /// Lets everything through again. What was sent in a silence arrives, as TCP has it.
    pub fn heal(&self) {
        self.state.send_modify(|state| state.way = Way::Open);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, states: watch::Receiver<State>) {
    loop {
        let Ok((near, _)) = listener.accept().await else { continue };
        let mut states = states.clone();
        tokio::spawn(async move {
            let cuts = states.borrow().cuts;
            let is_open = states.wait_for(|state| state.way != Way::Silent || state.cuts != cuts).await;
            if !is_open.is_ok_and(|state| state.way == Way::Open && state.cuts == cuts) {
                return;
            }
            let Ok(far) = TcpStream::connect(to).await else { return };
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            // The end of one way is the end of both.
            tokio::select! {
                _ = carry(near_in, far_out, states.clone(), cuts) => {}
                _ = carry(far_in, near_out, states, cuts) => {}
            }
        });
    }
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut states: watch::Receiver<State>,
    cuts: u64,
) -> io::Result<()> {
    let ended = || io::Error::from(io::ErrorKind::ConnectionAborted);
    let mut bytes = vec![0; 64 << 10];
    loop {
        let read = tokio::select! {
            read = from.read(&mut bytes) => read?,
            cut = states.wait_for(|state| state.cuts != cuts) => return cut.map(drop).map_err(|_| ended()),
        };
        let state = states.wait_for(|state| state.way == Way::Open || state.cuts != cuts).await;
        if read == 0 || state.map_err(|_| ended())?.cuts != cuts {
            return Ok(());
        }
        to.write_all(&bytes[..read]).await?;
    }
}
