//! Faults as people see them: what goes wrong with a view is a view, too, not a problem document.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use maud::{Markup, html};

use super::{is_for_people, parts, shell, with_fields};
use crate::admin::auth::Caller;
use crate::admin::problem::ToldProblem;

/// Middleware that shows a problem to whoever asked for a view.
pub(in crate::admin) async fn faults(request: Request, next: Next) -> Response {
    if !is_for_people(&request) {
        return next.run(request).await;
    }
    let caller = request.extensions().get::<Caller>().cloned();
    let answer = next.run(request).await;
    let Some(problem) = answer.extensions().get::<ToldProblem>() else { return answer };
    let shown = shown(answer.status(), problem, caller.as_ref());
    // The other fields stay, such as when to try again.
    let (mut head, _) = answer.into_parts();
    for of_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        head.headers.remove(of_body);
    }
    with_fields((head.status, head.headers, shown).into_response())
}

fn shown(status: StatusCode, problem: &ToldProblem, caller: Option<&Caller>) -> Markup {
    let (title, text) = match (problem.code, status) {
        ("not_found", _) => ("There is no such page", "The address may be old, or have a slip in it."),
        (_, StatusCode::NOT_FOUND) => ("This is not here", &*problem.detail),
        _ => ("This can't be shown", &*problem.detail),
    };
    let main = html! {
        section class="card" {
            h2 { "What happened" }
            (parts::fault(text))
            p { "The edge answered " code { (status.as_u16()) } " " code { (problem.code) } "." }
            div class="toolbar" { a class="button" href="/" { "To the overview" } }
        }
    };
    let body = match caller {
        Some(caller) => shell::framed(title, None, caller, &main),
        None => html! { main id="main" { h1 { (title) } (main) } },
    };
    shell::document(title, &[], &[], &body)
}
