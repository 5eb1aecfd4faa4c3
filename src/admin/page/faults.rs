//! Faults as people see them: what goes wrong with a view is a view, too, not a problem document.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use maud::{Markup, html};

use super::{is_for_people, parts, shell, with_fields};
use crate::admin::Admin;
use crate::admin::auth::Caller;
use crate::admin::problem::ToldProblem;

/// Middleware that shows a problem as a view to whoever has signed in and asked for one.
pub(in crate::admin) async fn faults(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let caller = request.extensions().get::<Caller>().filter(|_| is_for_people(&request)).cloned();
    let answer = next.run(request).await;
    let Some(caller) = caller else { return answer };
    let Some(problem) = answer.extensions().get::<ToldProblem>() else { return answer };
    let shown = shown(answer.status(), problem, (&admin, &caller));
    // The other fields stay, such as when to try again.
    let (mut head, _) = answer.into_parts();
    for of_body in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        head.headers.remove(of_body);
    }
    with_fields((head.status, head.headers, shown).into_response())
}

fn shown(status: StatusCode, problem: &ToldProblem, whom: (&Admin, &Caller)) -> Markup {
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
    shell::document(title, &[], &[], &shell::framed(title, None, whom, &main))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use crate::admin::tests::served_in;

    #[tokio::test]
    async fn people_see_a_view_and_programs_a_problem() {
        let served = served_in(Vec::new(), None);
        for (path, accept, status, media) in [
            ("/lost", "text/html,*/*;q=0.8", 404, "text/html; charset=utf-8"),
            ("/lost", "*/*", 404, "application/problem+json"),
            ("/v1/widgets/lost", "text/html", 404, "application/problem+json"),
        ] {
            let answer = served.call(Method::GET, path, false).header("accept", accept).send().await.unwrap();
            let fields = answer.headers();
            assert_eq!(
                (answer.status().as_u16(), fields["content-type"].to_str().unwrap()),
                (status, media),
                "{path}"
            );
            assert_eq!(
                fields.contains_key("content-security-policy"),
                media.starts_with("text/html"),
                "{path}"
            );
        }
    }
}
