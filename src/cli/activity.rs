//! `embedgate activity`: who embeds, as the running edge and the others of its fleet have seen.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::output::{note, print};
use super::remote::{ApiAnswer, Remote};
use super::widgets::widget_id;
use super::{CliError, Common};
use embedgate_policy::widget::WidgetId;

mod of_widget;
mod on_host;
mod overview;
mod pages;
mod site;

pub(super) use site::ReceivedSite;

/// Arguments of `embedgate activity`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  embedgate activity --host '*.preview.example.com'\n  \
                        embedgate activity --widget wgt_demo --stale-days 90\n\n\
                        Without --widget and --host it goes over all widgets. Sites are what requests say: anybody can \
                        name any site in one.")]
pub(super) struct ActivityArguments {
    /// Only this widget: its entries with their use, who is let in without one, and who is refused.
    #[arg(long, value_name = "ID", value_parser = widget_id, conflicts_with = "host")]
    widget: Option<WidgetId>,
    /// Only sites of this host, on all widgets: which widgets they load, and by which entry, or why they are refused. A
    /// host, an origin, or an entry such as `*.preview.example.com`.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// For how many days an entry must have admitted nobody to be stale; with --host, how many days are looked back. Left
    /// out: 30.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
    stale_days: Option<u32>,
    #[command(flatten)]
    remote: Remote,
}

impl ActivityArguments {
    /// The query that asks for it, without its sign.
    fn query(&self) -> String {
        let mut query = String::new();
        let mut add = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = write!(query, "&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        };
        self.host.iter().for_each(|host| add("host", host));
        self.stale_days.iter().for_each(|days| add("stale_days", &days.to_string()));
        query
    }
}

pub(super) fn run(common: &Common, arguments: &ActivityArguments) -> Result<ExitCode, CliError> {
    let (edge, query) = (arguments.remote.running(common)?, arguments.query());
    let missing = match (&arguments.widget, &arguments.host) {
        (Some(id), _) => {
            let path = format!("/v1/widgets/{id}/activity?{}", query.trim_start_matches('&'));
            let answer: ApiAnswer<of_widget::ReceivedActivity> = edge.get(path.trim_end_matches('?'))?;
            print(common.json, &answer)?;
            answer.shown.missing
        }
        (None, Some(host)) => {
            let read = pages::all::<on_host::WidgetOnHost>(&edge, &query)?;
            let days = arguments.stale_days.unwrap_or(30);
            let told = on_host::SitesOnHost { host, days, read: &read };
            print(common.json, &told)?;
            read.missing
        }
        (None, None) => {
            let read = pages::all::<overview::WidgetInShort>(&edge, &query)?;
            print(common.json, &overview::ActivityInShort(&read))?;
            read.missing
        }
    };
    note_missing(&missing);
    Ok(ExitCode::SUCCESS)
}

fn not_answered(missing: &[String]) -> String {
    let (names, they_have) =
        (missing.join("` and `"), if missing.len() == 1 { "it has" } else { "they have" });
    format!("`{names}` did not answer, so what {they_have} seen is missing here")
}

/// Says which edges are missing in what was told.
pub(super) fn note_missing(missing: &[String]) {
    if !missing.is_empty() {
        note(&not_answered(missing));
    }
}

#[cfg(test)]
mod tests {
    use super::not_answered;

    #[test]
    fn edges_that_did_not_answer_are_named() {
        for (missing, says) in [
            (&["edge-2"][..], "`edge-2` did not answer, so what it has seen is missing here"),
            (
                &["edge-2", "edge-3"],
                "`edge-2` and `edge-3` did not answer, so what they have seen is missing here",
            ),
        ] {
            let missing: Vec<String> = missing.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(not_answered(&missing), says);
        }
    }
}
