//! Calls of the admin API that were refused, as the metrics count them.

use prometheus::IntCounter;

use super::registration::{Families, counters};

/// Counter of calls without a known token.
#[derive(Debug)]
pub struct UnauthorizedCounter {
    missing: IntCounter,
    unknown: IntCounter,
}

impl UnauthorizedCounter {
    /// The counter, with each value of its label from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Calls of the admin API that were refused for their token: it was missing, or unknown.";
        let calls = counters(families, "admin_unauthorized_total", help, &["token"])?;
        let of = |token| calls.with_label_values(&[token]);
        Ok(Self { missing: of("missing"), unknown: of("unknown") })
    }

    /// Counts a call without a token.
    pub fn missing(&self) {
        self.missing.inc();
    }

    /// Counts a call with a token that is not known.
    pub fn unknown(&self) {
        self.unknown.inc();
    }
}
