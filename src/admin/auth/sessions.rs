//! Sessions of people at the operator's page: a token is exchanged for a random id in a cookie, which stands for the
//! token for a while. A session has what its token has, and ends with it.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use ring::digest::SHA256_OUTPUT_LEN;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::token_file::sha256;
use crate::files::private;

/// How long a session lasts.
pub(super) const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// Random bytes of an id.
const ID_BYTES: usize = 32;

/// Most sessions of one token at a time. The one that would end first makes room, so nobody ends those of other tokens.
const MOST: usize = 100;

/// Digest of a token, or of the id of a session.
pub(super) type Digest = [u8; SHA256_OUTPUT_LEN];

/// Sessions that are open, by the digests of their ids: an id that somebody presents is never compared itself.
#[derive(Debug, Default)]
pub struct PageSessions(Mutex<HashMap<Digest, PageSession>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageSession {
    /// The digest of its token.
    token: Digest,
    ends: Instant,
}

/// Open sessions on their way to the process that takes over.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PassedPageSessions(Vec<PassedPageSession>);

/// One of them. Processes share no clock for instants, so it says what is left of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct PassedPageSession {
    id: Digest,
    token: Digest,
    left: Duration,
}

impl PageSessions {
    /// The sessions that another process had.
    pub fn taken_over(passed: PassedPageSessions) -> Self {
        let now = Instant::now();
        let open = passed.0.into_iter().map(|PassedPageSession { id, token, left }| {
            // Whatever it says, a session lasts no longer than this.
            (id, PageSession { token, ends: now + left.min(LIFETIME) })
        });
        Self(Mutex::new(open.collect()))
    }

    /// The open sessions, for the process that takes over.
    pub fn hand_over(&self) -> PassedPageSessions {
        let now = Instant::now();
        let open = self.0.lock();
        let left = open.iter().map(|(id, PageSession { token, ends })| PassedPageSession {
            id: *id,
            token: *token,
            left: ends.saturating_duration_since(now),
        });
        PassedPageSessions(left.filter(|session| !session.left.is_zero()).collect())
    }

    /// Begins a session for a token, and returns its id.
    ///
    /// # Errors
    ///
    /// The system has no random numbers.
    pub(super) fn begin(&self, token: Digest, now: Instant) -> std::io::Result<String> {
        let random = private::random::<ID_BYTES>()?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = self.0.lock();
        open.retain(|_, session| session.ends > now);
        let of_token = || open.iter().filter(|(_, session)| session.token == token);
        if of_token().count() >= MOST
            && let Some(first) = of_token().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id)
        {
            open.remove(&first);
        }
        open.insert(sha256(&id), PageSession { token, ends: now + LIFETIME });
        Ok(id)
    }

    /// The digest of the token that the session with this digest of its id stands for.
    pub(super) fn token_of(&self, id: &Digest, now: Instant) -> Option<Digest> {
        let session = self.0.lock().get(id).copied()?;
        (session.ends > now).then_some(session.token)
    }

    /// Ends the session with this digest of its id.
    pub(super) fn end(&self, id: &Digest) {
        self.0.lock().remove(id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn token_of(sessions: &PageSessions, id: &str, now: Instant) -> Option<Digest> {
        sessions.token_of(&sha256(id), now)
    }

    #[test]
    fn it_stands_for_its_token_for_12_hours_or_until_it_is_ended() {
        let (sessions, now) = (PageSessions::default(), Instant::now());
        let [one, two] = ["one", "two"].map(sha256);
        let first = sessions.begin(one, now).unwrap();
        let second = sessions.begin(two, now + SECOND).unwrap();
        assert!(first.len() == 64 && first != second);
        for (at, known) in [(Duration::ZERO, true), (LIFETIME - SECOND, true), (LIFETIME, false)] {
            let found = token_of(&sessions, &first, now + at);
            assert_eq!(found, known.then_some(one), "{at:?}");
        }
        assert_eq!(token_of(&sessions, &second, now + LIFETIME), Some(two));
        sessions.end(&sha256(&second));
        assert_eq!(token_of(&sessions, &second, now + SECOND), None);
        for guess in ["", "0", &first[1..], &first.to_uppercase()] {
            assert_eq!(token_of(&sessions, guess, now), None, "{guess}");
        }
    }

    #[test]
    fn nobody_can_read_an_id_here() {
        let (sessions, now) = (PageSessions::default(), Instant::now());
        let id = sessions.begin(sha256("token"), now).unwrap();
        let passed = serde_json::to_string(&sessions.hand_over()).unwrap();
        assert!(!format!("{sessions:?}").contains(&id) && !passed.contains(&id));
    }

    #[test]
    fn the_oldest_of_a_token_makes_room_and_no_other() {
        let (sessions, now) = (PageSessions::default(), Instant::now());
        let other = sessions.begin(sha256("other"), now).unwrap();
        let begun = (0..=MOST).map(|at| {
            let at = now + SECOND * u32::try_from(at).unwrap();
            sessions.begin(sha256("many"), at).unwrap()
        });
        let begun: Vec<String> = begun.collect();
        let open = |id: &String| token_of(&sessions, id, now + SECOND).is_some();
        assert_eq!(begun.iter().map(open).filter(|open| !open).count(), 1);
        assert!(!open(&begun[0]) && open(&other));
        // Those that are over are not kept.
        sessions.begin(sha256("other"), now + LIFETIME * 2).unwrap();
        assert_eq!(sessions.0.lock().len(), 1);
    }

    #[test]
    fn an_upgrade_ends_none_and_prolongs_none() {
        let now = Instant::now();
        let sessions = PageSessions::default();
        let id = sessions.begin(sha256("token"), now).unwrap();
        let passed = serde_json::to_vec(&sessions.hand_over()).unwrap();
        let after = PageSessions::taken_over(serde_json::from_slice(&passed).unwrap());
        assert_eq!(token_of(&after, &id, now + LIFETIME - SECOND), Some(sha256("token")));
        assert_eq!(token_of(&after, &id, now + LIFETIME + SECOND * 30), None);
        let forged = PassedPageSession { id: sha256("x"), token: sha256("token"), left: LIFETIME * 9 };
        let bounded = PageSessions::taken_over(PassedPageSessions(vec![forged]));
        assert_eq!(token_of(&bounded, "x", now + LIFETIME * 2), None);
    }
}
