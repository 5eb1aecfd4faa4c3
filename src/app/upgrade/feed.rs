//! Feed of changes to the process that was relieved: a change is answered once both obey it.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use super::link::Link;
use super::message::{Message, ToldPolicy};
use crate::limits::handover::LimitLedger;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::error::RulesError;
use crate::rules::publisher::{FollowedChanges, Observer, Publisher, Swap};
use crate::rules::source::SourceKind;
use embedgate_policy::decision::EdgePolicy;

/// Time for the old process to follow one change. One that takes longer is cut off, and ends its sessions.
pub(in crate::app) const FOLLOW: Duration = Duration::from_secs(2);

/// Feed, an observer of the publisher.
pub(in crate::app) struct Feed {
    follower: Mutex<Option<Follower>>,
    /// Whether the old process has ended, or there is none.
    ended: watch::Sender<bool>,
}

/// Those who hear what the old process tells until it ends.
pub(in crate::app) struct HeardOut {
    /// Of what is used of limits there.
    pub(in crate::app) ledger: LimitLedger,
    /// Of sessions that leave the edge, and are named there.
    pub(in crate::app) remembered: Arc<RememberedSessions>,
}

/// The old process.
struct Follower {
    stream: StdUnixStream,
    /// Its answers.
    followed: Receiver<()>,
    publisher: Arc<Publisher>,
}

impl Feed {
    /// A feed to nobody.
    pub(in crate::app) fn new() -> Arc<Self> {
        Arc::new(Self { follower: Mutex::new(None), ended: watch::Sender::new(true) })
    }

    /// Makes the process at the other end the one that is fed, and is heard out. The receiver resolves when it is relieved.
    /// The caller runs on the runtime in which what is heard is kept.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(super) fn connect(
        self: &Arc<Self>,
        link: Link,
        publisher: Arc<Publisher>,
        heard: HeardOut,
    ) -> io::Result<oneshot::Receiver<()>> {
        let stream = link.into_stream().into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(FOLLOW))?;
        let reading = stream.try_clone()?;
        let (tell, followed) = sync_channel(1);
        let (relieve, relieved) = oneshot::channel();
        let runtime = Handle::current();
        self.ended.send_replace(false);
        *self.follower.lock() = Some(Follower { stream, followed, publisher });
        let connected = Connected(Arc::clone(self));
        thread::Builder::new().name("relieved".to_owned()).spawn(move || {
            // Dropped last, whatever happens here.
            let _connected = connected;
            // What is heard is kept by tasks.
            let _entered = runtime.enter();
            listen(reading, relieve, tell, heard);
        })?;
        Ok(relieved)
    }

    /// Says something that is answered otherwise than by following.
    ///
    /// # Errors
    ///
    /// The old process is gone.
    pub(super) fn say(&self, message: &Message) -> io::Result<()> {
        match self.follower.lock().as_mut() {
            Some(follower) => follower.stream.write_all(&message.to_bytes()?),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Puts this policy in force there, and before that all rules, unless the book there has this name. Blocks until
    /// that is done.
    pub(super) fn begin(&self, book: &str, policy: &ArcSwap<EdgePolicy>) {
        self.tell(|follower| {
            if follower.publisher.book_name() == book {
                return Ok(());
            }
            let whole = FollowedChanges::whole(&follower.publisher, FOLLOW).map_err(io::Error::other)?;
            follower.swap(whole)
        });
        self.policy(policy, FOLLOW);
    }

    /// Puts the policy that is in force here in force in the old process, too, within this time. Blocks until that is
    /// done.
    pub(in crate::app) fn policy(&self, policy: &ArcSwap<EdgePolicy>, limit: Duration) {
        // Loaded only now, so that of two callers the last one tells the newest.
        self.tell(|follower| follower.ask(&Message::Policy(ToldPolicy::new(&policy.load(), limit)), limit));
    }

    /// Whether there is an old process.
    pub(in crate::app) fn is_followed(&self) -> bool {
        !*self.ended.borrow()
    }

    /// Resolves once the old process has ended.
    pub(in crate::app) async fn ended(&self) {
        // An error can't be: this holds the sender.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// Tells the old process something, if there is one.
    fn tell(&self, something: impl FnOnce(&mut Follower) -> io::Result<()>) {
        let mut follower = self.follower.lock();
        let Some(follows) = follower.as_mut() else { return };
        if let Err(error) = something(follows) {
            // Without the link, the old process ends its sessions: none goes on under rules that don't reach it.
            let _ = follows.stream.shutdown(Shutdown::Both);
            *follower = None;
            tracing::warn!(%error, "the process before this one does not follow the rules, or has ended");
        }
    }
}

/// Connection to the old process, which is known to have ended once this is dropped.
struct Connected(Arc<Feed>);

impl Drop for Connected {
    fn drop(&mut self) {
        let Self(feed) = self;
        feed.follower.lock().take();
        feed.ended.send_replace(true);
        tracing::info!("the process before this one has ended");
    }
}

/// Hears the old process out. What it waits for learns of the end when this returns, and its sessions count no more.
fn listen(
    mut stream: StdUnixStream,
    relieve: oneshot::Sender<()>,
    tell: SyncSender<()>,
    mut heard: HeardOut,
) {
    if !matches!(Message::read_from(&mut stream), Ok(Message::Yours)) {
        return;
    }
    // An error means that this process is ending.
    let _ = relieve.send(());
    loop {
        match Message::read_from(&mut stream) {
            Ok(Message::Followed) if tell.send(()).is_ok() => {}
            Ok(Message::Counted(changes)) => heard.ledger.add(changes),
            Ok(Message::Named(sessions)) => heard.remembered.take_over(sessions),
            _ => return,
        }
    }
}

impl Observer for Feed {
    fn swapped(&self, swap: &Swap<'_>) {
        self.tell(|follower| {
            let changes = FollowedChanges::of(swap, follower.publisher.documents(), FOLLOW);
            match changes.map_err(io::Error::other)? {
                Some(changes) => follower.swap(changes),
                None => Ok(()),
            }
        });
    }

    fn rejected(&self, _: SourceKind, _: &RulesError) {}
}

impl Follower {
    fn swap(&mut self, changes: FollowedChanges) -> io::Result<()> {
        let limit = changes.limit();
        self.ask(&Message::Swap(changes), limit)
    }

    fn ask(&mut self, message: &Message, limit: Duration) -> io::Result<()> {
        let until = Instant::now() + limit;
        self.stream.set_write_timeout(Some(limit))?;
        self.stream.write_all(&message.to_bytes()?)?;
        let left = until.saturating_duration_since(Instant::now());
        self.followed.recv_timeout(left).map_err(io::Error::other)
    }
}
