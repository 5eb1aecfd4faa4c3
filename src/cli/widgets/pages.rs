//! Pages of a running edge's widgets, one after the other, so that a large edge needn't be in memory as a whole.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::CliError;
use crate::cli::remote::RemoteEdge;

/// Most widgets on a page.
const PAGE: usize = 1000;

/// Page of documents, each as the edge wrote it.
#[derive(Deserialize)]
struct ReceivedPage {
    widgets: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Calls a function with the documents of each page, sorted by id. `filter`: more of the query, `&access=open`.
pub(super) fn each(
    edge: &RemoteEdge,
    filter: &str,
    mut take: impl FnMut(&[Box<RawValue>]) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut after = String::new();
    loop {
        let page: ReceivedPage = edge.get(&format!("/v1/widgets?limit={PAGE}{filter}{after}"))?;
        take(&page.widgets)?;
        match page.next {
            // An id needs no escaping in a query.
            Some(next) => after = format!("&after={next}"),
            None => return Ok(()),
        }
    }
}
