//! Authentication of callers: bearer tokens (RFC 6750) from a file, each with a role, and sessions of people at the
//! operator's page, which stand for tokens.
//!
//! Only digests of tokens are kept. So every comparison takes the same time, and no token can be printed by
//! accident.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use tokio::time::sleep;

use self::cookie::PresentedSession;
use self::sessions::Digest;
use super::connections::CallerConnection;
use super::problem::Problem;
use super::{Admin, page};
use crate::rules::change::Actor;

mod cookie;
mod credential;
mod sessions;
mod sign_in;
mod token_file;
mod whence;

pub(super) use credential::{Credential, CredentialEnd};
pub use sessions::{PageSessions, PassedPageSessions};
pub(super) use sign_in::{SignIn, sign_in, sign_out};
pub use token_file::{TokenFault, TokenLineFault, Tokens};

/// Role of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// May read everything.
    Read,
    /// May also change the rules.
    Write,
}

impl Role {
    /// The word in the token file and in the audit log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Caller with a known token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's role.
    pub role: Role,
    /// The first 8 hexadecimal digits of the token's SHA-256: enough to tell tokens apart, useless for a
    /// call.
    pub fingerprint: Arc<str>,
    /// The name in the token file, if it has one.
    pub name: Option<Arc<str>>,
}

impl Caller {
    /// The caller as the audit log, the history and events call it: by name, else by role and fingerprint.
    pub(super) fn actor(&self) -> Actor {
        Actor::Token(match &self.name {
            Some(name) => (**name).into(),
            None => format!("{}:{}", self.role.as_str(), self.fingerprint).into(),
        })
    }
}

/// Paths that a probe, a scraper or a generator of clients asks for without a token.
const OPEN: [&str; 4] = ["/livez", "/readyz", "/metrics", "/v1/openapi.json"];

/// Time until a call without a known token has its answer, so that guessing is slow.
const REFUSAL_DELAY: Duration = Duration::from_millis(100);

/// Middleware that refuses requests without a known token or session, and passes the caller on to the call. It runs
/// before any body is read and before it is known whether the call exists.
pub(super) async fn authenticate(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if OPEN.contains(&path) || page::is_open(path) {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<Arc<CallerConnection>>().cloned();
    match identify(&admin, &request) {
        Ok((credential, caller)) => {
            let reading = match caller.role {
                Role::Read => Some(admin.bounds.reading()),
                Role::Write => None,
            };
            let reading = match reading.transpose() {
                Ok(reading) => reading,
                Err(problem) => return problem.into_response(),
            };
            if let Some(connection) = connection {
                connection.at_work(reading);
            }
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(credential);
            next.run(request).await
        }
        Err(NotLetIn::Forbidden(problem)) => problem.into_response(),
        Err(NotLetIn::Unknown(problem)) => {
            if let Some(answer) = page::sign_in_first(&request) {
                return answer;
            }
            // The body is not read.
            drop(request);
            refused(&admin, connection.as_ref()).await;
            problem.into_response()
        }
    }
}

/// Why a caller was not let in.
enum NotLetIn {
    /// It is not known who it is.
    Unknown(Problem),
    /// Whoever it is, it comes from elsewhere.
    Forbidden(Problem),
}

/// Counts a call without a known token, and waits.
async fn refused(admin: &Admin, connection: Option<&Arc<CallerConnection>>) {
    if let Some(connection) = connection {
        admin.bounds.unauthorized.count(connection.peer());
        connection.refused();
    }
    sleep(REFUSAL_DELAY).await;
}

/// Who calls, and by what it is known. A token goes before a session.
fn identify(admin: &Admin, request: &Request) -> Result<(Credential, Caller), NotLetIn> {
    let headers = request.headers();
    if !headers.contains_key(header::AUTHORIZATION) {
        match PresentedSession::find(admin.is_secure, headers) {
            PresentedSession::Nothing => {}
            PresentedSession::One(session) => return of_session(admin, session, request),
            PresentedSession::Several => {
                admin.metrics.admin_unauthorized.unknown();
                let detail =
                    "there are several session cookies, so none counts: remove the cookies of this host";
                return Err(NotLetIn::Unknown(unauthorized("Bearer", detail)));
            }
        }
    }
    let Some(token) = presented(headers) else {
        admin.metrics.admin_unauthorized.missing();
        return Err(NotLetIn::Unknown(missing()));
    };
    let caller = admin.tokens.find(token).ok_or_else(|| {
        admin.metrics.admin_unauthorized.unknown();
        let challenge = "Bearer error=\"invalid_token\"";
        NotLetIn::Unknown(unauthorized(challenge, "the token is not in admin.token_file"))
    })?;
    Ok((Credential::of_token(token_file::sha256(token)), caller))
}

/// The caller whose session this is, if the request comes from where it may.
fn of_session(admin: &Admin, session: Digest, request: &Request) -> Result<(Credential, Caller), NotLetIn> {
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    if let Some(fault) = whence::fault(admin.scheme(), method, uri, headers) {
        return Err(NotLetIn::Forbidden(Problem::forbidden(fault)));
    }
    Credential::of_session(admin, session).ok_or_else(|| {
        admin.metrics.admin_unauthorized.unknown();
        NotLetIn::Unknown(unauthorized("Bearer", "the session is over: sign in again"))
    })
}

/// The token that a request presents.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn missing() -> Problem {
    unauthorized("Bearer", "this call needs `Authorization: Bearer TOKEN`")
}

fn unauthorized(challenge: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with_field(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// Caller that may change rules. A call with this as its first argument refuses everybody else before it
/// reads the body.
pub(super) struct Writer(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(caller) if caller.role == Role::Write => Ok(Self(caller.clone())),
            Some(_) => {
                let detail =
                    "this call changes rules, but the token may only read; use one with the role `write`";
                Err(Problem::forbidden(detail))
            }
            None => Err(missing()),
        }
    }
}
