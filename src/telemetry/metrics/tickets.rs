//! Outcomes of tickets, as the metrics count them.

use prometheus::IntCounter;

use super::registration::{Families, counters};
use embedgate_policy::ticket::TicketError;

/// Outcome of one ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketOutcome {
    /// Issued to a page that asked for one.
    Issued,
    /// Issued with a frame's document.
    Framed,
    /// Exchanged for a fresh one.
    Renewed,
    /// Asked for, and denied.
    Refused,
    /// Presented by a session or a frame, which was allowed by it.
    Accepted,
    /// Needed by a session, but not presented.
    Missing,
    /// Presented, but expired.
    Expired,
    /// Presented and valid, but the page that opened the widget may not embed it any more.
    Unwelcome,
    /// Presented, but not a valid ticket.
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

    /// Every outcome, in the order of [`Self::place`].
    pub(super) fn all() -> impl Iterator<Item = Self> {
        Self::OTHERS.into_iter().chain(TicketError::ALL.map(Self::Invalid))
    }

    /// Index of the outcome's counter.
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

    /// The outcome's label.
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

/// Counter of tickets, by outcome.
#[derive(Debug)]
pub(super) struct TicketCounter(Vec<IntCounter>);

impl TicketCounter {
    /// The counter, with each outcome from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Tickets issued and presented, by outcome.";
        let tickets = counters(families, "tickets_total", help, &["outcome"])?;
        let each = TicketOutcome::all().map(|outcome| tickets.with_label_values(&[outcome.as_str()]));
        Ok(Self(each.collect()))
    }

    /// Counts the outcome of one ticket.
    pub(super) fn count(&self, outcome: TicketOutcome) {
        if let Some(counter) = self.0.get(outcome.place()) {
            counter.inc();
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
