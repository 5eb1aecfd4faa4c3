//! Resolver of `[edge.bounds]`.

use std::time::Duration;

use serde::Serialize;

use crate::config::scalar;
use crate::config::table::ConfigTable;

/// Bounds on what clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BoundsSettings {
    /// Maximum number of open connections. Default: 20,000.
    pub connections: usize,
    /// Maximum number of open connections of one address, an IPv6 network of 64 bits being one; trusted proxies are
    /// exempt. Default: 500.
    pub connections_per_address: usize,
    /// Time limit for a TLS handshake. Default: 10 s.
    pub tls_handshake_timeout: Duration,
    /// Time for which a connection is kept without a request. Default: 60 s.
    pub idle_timeout: Duration,
    /// Time for which a client may be waited for with a body, both ways, before its minimum rate counts. Default: 60 s.
    pub body_timeout: Duration,
    /// Minimum rate of a body, both ways, in bytes a second; 0: none. Default: 1 KiB.
    pub body_min_rate: u64,
    /// Maximum number of concurrent requests on one HTTP/2 connection. Default: 100.
    pub http2_streams: u32,
    /// Maximum number of requests that a client takes back on one HTTP/2 connection in a minute. Default: 200.
    pub http2_resets_per_minute: u32,
    /// Maximum number of frames on one HTTP/2 connection in a minute that carry nothing of a message, beyond those that
    /// its requests and bodies explain. Default: 6,000.
    pub http2_control_frames_per_minute: u32,
    /// Maximum length of the head of a request, in bytes. Default: 64 KiB.
    pub header_bytes: usize,
    /// Maximum number of header fields of a request. Default: 100.
    pub header_fields: usize,
}

const MOST_STREAMS: usize = 128;
const MOST_FRAMES: usize = 1_000_000;
const MOST_CONNECTIONS: usize = 10_000_000;
/// Longest head that can be allowed, in bytes.
const MOST_HEADER_BYTES: usize = 1024 * 1024;
/// Shortest, so that a browser's usual head fits.
const LEAST_HEADER_BYTES: usize = 4 * 1024;
const MOST_HEADER_FIELDS: usize = 256;

pub(super) fn read(table: &ConfigTable<'_>) -> BoundsSettings {
    let time = |key, default| {
        table.or(key, |item| item.quantity(scalar::positive_duration), Duration::from_secs(default))
    };
    let count = |key, most, default| table.or(key, |item| item.count(1, most), default);
    let frames = |key, default| u32::try_from(count(key, MOST_FRAMES, default)).unwrap_or(u32::MAX);
    let bounds = BoundsSettings {
        connections: count("connections", MOST_CONNECTIONS, 20_000),
        connections_per_address: count("connections_per_address", MOST_CONNECTIONS, 500),
        tls_handshake_timeout: time("tls_handshake_timeout", 10),
        idle_timeout: time("idle_timeout", 60),
        body_timeout: time("body_timeout", 60),
        body_min_rate: table.or("body_min_rate", |item| item.quantity(scalar::bytes), 1024),
        http2_streams: u32::try_from(count("http2_streams", MOST_STREAMS, 100)).unwrap_or(u32::MAX),
        http2_resets_per_minute: frames("http2_resets_per_minute", 200),
        http2_control_frames_per_minute: frames("http2_control_frames_per_minute", 6_000),
        header_bytes: table.or("header_bytes", |item| item.quantity(header_bytes), 64 * 1024),
        header_fields: table.or("header_fields", |item| item.count(10, MOST_HEADER_FIELDS), 100),
    };
    if bounds.connections_per_address > bounds.connections
        && let Some(spot) = table.place_of("connections_per_address")
    {
        table.document().warn(
            spot,
            format!(
                "edge.bounds.connections_per_address has no effect, because it is above edge.bounds.connections ({})",
                bounds.connections
            ),
        );
    }
    bounds
}

fn header_bytes(text: &str) -> Result<usize, String> {
    let bytes = usize::try_from(scalar::bytes(text)?).unwrap_or(usize::MAX);
    if (LEAST_HEADER_BYTES..=MOST_HEADER_BYTES).contains(&bytes) {
        return Ok(bytes);
    }
    Err("must be from 4KiB to 1MiB".to_owned())
}
