//! Messages between the two processes of an upgrade, and those of whoever asks for one: JSON after its length.

use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::admin::PassedPageSessions;
use crate::limits::handover::PassedCounts;
use crate::notifications::remembered::PassedSessions;
use crate::rules::publisher::FollowedChanges;
use crate::rules::source::FilesInForce;
use embedgate_policy::decision::EdgePolicy;
use embedgate_policy::origin::{OriginBuf, OriginSet, OwnOrigin, OwnOrigins, WidgetOrigins};

/// Largest message, in bytes: all widgets.
const LARGEST: u32 = 1 << 30;

/// Largest first message on a connection, in bytes.
const LARGEST_FIRST: usize = 64 << 10;

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
    /// A call of the admin API follows, as HTTP. `control`: who was let in by the process that passes it on.
    Call { control: String },
    /// The new process is there. The secret is that of its environment, and the socket its own to be.
    TakeOver { secret: String, version: String, socket: PathBuf },
    /// The listening sockets that come with this message have these addresses.
    Listeners { addresses: Vec<SocketAddr> },
    /// The new process has prepared everything but the rules.
    WantsStore,
    /// The store is closed. The book in force has this name, and these rules files are in force, if it comes from files.
    StoreIsFree {
        book: String,
        #[serde(default)]
        files: Option<FilesInForce>,
        /// What is used of limits. Left out by versions that had none.
        #[serde(default)]
        counts: Option<PassedCounts>,
        /// The sessions of people at the operator's page. Left out by versions that had none.
        #[serde(default)]
        page_sessions: PassedPageSessions,
    },
    /// The new process accepts connections. `control`: who may call its admin API; others than before can't be passed on.
    Serving {
        control: String,
        /// Whether it takes [`Self::Counted`]. Older versions don't.
        #[serde(default)]
        takes_counts: bool,
    },
    /// From now on the new process is the edge.
    Yours,
    /// The rules have changed.
    Swap(FollowedChanges),
    /// The policy is this.
    Policy(ToldPolicy),
    /// The change is in force in the old process, too.
    Followed,
    /// The old process has counted this since it last said so.
    Counted(PassedCounts),
    /// Sessions that leave the edge, and were named to the old process since it last said so. Whoever takes
    /// [`Self::Counted`] takes them, too.
    Named(PassedSessions),
}

impl Message {
    /// What kind it is, for errors.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Upgrade => "Upgrade",
            Self::Upgraded { .. } => "Upgraded",
            Self::Failed { .. } => "Failed",
            Self::Call { .. } => "Call",
            Self::TakeOver { .. } => "TakeOver",
            Self::Listeners { .. } => "Listeners",
            Self::WantsStore => "WantsStore",
            Self::StoreIsFree { .. } => "StoreIsFree",
            Self::Serving { .. } => "Serving",
            Self::Yours => "Yours",
            Self::Swap(_) => "Swap",
            Self::Policy(_) => "Policy",
            Self::Followed => "Followed",
            Self::Counted(_) => "Counted",
            Self::Named(_) => "Named",
        }
    }

    /// The length and the message.
    ///
    /// # Errors
    ///
    /// The message is too large.
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
    ///
    /// # Errors
    ///
    /// The bytes are no message.
    pub(super) fn parse(bytes: &[u8]) -> io::Result<Self> {
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The length of the message that follows these bytes.
    ///
    /// # Errors
    ///
    /// No message is so long.
    pub(super) fn length(bytes: [u8; LENGTH]) -> io::Result<usize> {
        let length = u32::from_be_bytes(bytes);
        if length > LARGEST {
            return Err(io::Error::other("this is no message of an upgrade"));
        }
        usize::try_from(length).map_err(io::Error::other)
    }

    /// The same for the first message of a connection.
    ///
    /// # Errors
    ///
    /// No first message is so long.
    pub(super) fn first_length(bytes: [u8; LENGTH]) -> io::Result<usize> {
        let length = Self::length(bytes)?;
        if length > LARGEST_FIRST {
            return Err(io::Error::other("no first message of an upgrade is so long"));
        }
        Ok(length)
    }

    /// Reads the next message, and waits for it.
    ///
    /// # Errors
    ///
    /// The other end is gone, or says something else.
    pub(super) fn read_from(stream: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; LENGTH];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; Self::length(length)?];
        stream.read_exact(&mut bytes)?;
        Self::parse(&bytes)
    }
}

