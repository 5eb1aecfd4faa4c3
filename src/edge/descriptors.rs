//! File descriptors that the edge may use, so that the admin listener, logs and the store always have some left.

use std::os::fd::{AsRawFd, RawFd};

/// The edge's share of the process's file descriptors.
///
/// The system always gives the lowest number that is free. So the number of a new descriptor tells how many are open at
/// least, and nothing has to be counted.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorShare {
    /// The first number that is not the edge's.
    end: RawFd,
    /// Maximum number of clients. Each may need a connection to an upstream, too.
    clients: usize,
}

impl DescriptorShare {
    /// A share of so many descriptors, besides `others` that have low numbers, too.
    pub fn of(most: usize, others: usize) -> Self {
        let end = RawFd::try_from(most.saturating_add(others)).unwrap_or(RawFd::MAX);
        Self { end, clients: most / 2 }
    }

    /// Maximum number of connections of clients.
    pub fn clients(self) -> usize {
        self.clients
    }

    /// Whether a descriptor that was just opened is within the share.
    pub fn has(self, descriptor: &impl AsRawFd) -> bool {
        self.has_number(descriptor.as_raw_fd())
    }

    /// The same by its number.
    pub fn has_number(self, number: RawFd) -> bool {
        number < self.end
    }
}
