//! Limits of a widget: how many sessions may be open, and how many may be opened, by all its embedders together, by each
//! embedder, and by each address.
//!
//! ```json
//! { "mode": "enforce",
//!   "widget": {"sessions": 500, "opens_per_minute": 600, "opens_per_day": 50000},
//!   "embedder": {"opens_per_minute": 300}, "address": {"sessions": 5, "opens_per_minute": 20} }
//! ```

use std::num::NonZeroU32;

use serde::Serialize;
use utoipa::ToSchema;

use crate::widget::words;

mod packed;
mod read;
mod usage;

pub use packed::PackedLimits;
pub use usage::LimitUsage;

words! {
    /// Part of a widget's limits: whose opens and sessions are counted together. In the order in which they are asked.
    LimitPart {
        /// Those of one IPv4 address or IPv6 network (/64).
        Address = "address",
        /// Those of one embedding origin.
        Embedder = "embedder",
        /// All of the widget.
        Widget = "widget",
    }
}

words! {
    /// Kind of a limit: what is counted.
    LimitKind {
        /// Sessions that are open at once.
        Sessions = "sessions",
        /// Opens in any 60 consecutive seconds.
        OpensPerMinute = "opens_per_minute",
        /// Opens on one day in UTC.
        OpensPerDay = "opens_per_day",
    }
}

words! {
    /// What happens to an open beyond a limit.
    #[derive(Default)]
    LimitMode {
        /// It is refused. The default.
        #[default]
        Enforce = "enforce",
        /// It is counted and reported, and let through.
        Monitor = "monitor",
    }
}

/// Limits of one part. What is left out, or `null`, is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PartLimits {
    /// Sessions that may be open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u64)]
    pub sessions: Option<NonZeroU32>,
    /// Opens in any 60 consecutive seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u64)]
    pub opens_per_minute: Option<NonZeroU32>,
    /// Opens on one day in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4294967295_u64)]
    pub opens_per_day: Option<NonZeroU32>,
}

/// Limits of a widget. A part that is left out, or `null`, limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(
    example = json!({
        "widget": {"sessions": 500, "opens_per_minute": 600, "opens_per_day": 50_000},
        "embedder": {"opens_per_minute": 300}, "address": {"sessions": 5, "opens_per_minute": 20},
    }),
)]
pub struct Limits {
    /// What happens to an open beyond a limit. Left out: it is refused.
    #[serde(skip_serializing_if = "LimitMode::is_enforce")]
    #[schema(required = false, value_type = Option<LimitMode>)]
    pub mode: LimitMode,
    /// Limits of all opens and sessions of the widget together.
    #[serde(skip_serializing_if = "PartLimits::is_empty")]
    #[schema(required = false, value_type = Option<PartLimits>)]
    pub widget: PartLimits,
    /// Limits of each embedder.
    #[serde(skip_serializing_if = "PartLimits::is_empty")]
    #[schema(required = false, value_type = Option<PartLimits>)]
    pub embedder: PartLimits,
    /// Limits of each address: an IPv4 address, or an IPv6 network (/64).
    #[serde(skip_serializing_if = "PartLimits::is_empty")]
    #[schema(required = false, value_type = Option<PartLimits>)]
    pub address: PartLimits,
}

impl LimitMode {
    fn is_enforce(&self) -> bool {
        *self == Self::Enforce
    }
}

impl PartLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The limit of this kind, if there is one.
    pub fn of(&self, kind: LimitKind) -> Option<NonZeroU32> {
        match kind {
            LimitKind::Sessions => self.sessions,
            LimitKind::OpensPerMinute => self.opens_per_minute,
            LimitKind::OpensPerDay => self.opens_per_day,
        }
    }
}

impl Limits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        LimitPart::ALL.iter().all(|part| self.of(*part).is_empty())
    }

    /// Whether they are those of a widget that says nothing of limits. A mode without a limit says something: it holds
    /// for limits that are added later.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The limits of this part.
    pub fn of(&self, part: LimitPart) -> &PartLimits {
        match part {
            LimitPart::Address => &self.address,
            LimitPart::Embedder => &self.embedder,
            LimitPart::Widget => &self.widget,
        }
    }
}

#[cfg(test)]
mod tests;
