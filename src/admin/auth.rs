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
use http::{HeaderMap, StatusCode};
use tokio::time::sleep;

use super::Admin;
use super::connections::CallerConnection;
use super::problem::Problem;
use crate::rules::change::Actor;

mod token_file;

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

/// Paths that a person, a probe, a scraper or a generator of clients asks for without a token.
const OPEN: [&str; 5] = ["/", "/livez", "/readyz", "/metrics", "/v1/openapi.json"];

/// Time until a call without a known token has its answer, so that guessing is slow.
const REFUSAL_DELAY: Duration = Duration::from_millis(100);

/// Middleware that refuses requests without a known token, and passes the caller on to the call. It runs
/// before any body is read and before it is known whether the call exists.
pub(super) async fn authenticate(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let connection = request.extensions().get::<Arc<CallerConnection>>().cloned();
    match identify(&admin, request.headers()) {
        Ok(caller) => {
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

fn identify(admin: &Admin, headers: &HeaderMap) -> Result<Caller, Problem> {
    let Some(token) = presented(headers) else {
        admin.metrics.admin_unauthorized.missing();
        return Err(missing());
    };
    admin.tokens.find(token).ok_or_else(|| {
        admin.metrics.admin_unauthorized.unknown();
        unauthorized("Bearer error=\"invalid_token\"", "the token is not in admin.token_file")
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
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            None => Err(missing()),
        }
    }
}
