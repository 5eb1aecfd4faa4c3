//! The operator's page: what people look at instead of calling the admin API. Views are rendered here, of what the calls
//! answer, too; a few ES modules follow what changes, and make changes by the calls.
//!
//! | path | view |
//! |---|---|
//! | `GET /` | the state of the edge |
//! | `GET /checklist` | a widget's checklist |
//! | `GET /sign-in`, `POST /sign-in`, `POST /sign-out` | a session, for a token |
//! | `GET /assets/…` | style, scripts, icon |
//!
//! Whoever has no session is led to the sign-in.

mod access;
mod assets;
mod checklist;
mod overview;
mod shell;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use super::Admin;

/// What a browser may do with the page: nothing inline, nothing from another host, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The fields of every answer of the page. The sign-in has to say where it comes from, so there is a referrer for it.
const FIELDS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

/// The views and what they load.
pub(super) fn views() -> Router<Arc<Admin>> {
    Router::new()
        .route("/", get(overview::view))
        .route("/checklist", get(checklist::view))
        .route("/sign-in", get(access::form).post(access::sign_in))
        .route("/sign-out", post(access::sign_out))
        .route("/assets/{file}", get(assets::file))
        .layer(from_fn(fields))
}

/// Whether somebody without a session may have this.
pub(super) fn is_open(path: &str) -> bool {
    path == "/sign-in" || path.starts_with("/assets/")
}

/// The answer to somebody without a session who wants to see a view with a browser.
pub(super) fn sign_in_first(request: &Request) -> Option<Response> {
    let is_view = request.method() == Method::GET && !request.uri().path().starts_with("/v1/");
    let asks_for_pages = |headers: &HeaderMap| {
        let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
        accepted.is_some_and(|accepted| accepted.contains("text/html"))
    };
    let wants = is_view && (request.uri().path() == "/" || asks_for_pages(request.headers()));
    wants.then(|| access::to(&access::path(request.uri())))
}

/// Middleware that adds the fields of the page.
async fn fields(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let fields = answer.headers_mut();
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    // What a view shows is of this instant, and for whoever has signed in.
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}