/// Policy of an edge for all widgets, as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::app) struct ToldPolicy {
    own_origins: Vec<String>,
    system_origins: Vec<String>,
    open_allowed: bool,
    /// Left out by versions whose rules were never too old.
    #[serde(default)]
    stale_at: Option<Timestamp>,
    /// Time for it to be in force.
    limit: Duration,
}

impl ToldPolicy {
    /// The policy, to be in force within this time.
    pub(super) fn new(policy: &EdgePolicy, limit: Duration) -> Self {
        Self {
            limit,
            own_origins: policy.own_origins.iter().map(|origin| origin.to_string()).collect(),
            system_origins: policy.system_origins.iter().map(|origin| origin.to_string()).collect(),
            open_allowed: policy.open_allowed,
            stale_at: policy.stale_at,
        }
    }

    /// The time for it to be in force.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// The policy.
    ///
    /// # Errors
    ///
    /// An origin can't be read by this version.
    pub(super) fn read(&self) -> io::Result<EdgePolicy> {
        let own = |text: &String| match WidgetOrigins::parse(text) {
            Ok(origins) => Ok(OwnOrigin::ByWidget(origins)),
            Err(_) => origin(text).map(OwnOrigin::Shared),
        };
        let own_origins = self.own_origins.iter().map(own).collect::<io::Result<Vec<_>>>()?;
        let system_origins =
            self.system_origins.iter().map(|text| origin(text)).collect::<io::Result<Vec<_>>>()?;
        Ok(EdgePolicy {
            own_origins: own_origins.into_iter().collect::<OwnOrigins>(),
            system_origins: OriginSet::new(system_origins),
            open_allowed: self.open_allowed,
            stale_at: self.stale_at,
        })
    }
}

fn origin(text: &str) -> io::Result<OriginBuf> {
    OriginBuf::parse(text).map_err(|error| io::Error::other(format!("{text}: {error}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn a_policy_is_told_whole() {
        let policy = EdgePolicy {
            own_origins: [
                OwnOrigin::Shared("https://edge.example".parse().unwrap()),
                OwnOrigin::ByWidget(WidgetOrigins::parse("https://{widget}.edge.example").unwrap()),
            ]
            .into_iter()
            .collect(),
            system_origins: OriginSet::new(["https://dashboard.example".parse().unwrap()]),
            open_allowed: true,
            stale_at: Some("2026-11-05T12:00:00.000000001Z".parse().unwrap()),
        };
        for stale_at in [None, policy.stale_at, Some(Timestamp::UNIX_EPOCH), Some(Timestamp::MAX)] {
            let policy = EdgePolicy { stale_at, ..policy.clone() };
            let message = Message::Policy(ToldPolicy::new(&policy, Duration::from_secs(2)));
            let bytes = message.to_bytes().unwrap();
            let Message::Policy(told) = Message::parse(&bytes[LENGTH..]).unwrap() else {
                panic!("{message:?}")
            };
            assert_eq!((told.read().unwrap(), told.limit()), (policy, Duration::from_secs(2)));
        }
    }

    #[test]
    fn a_version_that_says_nothing_of_stale_rules_is_understood() {
        let told = r#"{"Policy":{"own_origins":[],"system_origins":[],"open_allowed":true,"limit":{"secs":2,"nanos":0}}}"#;
        let Message::Policy(told) = Message::parse(told.as_bytes()).unwrap() else { panic!("{told}") };
        let expected = EdgePolicy { open_allowed: true, ..EdgePolicy::default() };
        assert_eq!(told.read().unwrap(), expected);
    }
}
