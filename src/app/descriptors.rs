//! File descriptors of the process, and who may use how many of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;
use crate::edge::descriptors::DescriptorShare;

/// Maximum number of descriptors that are kept from the edge: for the admin listener, probes, logs and the store.
const MOST_KEPT: u64 = 256;

/// Raises the limit of the process as far as it may, and gives the edge its share.
pub(super) fn share() -> DescriptorShare {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    // No limit at all is the system's own, which is larger than any number here.
    let most = if raised.is_ok() { maximum } else { current }.unwrap_or(u64::MAX);
    DescriptorShare::of(most - MOST_KEPT.min(most / 2))
}

/// What to know if the process may have fewer connections than the configuration allows.
pub(super) fn concern(settings: &Settings, share: DescriptorShare) -> Option<String> {
    let (wanted, most) = (settings.edge.bounds.connections, share.clients());
    (wanted > most).then(|| {
        format!(
            "the process may open too few files for edge.bounds.connections ({wanted}), so at most {most} connections \
             are accepted; raise its limit (LimitNOFILE, or `ulimit -n`) to {}",
            wanted as u64 * 2 + MOST_KEPT
        )
    })
}
