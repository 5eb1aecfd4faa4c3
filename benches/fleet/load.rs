//! Honest requests on one edge: each must be answered, and allowed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bench_support::client::{connect, exchange};
use bench_support::count::Count;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::verdict;

/// The widget that is asked for, which nobody changes, and the page that asks.
pub const WIDGET: &str = "wgt_load";
pub const SITE: &str = "www.example.com";

/// Clients with a kept connection, and clients with a new one each time.
const KEPT: usize = 3;
const FRESH: usize = 1;
/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest that an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same of an edge that is stopped for a minute, and answers when it goes on.
const FROZEN: Duration = Duration::from_secs(120);

/// What became of the requests.
#[derive(Default)]
pub struct Served {
    pub answered: Count,
    /// Not answered, or with something else than what was asked for.
    pub unserved: Count,
}

/// A running load.
pub struct Load {
    served: Arc<Served>,
    over: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Load {
    pub fn on(addr: SocketAddr) -> Self {
        Self::with_patience(addr, PATIENCE)
    }

    /// One on an edge that will be stopped, and go on.
    pub fn on_frozen(addr: SocketAddr) -> Self {
        Self::with_patience(addr, FROZEN)
    }

    fn with_patience(addr: SocketAddr, patience: Duration) -> Self {
        let (served, over) = (Arc::<Served>::default(), watch::Sender::new(false));
        let mut tasks = JoinSet::new();
        for number in 0..KEPT + FRESH {
            tasks.spawn(ask(addr, number < KEPT, patience, Arc::clone(&served), over.subscribe()));
        }
        Self { served, over, tasks }
    }

    /// Ends it, and gives back what became of its requests.
    pub async fn stop(self) -> Result<Arc<Served>> {
        self.over.send_replace(true);
        let mut tasks = self.tasks;
        while let Some(ended) = tasks.join_next().await {
            ended?;
        }
        Ok(self.served)
    }
}

async fn ask(
    addr: SocketAddr,
    keeps: bool,
    patience: Duration,
    served: Arc<Served>,
    mut over: watch::Receiver<bool>,
) {
    let request = verdict::request(WIDGET, SITE);
    let mut buffer = vec![0; 8 * 1024];
    while !*over.borrow() {
        let mut stream = match timeout(patience, connect(addr)).await {
            Ok(Ok(stream)) => stream,
            failed => {
                served.unserved.note(|| format!("no connection: {failed:?}"));
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        while ask_once(&mut stream, &request, &mut buffer, patience, &served).await {
            // Meanwhile a connection may end in order: nothing is asked on it.
            let mut unasked = [0; 64];
            let ended = tokio::select! {
                _ = over.wait_for(|over| *over) => return,
                ended = timeout(PAUSE, stream.read(&mut unasked)) => ended.is_ok(),
            };
            if ended || !keeps {
                break;
            }
        }
    }
}

/// Whether the connection may be asked again.
async fn ask_once(
    stream: &mut TcpStream,
    request: &[u8],
    buffer: &mut [u8],
    patience: Duration,
    served: &Served,
) -> bool {
    match timeout(patience, exchange(stream, request, buffer)).await {
        Ok(Ok(head)) if head.status == 200 => {
            served.answered.add();
            !head.close
        }
        Ok(Ok(head)) => {
            served.unserved.note(|| format!("{} in place of 200", head.status));
            false
        }
        Ok(Err(error)) => {
            served.unserved.note(|| format!("{error:#}"));
            false
        }
        Err(_) => {
            served.unserved.note(|| format!("no answer in {patience:?}"));
            false
        }
    }
}
