//! Link between the two processes of an upgrade: messages and listening sockets over a Unix socket.

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::message::{LENGTH, Message};

/// Most sockets in one message: the limit of the system.
const MOST_SOCKETS: usize = 253;

/// One end of a link, or what it reads or writes.
#[derive(Debug)]
pub(in crate::app) struct Link<S = UnixStream>(S);

impl Link {
    /// Connects to a process.
    ///
    /// # Errors
    ///
    /// No process listens there.
    pub(super) async fn connect(path: &Path) -> io::Result<Self> {
        Ok(Self(UnixStream::connect(path).await?))
    }

    /// The link over a connection that was accepted.
    pub(super) fn new(stream: UnixStream) -> Self {
        Self(stream)
    }

    /// Whether the process at the other end belongs to this user, or to the administrator.
    pub(super) fn is_of_this_user(&self) -> bool {
        let own = rustix::process::geteuid();
        socket_peercred(&self.0).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
    }

    /// The connection, for what follows the last message.
    pub(super) fn into_stream(self) -> UnixStream {
        self.0
    }

    /// What the link reads, and what it writes.
    pub(super) fn split(self) -> (Link<OwnedReadHalf>, Link<OwnedWriteHalf>) {
        let (reading, writing) = self.0.into_split();
        (Link(reading), Link(writing))
    }

    /// Tells whoever asked for an upgrade what has come of it.
    pub(in crate::app) async fn answer(mut self, outcome: Result<(u32, String), String>) {
        let message = match outcome {
            Ok((pid, version)) => Message::Upgraded { pid, version },
            Err(detail) => Message::Failed { detail },
        };
        // An error means that whoever asked has left.
        let _ = self.send(&message).await;
    }

    /// Sends a message, and with it these sockets.
    ///
    /// # Errors
    ///
    /// The other end is gone, or there are too many sockets.
    pub(super) async fn send_with(
        &mut self,
        message: &Message,
        sockets: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let bytes = message.to_bytes()?;
        if sockets.len() > MOST_SOCKETS {
            return Err(io::Error::other(format!("more than {MOST_SOCKETS} listeners can't be handed over")));
        }
        let sent = self
            .0
            .async_io(Interest::WRITABLE, || {
                let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
                let mut rights = SendAncillaryBuffer::new(&mut space);
                rights.push(SendAncillaryMessage::ScmRights(sockets));
                Ok(sendmsg(&self.0, &[IoSlice::new(&bytes)], &mut rights, SendFlags::NOSIGNAL)?)
            })
            .await?;
        self.0.write_all(bytes.get(sent..).unwrap_or_default()).await
    }

    /// Receives the first message of a connection.
    ///
    /// # Errors
    ///
    /// The other end is gone, or says something else.
    pub(super) async fn receive_first(&mut self) -> io::Result<Message> {
        let mut length = [0; LENGTH];
        self.0.read_exact(&mut length).await?;
        self.rest(Message::first_length(length)?).await
    }

    /// Receives the next message, and the sockets that come with it.
    ///
    /// # Errors
    ///
    /// The other end is gone, or says something else.
    pub(super) async fn receive_with(&mut self) -> io::Result<(Message, Vec<OwnedFd>)> {
        let mut length = [0; LENGTH];
        let (mut filled, mut sockets) = (0, Vec::new());
        while filled < LENGTH {
            let place = length.get_mut(filled..).unwrap_or_default();
            let read = self
                .0
                .async_io(Interest::READABLE, || {
                    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_SOCKETS))];
                    let mut rights = RecvAncillaryBuffer::new(&mut space);
                    let flags = RecvFlags::CMSG_CLOEXEC;
                    let received = recvmsg(&self.0, &mut [IoSliceMut::new(place)], &mut rights, flags)?;
                    for message in rights.drain() {
                        if let RecvAncillaryMessage::ScmRights(received) = message {
                            sockets.extend(received);
                        }
                    }
                    Ok(received.bytes)
                })
                .await?;
            if read == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            filled += read;
        }
        Ok((self.rest(Message::length(length)?).await?, sockets))
    }
}

impl<S: AsyncWrite + Unpin> Link<S> {
    /// Sends a message.
    ///
    /// # Errors
    ///
    /// The other end is gone.
    pub(super) async fn send(&mut self, message: &Message) -> io::Result<()> {
        self.0.write_all(&message.to_bytes()?).await
    }
}

impl<S: AsyncRead + Unpin> Link<S> {
    /// Receives the next message.
    ///
    /// # Errors
    ///
    /// The other end is gone, or says something else.
    pub(super) async fn receive(&mut self) -> io::Result<Message> {
        let mut length = [0; LENGTH];
        self.0.read_exact(&mut length).await?;
        self.rest(Message::length(length)?).await
    }

    async fn rest(&mut self, length: usize) -> io::Result<Message> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).await?;
        Message::parse(&bytes)
    }
}

/// Error: the other process said this instead of what it should.
pub(super) fn unexpected(message: &Message) -> io::Error {
    io::Error::other(format!("the other process said `{}`, which is not expected here", message.kind()))
}
