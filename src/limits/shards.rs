//! Shards of the tables of counters, each with a lock of its own.

/// Number of locks, so that different counters rarely share one.
pub(super) const SHARDS: usize = 64;

/// The shard of a hash. It goes by other bits than those by which the shard's own table places it: else all keys of a shard
/// would crowd at a few of its places.
pub(super) fn shard_of<S>(shards: &[S; SHARDS], hash: u64) -> &S {
    // In bounds, as it is a remainder.
    &shards[(hash >> 32) as usize % SHARDS]
}
