//! Pages of a running edge's activity, read to the end.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use super::overview::OftenRefused;
use crate::cli::CliError;
use crate::cli::remote::RemoteEdge;

/// Most widgets that a page looks at.
const PAGE: usize = 1000;

/// Everything that all pages have told.
pub(super) struct AllPages<W> {
    /// The first page, with the widgets of all others. Nothing follows.
    whole: Value,
    /// What is shown of the first page.
    pub(super) first: FirstPage,
    pub(super) widgets: Vec<W>,
    pub(super) looked_at: usize,
    pub(super) missing: Vec<String>,
}

/// What is about all widgets.
#[derive(Debug, Deserialize)]
pub(super) struct FirstPage {
    pub(super) since: jiff::Timestamp,
    pub(super) unrestricted: usize,
    pub(super) monitored: usize,
    #[serde(default)]
    pub(super) most_refused: Vec<OftenRefused>,
}

/// What is about the widgets of a page.
#[derive(Deserialize)]
struct PageOfActivity {
    widgets: Vec<Value>,
    #[serde(default)]
    looked_at: usize,
    #[serde(default)]
    missing: Vec<String>,
    next: Option<String>,
}

impl<W> Serialize for AllPages<W> {
    /// One page, as the API would answer it if pages had no end.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole.serialize(serializer)
    }
}

/// Reads all pages. `query`: more parameters, `&host=a.example`.
pub(super) fn all<W: DeserializeOwned>(edge: &RemoteEdge, query: &str) -> Result<AllPages<W>, CliError> {
    let (mut after, mut whole) = (String::new(), Value::Null);
    let (mut widgets, mut looked_at, mut missing) = (Vec::new(), 0, Vec::new());
    loop {
        let page: Value = edge.get(&format!("/v1/activity?limit={PAGE}{query}{after}"))?;
        let read: PageOfActivity = edge.value(&page)?;
        widgets.extend(read.widgets);
        looked_at += read.looked_at;
        missing.extend(read.missing);
        if whole.is_null() {
            whole = page;
        }
        match read.next {
            // An id needs no escaping in a query.
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    missing.sort();
    missing.dedup();
    let first = edge.value(&whole)?;
    let shown = widgets.iter().map(|widget| edge.value(widget)).collect::<Result<_, _>>()?;
    if let Value::Object(whole) = &mut whole {
        whole.insert("widgets".to_owned(), widgets.into());
        whole.insert("looked_at".to_owned(), looked_at.into());
        whole.insert("missing".to_owned(), missing.clone().into());
        whole.insert("next".to_owned(), Value::Null);
    }
    Ok(AllPages { whole, first, widgets: shown, looked_at, missing })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What was read, as a test has it.
    pub(in crate::cli::activity) fn of<W>(widgets: Vec<W>) -> AllPages<W> {
        let since = jiff::Timestamp::UNIX_EPOCH;
        let first = FirstPage { since, unrestricted: 0, monitored: 0, most_refused: Vec::new() };
        let looked_at = widgets.len();
        AllPages { whole: Value::Null, first, widgets, looked_at, missing: Vec::new() }
    }
}
