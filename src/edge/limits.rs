//! Bounds of what is read of a message's head, and of bodies that nobody wants.

/// The longest request target, in bytes: path and query. Longer ones are 414.
pub const MAX_TARGET_BYTES: usize = 8 * 1024;

/// The longest head, in bytes: request line and header fields. Longer ones are 431.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// The most options that `Connection` may list, beside those about the connection itself.
pub const MAX_CONNECTION_OPTIONS: usize = 9;

/// The most of an unwanted request body that is read, in bytes, so that its connection can be kept.
pub const MAX_DRAINED_BYTES: u64 = 64 * 1024;

/// The longest that a preflight may list in `Access-Control-Request-Headers` and still be echoed, in bytes.
pub const MAX_ECHO_BYTES: usize = 4 * 1024;

/// The most header fields of a request.
pub const MAX_HEAD_FIELDS: usize = 256;

/// The longest head of an upstream's answer, in bytes. Some send kilobytes of cookies or policies.
pub const MAX_ANSWER_HEAD_BYTES: usize = 256 * 1024;

/// The most header fields of an upstream's answer.
pub const MAX_ANSWER_FIELDS: usize = 256;

/// The most interim answers (RFC 9110 §15.2) to one request.
pub const MAX_INTERIM_ANSWERS: usize = 16;
