//! How much of its limits a widget has used, for people.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use embedgate_policy::limits::{LimitKind, LimitPart, Limits};

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
    /// Whose use that is: an embedder. Addresses are never told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub whose: Option<String>,
}

/// Reader of how much is used.
pub trait LimitReader: Send + Sync {
    /// How much of these limits a widget has used. `embedder`: of whom it is asked, else of whoever has used most.
    fn usage(&self, widget: &str, limits: &Limits, embedder: Option<&str>) -> Vec<LimitUsage>;
}
