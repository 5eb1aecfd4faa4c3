//! Limits of widgets, in metrics.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use embedgate_policy::limits::{LimitKind, LimitMode, LimitPart};

use super::registration::{Families, counters, gauge};

const PARTS: usize = LimitPart::ALL.len();
const KINDS: usize = LimitKind::ALL.len();
const MODES: usize = LimitMode::ALL.len();

/// Counters of opens beyond a limit, and the gauge of the memory for what is counted.
#[derive(Clone, Debug)]
pub struct LimitMetrics {
    /// By part, kind and mode.
    passed: Arc<[[[IntCounter; MODES]; KINDS]; PARTS]>,
    bytes: IntGauge,
}

impl LimitMetrics {
    /// The metrics, with each value from the start.
    pub(super) fn new(families: &Families) -> Result<Self, prometheus::Error> {
        let help = "Opens and sessions beyond a limit, by whose are counted, what is counted, and whether they were refused.";
        let passed = counters(families, "limit_refusals_total", help, &["part", "kind", "mode"])?;
        let passed = LimitPart::ALL.map(|part| {
            LimitKind::ALL.map(|kind| {
                LimitMode::ALL
                    .map(|mode| passed.with_label_values(&[part.as_str(), kind.as_str(), mode.as_str()]))
            })
        });
        let bytes = gauge(families, "limits_bytes", "Memory for what is used of widgets' limits, in bytes.")?;
        Ok(Self { passed: Arc::new(passed), bytes })
    }

    /// Counts an open or a session beyond a limit.
    pub fn passed(&self, part: LimitPart, kind: LimitKind, mode: LimitMode) {
        let of_part = self.passed.get(part as usize);
        let counter = of_part.and_then(|kinds| kinds.get(kind as usize)?.get(mode as usize));
        if let Some(counter) = counter {
            counter.inc();
        }
    }

    /// Sets the memory.
    pub fn set_bytes(&self, bytes: u64) {
        self.bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }
}
