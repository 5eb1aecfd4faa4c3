//! Messages between the two processes of an upgrade, and those of whoever asks for one: JSON after its length.

use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::rules::publisher::FollowedChange;

/// Largest message, in bytes: a change of a great many widgets.
const LARGEST: u32 = 1 << 30;

/// Bytes of the length before a message.
pub(super) const LENGTH: usize = 4;

/// Message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// Somebody wants an upgrade.
    Upgrade,
    /// The outcome: the process that serves now, and its version.
    Upgraded { pid: u32, version: String },
    /// The outcome: there was no upgrade.
    Failed { detail: String },
    /// A call of the admin API follows, as HTTP.
    Call,
    /// The new process is there. The secret is that of its environment.
    TakeOver { secret: String, version: String },
    /// The listening sockets that come with this message have these addresses.
    Listeners { addresses: Vec<SocketAddr> },
    /// The new process has prepared everything but the rules.
    WantsStore,
    /// The store is closed.
    StoreIsFree,
    /// The new process accepts connections.
    Serving,
    /// From now on the new process is the edge.
    Yours,
    /// The rules have changed.
    Swap { generation: u64, changes: Vec<FollowedChange> },
    /// The change is in force in the old process, too.
    Followed,
}

impl Message {
    /// The length and the message.
    pub(super) fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; LENGTH];
        serde_json::to_writer(&mut bytes, self)?;
        let length = u32::try_from(bytes.len() - LENGTH).ok().filter(|length| *length <= LARGEST);
        let length = length.ok_or_else(|| io::Error::other("a message is too large"))?;
        if let Some(place) = bytes.first_chunk_mut() {
            *place = length.to_be_bytes();
        }
        Ok(bytes)
    }

    /// The message in these bytes, which followed their length.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The length of the message that follows these bytes.
    pub(super) fn length(bytes: [u8; LENGTH]) -> io::Result<usize> {
        let length = u32::from_be_bytes(bytes);
        if length > LARGEST {
            return Err(io::Error::other("this is no message of an upgrade"));
        }
        usize::try_from(length).map_err(io::Error::other)
    }
}
