//! `embedgate explain`: one verdict in full, on the rules as they are configured.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;

use super::output::print;
use super::{CliError, Common};
use crate::app;
use crate::policy::decision::{Class, Facts, TicketState, Verdict};
use crate::policy::explain::explain;
use crate::policy::origin::Embedder;

/// What is asked.
#[derive(Args, Debug)]
pub(super) struct Question {
    /// The widget's id.
    #[arg(long, value_name = "ID")]
    widget: String,
    /// The request's `Origin`, such as `https://example.com` or `null`.
    #[arg(long)]
    origin: Option<String>,
    /// The request's `Referer`, such as `https://example.com/page`.
    #[arg(long)]
    referer: Option<String>,
    /// The class of the route: asset, frame, session or public.
    #[arg(long, default_value = "asset")]
    class: Class,
}

pub(super) fn run(common: &Common, question: &Question) -> Result<ExitCode, CliError> {
    let settings = common.settings()?;
    let documents = app::documents(&settings)?;
    let facts = Facts {
        class: question.class,
        embedder: Embedder::identify(
            question.origin.iter().map(|origin| origin.as_bytes()),
            question.referer.iter().map(|referer| referer.as_bytes()),
        ),
        missing_denied: app::missing_denied(&settings, question.class),
        ticket: TicketState::Absent,
    };
    let widget = documents.iter().find(|widget| widget.id.as_str() == question.widget);
    let explanation =
        explain(&question.widget, &facts, widget, &app::edge_policy(&settings), Timestamp::now());
    print(common.json, &explanation)?;
    Ok(if explanation.verdict == Verdict::Allow { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
