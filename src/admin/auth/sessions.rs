//! Sessions of people at the operator's page: a token is exchanged for a random id in a cookie, which stands for the
//! token for a while. A session has what its token has, and ends with it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ring::digest::SHA256_OUTPUT_LEN;

use super::token_file::sha256;
use crate::files::private;

/// How long a session lasts.
pub(in crate::admin) const LIFETIME: Duration = Duration::from_hours(12);

/// Random bytes of an id.
const ID_BYTES: usize = 32;

/// Most sessions at a time. The one that would end first makes room.
const MOST: usize = 1000;

/// Digest of a token, or of the id of a session.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// Sessions that are open, by the digests of their ids: an id that somebody presents is never compared itself.
#[derive(Debug, Default)]
pub struct PageSessions(Mutex<HashMap<Digest, PageSession>>);

#[derive(Clone, Copy, Debug)]
struct PageSession {
    /// The digest of its token.
    token: Digest,
    ends: Instant,
}

impl PageSessions {
    /// Begins a session for a token, and returns its id.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(super) fn begin(&self, token: Digest) -> std::io::Result<String> {
        let random = private::random::<ID_BYTES>()?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let now = Instant::now();
        let mut open = self.0.lock();
        open.retain(|_, session| session.ends > now);
        if open.len() >= MOST
            && let Some(first) = open.iter().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id)
        {
            open.remove(&first);
        }
        open.insert(sha256(&id), PageSession { token, ends: now + LIFETIME });
        Ok(id)
    }

    /// The digest of the token that the session with this id stands for.
    pub(super) fn token_of(&self, id: &str) -> Option<Digest> {
        let session = self.0.lock().get(&sha256(id)).copied()?;
        (session.ends > Instant::now()).then_some(session.token)
    }

    /// Ends the session with this id.
    pub(super) fn end(&self, id: &str) {
        self.0.lock().remove(&sha256(id));
    }
}
