//! File of the secrets that sign notifications: one `whsec_…` per line, `#` for comments. All sign, so a secret can be
//! replaced without a gap: add the new one, move the receiver, remove the old one.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use ring::hmac::{HMAC_SHA256, Key, sign};

use crate::files::making::could_make;
use crate::files::private::{self, IfMissing, PrivateFileFault, PrivateStamp};

/// Bytes of a secret (Standard Webhooks).
const BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Bytes of a secret that is made here.
const MADE: usize = 32;

/// Secrets of one file at most: each adds a signature to every notification.
const MOST: usize = 10;

const PREFIX: &str = "whsec_";

/// Error of a file of secrets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFileFault {
    /// The file can't be read or made, or other users can read it.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// A line is neither a secret nor a comment. The error does not repeat the line.
    #[error("{}:{line}: not a secret: write `whsec_` and 24 to 64 bytes in base64", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// There are no secrets, or too many.
    #[error("{}: has {found} secrets; it must have 1 to {MOST}", path.display())]
    Number {
        /// The file.
        path: PathBuf,
        /// How many there are.
        found: usize,
    },
}

/// File of the secrets in force. It is read again when it has changed; one with errors changes nothing and is logged.
#[derive(Debug)]
pub struct SecretFile {
    path: PathBuf,
    state: Mutex<SecretsInForce>,
}

#[derive(Debug)]
struct SecretsInForce {
    keys: Vec<Key>,
    seen: Option<PrivateStamp>,
}

impl SecretFile {
    /// Reads the file. If it is missing, makes one with one secret that only its owner can read.
    ///
    /// # Errors
    ///
    /// The file can't be read or made, other users can read it, or a line is not a secret.
    pub fn open(path: &Path) -> Result<Self, SecretFileFault> {
        Self::open_or(path, IfMissing::Made)
    }

    /// The same. A missing file that is left out has no secret.
    ///
    /// # Errors
    ///
    /// The file can't be read, or could not be made, other users can read it, or a line is not a secret.
    pub fn open_or(path: &Path, if_missing: IfMissing) -> Result<Self, SecretFileFault> {
        let state = match (path.exists(), if_missing) {
            (false, IfMissing::LeftOut) => {
                could_make(path).map_err(|source| PrivateFileFault::io(path, source))?;
                SecretsInForce { keys: Vec::new(), seen: None }
            }
            (false, IfMissing::Made) => {
                make(path)?;
                tracing::info!(
                    "created {} with one secret; the receiver of notifications needs it",
                    path.display()
                );
                read(path)?
            }
            (true, _) => read(path)?,
        };
        Ok(Self { path: path.to_owned(), state: Mutex::new(state) })
    }

    /// The signatures of a notification, as `webhook-signature` has them (Standard Webhooks). `time`: when it is sent, in
    /// seconds since 1970.
    pub(super) fn sign(&self, id: &str, time: i64, body: &str) -> String {
        let mut state = self.state.lock();
        self.refresh(&mut state);
        signatures(&state.keys, id, time, body)
    }

    fn refresh(&self, state: &mut SecretsInForce) {
        let now = PrivateStamp::of(&self.path);
        if now == state.seen {
            return;
        }
        // Also after a failure: a broken file is read again only after another change.
        state.seen = now;
        match read(&self.path) {
            Ok(read) => {
                *state = read;
                tracing::info!("{} reloaded: {} secrets", self.path.display(), state.keys.len());
            }
            Err(error) => tracing::error!(%error, "new secrets refused; the last good ones stay in force"),
        }
    }
}

fn signatures(keys: &[Key], id: &str, time: i64, body: &str) -> String {
    let signed = format!("{id}.{time}.{body}");
    let signature = |key| format!("v1,{}", STANDARD.encode(sign(key, signed.as_bytes())));
    keys.iter().map(signature).collect::<Vec<_>>().join(" ")
}

fn read(path: &Path) -> Result<SecretsInForce, SecretFileFault> {
    let (text, stamp) = private::read(path)?;
    let keys = parse(&text).map_err(|line| SecretFileFault::Line { path: path.to_owned(), line })?;
    match keys.len() {
        1..=MOST => Ok(SecretsInForce { keys, seen: Some(stamp) }),
        found => Err(SecretFileFault::Number { path: path.to_owned(), found }),
    }
}

/// The secrets, or the number of the first line that is none.
fn parse(text: &str) -> Result<Vec<Key>, usize> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(number, line)| key(line).ok_or(number)).collect()
}

fn key(line: &str) -> Option<Key> {
    let secret = STANDARD.decode(line.strip_prefix(PREFIX)?).ok()?;
    BYTES.contains(&secret.len()).then(|| Key::new(HMAC_SHA256, &secret))
}

fn make(path: &Path) -> Result<(), PrivateFileFault> {
    let random = private::random::<MADE>().map_err(|source| PrivateFileFault::io(path, source))?;
    let text = format!(
        "# Secrets that sign notifications (Standard Webhooks): one `whsec_…` per line; read again when changed. All sign.\n\
         # To rotate: append the new one, give it to the receiver, then remove the old one.\n{PREFIX}{}\n",
        STANDARD.encode(random)
    );
    private::make(path, &text)
}

#[cfg(test)]
mod tests;
