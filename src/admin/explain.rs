//! `POST /v1/explain`: one verdict in full, by the rules in force or by a draft.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::input::{self, JSON};
use super::openapi::QuestionProblems;
use super::problem::{ErrorPart, Problem};
use super::{Admin, blocking, refusal};
use crate::checklist::Surface;
use embedgate_policy::decision::{EdgePolicy, Facts, TicketState};
use embedgate_policy::explain::{Explanation, RouteAnswers, explain};
use embedgate_policy::headers::Destination;
use embedgate_policy::origin::{Embedder, NamedBy, Page};
use embedgate_policy::verdict::Class;
use embedgate_policy::widget::WidgetDocument;
use embedgate_policy::widget::{MAX_DOCUMENT_BYTES, Widget, WidgetId};

/// Largest body, in bytes: a draft and the question about it.
const LARGEST: usize = MAX_DOCUMENT_BYTES + 64 * 1024;

/// Answers of the routes, in their order, and where widgets' surfaces are.
#[derive(Clone, Debug)]
pub struct ClassAnswers {
    routes: Box<[ClassAnswer]>,
    surfaces: Vec<Surface>,
}

/// Answers of one route.
#[derive(Clone, Debug)]
pub struct ClassAnswer {
    /// The class.
    pub class: Class,
    /// The only widget that the route serves; `None`: any.
    pub only: Option<WidgetId>,
    /// The route refuses requests that name no embedder.
    pub missing_denied: bool,
    /// The headers of its answers.
    pub answers: RouteAnswers,
}

impl FromIterator<ClassAnswer> for ClassAnswers {
    fn from_iter<I: IntoIterator<Item = ClassAnswer>>(routes: I) -> Self {
        Self { routes: routes.into_iter().collect(), surfaces: Vec::new() }
    }
}

impl ClassAnswers {
    /// The same with these surfaces.
    #[must_use]
    pub fn with_surfaces(self, surfaces: Vec<Surface>) -> Self {
        Self { surfaces, ..self }
    }

    /// The surfaces of a widget.
    pub(super) fn surfaces(&self, widget: &WidgetId) -> Vec<Surface> {
        self.surfaces.iter().filter(|surface| surface.serves(widget)).cloned().collect()
    }

    fn of(&self, class: Class, widget: &str) -> impl Iterator<Item = &ClassAnswer> {
        let serves = move |only: &WidgetId| only.as_str() == widget;
        self.routes.iter().filter(move |route| route.class == class && route.only.as_ref().is_none_or(serves))
    }

    /// The headers of answers of this class about a widget. Where routes differ, the first stands for them.
    pub fn headers(&self, class: Class, widget: &str) -> Option<&RouteAnswers> {
        self.of(class, widget).next().map(|route| &route.answers)
    }

    /// Whether every route of this class for a widget refuses requests that name no embedder.
    pub fn missing_denied(&self, class: Class, widget: &str) -> bool {
        let mut routes = self.of(class, widget).peekable();
        routes.peek().is_some() && routes.all(|route| route.missing_denied)
    }
}

/// Question about one request.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Question<'q> {
    /// The widget's id; a text that is not an id is an unknown widget.
    #[schema(value_type = String, example = "wgt_demo")]
    pub(super) widget: String,
    /// The address of the page that embeds the widget, in place of `origin` and `referer`: they are what a browser sends for
    /// it in requests of the class, by the default referrer policy.
    pub(super) page: Option<String>,
    /// The request's `Origin`.
    #[schema(example = "https://example.com")]
    pub(super) origin: Option<String>,
    /// The request's `Referer`.
    #[schema(example = "https://example.com/page")]
    pub(super) referer: Option<String>,
    /// The class of the route. Left out: session if there is a ticket, else asset.
    #[serde(default)]
    pub(super) class: Option<Class>,
    /// The request's `Sec-Fetch-Dest`, which decides the form of a denial. Left out: an iframe for class
    /// frame, else neither a script nor a page.
    #[schema(example = "iframe")]
    pub(super) destination: Option<String>,
    /// The ticket of a session, or of a frame that reloads or follows a link. It counts if `origin` or
    /// `referer` is one of the edge's own, as inside the iframe.
    pub(super) ticket: Option<String>,
    /// A document to judge by instead of the stored one.
    #[serde(borrow)]
    #[schema(value_type = Option<WidgetDocument<'static>>)]
    pub(super) draft: Option<&'q RawValue>,
}

/// Explain a verdict
///
/// Judges a request as the edge would. Reports the verdict, every entry and why it matches or not, the near
/// miss, the entry to add, the headers that would be sent, and how much of the widget's limits is used on this edge.
#[utoipa::path(
    post,
    path = "/v1/explain",
    operation_id = "explain",
    tag = "verdicts",
    request_body(content = Question, content_type = "application/json"),
    responses((status = 200, description = "The verdict and its grounds", body = Explanation), QuestionProblems),
)]
pub(super) async fn answer(
    State(admin): State<Arc<Admin>>,
    request: Request,
) -> Result<Json<Explanation>, Problem> {
    let body = input::body(request, JSON, LARGEST).await?;
    explained(&admin, &read(&body)?).await.map(Json)
}

