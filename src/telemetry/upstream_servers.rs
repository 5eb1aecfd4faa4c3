//! Servers of upstreams, as far as operators are told of them: whoever sends them requests implements
//! [`UpstreamServers`].

/// Server of an upstream, as it was last found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamServer {
    /// The upstream's name in the configuration.
    pub upstream: String,
    /// The server's address.
    pub server: String,
    /// Whether requests are sent to it: neither requests nor health checks have taken it out.
    pub healthy: bool,
}

/// Upstreams whose servers are known.
pub trait UpstreamServers: Send + Sync {
    /// The servers of all upstreams, by upstream and address.
    fn servers(&self) -> Vec<UpstreamServer>;
}
