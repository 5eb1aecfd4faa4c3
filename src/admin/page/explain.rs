//! `GET /explain`: whether a page may embed a widget, and why; or what was decided under an id. It is a form, whose answer
//! is rendered here alone: `explain.js` asks this view again while somebody types, and takes the answer out of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use maud::{Markup, html};
use serde::Deserialize;

use super::parts;
use super::shell::{Place, View};
use crate::admin::auth::Caller;
use crate::admin::explain::{Question, explained};
use crate::admin::problem::Problem;
use crate::admin::{Admin, decisions};
use embedgate_policy::explain::Explanation;
use embedgate_policy::verdict::{Class, Reason, Verdict};

mod answer;
mod decided;

/// What is loaded of a widget by a page that embeds it.
const LOADED: [Class; 3] = [Class::Asset, Class::Frame, Class::Session];

/// Form of a decision's id.
const SOME_ID: &str = "01939b1c-2f6e-7cc3-98c4-dc0c0c07398f";

/// What the form asks, as the query of the view has it. Empty fields are left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AskedWhy {
    page: String,
    widget: String,
    class: String,
    destination: String,
    ticket: String,
    origin: String,
    referer: String,
    decision: String,
}

/// The view.
pub(super) async fn view(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Response {
    let asked: AskedWhy = serde_html_form::from_str(uri.query().unwrap_or_default()).unwrap_or_default();
    let may_change = super::may_change(&admin, &caller);
    let answer = asked.answer(&admin, may_change).await;
    let main = html! {
        p class="lead" { "Paste the address of a page, and see whether it may embed a widget, and why." }
        (form(&asked))
        div id="answer" {
            @match answer {
                Ok(answer) => (answer),
                Err(problem) => section class="card" {
                    h2 { "No answer" }
                    (parts::fault(problem.detail()))
                },
            }
        }
    };
    View { title: "Explain", place: Place::Explain, scripts: &["explain.js"], styles: &["explain.css"] }
        .around(&admin, &caller, &main)
}

impl AskedWhy {
    async fn answer(&self, admin: &Arc<Admin>, may_change: bool) -> Result<Markup, Problem> {
        if !self.decision.is_empty() {
            match decisions::found(admin, self.decision.trim()).await {
                Ok(json) => return decided::shown(&json, may_change),
                // No edge keeps it any more, but a link has the facts, too.
                Err(problem) if problem.code() == "unknown_decision" && !self.widget.is_empty() => {}
                Err(problem) => return Err(problem),
            }
        }
        if self.widget.is_empty() || !self.names_embedder() {
            return Ok(nothing_asked());
        }
        let mut answers = Vec::new();
        match self.class.parse() {
            Ok(class) => answers.push(explained(admin, &self.question(class)).await?),
            Err(_) => {
                for class in LOADED {
                    answers.push(explained(admin, &self.question(class)).await?);
                }
            }
        }
        Ok(answer::shown(&answers, telling(&answers), may_change))
    }

    /// Whether there is something to judge: a request without any of it is a question, too, if its class was chosen.
    fn names_embedder(&self) -> bool {
        let given = [&self.page, &self.origin, &self.referer, &self.ticket, &self.class];
        given.iter().any(|text| !text.is_empty())
    }

    fn question(&self, class: Class) -> Question<'static> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Question {
            widget: self.widget.trim().to_owned(),
            page: given(&self.page),
            origin: given(&self.origin),
            referer: given(&self.referer),
            class: Some(class),
            destination: given(&self.destination),
            ticket: given(&self.ticket),
            draft: None,
        }
    }
}

/// Of the answers the one that tells most: the first denial, else one that knows the page.
fn telling(answers: &[Explanation]) -> usize {
    let is_denied = |answer: &Explanation| answer.verdict == Verdict::Deny || answer.would_deny.is_some();
    let knows = |answer: &Explanation| answer.reason != Reason::NoEmbedder;
    answers.iter().position(is_denied).or_else(|| answers.iter().position(knows)).unwrap_or_default()
}

fn nothing_asked() -> Markup {
    html! {
        section class="card" {
            h2 { "The answer" }
            div class="empty" {
                h3 { "Whose page is it?" }
                p {
                    "Give a widget's id and the address of the page on which it should load: copied from the bar of \
                     the browser, path and all. Nothing is fetched; the edge only judges."
                }
                p { "Somebody who was refused can also read out the decision id that the edge has shown." }
            }
        }
    }
}

fn form(asked: &AskedWhy) -> Markup {
    let AskedWhy { page, widget, class: chosen, destination, ticket, origin, referer, decision } = asked;
    let rare = [chosen, destination, ticket, origin, referer, decision];
    let is_open = rare.iter().any(|text| !text.is_empty());
    let (by_hand, alone) =
        (Some("In place of the address."), Some("Alone: what was decided then, and what is now."));
    html! {
        form id="question" class="explain" method="get" action="/explain" aria-label="Question" {
            section class="card" {
                h2 { "The question" }
                div class="fields" {
                    (field("page", "Address of the page", page, "https://www.example.com/shop", None))
                    (field("widget", "Widget", widget, "wgt_demo", None))
                }
                details open[is_open] {
                    summary { "More: a ticket, headers by hand, a decision id" }
                    div class="fields" {
                        label class="field" {
                            span { "What it loads" }
                            select name="class" {
                                option value="" { "All of it" }
                                @for class in Class::ALL {
                                    option value=(class) selected[*chosen == class.as_str()] {
                                        (answer::surface(class))
                                    }
                                }
                            }
                        }
                        (field("destination", "Sec-Fetch-Dest", destination, "iframe", None))
                        (field("ticket", "Ticket", ticket, "", Some("Of a session inside the iframe.")))
                        (field("origin", "Origin by hand", origin, "https://www.example.com", by_hand))
                        (field("referer", "Referer by hand", referer, "https://www.example.com/", by_hand))
                        (field("decision", "Decision id", decision, SOME_ID, alone))
                    }
                }
                div class="toolbar" {
                    button class="primary" { "Explain" }
                    a class="button quiet" href="/explain" { "Clear" }
                }
                p id="heard" class="unseen" role="status" {}
            }
        }
    }
}

fn field(name: &str, label: &str, value: &str, example: &str, help: Option<&str>) -> Markup {
    html! {
        label class="field" {
            span { (label) }
            input name=(name) value=(value) placeholder=(example)
                autocomplete="off" autocapitalize="none" spellcheck="false";
            @if let Some(help) = help { small { (help) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_needs_a_widget_and_something_about_the_request() {
        for (query, names) in [
            ("", false),
            ("page=", false),
            ("page=a.example", true),
            ("class=asset", true),
            ("ticket=t", true),
        ] {
            let asked: AskedWhy = serde_html_form::from_str(query).unwrap_or_default();
            assert_eq!(asked.names_embedder(), names, "{query}");
        }
    }
}
