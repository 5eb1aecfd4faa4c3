//! Activity of a whole fleet: read here, asked of the other edges, and added up. An edge without a fleet reads alone.
//!
//! What is kept here is read on the thread that asks, and may wait for the disk.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::join;

use super::peers::{
    MOST_WIDGETS, PAGE, PageOfEdge, PageQuestion, REFUSED, RefusedQuestion, WIDGET, WidgetQuestion,
};
use super::reader::{ActivityError, ActivityReader, RefusedEmbedder};
use super::seen::{EmbedderActivity, SHOWN, WidgetActivity};
use crate::rules::fleet::{Fleet, PeerQuestion};

/// What was seen on all edges of a fleet that have answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gathered<T> {
    /// What was seen, added up.
    pub seen: T,
    /// The names of the edges that have not answered. What they have seen is missing.
    pub missing: Vec<String>,
}

/// The activity of one widget; empty where nothing was seen.
///
/// # Errors
///
/// What is kept here can't be read.
pub async fn widget(
    reader: &dyn ActivityReader,
    fleet: Option<&dyn Fleet>,
    id: &str,
    within: Duration,
) -> Result<Gathered<WidgetActivity>, ActivityError> {
    let question = WidgetQuestion { id: id.into() };
    let others = ask(fleet, WIDGET, &question, within, |_| true);
    let ((others, missing), own) = join!(others, async { reader.widget(id) });
    let mut seen: WidgetActivity = own?;
    others.into_iter().for_each(|other| seen.merge(other));
    Ok(Gathered { seen, missing })
}

/// Widgets with activity after this id, in the order of their ids, at most `limit`. No widget up to the last one is left
/// out. A page may have fewer where more follow, as answers of other edges have a largest size; only one after which there
/// is none is empty.
///
/// # Errors
///
/// What is kept here can't be read.
pub async fn page(
    reader: &dyn ActivityReader,
    fleet: Option<&dyn Fleet>,
    after: Option<&str>,
    limit: usize,
    within: Duration,
) -> Result<Gathered<Vec<(Box<str>, WidgetActivity)>>, ActivityError> {
    let limit = limit.clamp(1, MOST_WIDGETS);
    let question = PageQuestion { after: after.map(Into::into), limit };
    let others = ask(fleet, PAGE, &question, within, |page: &PageOfEdge| page.answers(&question));
    let ((mut pages, missing), own) = join!(others, async { PageOfEdge::read(reader, &question) });
    pages.push(own?);
    Ok(Gathered { seen: merged_page(pages, limit), missing })
}

/// The embedders that were refused most often over all widgets, most often first, at most 50.
///
/// # Errors
///
/// What is kept here can't be read.
pub async fn most_refused(
    reader: &dyn ActivityReader,
    fleet: Option<&dyn Fleet>,
    within: Duration,
) -> Result<Gathered<Vec<RefusedEmbedder>>, ActivityError> {
    let others = ask(fleet, REFUSED, &RefusedQuestion {}, within, |_| true);
    let ((mut lists, missing), own) = join!(others, async { reader.most_refused() });
    lists.push(own);
    Ok(Gathered { seen: merged_refused(lists), missing })
}

/// The answers of the other edges, and the names of those from which there is none. An answer that can't be read, or that
/// is none to this question, is none.
async fn ask<T: DeserializeOwned>(
    fleet: Option<&dyn Fleet>,
    topic: &'static str,
    question: &impl Serialize,
    within: Duration,
    is_answer: impl Fn(&T) -> bool,
) -> (Vec<T>, Vec<String>) {
    let Some(fleet) = fleet else { return (Vec::new(), Vec::new()) };
    let body = serde_json::to_vec(question).unwrap_or_default();
    let told = fleet.ask(PeerQuestion { topic, body }, within).await;
    let mut missing: BTreeSet<String> = told.missing;
    let mut answers = Vec::new();
    for (edge, answer) in told.answers {
        match serde_json::from_slice(&answer).ok().filter(&is_answer) {
            Some(answer) => answers.push(answer),
            None => {
                tracing::debug!(edge, topic, "the answer of another edge can't be read");
                missing.insert(edge);
            }
        }
    }
    (answers, missing.into_iter().collect())
}

/// One page of those of all edges. Where an edge may have more behind its page, nothing is known of its widgets there, so
/// nobody's widgets behind it are told.
fn merged_page(pages: Vec<PageOfEdge>, limit: usize) -> Vec<(Box<str>, WidgetActivity)> {
    let full = pages.iter().filter(|page| page.more);
    let end = full.filter_map(|page| page.widgets.last()).map(|(id, _)| id).min().cloned();
    let is_told = |id: &str| end.as_deref().is_none_or(|end| id <= end);
    let mut merged: BTreeMap<Box<str>, WidgetActivity> = BTreeMap::new();
    for (id, activity) in pages.into_iter().flat_map(|page| page.widgets).filter(|(id, _)| is_told(id)) {
        match merged.entry(id) {
            Entry::Vacant(entry) => drop(entry.insert(activity)),
            Entry::Occupied(mut entry) => entry.get_mut().merge(activity),
        }
    }
    merged.into_iter().take(limit).collect()
}

/// One list of those of all edges. Who is missing in a full list may have been refused there, too, as often as the one on it
/// that has the least count.
fn merged_refused(lists: Vec<Vec<RefusedEmbedder>>) -> Vec<RefusedEmbedder> {
    let unlisted: Vec<u64> = lists.iter().map(|list| unlisted(list)).collect();
    let unlisted_anywhere: u64 = unlisted.iter().fold(0, |all, some| all.saturating_add(*some));
    let mut merged: BTreeMap<(Box<str>, Box<str>), (EmbedderActivity, u64)> = BTreeMap::new();
    for (list, unlisted) in lists.into_iter().zip(unlisted) {
        for RefusedEmbedder { widget, embedder } in list {
            let key = (widget, embedder.origin.clone());
            match merged.get_mut(&key) {
                Some((known, listed)) => {
                    known.merge(embedder);
                    *listed = listed.saturating_add(unlisted);
                }
                None => drop(merged.insert(key, (embedder, unlisted))),
            }
        }
    }
    let told = merged.into_iter().map(|((widget, _), (mut embedder, listed))| {
        let elsewhere = unlisted_anywhere.saturating_sub(listed);
        embedder.may_be_more(elsewhere);
        RefusedEmbedder { widget, embedder }
    });
    let mut told: Vec<RefusedEmbedder> = told.collect();
    told.sort_by(|one, other| other.embedder.rank().cmp(&one.embedder.rank()));
    told.truncate(SHOWN);
    told
}

/// How often an embedder that is not on this list may have been refused.
fn unlisted(list: &[RefusedEmbedder]) -> u64 {
    let counts = list.iter().map(|refused| refused.embedder.count);
    counts.min().filter(|_| list.len() >= SHOWN).unwrap_or_default()
}

#[cfg(test)]
mod tests;
