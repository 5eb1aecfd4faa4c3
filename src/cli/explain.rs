//! `embedgate explain`: one verdict in full, by the configured rules or by those of a running edge; or a decision that
//! somebody was shown the id of.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::print;
use super::page::Page;
use super::remote::{Remote, RemoteEdge};
use super::{CliError, Common, configured};
use crate::app;
use crate::config::Settings;
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::explain::{Explanation, explain};
use embedgate_policy::headers::Destination;
use embedgate_policy::origin::Embedder;
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
    #[arg(long, value_name = "ID", conflicts_with_all = ["widget", "origin", "referer", "class", "destination"])]
    decision: Option<String>,
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
    explanation.hints.extend(question.origin.as_ref().and_then(Page::hint));
    print(common.json, &explanation)?;
    Ok(if explanation.verdict == Verdict::Allow { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl ExplainArguments {
    fn widget(&self) -> &str {
        self.widget.as_deref().unwrap_or_default()
    }
}

fn remotely(edge: &RemoteEdge, question: &ExplainArguments) -> Result<Explanation, CliError> {
    let question = serde_json::json!({
        "widget": question.widget(),
        "origin": question.origin.as_ref().map(Page::origin),
        "referer": question.referer,
        "class": question.class,
        "destination": question.destination,
    });
    edge.ask("/v1/explain", &question)
}

fn locally(settings: &Settings, question: &ExplainArguments) -> Result<Explanation, CliError> {
    let documents = app::documents(settings)?;
    let answers = app::class_answers(settings);
    let facts = Facts {
        widget: question.widget(),
        class: question.class,
        embedder: Embedder::identify(
            question.origin.iter().map(|page| page.origin().as_bytes()),
            question.referer.iter().map(|referer| referer.as_bytes()),
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
