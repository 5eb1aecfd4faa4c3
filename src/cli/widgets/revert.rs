//! `embedgate widgets revert`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::WidgetName;
use super::received::{ReceivedSave, ToldSave};
use crate::cli::remote::{ApiAnswer, Remote, RemoteCall};
use crate::cli::wait::WaitArguments;
use crate::cli::{CliError, Common};

/// Arguments of `embedgate widgets revert`.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  embedgate widgets history wgt_demo\n  embedgate widgets revert wgt_demo 7"
)]
pub(in crate::cli) struct RevertArguments {
    #[command(flatten)]
    name: WidgetName,
    /// The revision of the document, as `embedgate widgets history` lists it.
    #[arg(value_name = "REVISION")]
    revision: u64,
    /// Confirm that any site may embed the widget after this: `open`.
    #[arg(long, value_name = "EFFECT", value_parser = ["open"])]
    confirm: Option<String>,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(common: &Common, arguments: &RevertArguments) -> Result<ExitCode, CliError> {
    let RevertArguments { name, revision, confirm, wait, remote } = arguments;
    let edge = remote.running(common)?;
    let query = confirm.as_ref().map(|effect| format!("?confirm={effect}")).unwrap_or_default();
    let call = RemoteCall::post(name.path(&format!("/revert{query}"))).json(&json!({ "revision": revision }));
    let same = "if that is what is meant, run the same command with --confirm open";
    let received: ApiAnswer<ReceivedSave> =
        edge.call(&wait.apply_to(call)).map_err(|error| error.advised("would_open_widget", same))?;
    ToldSave { done: format!("as in revision {revision}"), received }.print(common)
}
