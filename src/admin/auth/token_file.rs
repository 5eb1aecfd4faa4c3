//! Token file: one `read TOKEN` or `write TOKEN` per line, `#` for comments. A name may follow, by which the token's
//! changes are recorded. Several tokens can be valid at once, also of the same name. So a token can be replaced without a
//! gap: add the new one, move the callers, remove the old one.

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
/// Maximum length of a name, in characters.
const LONGEST_NAME: usize = 64;
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
    #[error("{}:{line}: not `read TOKEN` or `write TOKEN`, each optionally with a name behind it: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: TokenLineFault,
    },
    /// A token that an earlier line has with another role or name.
    #[error("{}:{line}: line {earlier} has the same token with another role or name: keep one of the two lines", path.display())]
    Contradiction {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The earlier line.
        earlier: usize,
    },
}

/// Error in a line of a token file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenLineFault {
    /// It begins with another word.
    #[error("the first word must be `read` or `write`")]
    Role,
    /// There is no second word.
    #[error("there is no token")]
    NoToken,
    /// The second word is no token.
    #[error("a token has only A-Z a-z 0-9 - . _ ~ + / =")]
    Token,
    /// The third word is no name.
    #[error(
        "a name has 1 to 64 letters, digits and signs, and does not begin with `#`; a comment needs a line of its own"
    )]
    Name,
    /// There are more words.
    #[error("there is more than a token and a name, and a name is one word")]
    TooManyWords,
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

    /// The caller with the token that has this digest.
    pub(super) fn of_digest(&self, digest: &[u8; SHA256_OUTPUT_LEN]) -> Option<Caller> {
        let mut state = self.lock();
        self.refresh(&mut state);
        state.known.iter().find(|known| known.digest == *digest).map(|known| known.caller.clone())
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
    Ok((parse(path, &text)?, seen))
}

/// The tokens of a file with this text.
fn parse(path: &Path, text: &str) -> Result<Vec<KnownTokens>, TokenFault> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut all: Vec<(usize, KnownTokens)> = Vec::new();
    for (line, words) in lines {
        let new = known(words).map_err(|fault| TokenFault::Line { path: path.to_owned(), line, fault })?;
        let same = all.iter().find(|(_, earlier)| earlier.digest == new.digest);
        if let Some(&(earlier, _)) = same.filter(|(_, earlier)| earlier.caller != new.caller) {
            return Err(TokenFault::Contradiction { path: path.to_owned(), line, earlier });
        }
        all.push((line, new));
    }
    Ok(all.into_iter().map(|(_, known)| known).collect())
}

/// The token in a line.
fn known(line: &str) -> Result<KnownTokens, TokenLineFault> {
    let mut words = line.split_ascii_whitespace();
    let role = match words.next() {
        Some("read") => Role::Read,
        Some("write") => Role::Write,
        _ => return Err(TokenLineFault::Role),
    };
    let token = words.next().ok_or(TokenLineFault::NoToken)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if !token.bytes().all(allowed) {
        return Err(TokenLineFault::Token);
    }
    let name = words.next();
    if name.is_some_and(|name| !is_name(name)) {
        return Err(TokenLineFault::Name);
    }
    if words.next().is_some() {
        return Err(TokenLineFault::TooManyWords);
    }
    let digest = sha256(token);
    let fingerprint: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    if token.len() < SENSIBLE_LENGTH {
        tracing::warn!("the admin token {fingerprint} is short: replace it with {TOKEN_BYTES} random bytes");
    }
    let caller = Caller { role, fingerprint: fingerprint.into(), name: name.map(Into::into) };
    Ok(KnownTokens { digest, caller })
}

/// Whether a word is a name: what can be read, and neither moves nor hides what stands beside it.
fn is_name(word: &str) -> bool {
    let readable = |letter: char| letter.is_alphanumeric() || letter.is_ascii_graphic();
    !word.starts_with('#') && word.chars().all(readable) && word.chars().nth(LONGEST_NAME).is_none()
}

pub(super) fn sha256(token: &str) -> [u8; SHA256_OUTPUT_LEN] {
    let mut out = [0; SHA256_OUTPUT_LEN];
    out.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

fn make(path: &Path) -> Result<(), PrivateFileFault> {
    let random = private::random::<TOKEN_BYTES>().map_err(|source| PrivateFileFault::io(path, source))?;
    let token: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let text = format!(
        "# Bearer tokens of the admin listener: one `read TOKEN` or `write TOKEN` per line; reloaded when changed.\n\
         # A name behind a token says in the audit log whose changes are whose: `write TOKEN NAME`.\n\
         write {token}\n"
    );
    private::make(path, &text)
}

#[cfg(test)]
mod tests;
