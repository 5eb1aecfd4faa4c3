//! Faults of a database's file.

use std::io;

use redb::Error;

/// Fault of a database's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// It is not what was written, or not a database of this kind. It can never be read.
    Damaged(String),
    /// The system doesn't let us read or write it now.
    Failed(String),
}

/// `EIO`: the disk has lost what it was given.
const UNREADABLE_DISK: i32 = 5;

impl<E: Into<Error>> From<E> for DatabaseFault {
    fn from(error: E) -> Self {
        let error = error.into();
        match &error {
            Error::Corrupted(_)
            | Error::TableDoesNotExist(_)
            | Error::TableIsMultimap(_)
            | Error::TableIsNotMultimap(_)
            | Error::TableTypeMismatch { .. }
            | Error::TypeDefinitionChanged { .. }
            | Error::UpgradeRequired(_) => Self::Damaged(error.to_string()),
            Error::Io(system) if is_damage(system) => Self::Damaged(system.to_string()),
            Error::Io(system) => Self::Failed(system.to_string()),
            Error::DatabaseAlreadyOpen | Error::LockProtocolMismatch => {
                Self::Failed("another process has it open".to_owned())
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// Whether the system says that the file is not what was written. The library says so, too, of a file of another kind.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        || error.raw_os_error() == Some(UNREADABLE_DISK)
}
