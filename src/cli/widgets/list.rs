//! `embedgate widgets list`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::pages;
use super::received::ReceivedWidget;
use crate::cli::output::{PrintedLines, count, note};
use crate::cli::remote::{Remote, RemoteEdge};
use crate::cli::{CliError, Common};
use embedgate_policy::origin::Page;
use embedgate_policy::widget::{Access, Environment};

/// Arguments of `embedgate widgets list`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  embedgate widgets list --access open\n  \
                        embedgate widgets list --domain https://shop.example.com --label team:growth")]
pub(in crate::cli) struct ListArguments {
    /// Only widgets with this label: `team:growth`, or `team` with any value. Several: those that have all.
    #[arg(long, value_name = "KEY[:VALUE]")]
    label: Vec<String>,
    /// Only widgets whose list would admit this page, such as `https://shop.example.com`.
    #[arg(long, value_name = "ORIGIN")]
    domain: Option<Page>,
    /// Only widgets of this environment: production or staging.
    #[arg(long, value_parser = environment)]
    environment: Option<Environment>,
    /// Only widgets with this access in effect: open, monitor or enforce.
    #[arg(long, value_parser = access)]
    access: Option<Access>,
    #[command(flatten)]
    remote: Remote,
}

fn environment(text: &str) -> Result<Environment, String> {
    let found = Environment::ALL.into_iter().find(|environment| environment.as_str() == text);
    found.ok_or_else(|| one_of(&Environment::ALL.map(Environment::as_str)))
}

fn access(text: &str) -> Result<Access, String> {
    let found = Access::ALL.into_iter().find(|access| access.as_str() == text);
    found.ok_or_else(|| one_of(&Access::ALL.map(Access::as_str)))
}

fn one_of(words: &[&str]) -> String {
    format!("write one of: {}", words.join(", "))
}

impl ListArguments {
    /// The query that asks for these widgets.
    fn filter(&self) -> String {
        let mut filter = String::new();
        let mut add = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = write!(filter, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        };
        self.label.iter().for_each(|label| add("label", label));
        self.domain.iter().for_each(|domain| add("domain", domain.origin()));
        self.environment.iter().for_each(|environment| add("environment", environment.as_str()));
        self.access.iter().for_each(|access| add("access", access.as_str()));
        filter
    }
}

pub(super) fn run(common: &Common, arguments: &ListArguments) -> Result<ExitCode, CliError> {
    let edge = arguments.remote.running(common)?;
    if let Some(hint) = arguments.domain.as_ref().and_then(Page::hint) {
        note(&hint);
    }
    let (filter, mut lines) = (arguments.filter(), PrintedLines::to_stdout());
    if common.json {
        as_json(&edge, &filter, &mut lines)?;
    } else {
        as_table(&edge, &filter, &mut lines)?;
    }
    lines.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// One page, as the API would answer it if pages had no end.
fn as_json(edge: &RemoteEdge, filter: &str, lines: &mut PrintedLines<'_>) -> Result<(), CliError> {
    let begin = "{\n  \"widgets\": [";
    // Nothing is printed before the first answer, which may be a refusal.
    let mut before = begin;
    pages::each(edge, filter, |widgets| {
        for widget in widgets {
            lines.write(before)?;
            lines.write("\n    ")?;
            lines.write(widget.get())?;
            before = ",";
        }
        Ok(())
    })?;
    let end = "],\n  \"next\": null\n}\n";
    match before {
        "," => lines.write(&format!("\n  {end}"))?,
        _ => lines.write(&format!("{begin}{end}"))?,
    }
    Ok(())
}

fn as_table(edge: &RemoteEdge, filter: &str, lines: &mut PrintedLines<'_>) -> Result<(), CliError> {
    let (mut total, mut width) = (0, "ID".len());
    pages::each(edge, filter, |widgets| {
        let read = widgets.iter().map(|widget| edge.read(widget.get().as_bytes()));
        let widgets: Vec<ReceivedWidget> = read.collect::<Result<_, _>>()?;
        // A later page may be wider: the whole list is not waited for.
        width = widgets.iter().map(|widget| widget.id.len()).max().unwrap_or(0).max(width);
        let mut row = |cells: [&str; 5]| {
            let [id, environment, access, entries, enabled] = cells;
            lines.write(&format!("{id:width$}  {environment:11}  {access:7}  {entries:>7}  {enabled}\n"))
        };
        if total == 0 && !widgets.is_empty() {
            row(["ID", "ENVIRONMENT", "ACCESS", "ENTRIES", "ENABLED"])?;
        }
        total += widgets.len();
        for widget in &widgets {
            let entries = widget.entries().count().to_string();
            let enabled = if widget.enabled { "yes" } else { "no" };
            row([&widget.id, widget.environment.as_str(), widget.access().as_str(), &entries, enabled])?;
        }
        Ok(())
    })?;
    Ok(lines.write(&format!("{}\n", count(total, "widget")))?)
}
