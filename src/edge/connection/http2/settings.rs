//! Settings of the library for a connection: its windows, and its own bounds.

use h2::server::Builder;

use crate::config::BoundsSettings;

/// Flow-control window of a connection: the bytes of all request bodies together that may wait. For one
/// request it is the protocol's default of 64 KiB.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Maximum number of bytes of one answer in the connection's buffers.
const SEND_BUFFER: usize = 64 * 1024;

/// The library's own bounds of a connection.
pub fn of(bounds: &BoundsSettings) -> Builder {
    let streams = usize::try_from(bounds.http2_streams).unwrap_or(usize::MAX);
    let resets = usize::try_from(bounds.http2_resets_per_minute).unwrap_or(usize::MAX);
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(bounds.http2_streams)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        // More than the limit of a head, because a page can't read the library's own refusal. The library counts 32
        // bytes more for each field. A head of four times this limit, so of eight times `header_bytes`, ends the connection.
        .max_header_list_size(u32::try_from(2 * bounds.header_bytes).unwrap_or(u32::MAX))
        // Requests that are taken back before they are looked at, in one read. After a moment in which the edge was
        // busy, these are all that a client may take back.
        .max_pending_accept_reset_streams(resets)
        // Requests that the edge has ended, which are remembered for a second. What the client sends for them meanwhile
        // is no error. All requests of a connection can end at once.
        .max_concurrent_reset_streams(streams)
        // Errors by which the client makes the library reset its requests, and requests over the limit, in the whole
        // life of the connection (CVE-2025-8671). They end as much work as the client's own resets do.
        .max_local_error_reset_streams(Some(resets));
    settings
}
