//! What a caller was let in by, and the end of it while an answer goes on.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use super::Caller;
use super::sessions::Digest;
use crate::admin::Admin;

/// Time between two looks at whether a credential is still good.
const LOOK: Duration = Duration::from_secs(1);

/// What a caller was let in by.
#[derive(Clone, Copy, Debug)]
pub(in crate::admin) struct Credential {
    token: Digest,
    /// The session that stands for the token, if that is how.
    session: Option<Digest>,
}

impl Credential {
    /// A token.
    pub(super) fn of_token(token: Digest) -> Self {
        Self { token, session: None }
    }

    /// A session; `None`: there is none of this id, it is over, or its token is.
    pub(super) fn of_session(admin: &Admin, session: Digest) -> Option<(Self, Caller)> {
        let token = admin.page_sessions.token_of(&session, Instant::now())?;
        let caller = admin.tokens.of_digest(&token);
        if caller.is_none() {
            // It does not come back should the token do.
            admin.page_sessions.end(&session);
        }
        Some((Self { token, session: Some(session) }, caller?))
    }

    /// Whether its caller would be let in again.
    fn is_good(self, admin: &Admin) -> bool {
        match self.session {
            Some(session) => Self::of_session(admin, session).is_some(),
            None => admin.tokens.of_digest(&self.token).is_some(),
        }
    }
}

/// Look-out for the end of a credential, for an answer that would outlive it.
pub(in crate::admin) struct CredentialEnd {
    admin: Arc<Admin>,
    credential: Credential,
    looks: Interval,
}

impl CredentialEnd {
    pub(in crate::admin) fn of(admin: Arc<Admin>, credential: Credential) -> Self {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { admin, credential, looks }
    }

    /// Resolves once the credential is good no more.
    pub(in crate::admin) async fn reached(&mut self) {
        loop {
            self.looks.tick().await;
            if !self.credential.is_good(&self.admin) {
                return;
            }
        }
    }
}
