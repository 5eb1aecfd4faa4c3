//! Limits for heads of messages, and for unwanted bodies.

use std::time::Duration;

/// Maximum length of a request target (path and query), in bytes. A longer one gets 414.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Maximum length of the trailers of a message, in bytes.
pub const MAX_TRAILER_BYTES: usize = 64 * 1024;

/// Maximum number of trailers of a message.
pub const MAX_TRAILERS: usize = 64;

/// Limits of the head of a request. A longer one gets 431.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Maximum length of request line and header fields, in bytes.
    pub bytes: usize,
    /// Maximum number of header fields.
    pub fields: usize,
}

/// Maximum number of options in `Connection`, besides those about the connection itself.
pub const MAX_CONNECTION_OPTIONS: usize = 9;

/// Maximum number of bytes of an unwanted request body that are read to keep its connection.
pub const MAX_DRAINED_BYTES: u64 = 64 * 1024;

/// Maximum length of `Access-Control-Request-Headers` that a preflight gets back, in bytes.
pub const MAX_ECHO_BYTES: usize = 4 * 1024;

/// Maximum number of header fields that the parser takes. Fewer are configured.
pub const MAX_HEAD_FIELDS: usize = 256;

/// Maximum length of the head of an upstream's answer, in bytes. Some send kilobytes of cookies or policies.
pub const MAX_ANSWER_HEAD_BYTES: usize = 256 * 1024;

/// Maximum number of header fields of an upstream's answer.
pub const MAX_ANSWER_FIELDS: usize = 256;

/// Maximum number of interim answers (RFC 9110 §15.2) to one request.
pub const MAX_INTERIM_ANSWERS: usize = 16;

/// Maximum wait for the rest of an unwanted body, to keep its connection.
pub const DRAIN: Duration = Duration::from_secs(2);

/// Maximum silence of a client that has its answer but is still sending, before the rest is given up.
pub const LINGER: Duration = Duration::from_secs(5);

/// Maximum total time to read from such a client.
pub const MOST_LINGER: Duration = Duration::from_secs(30);

/// Time limit for the last bytes when a connection ends.
pub const GOODBYE: Duration = Duration::from_secs(1);
