//! Kinds of sources that rules come from.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Kind of a source of rules: its word in the configuration, in logs and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceKind {
    word: &'static str,
    /// Rules are written through an edge, which keeps them in a store.
    is_written_here: bool,
}

impl SourceKind {
    /// The embedded store, written through the control plane.
    pub const STORE: Self = Self::written_here("store");
    /// A bucket that a fleet of edges shares.
    pub const NATS: Self = Self::written_here("nats");
    /// A watched file or folder.
    pub const FILE: Self = Self::written_elsewhere("file");

    /// The kind of this word, whose rules are written through an edge; a source has its own in its file.
    pub const fn written_here(word: &'static str) -> Self {
        Self { word, is_written_here: true }
    }

    /// The same for rules that an edge only reads.
    pub const fn written_elsewhere(word: &'static str) -> Self {
        Self { word, is_written_here: false }
    }

    /// The word in the configuration, logs and metrics.
    pub const fn as_str(self) -> &'static str {
        self.word
    }

    /// Whether rules are written through an edge, which keeps them in a store.
    pub const fn is_written_here(self) -> bool {
        self.is_written_here
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

impl PartialSchema for SourceKind {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .examples(["store", "file", "nats"])
            .description(Some("The kind of source that the rules come from."))
            .into()
    }
}

impl ToSchema for SourceKind {
    fn name() -> Cow<'static, str> {
        "SourceKind".into()
    }
}
