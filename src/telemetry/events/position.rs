//! Position in the feed: the id of an event, after which a reader goes on.

use std::fmt;

/// Position in the feed of one process, printed as `PROCESS-NUMBER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPosition {
    /// The process.
    pub(super) process: u32,
    /// The number of the event.
    pub(super) number: u64,
}

impl EventPosition {
    /// Reads an id; `None`: it is none that any process gives.
    pub fn parse(id: &str) -> Option<Self> {
        let (process, number) = id.split_once('-')?;
        let position = Self { process: u32::from_str_radix(process, 16).ok()?, number: number.parse().ok()? };
        (position.to_string() == id).then_some(position)
    }
}

impl fmt::Display for EventPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{}", self.process, self.number)
    }
}
