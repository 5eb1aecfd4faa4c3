//! Questions about activity among the edges of a fleet: how they are asked, and what an edge answers from what it keeps.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::reader::{ActivityError, ActivityReader};
use super::seen::{FrequentEmbedders, WidgetActivity};
use crate::rules::fleet::AnswersPeers;

/// Topics of the questions.
pub(super) const WIDGET: &str = "activity.widget";
pub(super) const PAGE: &str = "activity.page";
pub(super) const REFUSED: &str = "activity.refused";

/// Widgets of one answer at most.
pub(super) const MOST_WIDGETS: usize = 1000;

/// Bytes of a page beside its widgets.
const AROUND_WIDGETS: usize = 64;

/// Question about one widget.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct WidgetQuestion {
    pub(super) id: Box<str>,
}

/// Question about widgets in the order of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PageQuestion {
    pub(super) after: Option<Box<str>>,
    pub(super) limit: usize,
}

/// Question about the embedders that were refused most often.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct RefusedQuestion {}

/// What one edge has seen of widgets, in the order of their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PageOfEdge {
    pub(super) widgets: Vec<(Box<str>, WidgetActivity)>,
    /// It may have more behind the last of these.
    pub(super) more: bool,
}

/// Answering side of an edge: what it has seen itself.
pub struct PeerActivity(Arc<dyn ActivityReader>);

impl PeerActivity {
    /// Answers from what this reader knows.
    pub fn new(reader: Arc<dyn ActivityReader>) -> Self {
        Self(reader)
    }
}

impl AnswersPeers for PeerActivity {
    fn answer(&self, topic: &str, body: &[u8], most: usize) -> Option<Vec<u8>> {
        let Self(reader) = self;
        match topic {
            WIDGET => {
                let WidgetQuestion { id } = question(topic, body)?;
                let activity = reader.widget(&id).inspect_err(unanswered).ok()?;
                fitted(activity, most).map(|(_, json)| json)
            }
            PAGE => {
                let question: PageQuestion = question(topic, body)?;
                let page = PageOfEdge::read(&**reader, &question);
                let page = page.inspect_err(unanswered).ok()?;
                page.within(most).and_then(|page| json(&page))
            }
            REFUSED => {
                let RefusedQuestion {} = question(topic, body)?;
                json(&reader.most_refused()).filter(|json| json.len() <= most)
            }
            _ => None,
        }
    }
}

impl PageOfEdge {
    /// The page that answers this question.
    pub(super) fn read(reader: &dyn ActivityReader, question: &PageQuestion) -> Result<Self, ActivityError> {
        let limit = question.limit.clamp(1, MOST_WIDGETS);
        let widgets = reader.page(question.after.as_deref(), limit)?;
        Ok(Self { more: widgets.len() >= limit, widgets })
    }

    /// As much of the page as has room in so many bytes; `None` where there is not even room for its first widget.
    fn within(mut self, most: usize) -> Option<Self> {
        let room = most.checked_sub(AROUND_WIDGETS)?;
        let mut bytes = 0;
        let mut kept = 0;
        for widget in &self.widgets {
            bytes += json(widget)?.len() + 1;
            if bytes > room {
                break;
            }
            kept += 1;
        }
        if kept < self.widgets.len() {
            self.more = true;
            self.widgets.truncate(kept.max(1));
        }
        if kept == 0
            && let Some((id, activity)) = self.widgets.pop()
        {
            let around_activity = id.len() + 8;
            let (activity, _) = fitted(activity, room.checked_sub(around_activity)?)?;
            self.widgets.push((id, activity));
        }
        Some(self)
    }

    /// Whether it can be an answer to this question: ids that come after the one that was named, in their order.
    pub(super) fn answers(&self, question: &PageQuestion) -> bool {
        let first = self.widgets.first().map(|(id, _)| id);
        let is_behind = first.is_none_or(|first| question.after.as_ref().is_none_or(|after| first > after));
        is_behind
            && self.widgets.is_sorted_by(|(one, _), (next, _)| one < next)
            && !(self.more && self.widgets.is_empty())
    }
}

/// The activity of a widget with as many of its embedders as have room in so many bytes of JSON, and that JSON. `None` where
/// there is no room for its entries.
fn fitted(mut activity: WidgetActivity, most: usize) -> Option<(WidgetActivity, Vec<u8>)> {
    let lists = [&activity.admitted, &activity.refused, &activity.reported];
    let mut kept = lists.map(|list| list.embedders.len()).into_iter().max().unwrap_or_default();
    loop {
        let json = json(&activity)?;
        if json.len() <= most {
            return Some((activity, json));
        }
        if kept == 0 {
            return None;
        }
        kept /= 2;
        for list in [&mut activity.admitted, &mut activity.refused, &mut activity.reported] {
            cut(list, kept);
        }
    }
}

/// Keeps so many embedders, the most frequent ones. What is said of those that are not listed stays true.
fn cut(list: &mut FrequentEmbedders, kept: usize) {
    let dropped = list.embedders.iter().skip(kept).map(|embedder| embedder.count).max();
    list.untracked = list.untracked.max(dropped.unwrap_or_default());
    list.embedders.truncate(kept);
}

/// A question, read. What can't be read is not answered.
fn question<Q: DeserializeOwned>(topic: &str, body: &[u8]) -> Option<Q> {
    let question = serde_json::from_slice(body);
    question
        .inspect_err(|error| tracing::debug!(topic, %error, "a question of another edge can't be read"))
        .ok()
}

/// Told by each write, too, and once; other edges may ask often.
fn unanswered(error: &ActivityError) {
    tracing::debug!(%error, "a question of another edge is not answered");
}

fn json(value: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(value).ok()
}

#[cfg(test)]
pub(in crate::activity) mod tests;
