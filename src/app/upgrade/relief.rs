//! Process that has taken over, as the old one sees it: it says what is in force, and is told what the old one counts.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::link::{Link, unexpected};
use super::message::Message;
use super::on_thread;
use crate::limits::limiter::Limiter;
use crate::notifications::remembered::RememberedSessions;
use crate::rules::publisher::Publisher;
use embedgate_policy::decision::EdgePolicy;

/// Time between two looks at what was counted here.
const LOOK: Duration = Duration::from_millis(50);

/// Process that has taken over.
pub(in crate::app) struct Relief {
    reading: Link<OwnedReadHalf>,
    pub(in crate::app) counts: CountTeller,
    pub(in crate::app) pid: u32,
    pub(in crate::app) version: String,
}

/// Teller of what is counted and named here, to the process that has taken over.
#[derive(Clone)]
pub(in crate::app) struct CountTeller {
    writing: Arc<Mutex<Link<OwnedWriteHalf>>>,
    /// `None`: the process does not want to know.
    limiter: Option<Arc<Limiter>>,
    remembered: Arc<RememberedSessions>,
}

/// Reason why the new process is followed no longer.
pub(in crate::app) enum Unfollowed {
    /// It is gone.
    Gone,
    /// What it has said can't be put in force here.
    Fault(String),
}

impl Relief {
    /// A process at the other end of this link. `limiter`, `remembered`: what it is told of, if it wants to know.
    pub(super) fn new(
        link: Link,
        (limiter, remembered): (Option<Arc<Limiter>>, Arc<RememberedSessions>),
        pid: u32,
        version: String,
    ) -> Self {
        let (reading, writing) = link.split();
        let counts = CountTeller { writing: Arc::new(Mutex::new(writing)), limiter, remembered };
        Self { reading, counts, pid, version }
    }

    /// Puts in force what the new process says of rules and policy, and tells it what is counted here, for as long as it is
    /// there.
    pub(in crate::app) async fn follow(
        self,
        publisher: Arc<Publisher>,
        apply: impl Fn(EdgePolicy, Duration) + Clone + Send + 'static,
    ) -> Unfollowed {
        let Self { mut reading, counts, .. } = self;
        let obeyed = async {
            loop {
                let message = reading.receive().await;
                if let Err(unfollowed) = obey(message, &publisher, &apply).await {
                    return unfollowed;
                }
                if counts.writing.lock().await.send(&Message::Followed).await.is_err() {
                    return Unfollowed::Gone;
                }
            }
        };
        let told = async {
            if counts.limiter.is_none() {
                return pending().await;
            }
            while counts.tell().await.is_ok() {
                sleep(LOOK).await;
            }
            Unfollowed::Gone
        };
        tokio::select! {
            unfollowed = obeyed => unfollowed,
            unfollowed = told => unfollowed,
        }
    }
}

/// Puts in force what a message says.
async fn obey(
    message: io::Result<Message>,
    publisher: &Arc<Publisher>,
    apply: &(impl Fn(EdgePolicy, Duration) + Clone + Send + 'static),
) -> Result<(), Unfollowed> {
    let followed = match message {
        Ok(Message::Swap(changes)) => {
            let publisher = Arc::clone(publisher);
            let followed = on_thread(move || publisher.follow(&changes)).await;
            followed.and_then(|followed| followed.map_err(io::Error::other))
        }
        Ok(Message::Policy(told)) => match told.read() {
            Ok(policy) => {
                let (apply, limit) = (apply.clone(), told.limit());
                on_thread(move || apply(policy, limit)).await
            }
            Err(error) => Err(error),
        },
        Ok(other) => Err(unexpected(&other)),
        Err(_) => return Err(Unfollowed::Gone),
    };
    followed.map_err(|error| Unfollowed::Fault(error.to_string()))
}

impl CountTeller {
    /// Tells what was counted since the last time.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub(in crate::app) async fn tell(&self) -> io::Result<()> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        // Nobody else tells of a later change before this one.
        let mut writing = self.writing.lock().await;
        if let Some(named) = self.remembered.take_passed_on() {
            writing.send(&Message::Named(named)).await?;
        }
        match limiter.changes() {
            Some(changes) => writing.send(&Message::Counted(changes)).await,
            None => Ok(()),
        }
    }
}
