//! Kinds of sources that rules come from.

use std::fmt;

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// Which kind of source the rules come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum SourceKind {
    /// A watched file or folder.
    File,
    /// The embedded store, written through the control plane.
    Store,
    /// A bucket that a fleet shares.
    Nats,
}

impl SourceKind {
    /// The word in the configuration, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Store => "store",
            Self::Nats => "nats",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for SourceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
