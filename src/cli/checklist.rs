//! `embedgate checklist`: a widget on its site, looked at as its visitors' browsers see it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::output::print;
use super::remote::{Remote, authorities};
use super::widgets::widget_id;
use super::{CliError, Common};
use crate::checklist::{CheckClient, Deployment, MappedAddress, Reach, WidgetFacts};
use embedgate_policy::widget::WidgetId;

/// Arguments of `embedgate checklist`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        embedgate checklist --widget wgt_demo --site https://www.example.com/help\n  \
        embedgate checklist --edge https://embed.example.net --widget wgt_demo --site https://www.example.com --json\n\n\
        It asks from this machine. No rule is changed: one WebSocket is opened and closed, two calls are made to the session \
        route, and two requests of the iframe are sightings of the site.\n\n\
        Exit code: 0 no point failed, 1 a point failed, 2 wrong usage, 3 the edge could not be asked.")]
pub(super) struct ChecklistArguments {
    /// The widget's id.
    #[arg(long, value_name = "ID", value_parser = widget_id)]
    widget: WidgetId,
    /// The edge as browsers see it, such as `https://embed.example.net`. Left out: its first own origin.
    #[arg(long, value_name = "URL", value_parser = edge_url)]
    edge: Option<Url>,
    /// The page with the widget, such as `https://www.example.com` or `https://www.example.com/help`. Left out: only the edge is
    /// looked at.
    #[arg(long, value_name = "ORIGIN", value_parser = page_url)]
    site: Option<Url>,
    /// PEM file of more authorities to trust, such as a private one.
    #[arg(long, value_name = "FILE")]
    trust: Option<PathBuf>,
    /// Ask for a host and port at this address, before the DNS says so.
    #[arg(long, value_name = "HOST:PORT=ADDRESS:PORT")]
    resolve: Vec<MappedAddress>,
    #[command(flatten)]
    remote: Remote,
}

/// What the admin API knows.
#[derive(Deserialize)]
struct ReceivedFacts {
    facts: WidgetFacts,
}

/// An address over http or https.
fn page_url(text: &str) -> Result<Url, String> {
    let right = "write it like https://www.example.com";
    let url: Url = text.parse().map_err(|error| format!("{error}: {right}"))?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        _ => Err(format!("the scheme is neither http nor https: {right}")),
    }
}

fn edge_url(text: &str) -> Result<Url, String> {
    let url = page_url(text)?;
    match url.path() == "/" && url.query().is_none() {
        true => Ok(url),
        false => Err("write its scheme and host alone, such as https://embed.example.net".to_owned()),
    }
}

pub(super) fn run(common: &Common, arguments: &ChecklistArguments) -> Result<ExitCode, CliError> {
    let ChecklistArguments { widget, edge, site, trust, resolve, remote } = arguments;
    let asked = remote.running(common)?;
    let ReceivedFacts { facts } = asked.get(&format!("/v1/widgets/{widget}/checklist"))?;
    let own = || facts.origins.first().and_then(|origin| origin.parse().ok());
    let edge = edge.clone().or_else(own).ok_or_else(|| CliError::Unreachable {
        url: asked.url.clone(),
        detail: "this edge tells no origin of its own; name one with --edge".to_owned(),
    })?;
    let trusted = trust.as_deref().map(authorities).transpose()?.unwrap_or_default();
    let client = CheckClient::new(Reach::Anywhere(resolve.clone()), &trusted);
    let client = client.map_err(|error| CliError::Unusable {
        path: trust.clone().unwrap_or_default(),
        detail: error.to_string(),
    })?;
    let deployment = Deployment { facts, edge, page: site.clone(), now: Timestamp::now() };
    let checklist = deployment.check(&client, &client).map_err(|fault| CliError::Unreachable {
        url: deployment.edge.origin().ascii_serialization(),
        detail: fault.detail,
    })?;
    print(common.json, &checklist)?;
    Ok(if checklist.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
