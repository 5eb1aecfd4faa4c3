//! The operator's page: what people look at instead of calling the admin API. Views are rendered here, of what the calls
//! answer, too; a few ES modules follow what changes, and make changes by the calls.
//!
//! | path | view |
//! |---|---|
//! | `GET /` | the state of the edge |
//! | `GET /widgets` | widgets, searched |
//! | `GET /widgets/{id}` | one widget |
//! | `GET /live` | what happens, as it happens |
//! | `GET /explain` | whether a page may embed a widget, and why |
//! | `GET /checklist` | a widget's checklist |
//! | `GET /fleet` | the edges that share its rules |
//! | `GET /sign-in`, `POST /sign-in`, `POST /sign-out` | a session for a token, and its end |
//! | `GET /assets/…` | style, scripts, icon |
//!
//! Whoever has no session is led to the sign-in.

mod access;
mod assets;
mod checklist;
mod explain;
mod faults;
mod fleet;
mod live;
mod overview;
mod parts;
mod shell;
mod widget;
mod widgets;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{get, post};
use http::Method;
use http::header::{self, HeaderName, HeaderValue};
use maud::{Markup, html};

pub(super) use faults::faults;

use super::Admin;
use super::auth::{Caller, Role};

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
        .route("/widgets", get(widgets::view))
        .route("/widgets/{id}", get(widget::view))
        .route("/live", get(live::view))
        .route("/explain", get(explain::view))
        .route("/checklist", get(checklist::view))
        .route("/fleet", get(fleet::view))
        .route("/sign-in", get(access::form).post(access::sign_in))
        .route("/sign-out", post(access::sign_out))
        .route("/assets/{file}", get(assets::file))
        .layer(from_fn(fields))
}

/// Whether somebody without a session may have this.
pub(super) fn is_open(path: &str) -> bool {
    matches!(path, "/sign-in" | "/sign-out") || path.starts_with("/assets/")
}

/// The answer to somebody without a session who wants to see a view with a browser.
pub(super) fn sign_in_first(request: &Request) -> Option<Response> {
    // Whoever presents a token is no person with a browser, and guessing is slow.
    if request.headers().contains_key(header::AUTHORIZATION) {
        return None;
    }
    let wants = is_for_people(request) || request.method() == Method::GET && request.uri().path() == "/";
    wants.then(|| access::to(&access::path(request.uri())))
}

/// Whether somebody may change widgets on the page.
fn may_change(admin: &Admin, caller: &Caller) -> bool {
    caller.role == Role::Write && !admin.publisher.is_read_only()
}

/// What is told where a change is offered and no script runs.
fn needs_script() -> Markup {
    html! {
        noscript { p class="note warn" { "Changes need JavaScript. Everything else on this page works without it." } }
    }
}

/// Whether a person with a browser sees the answer as it is.
fn is_for_people(request: &Request) -> bool {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let is_view = request.method() == Method::GET && !request.uri().path().starts_with("/v1/");
    is_view && accepted.into_iter().any(|line| line.contains("text/html"))
}

/// Middleware that adds the fields of the page.
async fn fields(request: Request, next: Next) -> Response {
    with_fields(next.run(request).await)
}

fn with_fields(mut answer: Response) -> Response {
    let fields = answer.headers_mut();
    for (name, value) in FIELDS {
        fields.insert(name, HeaderValue::from_static(value));
    }
    // What a view shows is of this instant, and for whoever has signed in.
    fields.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    answer
}
