//! Credentials of a NATS user: a file with a token (JWT) and the seed of a key.

use std::path::Path;

use async_nats::ConnectOptions;

/// Tries to read a file of credentials, as each connection does.
///
/// # Errors
///
/// It can't be read, or has no token and seed. The error says what is wrong and what would be right.
pub fn check_credentials(path: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let read = ConnectOptions::with_credentials(&text);
    read.map(drop).map_err(|error| format!("{error}; name a file as `nsc generate creds` makes it"))
}
