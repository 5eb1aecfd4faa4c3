//! File descriptors of the process, and who may use how many of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin::MOST_DESCRIPTORS;
use crate::config::Settings;
use crate::edge::descriptors::DescriptorShare;

/// Number of descriptors for everything but connections: sockets that listen, logs, the store, files that are read.
const OTHERS: usize = 61;

/// Descriptors of the process, divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptors {
    /// Those of clients and upstreams.
    pub(super) edge: DescriptorShare,
    /// The number of those for connections of the control plane.
    pub(super) control: usize,
}

impl Descriptors {
    /// Raises the limit of the process as far as it may, and divides what there is. The edge gets at least half.
    pub(super) fn divided() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        // No limit at all is the system's own, which is larger than any number here.
        let most = if raised.is_ok() { maximum } else { current }.unwrap_or(u64::MAX);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let kept = (MOST_DESCRIPTORS + OTHERS).min(most / 2);
        Self { edge: DescriptorShare::of(most - kept, OTHERS), control: kept.saturating_sub(OTHERS) }
    }

    /// What to know if the process may have fewer connections than the configuration allows.
    pub(super) fn concern(&self, settings: &Settings) -> Option<String> {
        let (wanted, most) = (settings.edge.bounds.connections, self.edge.clients());
        (wanted > most).then(|| {
            format!(
                "the process may open too few files for edge.bounds.connections ({wanted}), so at most {most} \
                 connections are accepted; raise its limit (LimitNOFILE, or `ulimit -n`) to {}",
                wanted * 2 + MOST_DESCRIPTORS + OTHERS
            )
        })
    }
}
