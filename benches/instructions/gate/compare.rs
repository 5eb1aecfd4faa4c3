//! Counts beside those that are stored: what became dearer, what cheaper, what is new or gone.

use std::collections::BTreeMap;
use std::fmt;

/// Instructions, by the name of what took them.
pub type Counts = BTreeMap<String, u64>;

/// A count may move by so much before anybody is told: compilers move code about when something else changes.
pub const TOLERANCE_PERCENT: u64 = 3;

/// A count that moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub name: String,
    pub stored: u64,
    pub counted: u64,
}

impl Moved {
    /// In percent of what is stored.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub fn percent(&self) -> f64 {
        (self.counted as f64 / self.stored.max(1) as f64 - 1.0) * 100.0
    }

    fn grew(&self) -> bool {
        self.counted * 100 > self.stored * (100 + TOLERANCE_PERCENT)
    }

    fn fell(&self) -> bool {
        self.counted * 100 < self.stored * (100 - TOLERANCE_PERCENT)
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} → {} ({:+.1} %)", self.name, self.stored, self.counted, self.percent())
    }
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Dearer by more than the tolerance.
    pub grew: Vec<Moved>,
    /// Cheaper by more than the tolerance: the stored count would let half of it be lost again.
    pub fell: Vec<Moved>,
    /// Counted, not stored.
    pub new: Vec<String>,
    /// Stored, not counted.
    pub gone: Vec<String>,
}

impl Comparison {
    pub fn of(stored: &Counts, counted: &Counts) -> Self {
        let mut comparison = Self::default();
        for (name, &counted) in counted {
            let Some(&stored) = stored.get(name) else {
                comparison.new.push(name.clone());
                continue;
            };
            let moved = Moved { name: name.clone(), stored, counted };
            if moved.grew() {
                comparison.grew.push(moved);
            } else if moved.fell() {
                comparison.fell.push(moved);
            }
        }
        comparison.gone = stored.keys().filter(|name| !counted.contains_key(*name)).cloned().collect();
        comparison
    }

    /// Nothing is dearer, and nothing that was counted before is left out.
    pub fn passes(&self) -> bool {
        self.grew.is_empty() && self.gone.is_empty()
    }

    /// Whether what is counted now should be stored.
    pub fn is_stale(&self) -> bool {
        *self != Self::default()
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.grew.iter().try_for_each(|moved| writeln!(f, "dearer   {moved}"))?;
        self.fell.iter().try_for_each(|moved| writeln!(f, "cheaper  {moved}"))?;
        self.new.iter().try_for_each(|name| writeln!(f, "new      {name}"))?;
        self.gone.iter().try_for_each(|name| writeln!(f, "gone     {name}"))
    }
}

#[cfg(test)]
mod tests;
