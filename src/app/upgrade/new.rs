//! Side of the process that takes over.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use super::link::{Link, unexpected};
use super::message::Message;
use super::program;
use crate::app::AppError;

/// Time for each answer of the old process, which may have to let calls and readers end first.
const ANSWER: Duration = Duration::from_secs(30);

/// Process that this one relieves.
pub(in crate::app) struct Predecessor(Link);

impl Predecessor {
    /// The process that has started this one to take over, and its listening sockets; `None` if this is a start like any
    /// other.
    ///
    /// # Errors
    ///
    /// The process can't be reached.
    pub(in crate::app) async fn find(
        path: &Path,
    ) -> Result<Option<(Self, Vec<(SocketAddr, TcpListener)>)>, AppError> {
        let Some(secret) = program::secret() else { return Ok(None) };
        let found = async {
            let mut link = Link::connect(path).await?;
            let version = env!("CARGO_PKG_VERSION").to_owned();
            link.send(&Message::TakeOver { secret, version }).await?;
            let (message, sockets) = link.receive_with().await?;
            let Message::Listeners { addresses } = message else { return Err(unexpected(&message)) };
            if addresses.len() != sockets.len() {
                return Err(io::Error::other("not every listener was handed over"));
            }
            let sockets = sockets.into_iter().map(TcpListener::from);
            Ok((Self(link), addresses.into_iter().zip(sockets).collect()))
        };
        within(found).await.map(Some).map_err(|source| AppError::TakeOver { path: path.to_owned(), source })
    }

    /// Waits until the store is closed there.
    pub(in crate::app) async fn store(&mut self) -> Result<(), AppError> {
        let freed = async {
            self.0.send(&Message::WantsStore).await?;
            match self.0.receive().await? {
                Message::StoreIsFree => Ok(()),
                message => Err(unexpected(&message)),
            }
        };
        within(freed).await.map_err(AppError::Predecessor)
    }

    /// Says that this process serves, and waits until it is the edge. The link is for the changes to come.
    pub(in crate::app) async fn relieve(mut self) -> Result<Link, AppError> {
        let relieved = async {
            self.0.send(&Message::Serving).await?;
            match self.0.receive().await? {
                Message::Yours => Ok(()),
                message => Err(unexpected(&message)),
            }
        };
        within(relieved).await.map_err(AppError::Predecessor)?;
        Ok(self.0)
    }
}

async fn within<T>(answer: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(ANSWER, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
