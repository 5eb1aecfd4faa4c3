//! Load: clients on one thread that ask at their own pace, as honest clients do, and count what is lost.
//!
//! A connection whose last answer said `Connection: close`, that has sent GOAWAY, or that has ended while nothing was
//! asked on it is not used again. Nothing is asked twice: a request that was written and gets no answer is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use tokio::task::{JoinSet, LocalSet};

mod events;
mod http2;
mod kept;
mod pace;
mod tally;
mod tunnel;
mod upload;

pub use pace::Pace;
pub use tally::{Count, Tally};
pub use tunnel::{Ending, Watched, open_and_close};

/// The longest that an answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the clients ask, and for what.
#[derive(Clone)]
pub struct Target {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    pub widget: String,
    /// The host of the page that asks.
    pub site: String,
}

impl Target {
    /// A request as HTTP/1.1 has it, with more fields: whole lines.
    pub fn request(&self, path: &str, fields: &str) -> Vec<u8> {
        let (widget, site, host) = (&self.widget, &self.site, bench_support::ground::HOST);
        format!("GET /w/{widget}/{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: https://{site}\r\n{fields}\r\n")
            .into()
    }

    /// The same target, asked by a page of another site.
    pub fn by(&self, site: &str) -> Self {
        Self { site: site.to_owned(), ..self.clone() }
    }
}

/// How many clients of each kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mix {
    /// HTTP/1.1 on kept connections, plain and over TLS.
    pub plain: usize,
    pub secure: usize,
    /// HTTP/1.1 on a new connection each time, plain and over TLS in turn.
    pub fresh: usize,
    /// HTTP/1.1 on kept connections, with bodies that come piece by piece.
    pub uploads: usize,
    /// HTTP/2 connections with four streams at a time.
    pub http2: usize,
    /// WebSockets that stay, and clients that open one after the other.
    pub staying: usize,
    pub passing: usize,
    /// Event streams.
    pub events: usize,
}

impl Mix {
    /// Some of each.
    pub const USUAL: Self =
        Self { plain: 32, secure: 8, fresh: 4, uploads: 4, http2: 2, staying: 32, passing: 4, events: 2 };
}

/// One answer, as far as somebody may look at it.
pub struct Answer<'a> {
    pub asked: Instant,
    /// A field's value.
    pub field: &'a dyn Fn(&str) -> Option<String>,
}

/// Whoever looks at each answer, and says what is wrong with it.
pub type Inspector = Arc<dyn Fn(&Answer<'_>) -> Option<String> + Send + Sync>;

/// What all clients share.
struct Shared {
    target: Target,
    tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    inspector: Option<Inspector>,
}

impl Shared {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Counts a whole answer.
    fn answered(&self, asked: Instant, status: u16, field: &dyn Fn(&str) -> Option<String>) {
        self.tally.took(asked.elapsed());
        self.tally.answered.add();
        if status != 200 {
            self.tally.wrong.note(|| format!("{status} in place of 200"));
        } else if let Some(wrong) =
            self.inspector.as_ref().and_then(|inspector| inspector(&Answer { asked, field }))
        {
            self.tally.wrong.note(|| wrong);
        }
    }
}

/// A running load.
pub struct Load {
    pub tally: Arc<Tally>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Load {
    pub fn start(target: &Target, mix: Mix) -> Self {
        Self::inspected(target, mix, None)
    }

    /// One whose answers somebody looks at.
    pub fn inspected(target: &Target, mix: Mix, inspector: Option<Inspector>) -> Self {
        let (tally, over) = (Arc::new(Tally::default()), Arc::new(AtomicBool::new(false)));
        let shared =
            Shared { target: target.clone(), tally: Arc::clone(&tally), over: Arc::clone(&over), inspector };
        let thread = std::thread::spawn(move || on_this_thread(run(Arc::new(shared), mix)));
        Self { tally, over, thread }
    }

    /// Ends it, and gives back what it has seen.
    pub fn stop(self) -> Result<Arc<Tally>> {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the load panicked"))??;
        Ok(self.tally)
    }
}

async fn run(shared: Arc<Shared>, mix: Mix) -> Result<()> {
    let mut tasks = JoinSet::new();
    let pace = Pace::new;
    for _ in 0..mix.plain {
        tasks.spawn_local(kept::plain(Arc::clone(&shared), pace(), usize::MAX));
    }
    for _ in 0..mix.secure {
        tasks.spawn_local(kept::secure(Arc::clone(&shared), pace(), usize::MAX));
    }
    for number in 0..mix.fresh {
        match number % 2 {
            0 => tasks.spawn_local(kept::plain(Arc::clone(&shared), pace(), 1)),
            _ => tasks.spawn_local(kept::secure(Arc::clone(&shared), pace(), 1)),
        };
    }
    for _ in 0..mix.uploads {
        tasks.spawn_local(upload::client(Arc::clone(&shared), pace()));
    }
    for _ in 0..mix.http2 {
        tasks.spawn_local(http2::connection(Arc::clone(&shared), pace()));
    }
    for _ in 0..mix.staying {
        tasks.spawn_local(tunnel::staying(Arc::clone(&shared), pace()));
    }
    for _ in 0..mix.passing {
        tasks.spawn_local(tunnel::passing(Arc::clone(&shared), pace()));
    }
    for _ in 0..mix.events {
        tasks.spawn_local(events::stream(Arc::clone(&shared)));
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    Ok(())
}

/// Runs this to its end, with tasks that stay on the thread.
pub fn on_this_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(work))
}
