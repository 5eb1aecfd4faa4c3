//! `embedgate widgets allow` and `disallow`: entries added to a widget's list, and taken off it.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::WidgetName;
use super::received::{ReceivedSave, ReceivedWidget, ToldSave};
use crate::cli::output::note;
use crate::cli::remote::{ApiAnswer, Remote, RemoteCall, RemoteEdge};
use crate::cli::wait::WaitArguments;
use crate::cli::{CliError, Common};
use embedgate_policy::entry::Entry;
use embedgate_policy::origin::Origin;
use embedgate_policy::suffix::PublicSuffixes;

/// How near an entry must be to what was typed, to be suggested: 1 is the same text.
const NEAR: f64 = 0.85;

/// Arguments of `embedgate widgets allow`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  embedgate widgets allow wgt_demo shop.example.com\n  \
                        embedgate widgets allow wgt_demo 'https://pr-*.preview.example.com' \
                        --expires-at 2027-01-31T00:00:00Z --note launch\n\nAn entry that is there already takes the \
                        expiry and the note that are given here; without them it has none.")]
pub(in crate::cli) struct AllowArguments {
    #[command(flatten)]
    name: WidgetName,
    /// Where the widget may be embedded: `example.com`, `*.example.com`, `http://localhost:3000`.
    #[arg(value_name = "ENTRY", required = true)]
    entries: Vec<String>,
    /// The instant from which the entries admit nobody, such as 2027-01-31T00:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = instant)]
    expires_at: Option<Timestamp>,
    /// A note for people, kept with the entries.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Confirm that the widget, which any site may embed now, is restricted to its list by this: `restrict`.
    #[arg(long, value_name = "EFFECT", value_parser = ["restrict"])]
    confirm: Option<String>,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    remote: Remote,
}

/// Arguments of `embedgate widgets disallow`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  embedgate widgets disallow wgt_demo shop.example.com")]
pub(in crate::cli) struct DisallowArguments {
    #[command(flatten)]
    name: WidgetName,
    /// The entries to take off, as `embedgate widgets get` shows them.
    #[arg(value_name = "ENTRY", required = true)]
    entries: Vec<String>,
    #[command(flatten)]
    wait: WaitArguments,
    #[command(flatten)]
    remote: Remote,
}

fn instant(text: &str) -> Result<Timestamp, String> {
    let right = match text.parse::<Date>() {
        Ok(date) => format!("write the time, too: {date}T00:00:00Z"),
        Err(_) => "write a time in UTC, such as 2027-01-31T00:00:00Z".to_owned(),
    };
    text.parse().map_err(|_| right)
}

pub(super) fn allow(common: &Common, arguments: &AllowArguments) -> Result<ExitCode, CliError> {
    let AllowArguments { name, entries, expires_at, note, confirm, wait, remote } = arguments;
    let edge = remote.running(common)?;
    let added: Vec<Value> = entries.iter().map(|entry| listed(entry, *expires_at, note.as_deref())).collect();
    let query = confirm.as_ref().map(|effect| format!("?confirm={effect}")).unwrap_or_default();
    let before = list(&edge, name);
    let call = RemoteCall::post(name.path(&format!("/domains{query}"))).json(&json!({ "add": added }));
    let received: ApiAnswer<ReceivedSave> = edge.call(&wait.apply_to(call))?;
    let unchanged = before.is_some_and(|before| before.revision == received.shown.widget.revision);
    let named = entries.join(", ");
    let done = match (unchanged, entries.len()) {
        (true, 1) => format!("{named} is on the list already"),
        (true, _) => format!("{named} are on the list already"),
        (false, 1) => format!("{named} is on the list"),
        (false, _) => format!("{named} are on the list"),
    };
    ToldSave { done, received }.print(common)
}

/// An element of `allowed_domains`.
fn listed(entry: &str, expires_at: Option<Timestamp>, note: Option<&str>) -> Value {
    if expires_at.is_none() && note.is_none() {
        return entry.into();
    }
    let mut object = Map::new();
    object.insert("pattern".to_owned(), entry.into());
    object.extend(expires_at.map(|at| ("expires_at".to_owned(), at.to_string().into())));
    object.extend(note.map(|note| ("note".to_owned(), note.into())));
    object.into()
}

