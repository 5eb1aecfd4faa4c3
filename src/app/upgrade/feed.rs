//! Feed of changes to the process that was relieved: a change is answered once both obey it.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::link::Link;
use super::message::{LENGTH, Message};
use crate::rules::error::RulesError;
use crate::rules::publisher::{FollowedChange, Observer, Publisher, Swap};
use crate::rules::source::SourceKind;

/// Time for the old process to follow one change. One that takes longer is cut off, and ends its sessions.
const FOLLOW: Duration = Duration::from_secs(2);

/// More time for each widget of a change.
const FOLLOW_WIDGET: Duration = Duration::from_micros(500);

/// Feed, an observer of the publisher.
pub(in crate::app) struct Feed {
    follower: Mutex<Option<Follower>>,
    /// Whether the old process has ended, or there is none.
    ended: watch::Sender<bool>,
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

    /// Feeds the process at the other end from now on.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(in crate::app) fn connect(self: &Arc<Self>, link: Link, publisher: Arc<Publisher>) -> io::Result<()> {
        let stream = link.into_stream().into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(FOLLOW))?;
        let (mut reading, feed) = (stream.try_clone()?, Arc::clone(self));
        let (tell, followed) = sync_channel(1);
        self.ended.send_replace(false);
        *self.follower.lock() = Some(Follower { stream, followed, publisher });
        thread::Builder::new().name("relieved".to_owned()).spawn(move || {
            while let Ok(Message::Followed) = read(&mut reading) {
                if tell.send(()).is_err() {
                    break;
                }
            }
            feed.disconnect();
            tracing::info!("the process before this one has ended");
        })?;
        Ok(())
    }

    /// Resolves once the old process has ended.
    pub(in crate::app) async fn ended(&self) {
        // An error can't be: this holds the sender.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    fn disconnect(&self) {
        self.follower.lock().take();
        self.ended.send_replace(true);
    }
}

impl Observer for Feed {
    fn swapped(&self, swap: &Swap<'_>) {
        let mut follower = self.follower.lock();
        let Some(follows) = follower.as_mut() else { return };
        if let Err(error) = follows.tell(swap) {
            // Without the link, the old process ends its sessions: none goes on under rules that don't reach it.
            let _ = follows.stream.shutdown(std::net::Shutdown::Both);
            *follower = None;
            tracing::warn!(%error, "the process before this one does not follow the rules, and was cut off");
        }
    }

    fn rejected(&self, _: SourceKind, _: &RulesError) {}
}

impl Follower {
    fn tell(&mut self, swap: &Swap<'_>) -> io::Result<()> {
        let changes = FollowedChange::of(swap, self.publisher.documents()).map_err(io::Error::other)?;
        if changes.is_empty() {
            return Ok(());
        }
        let limit = FOLLOW + FOLLOW_WIDGET * u32::try_from(changes.len()).unwrap_or(u32::MAX);
        let message = Message::Swap { generation: swap.book.generation(), changes };
        self.stream.write_all(&message.to_bytes()?)?;
        self.followed.recv_timeout(limit).map_err(io::Error::other)
    }
}

fn read(stream: &mut StdUnixStream) -> io::Result<Message> {
    let mut length = [0; LENGTH];
    stream.read_exact(&mut length)?;
    let mut bytes = vec![0; Message::length(length)?];
    stream.read_exact(&mut bytes)?;
    Message::parse(&bytes)
}
