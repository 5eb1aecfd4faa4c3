//! Use of limits, for people.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LimitKind, LimitPart};

/// Use of one limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LimitUsage {
    /// Whose opens and sessions are counted together.
    pub part: LimitPart,
    /// What is counted.
    pub kind: LimitKind,
    /// The limit.
    pub limit: u32,
    /// How much of it is used now; for embedders and addresses that of the one that was asked about, else of whoever
    /// has used most.
    pub used: u32,
    /// Whose use that is: an embedder, or empty for requests that say of no page that they are its. Addresses are never told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub whose: Option<String>,
}

impl LimitUsage {
    /// Whether the limit is used up: one more is refused, or where the limits only monitor, noted.
    pub fn is_reached(&self) -> bool {
        self.used >= self.limit
    }
}

/// Such as `embedder https://example.com: 12 of 20 opens used this minute`.
impl fmt::Display for LimitUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, kind, limit, used, whose } = self;
        match (part, whose) {
            (LimitPart::Widget, _) => f.write_str("widget")?,
            (LimitPart::Embedder, Some(embedder)) if embedder.is_empty() => {
                f.write_str("embedders that are not known")?
            }
            (LimitPart::Embedder, Some(embedder)) => write!(f, "embedder {embedder}")?,
            (LimitPart::Embedder, None) => f.write_str("each embedder, at most")?,
            (LimitPart::Address, _) => f.write_str("each address, at most")?,
        }
        match kind {
            LimitKind::Sessions => write!(f, ": {used} of {limit} sessions open"),
            LimitKind::OpensPerMinute => write!(f, ": {used} of {limit} opens used this minute"),
            LimitKind::OpensPerDay => write!(f, ": {used} of {limit} opens used today (UTC)"),
        }
    }
}
