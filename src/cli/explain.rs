//! `embedgate explain`: one verdict in full, by the configured rules or by those of a running edge; or a decision that
//! somebody was shown the id of.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::print;
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common, configured};
use crate::app;
use crate::config::Settings;
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::explain::{Explanation, explain};
use embedgate_policy::headers::Destination;
use embedgate_policy::origin::{Embedder, NamedBy, Page};
use embedgate_policy::verdict::{Class, Verdict};

mod decision;

/// Arguments of `embedgate explain`.
#[derive(Args, Debug)]
pub(super) struct ExplainArguments {
    /// The widget's id.
    #[arg(long, value_name = "ID", required_unless_present = "decision")]
    widget: Option<String>,
    /// The id of a decision, from a denied page, an error or a log: what was decided then, and what the rules say now. The
    /// running edge is asked.
    #[arg(long, value_name = "ID", conflicts_with_all = ["widget", "page", "origin", "referer", "class", "destination"])]
    decision: Option<String>,
    /// The address of the page that embeds the widget: `Origin` and `Referer` are what a browser sends for it in requests of
    /// the class.
    #[arg(long, value_name = "URL", conflicts_with_all = ["origin", "referer"])]
    page: Option<Page>,
    /// The page that embeds the widget: the request's `Origin`, such as `https://example.com` or `null`. Of an address
    /// such as `https://example.com/shop` or `example.com` its origin is taken, and the answer says so.
    #[arg(long, value_name = "ORIGIN")]
    origin: Option<Page>,
    /// The request's `Referer`, such as `https://example.com/page`. It is taken as it is.
    #[arg(long)]
    referer: Option<String>,
    /// The class of the route: asset, frame, session or public.
    #[arg(long, default_value = "asset")]
    class: Class,
    /// The request's `Sec-Fetch-Dest`, such as `script` or `iframe`: it decides the form of a denial.
    #[arg(long, value_name = "DEST")]
    destination: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(common: &Common, question: &ExplainArguments) -> Result<ExitCode, CliError> {
    if let Some(id) = &question.decision {
        return decision::run(common, &question.remote, id);
    }
    let mut explanation = configured::answer(
        common,
        &question.remote,
        |settings| locally(settings, question),
        |edge| remotely(edge, question),
    )?;
    let asked = question.page.as_ref().or(question.origin.as_ref());
    explanation.hints.extend(asked.and_then(Page::hint));
    explanation.hints.extend(question.page.as_ref().and_then(Page::advice).map(str::to_owned));
    print(common.json, &explanation)?;
    Ok(if explanation.verdict == Verdict::Allow { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ExplainArguments {
    fn widget(&self) -> &str {
        self.widget.as_deref().unwrap_or_default()
    }

    /// How the request names the embedder.
    fn named_by(&self) -> NamedBy {
        match &self.page {
            Some(page) => page.named_by(self.class),
            None => NamedBy {
                origin: self.origin.as_ref().map(|page| page.origin().to_owned()),
                referer: self.referer.clone(),
            },
        }
    }
}

fn remotely(edge: &RemoteEdge, question: &ExplainArguments) -> Result<Explanation, CliError> {
    let NamedBy { origin, referer } = question.named_by();
    let question = serde_json::json!({
        "widget": question.widget(),
        "origin": origin,
        "referer": referer,
        "class": question.class,
        "destination": question.destination,
    });
    edge.ask("/v1/explain", &question)
}

fn locally(settings: &Settings, question: &ExplainArguments) -> Result<Explanation, CliError> {
    let documents = app::documents(settings)?;
    let answers = app::class_answers(settings);
    let NamedBy { origin, referer } = question.named_by();
    let facts = Facts {
        widget: question.widget(),
        class: question.class,
        embedder: Embedder::identify(
            origin.iter().map(|origin| origin.as_bytes()),
            referer.iter().map(|referer| referer.as_bytes()),
        ),
        missing_denied: answers.missing_denied(question.class, question.widget()),
        ticket: TicketState::Absent,
    };
    let destination = Destination::stated_or_usual(question.destination.as_deref(), question.class);
    let widget = documents.iter().find(|widget| widget.id.as_str() == question.widget());
    let (policy, now) = (app::edge_policy(settings), Timestamp::now());
    let explanation = explain(question.widget(), &facts, widget, &policy, now);
    Ok(match answers.headers(question.class, question.widget()) {
        Some(answers) => explanation.with_headers(&facts, destination, widget, &policy, answers, now),
        None => explanation,
    })
}
