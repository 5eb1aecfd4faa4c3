//! Who calls: bearer tokens (RFC 6750) from a file, each with a role.
//!
//! Only digests of the tokens are kept, so that a comparison takes the same time whatever it compares, and so
//! that nothing here can print one.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, StatusCode};

use super::Admin;
use super::problem::Problem;

mod token_file;

pub use token_file::{TokenFault, Tokens};

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Look at everything.
    Read,
    /// Change the rules, too.
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

/// A caller whose token is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What it may do.
    pub role: Role,
    /// The first 8 hexadecimal digits of the token's SHA-256: enough to tell tokens apart, useless as one.
    pub fingerprint: Arc<str>,
}

/// Paths that a probe or a scraper asks for without a token.
const OPEN: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// Lets a request through whose token is known, and tells the calls whose it is. Nothing of a body has been read
/// yet, and nothing says whether the call exists.
pub(super) async fn authenticate(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    if OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    match identify(&admin.tokens, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn identify(tokens: &Tokens, headers: &HeaderMap) -> Result<Caller, Problem> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(unauthorized("Bearer", "this call needs `Authorization: Bearer TOKEN`"));
    };
    let presented = line.to_str().ok().and_then(|line| line.split_once(' '));
    let presented = presented.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = presented else {
        return Err(unauthorized("Bearer", "this call needs `Authorization: Bearer TOKEN`"));
    };
    let detail = "the token is not in admin.token_file";
    tokens.find(token.trim()).ok_or_else(|| unauthorized("Bearer error=\"invalid_token\"", detail))
}

fn unauthorized(challenge: &'static str, detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
        .with_field(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

/// A caller that may change rules. A call that takes one as its first argument refuses everybody else before it
/// reads the body.
pub(super) struct Writer(pub(super) Caller);

impl<S: Sync> FromRequestParts<S> for Writer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(caller) if caller.role == Role::Write => Ok(Self(caller.clone())),
            Some(_) => {
                let detail =
                    "this call changes rules, and the token may only read; use one with the role `write`";
                Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail))
            }
            None => Err(unauthorized("Bearer", "this call needs a token")),
        }
    }
}