pub(super) fn disallow(common: &Common, arguments: &DisallowArguments) -> Result<ExitCode, CliError> {
    let DisallowArguments { name, entries, wait, remote } = arguments;
    let edge = remote.running(common)?;
    let before = list(&edge, name);
    let call = RemoteCall::post(name.path("/domains")).json(&json!({ "remove": entries }));
    let received: ApiAnswer<ReceivedSave> = edge.call(&wait.apply_to(call))?;
    let mut gone = Vec::new();
    for entry in entries {
        let meant = meaning(entry);
        match &before {
            Some(before) if !before.entries().any(|listed| meaning(listed) == meant) => {
                note(&not_listed(entry, name, &received.shown.widget));
            }
            _ => gone.push(entry.as_str()),
        }
        if let Some(other) = still_admitting(entry, &received.shown.widget, Timestamp::now()) {
            note(&format!("`{other}` is on the list of {} and still admits {entry}", name.id));
        }
    }
    let done = match gone.as_slice() {
        [] => "nothing to take off the list".to_owned(),
        gone => format!("{} no longer on the list", gone.join(", ")),
    };
    ToldSave { done, received }.print(common)
}

/// The widget before the change, for what is told of it; the change itself doesn't need it.
fn list(edge: &RemoteEdge, name: &WidgetName) -> Option<ReceivedWidget> {
    edge.get(&name.path("")).ok()
}

/// A text that two entries share which admit the same origins: the edge takes off what is meant, however it is written.
fn meaning(entry: &str) -> String {
    // A list of suffixes changes which entries are refused, never what one means.
    Entry::parse(entry, PublicSuffixes::shipped())
        .map_or_else(|_| entry.to_owned(), |entry| entry.semantic().to_string())
}

fn not_listed(entry: &str, name: &WidgetName, widget: &ReceivedWidget) -> String {
    let near = |listed: &&str| strsim::jaro_winkler(entry, listed);
    let nearest = widget.entries().max_by(|one, other| near(one).total_cmp(&near(other)));
    match nearest.filter(|nearest| near(nearest) > NEAR) {
        Some(nearest) => format!("`{entry}` is not on the list of {}; did you mean `{nearest}`?", name.id),
        None => format!("`{entry}` is not on the list of {}", name.id),
    }
}

/// Another entry that admits the one page that an entry names.
fn still_admitting<'w>(entry: &str, widget: &'w ReceivedWidget, now: Timestamp) -> Option<&'w str> {
    let canonical = Entry::parse(entry, PublicSuffixes::shipped()).map(|entry| entry.to_string());
    let entry = canonical.as_deref().unwrap_or(entry);
    let url = if entry.contains("://") { entry.to_owned() } else { format!("https://{entry}") };
    let page = Origin::parse(&url).ok()?;
    let meant = meaning(entry);
    widget.entries_in_force(now).find(|listed| {
        meaning(listed) != meant
            && Entry::parse(listed, PublicSuffixes::shipped()).is_ok_and(|listed| listed.admits(page))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn widget(entries: &Value) -> ReceivedWidget {
        serde_json::from_value(json!({ "id": "w", "allowed_domains": entries })).unwrap()
    }

    #[test]
    fn who_still_admits_a_page_is_found() {
        for (entry, list, other) in [
            ("www.acme.com", json!(["acme.com", "*.acme.com"]), Some("*.acme.com")),
            ("WWW.Acme.com", json!(["*.acme.com"]), Some("*.acme.com")),
            ("www.acme.com", json!(["acme.com"]), None),
            ("http://localhost:3000", json!(["localhost"]), Some("localhost")),
            ("*.acme.com", json!([".acme.com"]), None),
            ("www.acme.com", json!(["www.acme.com"]), None),
            ("www.acme.com", json!(["https://www.acme.com:443"]), None),
            (
                "www.acme.com",
                json!([{ "pattern": "*.acme.com", "expires_at": "2027-01-01T00:00:00Z" }, ".acme.com"]),
                Some(".acme.com"),
            ),
            (
                "www.acme.com",
                json!([{ "pattern": "*.acme.com", "expires_at": "2027-01-01T00:00:01Z" }]),
                Some("*.acme.com"),
            ),
        ] {
            let now = "2027-01-01T00:00:00Z".parse().unwrap();
            assert_eq!(still_admitting(entry, &widget(&list), now), other, "{entry} {list}");
        }
    }

    #[test]
    fn an_entry_is_looked_for_by_what_it_admits() {
        for (entry, listed) in [
            ("WWW.Acme.com:443", "www.acme.com"),
            ("https://acme.com", "acme.com"),
            ("localhost:*", "localhost"),
            ("münchen.example", "xn--mnchen-3ya.example"),
            ("https://acme.com/shop", "https://acme.com/shop"),
        ] {
            assert_eq!(meaning(entry), meaning(listed));
        }
        assert_ne!(meaning("http://acme.com"), meaning("acme.com"));
        assert_ne!(meaning("http://localhost"), meaning("localhost"));
    }

    #[test]
    fn an_instant_has_its_time() {
        assert!(instant("2027-01-31T00:00:00Z").is_ok());
        assert_eq!(instant("2027-01-31").unwrap_err(), "write the time, too: 2027-01-31T00:00:00Z");
        assert!(instant("tomorrow").unwrap_err().contains("such as 2027-01-31T00:00:00Z"));
    }
}