/// The answer to a question.
pub(super) async fn explained(admin: &Arc<Admin>, question: &Question<'_>) -> Result<Explanation, Problem> {
    let draft = question.draft.map(|draft| draft_of(admin, draft, &question.widget)).transpose()?;
    let (id, stored) = (question.widget.clone(), Arc::clone(admin));
    let widget = match draft {
        Some(draft) => Some(draft),
        None => {
            let read =
                move || stored.publisher.documents().get(&id).map_err(|error| refusal::of_storage(&error));
            blocking(read).await?
        }
    };
    let (policy, answers) = (admin.policy.load(), admin.answers.load());
    let usual = if question.ticket.is_some() { Class::Session } else { Class::Asset };
    let class = question.class.unwrap_or(usual);
    let now = Timestamp::now();
    let (named, hints) = question.named_by(class)?;
    let presented = question.ticket.as_deref();
    let ticket = presented.map(|ticket| admin.tickets.read_ticket(&question.widget, ticket.as_bytes()));
    let facts = Facts {
        widget: &question.widget,
        class,
        embedder: Embedder::identify(
            named.origin.iter().map(|origin| origin.as_bytes()),
            named.referer.iter().map(|referer| referer.as_bytes()),
        ),
        missing_denied: answers.missing_denied(class, &question.widget),
        ticket: match &ticket {
            Some(Ok(ticket)) if class == Class::Frame => ticket.state(now, admin.tickets.renewable_for()),
            Some(Ok(ticket)) => ticket.state(now, SignedDuration::ZERO),
            Some(Err(_)) => TicketState::Invalid,
            None => TicketState::Absent,
        },
    };
    let destination = Destination::stated_or_usual(question.destination.as_deref(), class);
    let widget = widget.as_ref();
    let explanation = explain(&question.widget, &facts, widget, &policy, now);
    let explanation = match &ticket {
        Some(ticket) => explanation.with_ticket(ticket, admin.tickets.renewable_for(), now),
        None => explanation,
    };
    let mut explanation = with_limits(admin, explanation, &facts, widget, &policy);
    explanation.hints.extend(hints);
    Ok(match answers.headers(class, &question.widget) {
        Some(answers) => explanation.with_headers(&facts, destination, widget, &policy, answers, now),
        None => explanation,
    })
}

impl Question<'_> {
    /// How the request names the embedder, and what is to be told of it.
    fn named_by(&self, class: Class) -> Result<(NamedBy, Vec<String>), Problem> {
        let Some(page) = &self.page else {
            let (origin, referer) = (self.origin.clone(), self.referer.clone());
            return Ok((NamedBy { origin, referer }, Vec::new()));
        };
        if self.origin.is_some() || self.referer.is_some() {
            let detail =
                "`page` stands for `origin` and `referer`: give the page's address alone, or the headers";
            let part = ErrorPart {
                pointer: "/page".to_owned(),
                code: "invalid_question",
                detail: detail.to_owned(),
                ..ErrorPart::default()
            };
            return Err(Problem::invalid_document(vec![part]));
        }
        let Ok(page) = page.parse::<Page>();
        let hints = page.hint().into_iter().chain(page.advice().map(str::to_owned));
        Ok((page.named_by(class), hints.collect()))
    }
}

/// The explanation with how much of the widget's limits is used, by the embedder that the request is about.
pub(super) fn with_limits(
    admin: &Admin,
    explanation: Explanation,
    facts: &Facts<'_>,
    widget: Option<&Widget>,
    policy: &EdgePolicy,
) -> Explanation {
    match widget.filter(|widget| !widget.limits.is_empty()) {
        Some(Widget { id, limits, .. }) => {
            // One that does not say which page it is of is counted, too.
            let embedder = facts.counted_embedder(policy).unwrap_or_default();
            let usage = admin.limits.usage(id.as_str(), limits, Some(embedder));
            explanation.with_limits(facts, policy, limits.mode, usage)
        }
        None => explanation,
    }
}

/// Reads a question; the error names the first place that does not fit.
fn read<'b>(json: &'b [u8]) -> Result<Question<'b>, Problem> {
    serde_json::from_slice(json).map_err(|error| {
        let code = if error.is_data() { "invalid_question" } else { "invalid_json" };
        Problem::invalid_document(vec![ErrorPart { code, detail: error.to_string(), ..ErrorPart::default() }])
    })
}

fn draft_of(admin: &Admin, draft: &RawValue, id: &str) -> Result<Widget, Problem> {
    let in_draft = |part: ErrorPart| ErrorPart { pointer: format!("/draft{}", part.pointer), ..part };
    let widget = Widget::parse(draft.get().as_bytes(), &admin.suffixes).map_err(|faults| {
        let parts = faults.into_iter().map(ErrorPart::from).map(in_draft);
        Problem::invalid_document(parts.collect())
    })?;
    if widget.id.as_str() != id {
        let detail = format!("the draft is about `{}`, but the question is about another widget", widget.id);
        let part =
            ErrorPart { pointer: "/id".to_owned(), code: "id_mismatch", detail, ..ErrorPart::default() };
        return Err(Problem::invalid_document(vec![in_draft(part)]));
    }
    Ok(widget)
}

#[cfg(test)]
mod tests;
