//! Token file: one `read TOKEN` or `write TOKEN` per line, `#` for comments. Several tokens can be valid at
//! once. So a token can be replaced without a gap: add the new one, move the callers, remove the old one.

use std::fmt;
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

use super::{Caller, Role};
use crate::files::making::could_make;
use crate::files::private::{self, IfMissing, PrivateFileFault, PrivateStamp};

/// Minimum length of a token that can't be guessed; a shorter one is accepted with a warning.
const SENSIBLE_LENGTH: usize = 20;
/// Random bytes of a token that is made here.
const TOKEN_BYTES: usize = 32;

/// Error of a token file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFault {
    /// The file can't be read or made, or other users can read it.
    #[error(transparent)]
    File(#[from] PrivateFileFault),
    /// A line is neither a token nor a comment. The error does not repeat the line, because it may contain a
    /// token.
    #[error("{}:{line}: not `read TOKEN` or `write TOKEN`, with a token of A-Z a-z 0-9 - . _ ~ + / =", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
}

/// Tokens in force. Each call checks the file and reloads it when it has changed, so a removed token is
/// refused from the next call on. A file with errors changes nothing and is logged.
pub struct Tokens {
    path: PathBuf,
    state: Mutex<TokenFileState>,
}

struct TokenFileState {
    known: Vec<KnownTokens>,
    seen: Option<PrivateStamp>,
}

struct KnownTokens {
    digest: [u8; SHA256_OUTPUT_LEN],
    caller: Caller,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tokens {
    /// Reads the file. If it is missing, makes one with one write token that only its owner can read.
    ///
    /// # Errors
    ///
    /// The file can't be read or made, other users can read it, or a line is not a token.
    pub fn open(path: PathBuf) -> Result<Self, TokenFault> {
        Self::open_or(path, IfMissing::Made)
    }

    /// The same. A missing file that is left out has no token.
    ///
    /// # Errors
    ///
    /// The file can't be read, or could not be made, other users can read it, or a line is not a token.
    pub fn open_or(path: PathBuf, if_missing: IfMissing) -> Result<Self, TokenFault> {
        match (path.exists(), if_missing) {
            (true, _) => {}
            (false, IfMissing::Made) => {
                make(&path)?;
                tracing::info!("created {} with one write token", path.display());
            }
            (false, IfMissing::LeftOut) => {
                could_make(&path).map_err(|source| PrivateFileFault::io(&path, source))?;
                return Ok(Self {
                    path,
                    state: Mutex::new(TokenFileState { known: Vec::new(), seen: None }),
                });
            }
        }
        let (known, seen) = read(&path)?;
        if known.is_empty() {
            tracing::warn!("{} has no token, so nobody can call the admin API", path.display());
        }
        Ok(Self { path, state: Mutex::new(TokenFileState { known, seen: Some(seen) }) })
    }

    /// The caller with this token.
    pub(super) fn find(&self, token: &str) -> Option<Caller> {
        let presented = sha256(token);
        let mut state = self.lock();
        self.refresh(&mut state);
        // All tokens are compared, so that the time does not show which one matched.
        let mut found = None;
        for known in &state.known {
            if bool::from(known.digest.ct_eq(&presented)) {
                found = Some(known.caller.clone());
            }
        }
        found
    }

    fn refresh(&self, state: &mut TokenFileState) {
        let now = PrivateStamp::of(&self.path);
        if now == state.seen {
            return;
        }
        // Also after a failure: a broken file is read again only after another change.
        state.seen = now;
        match read(&self.path) {
            Ok((known, seen)) => {
                tracing::info!("{} reloaded: {} tokens", self.path.display(), known.len());
                *state = TokenFileState { known, seen: Some(seen) };
            }
            Err(error) => tracing::error!(%error, "new tokens refused; the last good ones stay in force"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TokenFileState> {
        // Replaced as a whole or not at all.
        self.state.lock()
    }
}

fn read(path: &Path) -> Result<(Vec<KnownTokens>, PrivateStamp), TokenFault> {
    let (text, seen) = private::read(path)?;
    let known = parse(&text).map_err(|line| TokenFault::Line { path: path.to_owned(), line })?;
    Ok((known, seen))
}

/// The tokens, or the number of the first line that is not one.
fn parse(text: &str) -> Result<Vec<KnownTokens>, usize> {
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
                "the admin token {fingerprint} is short: replace it with {TOKEN_BYTES} random bytes"
            );
        }
        known.push(KnownTokens { digest, caller: Caller { role, fingerprint: fingerprint.into() } });
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
        "# Bearer tokens of the admin listener: one `read TOKEN` or `write TOKEN` per line; reloaded when changed.\n\
         write {token}\n"
    );
    private::make(path, &text)
}

#[cfg(test)]
mod tests;
