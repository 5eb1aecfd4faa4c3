//! `embedgate widgets put`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::WidgetName;
use super::received::{ReceivedSave, ReceivedWidget, ToldSave};
use crate::cli::remote::{ApiAnswer, Remote, RemoteCall};
use crate::cli::wait::WaitArguments;
use crate::cli::{CliError, Common};
use embedgate_policy::widget::WidgetId;

/// Arguments of `embedgate widgets put`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
        embedgate widgets get wgt_demo > wgt_demo.json; $EDITOR wgt_demo.json\n  \
        embedgate widgets put wgt_demo.json\n  \
        echo '{\"id\": \"wgt_shop\", \"allowed_domains\": [\"shop.example.com\"]}' | embedgate widgets put -\n\n\
        A document with the revision that `get` gave is saved only if nobody has changed the widget since. A higher \
        revision is taken as it is.")]
pub(in crate::cli) struct PutArguments {
    /// The document, a JSON file; `-` reads standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Save only if the stored document has this revision.
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    remote: Remote,
}

pub(super) fn run(common: &Common, arguments: &PutArguments) -> Result<ExitCode, CliError> {
    let PutArguments { file, if_revision, wait, remote } = arguments;
    let json = read(file)?;
    let (name, revision) = named(&json).map_err(|detail| CliError::Document { path: shown(file), detail })?;
    let edge = remote.running(common)?;
    let stored = match edge.get::<ReceivedWidget>(&name.path("")) {
        Ok(widget) => Some(widget),
        Err(error) if error.has_code("unknown_widget") => None,
        Err(error) => return Err(error),
    };
    let stored = stored.map(|widget| widget.revision);
    // The revision of what was read is what the edit is based on. A higher one is the writer's own.
    let based_on = revision.filter(|revision| stored.is_some_and(|stored| *revision <= stored));
    let call = RemoteCall::put(name.path("")).document(json).if_match(if_revision.or(based_on));
    let received: ApiAnswer<ReceivedSave> = edge.call(&wait.apply_to(call)).map_err(|error| match stored {
        Some(_) => error,
        None => {
            let again = format!(
                "the widget was deleted: `embedgate widgets history {id}` lists what it was and `embedgate widgets \
                 revert {id} REVISION` brings it back; to make a new one, take \"revision\" out of the document",
                id = name.id
            );
            error
                .advised("stale_revision", &again)
                .advised("precondition_failed", "there is no such widget; to make it, leave --if-revision out")
        }
    })?;
    let done = match stored {
        None => "created",
        Some(stored) if stored == received.shown.widget.revision => "unchanged",
        Some(_) => "saved",
    };
    ToldSave { done: done.to_owned(), received }.print(common)
}

fn shown(file: &Path) -> PathBuf {
    if file == Path::new("-") { "standard input".into() } else { file.into() }
}

fn read(file: &Path) -> Result<Vec<u8>, CliError> {
    let mut json = Vec::new();
    let read = match file == Path::new("-") {
        true => std::io::stdin().read_to_end(&mut json).map(|_| json),
        false => std::fs::read(file),
    };
    read.map_err(|source| CliError::File { path: shown(file), source })
}

/// The widget that a document is about, and the revision that it has. Everything else is for the edge to judge.
fn named(json: &[u8]) -> Result<(WidgetName, Option<u64>), String> {
    let form = "a document is one JSON object, such as {\"id\": \"wgt_shop\", \"allowed_domains\": []}";
    let document: Value = serde_json::from_slice(json).map_err(|error| match error.to_string() {
        // As of a second object behind the first.
        text if text.starts_with("trailing characters") => {
            format!(
                "more than one document ({text}): `embedgate widgets import` and POST /v1/batch take many"
            )
        }
        text => format!("not JSON: {text}; {form}"),
    })?;
    let Value::Object(fields) = &document else { return Err(form.to_owned()) };
    let id = match fields.get("id") {
        Some(Value::String(id)) => id,
        Some(_) => return Err("/id: must be a string".to_owned()),
        None if fields.contains_key("widgets") => {
            return Err("this is a rules file, with many widgets; `put` takes the document of one".to_owned());
        }
        None => return Err(format!("the document has no \"id\"; {form}")),
    };
    let id = WidgetId::parse(id).map_err(|error| format!("/id: {error}"))?;
    Ok((WidgetName { id }, fields.get("revision").and_then(Value::as_u64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_document_names_its_widget() {
        let (name, revision) = named(b"{\"id\": \"w\", \"revision\": 7, \"unknown\": 1}").unwrap();
        assert_eq!((name.path("/history").as_str(), revision), ("/v1/widgets/w/history", Some(7)));
        assert_eq!(named(b"{\"id\": \"w\"}").unwrap().1, None);
        for (json, says) in [
            ("", "not JSON: EOF"),
            ("{\"id\": \"w\",}", "not JSON: trailing comma at line 1 column 12"),
            ("[]", "one JSON object"),
            ("{}", "has no \"id\""),
            ("{\"id\": 7}", "/id: must be a string"),
            ("{\"id\": \"a b\"}", "/id: "),
            ("{\"widgets\": []}", "rules file"),
            ("{\"id\": \"a\"}\n{\"id\": \"b\"}\n", "more than one document"),
        ] {
            let told = named(json.as_bytes()).unwrap_err();
            assert!(told.contains(says), "{json}: {told}");
        }
    }
}
