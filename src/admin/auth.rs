//! Authentication of callers: bearer tokens (RFC 6750) from a file, each with a role.
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
use http::{HeaderMap, Method, StatusCode};
use tokio::time::sleep;

use super::connections::CallerConnection;
use super::problem::Problem;
use super::{Admin, page};
use crate::rules::change::Actor;

mod sessions;
mod token_file;

pub use sessions::PageSessions;
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
    /// The edge that is called shares its rules with others: there is a fleet to look at.
    pub(super) is_in_fleet: bool,
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

/// Middleware that refuses requests without a known token, and passes the caller on to the call. It runs
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
    match identify(&admin, request.method(), request.headers()) {
        Ok(mut caller) => {
            caller.is_in_fleet = admin.fleet.is_some();
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
            next.run(request).await
        }
        Err(problem) => {
            if let Some(answer) = page::sign_in_first(&request) {
                return answer;
            }
            // The body is not read.
            drop(request);
            if let Some(connection) = connection {
                admin.bounds.unauthorized.count(connection.peer());
                connection.refused();
            }
            sleep(REFUSAL_DELAY).await;
            problem.into_response()
        }
    }
}

fn identify(admin: &Admin, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
    if !headers.contains_key(header::AUTHORIZATION)
        && let Some(session) = presented_session(admin, headers)
    {
        return of_session(admin, session, method, headers);
    }
    let Some(token) = presented(headers) else {
        admin.metrics.admin_unauthorized.missing();
        return Err(missing());
    };
    admin.tokens.find(token).ok_or_else(|| {
        admin.metrics.admin_unauthorized.unknown();
        unauthorized("Bearer error=\"invalid_token\"", "the token is not in admin.token_file")
    })
}

/// The caller whose session this is. A browser adds the cookie to whatever leads here, so a change needs an `Origin` that
/// is the admin listener's own.
fn of_session(admin: &Admin, session: &str, method: &Method, headers: &HeaderMap) -> Result<Caller, Problem> {
    let caller = admin.page_sessions.token_of(session).and_then(|token| admin.tokens.of_digest(&token));
    let caller = caller.ok_or_else(|| {
        admin.metrics.admin_unauthorized.unknown();
        unauthorized("Bearer", "the session is over: sign in again")
    })?;
    let host = headers.get(header::HOST).map_or(&b""[..], HeaderValue::as_bytes);
    let own = [admin.scheme().as_bytes(), b"://", host].concat();
    let is_own = headers.get(header::ORIGIN).is_some_and(|origin| origin.as_bytes() == own);
    if !method.is_safe() && !is_own {
        let detail = "a change by a session needs the `Origin` of the admin listener itself";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(caller)
}

/// The id of a session that a request presents in its cookie.
fn presented_session<'h>(admin: &Admin, headers: &'h HeaderMap) -> Option<&'h str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == admin.cookie()).map(|(_, id)| id)
}

/// What became of a sign-in.
pub(super) enum SignIn {
    /// The session has begun; the cookie stands for it.
    Done(HeaderValue),
    /// There is no such token.
    Unknown,
    Failed(Problem),
}

/// Begins a session for a token.
pub(super) async fn sign_in(admin: &Admin, token: &str) -> SignIn {
    if admin.tokens.find(token).is_none() {
        admin.metrics.admin_unauthorized.unknown();
        sleep(REFUSAL_DELAY).await;
        return SignIn::Unknown;
    }
    let id = admin.page_sessions.begin(token_file::sha256(token));
    let cookie = id.map(|id| HeaderValue::from_str(&cookie(admin, &id, sessions::LIFETIME.as_secs())));
    match cookie {
        Ok(Ok(cookie)) => SignIn::Done(cookie),
        Ok(Err(error)) => SignIn::Failed(Problem::internal(error.to_string())),
        Err(error) => SignIn::Failed(Problem::internal(error.to_string())),
    }
}

/// Ends the session that a request presents. Returns what removes its cookie.
pub(super) fn sign_out(admin: &Admin, headers: &HeaderMap) -> HeaderValue {
    if let Some(id) = presented_session(admin, headers) {
        admin.page_sessions.end(id);
    }
    HeaderValue::from_str(&cookie(admin, "", 0)).unwrap_or(HeaderValue::from_static(""))
}

fn cookie(admin: &Admin, id: &str, seconds: u64) -> String {
    let secure = if admin.is_secure { "; Secure" } else { "" };
    format!("{}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}", admin.cookie())
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
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            None => Err(missing()),
        }
    }
}
