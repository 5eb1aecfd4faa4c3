//! `GET` and `POST /v1/widgets/{id}/checklist`: what is known for a widget's checklist, and a run of it.
//!
//! A run asks a site on an operator's word. So it wants a token that may change, and asks only a page that the widget's list
//! admits, over https, at public addresses. One kind of other page is asked: one below `localhost` at the edge's own port, where
//! the edge's own origin is on `localhost`: that is the edge itself, with the sites of its demo.

mod facts;
mod runs;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::activity::SiteJudge;
use super::auth::Writer;
use super::input::{self, JSON, KnownId};
use super::openapi::{ChecklistProblems, ReadProblems};
use super::problem::Problem;
use super::{Admin, blocking, stored};
use crate::checklist::{CheckClient, Checklist, Deployment, Reach, WidgetFacts, is_local};
use embedgate_policy::widget::{Widget, WidgetId};

pub use runs::ChecklistRuns;
pub(super) use runs::LastRun;

/// Largest body, in bytes.
const LARGEST: usize = 8 * 1024;

const EXAMPLE: &str = r#"{"site": "https://shop.example.com"}"#;

/// What is known for a checklist.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct KnownForChecklist {
    /// What the edge knows of the widget.
    facts: WidgetFacts,
    /// The last run on this edge since its start; `null`: none.
    last: Option<LastRun>,
}

/// Page to look at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChecklistRequest {
    /// The page with the widget: an origin, or the address of a page. Its origin is on the widget's list.
    #[schema(example = "https://shop.example.com")]
    site: String,
}

/// Read what is known for a checklist
///
/// The facts that a run starts from: the document in short, findings, who was seen, and where the widget's surfaces are. And the
/// last run on this edge.
#[utoipa::path(
    get,
    path = "/v1/widgets/{id}/checklist",
    operation_id = "checklist",
    tag = "verdicts",
    params(("id" = WidgetId, Path, description = "The widget's id.")),
    responses((status = 200, description = "What is known", body = KnownForChecklist), ReadProblems),
)]
pub(super) async fn read(
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
) -> Result<Json<KnownForChecklist>, Problem> {
    blocking(move || {
        let facts = facts::of(&admin, &stored::existing(&admin, &id)?)?;
        Ok(Json(KnownForChecklist { facts, last: admin.checklists.last(&id) }))
    })
    .await
}

/// Run a checklist
///
/// Asks the edge's surfaces as the site, as a stranger and as the iframe, and fetches the page. The page has to be on the widget's
/// list, on https and at public addresses; redirects are not followed. One run at a time for a widget, and few in all.
#[utoipa::path(
    post,
    path = "/v1/widgets/{id}/checklist",
    operation_id = "runChecklist",
    tag = "verdicts",
    params(("id" = WidgetId, Path, description = "The widget's id.")),
    request_body(content = ChecklistRequest, content_type = "application/json"),
    responses((status = 200, description = "The points", body = Checklist), ChecklistProblems),
)]
pub(super) async fn run(
    _: Writer,
    State(admin): State<Arc<Admin>>,
    KnownId(id): KnownId,
    request: Request,
) -> Result<Json<Checklist>, Problem> {
    let body = input::body(request, JSON, LARGEST).await?;
    let ChecklistRequest { site } = input::json(&body, EXAMPLE)?;
    let page = page(&site)?;
    blocking(move || {
        let widget = stored::existing(&admin, &id)?;
        admitted(&admin, &widget, &page)?;
        let place = admin.checklists.begin(&id)?;
        let facts = facts::of(&admin, &widget)?;
        let checklist = ran(facts, page)?;
        place.done(checklist.clone());
        Ok(Json(checklist))
    })
    .await
}

fn refused(code: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail)
}

/// The address of a page that may be fetched at all.
fn page(site: &str) -> Result<Url, Problem> {
    let wrong = |why: &str| refused("invalid_site", format!("{why}; write it like https://shop.example.com"));
    let url: Url = site.parse().map_err(|_| wrong("this is no address of a page"))?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
    match url.scheme() {
        _ if !is_plain => Err(wrong("the address has to be a scheme, a host and a path, and nothing more")),
        "https" => Ok(url),
        "http" if is_local(&url) => Ok(url),
        _ => Err(wrong("only https is fetched")),
    }
}

/// Refuses a page that no entry of the list admits.
fn admitted(admin: &Admin, widget: &Widget, page: &Url) -> Result<(), Problem> {
    let judge = SiteJudge::new(widget, &admin.policy.load(), Timestamp::now());
    let origin = page.origin().ascii_serialization();
    match judge.entry(&judge.by_list(&origin)) {
        Some(_) => Ok(()),
        None => Err(refused(
            "site_not_admitted",
            format!(
                "no entry of the list admits {origin}, so it is not fetched; add one, or run `embedgate checklist`"
            ),
        )),
    }
}

fn ran(facts: WidgetFacts, page: Url) -> Result<Checklist, Problem> {
    let own = facts.origins.first().and_then(|origin| origin.parse::<Url>().ok());
    let edge = own.ok_or_else(|| Problem::internal("the edge has no origin of its own"))?;
    // Where the edge's own origin leads to is the operator's own affair; where a site leads to is not.
    let own_port = is_local(&edge).then(|| edge.port_or_known_default()).flatten();
    let client = |reach| CheckClient::new(reach, &[]).map_err(|error| Problem::internal(error.to_string()));
    let (own, site) = (client(Reach::Anywhere(Vec::new()))?, client(Reach::Public { own_port })?);
    let deployment = Deployment { facts, edge, page: Some(page), now: Timestamp::now() };
    deployment.check(&own, &site).map_err(|fault| {
        let detail = format!("{} can't be asked from here: {fault}", deployment.edge);
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "edge_unreachable", detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_pages_are_fetched_and_the_edge_s_own() {
        for site in
            ["https://shop.example.com", "https://shop.example.com/help?a=1", "http://site.localhost:8080/"]
        {
            assert!(page(site).is_ok(), "{site}");
        }
        for site in [
            "http://shop.example.com",
            "ftp://shop.example.com",
            "file:///etc/passwd",
            "shop.example.com",
            "",
            "https://",
            "https://me:secret@shop.example.com",
            "https://me@shop.example.com",
            "http://127.0.0.1/",
            "http://localhost.example.com/",
            "gopher://localhost/",
            "http://[::1]/",
            "http://2130706433/",
        ] {
            assert_eq!(page(site).map_err(|problem| problem.code()), Err("invalid_site"), "{site}");
        }
    }
}
