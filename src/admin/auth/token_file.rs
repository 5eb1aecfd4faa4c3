//! The token file: `read TOKEN` or `write TOKEN` a line, `#` for comments. Several may be good at once, so that one
//! can be replaced by another without a gap: add the new one, move the callers, remove the old one.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

use super::{Caller, Role};
use crate::files::private::{self, PrivateFileFault, Stamp};

/// Tokens shorter than this can be guessed; they are taken, with a warning.
const SENSIBLE_LENGTH: usize = 20;
/// The random bytes of a token that is made here.
const TOKEN_BYTES: usize = 32;

/// Why a token file can't be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// It can't be read or made, or others can read it.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// A line that is neither a token nor a comment. The line itself is not repeated: it may hold one.
    #[error("{}:{line}: not `read TOKEN` or `write TOKEN`, with a token of A-Z a-z 0-9 - . _ ~ + / =", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// The tokens in force. The file is looked at with every call and read again when it has changed, so that a token
/// that was taken out ends with the next call. One that can't be read changes nothing and is logged.
pub struct Tokens {
    path: PathBuf,
    state: Mutex<State>,
}

struct State {
    known: Vec<Known>,
    seen: Option<Stamp>,
}

struct Known {
    digest: [u8; SHA256_OUTPUT_LEN],
    caller: Caller,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the file; where there is none, makes one with one write token, readable by its owner alone.
    pub fn open(path: PathBuf) -> Result<Self, TokenFault> {
        if !path.exists() {
            make(&path)?;
            tracing::info!("made {} with one write token", path.display());
        }
        let (known, seen) = read(&path)?;
        if known.is_empty() {
            tracing::warn!("{} holds no token: nobody can call the control plane", path.display());
        }
        Ok(Self { path, state: Mutex::new(State { known, seen: Some(seen) }) })
    }

    /// Whose token this is.
    pub(super) fn find(&self, token: &str) -> Option<Caller> {
        let presented = sha256(token);
        let mut state = self.lock();
        self.refresh(&mut state);
        // Through all of them, whichever it is: the time tells nothing.
        let mut found = None;
        for known in &state.known {
            if bool::from(known.digest.ct_eq(&presented)) {
                found = Some(known.caller.clone());
            }
        }
        found
    }

    fn refresh(&self, state: &mut State) {
        let now = Stamp::of(&self.path);
        if now == state.seen {
            return;
        }
        // Also after a failure: the next look tries again only after another change.
        state.seen = now;
        match read(&self.path) {
            Ok((known, seen)) => {
                tracing::info!("{} read again: {} tokens", self.path.display(), known.len());
                *state = State { known, seen: Some(seen) };
            }
            Err(error) => tracing::error!(%error, "tokens not taken; the last good ones stay in force"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Replaced as a whole or not at all.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(path: &Path) -> Result<(Vec<Known>, Stamp), TokenFault> {
    let (text, seen) = private::read(path)?;
    let known = parse(&text).map_err(|line| TokenFault::Line { path: path.to_owned(), line })?;
    Ok((known, seen))
}

/// The tokens, or the number of the first line that is none.
fn parse(text: &str) -> Result<Vec<Known>, usize> {
    let mut known = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut words = text.split_ascii_whitespace();
        let (Some(role), Some(token), None) = (words.next(), words.next(), words.next()) else {
            return Err(line);
        };
        let role = match role {
            "read" => Role::Read,
            "write" => Role::Write,
            _ => return Err(line),
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        if !token.bytes().all(allowed) {
            return Err(line);
        }
        let digest = sha256(token);
        let fingerprint: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        if token.len() < SENSIBLE_LENGTH {
            tracing::warn!(
                "the admin token {fingerprint} is short: make a new one of {TOKEN_BYTES} random bytes"
            );
        }
        known.push(Known { digest, caller: Caller { role, fingerprint: fingerprint.into() } });
    }
    Ok(known)
}

fn sha256(token: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

fn make(path: &Path) -> Result<(), PrivateFileFault> {
    let random = private::random::<TOKEN_BYTES>().map_err(|source| PrivateFileFault::io(path, source))?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "# Bearer tokens of the admin listener: `read TOKEN` or `write TOKEN` a line; re-read when changed.\n\
         write {token}\n"
    );
    private::make(path, &text)
}

#[cfg(test)]
mod tests;
