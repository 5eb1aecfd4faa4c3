//! Signing in with a token, and signing out.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use maud::{Markup, html};
use serde::Deserialize;

use super::{parts, shell};
use crate::admin::auth::{self, SignIn};
use crate::admin::connections::CallerConnection;
use crate::admin::problem::Problem;
use crate::admin::{Admin, input};

/// Largest form, in bytes.
const LARGEST: usize = 8 * 1024;

const FORM: &str = "application/x-www-form-urlencoded";

/// Where somebody wanted to go, as the query of the form has it.
#[derive(Debug, Default, Deserialize)]
struct Wanted {
    #[serde(default)]
    next: String,
}

/// What the form sends.
#[derive(Debug, Deserialize)]
struct SignInForm {
    token: String,
    #[serde(default)]
    next: String,
}

/// The path of the form, for whoever wanted to go there.
pub(super) fn path(wanted: &Uri) -> String {
    let wanted = wanted.path_and_query().map_or("/", |wanted| wanted.as_str());
    match wanted {
        "/" => "/sign-in".to_owned(),
        wanted => {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("next", wanted).finish();
            format!("/sign-in?{query}")
        }
    }
}

/// `GET /sign-in`.
pub(super) async fn form(uri: Uri) -> Markup {
    let wanted: Wanted = serde_html_form::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    shown(&wanted.next, None)
}

/// `POST /sign-in`: exchanges the token for a session, and goes where the person wanted.
pub(super) async fn sign_in(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let connection = request.extensions().get::<Arc<CallerConnection>>().cloned();
    let body = input::body(request, FORM, LARGEST).await?;
    let Ok(SignInForm { token, next }) = serde_html_form::from_bytes(&body) else {
        return Ok((StatusCode::BAD_REQUEST, shown("", Some("The form has no token."))).into_response());
    };
    let refused = |status: StatusCode, fault: &str| Ok((status, shown(&next, Some(fault))).into_response());
    let cookie = match auth::sign_in(&admin, &headers, connection.as_ref(), token.trim()).await {
        SignIn::Done(cookie) => cookie,
        SignIn::Unknown => {
            let fault =
                "This token is not known here. It has to be one in the file that admin.token_file names.";
            return refused(StatusCode::UNAUTHORIZED, fault);
        }
        SignIn::OtherOrigin => {
            let fault = "This form was sent by another page, or the browser hides which page sent it (Origin). \
                         Sign in here.";
            return refused(StatusCode::FORBIDDEN, fault);
        }
        SignIn::SeveralCookies(name) => {
            let fault = format!(
                "The browser has several cookies {name} for this host, so nobody can tell which is yours. Remove the \
                 cookies of this host, then sign in."
            );
            return refused(StatusCode::FORBIDDEN, &fault);
        }
        SignIn::Failed(problem) => return Err(problem),
    };
    let mut answer = to(&own_path(&next));
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// `POST /sign-out`: ends the session.
pub(super) async fn sign_out(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let forgotten = auth::sign_out(&admin, &headers)?;
    let mut answer = to("/sign-in");
    answer.headers_mut().insert(header::SET_COOKIE, forgotten);
    Ok(answer)
}

/// An answer that leads to a path of the page.
pub(super) fn to(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(path) => (StatusCode::SEE_OTHER, [(header::LOCATION, path)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// Where to go on: only ever on this host.
fn own_path(next: &str) -> String {
    let stays = next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if stays { next.to_owned() } else { "/".to_owned() }
}

fn shown(next: &str, fault: Option<&str>) -> Markup {
    let body = html! {
        main id="main" class="sign-in" {
            h1 { img src="/assets/icon.svg" alt="" width="40" height="40"; "embedgate" }
            form method="post" action="/sign-in" {
                @if let Some(fault) = fault {
                    (parts::fault(fault))
                }
                label class="field" {
                    span { "Token" }
                    input id="token" name="token" type="password" autocomplete="current-password" required autofocus
                        aria-describedby="token-help" aria-invalid=[fault.map(|_| "true")];
                }
                p id="token-help" class="help" {
                    "One of the tokens in the file that " code { "admin.token_file" } " names. "
                    "It is exchanged for a session of 12 hours, which ends when you sign out, or with the token."
                }
                input type="hidden" name="next" value=(next);
                button class="primary" { "Sign in" }
            }
        }
    };
    shell::document("Sign in", &[], &[], &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_to_this_host_alone() {
        for path in ["/", "/widgets/a?tab=history", "/live"] {
            assert_eq!(own_path(path), path);
        }
        for elsewhere in
            ["//evil.example", "https://evil.example", "/\\evil.example", "", "live", "/a b", "/\r\nx: y"]
        {
            assert_eq!(own_path(elsewhere), "/", "{elsewhere:?}");
        }
    }
}
