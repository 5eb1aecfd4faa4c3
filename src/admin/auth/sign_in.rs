//! Signing in to the operator's page and signing out: a session for a token, and its end.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HeaderValue;
use tokio::time::Instant;

use super::cookie::{self, PresentedSession};
use super::{refused, token_file, whence};
use crate::admin::Admin;
use crate::admin::connections::CallerConnection;
use crate::admin::problem::Problem;

/// What became of a sign-in.
pub(in crate::admin) enum SignIn {
    /// The session has begun; the cookie stands for it.
    Done(HeaderValue),
    /// There is no such token.
    Unknown,
    /// The form is not known to be the admin listener's own: another page could sign somebody in as somebody else.
    OtherOrigin,
    /// The browser sends several cookies of this name, so the session that begins would be of no use.
    SeveralCookies(&'static str),
    Failed(Problem),
}

/// Begins a session for a token.
pub(in crate::admin) async fn sign_in(
    admin: &Admin,
    headers: &HeaderMap,
    connection: Option<&Arc<CallerConnection>>,
    token: &str,
) -> SignIn {
    if !whence::is_own(admin.scheme(), headers) {
        return SignIn::OtherOrigin;
    }
    let before = match PresentedSession::find(admin.is_secure, headers) {
        PresentedSession::Several => return SignIn::SeveralCookies(cookie::name(admin.is_secure)),
        PresentedSession::One(id) => Some(id),
        PresentedSession::Nothing => None,
    };
    if admin.tokens.find(token).is_none() {
        match token.is_empty() {
            true => admin.metrics.admin_unauthorized.missing(),
            false => admin.metrics.admin_unauthorized.unknown(),
        }
        refused(admin, connection).await;
        return SignIn::Unknown;
    }
    let begun = admin.page_sessions.begin(token_file::sha256(token), Instant::now());
    let id = match begun {
        Ok(id) => id,
        Err(error) => return SignIn::Failed(Problem::internal(error.to_string())),
    };
    // Nobody has its cookie any more.
    if let Some(before) = before {
        admin.page_sessions.end(&before);
    }
    match cookie::kept(admin.is_secure, &id) {
        Ok(cookie) => SignIn::Done(cookie),
        Err(error) => SignIn::Failed(Problem::internal(error.to_string())),
    }
}

/// Ends the sessions that a request presents. Returns what makes the browser forget its cookie.
///
/// # Errors
///
/// Another page wants that.
pub(in crate::admin) fn sign_out(admin: &Admin, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
    if !whence::is_own(admin.scheme(), headers) {
        return Err(Problem::forbidden("pages of other origins may not sign anybody out"));
    }
    for id in cookie::ids(admin.is_secure, headers) {
        admin.page_sessions.end(&id);
    }
    cookie::forgotten(admin.is_secure).map_err(|error| Problem::internal(error.to_string()))
}
