//! What became of tickets, as the metrics count it.

use crate::policy::ticket::TicketError;

/// One outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketOutcome {
    /// Given to a page that asked for one.
    Issued,
    /// Handed to a frame's document with its answer.
    Framed,
    /// Exchanged for a fresh one.
    Renewed,
    /// Asked for, and denied.
    Refused,
    /// Presented for a session, which it opened, or by a frame, which came back.
    Accepted,
    /// Needed for a session, and not presented.
    Missing,
    /// Presented, and past its lifetime.
    Expired,
    /// Presented and good, but the page that opened the widget may not embed it (any more).
    Unwelcome,
    /// Presented, and none.
    Invalid(TicketError),
}

impl TicketOutcome {
    const OTHERS: [Self; 8] = [
        Self::Issued,
        Self::Framed,
        Self::Renewed,
        Self::Refused,
        Self::Accepted,
        Self::Missing,
        Self::Expired,
        Self::Unwelcome,
    ];

    /// Every one, each at its place.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::OTHERS.into_iter().chain(TicketError::ALL.map(Self::Invalid))
    }

    /// Where its counter is.
    pub(super) fn place(self) -> usize {
        match self {
            Self::Issued => 0,
            Self::Framed => 1,
            Self::Renewed => 2,
            Self::Refused => 3,
            Self::Accepted => 4,
            Self::Missing => 5,
            Self::Expired => 6,
            Self::Unwelcome => 7,
            Self::Invalid(error) => Self::OTHERS.len() + error as usize,
        }
    }

    /// The label.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::Framed => "framed",
            Self::Renewed => "renewed",
            Self::Refused => "refused",
            Self::Accepted => "accepted",
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Unwelcome => "unwelcome",
            Self::Invalid(error) => error.code(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_place() {
        for (place, outcome) in TicketOutcome::all().enumerate() {
            assert_eq!(outcome.place(), place, "{outcome:?}");
        }
    }
}
