//! Hand-over of the writer to another process: lent → taken back, or handed over for good; then the changes of the
//! other process are followed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Publisher;
use super::observer::Swap;
use crate::rules::book::{AppliedBatch, PreparedChange, prepare};
use crate::rules::change::{Absent, ApplyOptions, Change, ChangedWidget};
use crate::rules::documents::{Documents, canonical, restore};
use crate::rules::error::{RuleFault, SaveError, StoreError};
use crate::rules::storage::Storage;
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::{Widget, WidgetId};

/// Documents that are read at once.
const PAGE: usize = 1000;

/// Changes that another process has made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FollowedChanges {
    /// The generation of its book.
    generation: u64,
    /// Time for them to be in force here.
    limit: Duration,
    widgets: Vec<FollowedWidget>,
    /// There are no other widgets.
    whole: bool,
}

/// Widget that another process has changed.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct FollowedWidget {
    id: String,
    /// The document, as JSON; `None`: the widget is gone.
    document: Option<String>,
    /// Who has changed it, where that is known.
    #[serde(default)]
    actor: Option<Arc<str>>,
}

impl FollowedChanges {
    /// The changes of a swap, with the documents that it has put in force; `None` if there are none. Whoever follows gets
    /// this time for them, or a little less than this process got itself.
    ///
    /// # Errors
    ///
    /// A document can't be read.
    pub fn of(
        swap: &Swap<'_>,
        documents: &dyn Documents,
        limit: Duration,
    ) -> Result<Option<Self>, StoreError> {
        if let Some(followed) = swap.followed {
            let limit = limit_of_older(followed.limit);
            return Ok(Some(Self { limit, ..followed.clone() }));
        }
        // One that came and went within the swap is known to nobody.
        let known = swap.changes().filter(|(changed, _)| changed.before.or(changed.after).is_some());
        let widget = |(changed, actor): (&ChangedWidget, Option<&str>)| {
            let id = changed.id.as_str();
            let document = match documents.get(id) {
                // To open sessions a disabled widget and one that is gone are the same.
                Err(_) if swap.book.get(id).is_some_and(|rules| !rules.enabled) => None,
                document => document?.map(json),
            };
            Ok(FollowedWidget { id: changed.id.to_string(), document, actor: actor.map(Arc::from) })
        };
        let widgets: Vec<_> = known.map(widget).collect::<Result<_, StoreError>>()?;
        let generation = swap.book.generation();
        Ok((!widgets.is_empty()).then_some(Self { generation, limit, widgets, whole: false }))
    }

    /// All widgets of this publisher.
    ///
    /// # Errors
    ///
    /// A document can't be read.
    pub fn whole(publisher: &Publisher, limit: Duration) -> Result<Self, StoreError> {
        let mut widgets: Vec<FollowedWidget> = Vec::new();
        loop {
            let after = widgets.last().map(|widget| widget.id.as_str());
            let page = publisher.documents().page(after, PAGE)?;
            if page.is_empty() {
                let generation = publisher.live().load().generation();
                return Ok(Self { generation, limit, widgets, whole: true });
            }
            let document = |widget: Widget| {
                let id = widget.id.to_string();
                FollowedWidget { id, document: Some(json(widget)), actor: None }
            };
            widgets.extend(page.into_iter().map(document));
        }
    }

    /// Who has made each of these changes; none where that isn't known of all.
    fn actors(&self, changed: &[ChangedWidget]) -> Vec<Arc<str>> {
        let known: HashMap<&str, &Arc<str>> = self
            .widgets
            .iter()
            .filter_map(|widget| Some((widget.id.as_str(), widget.actor.as_ref()?)))
            .collect();
        let actors =
            changed.iter().map(|changed| known.get(changed.id.as_str()).map(|actor| Arc::clone(actor)));
        actors.collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    /// The time for them to be in force.
    pub fn limit(&self) -> Duration {
        self.limit + LIMIT_OF_WIDGET * u32::try_from(self.widgets.len()).unwrap_or(u32::MAX)
    }
}

/// More time for each widget.
const LIMIT_OF_WIDGET: Duration = Duration::from_micros(500);

/// So much less time has each older process.
const LESS: Duration = Duration::from_millis(50);

/// But not less than this.
const LEAST: Duration = Duration::from_millis(200);

/// Time of the process before this one for what this one has to do within `limit`: a little less, so that the younger ones
/// still get their answers in time.
pub fn limit_of_older(limit: Duration) -> Duration {
    limit.saturating_sub(LESS).max(LEAST)
}

fn json(mut widget: Widget) -> String {
    String::from_utf8_lossy(&canonical(&mut widget)).into_owned()
}

impl FollowedWidget {
    fn change(&self) -> Result<Change, StoreError> {
        let Some(document) = &self.document else {
            let id = WidgetId::parse(&self.id).map_err(|error| StoreError::BadDocument {
                source: Arc::from(Box::from(error.to_string())),
            })?;
            return Ok(Change::delete(id, None));
        };
        restore(document.as_bytes(), 0, PublicSuffixes::shipped()).map(Change::put)
    }
}

/// Time for kill switches to come back from the bucket before another process takes over.
const STOPS_COME_BACK: Duration = Duration::from_secs(2);

impl Publisher {
    /// The book in force, by a name that no other has: of this store, or of this process if there is none.
    pub fn book_name(&self) -> String {
        let book = self.live.load();
        format!("{:?} {}", book.key(), book.generation())
    }

    /// Lets another process open the storage. Callers wait from now on; whoever writes already is answered first.
    ///
    /// # Errors
    ///
    /// The storage is still being read, or can't be closed in good order; or a kill switch can't be kept. Nothing has
    /// changed then.
    pub fn lend(&self) -> Result<(), StoreError> {
        if let Some(bucket) = self.sharing.bucket() {
            // Those that can't be published are in the way below.
            let _ = self.publish_stops(bucket);
            self.sharing.wait(Instant::now() + STOPS_COME_BACK, |_| self.storage.stops().is_empty());
        }
        self.queue.pause();
        let kept = self.keep_stops_before_lending();
        kept.and_then(|()| self.storage.lend()).inspect_err(|_| self.queue.resume())
    }

    /// Takes the storage back after it was lent, and lets callers write again.
    ///
    /// # Errors
    ///
    /// The storage can't be opened, or has been changed. Each call says so, too, from now on.
    pub fn take_back(&self) -> Result<(), StoreError> {
        let taken = self.storage.take_back(self.live.load().generation());
        self.queue.resume();
        taken
    }

    /// Leaves the storage and the audit log to the other process for good. Callers are refused from now on.
    pub fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
        self.queue.close();
        self.sharing.wake();
    }

    /// Puts changes in force that the other process has made. They were judged and are kept there, so neither their
    /// revisions count here, nor what was in force before.
    ///
    /// # Errors
    ///
    /// A document can't be read by this version. Nothing has changed then.
    pub fn follow(&self, changes: &FollowedChanges) -> Result<(), SaveError> {
        let started = Instant::now();
        let in_force = self.live.load_full();
        let prepared = changes.widgets.iter().map(FollowedWidget::change).collect::<Result<_, _>>()?;
        let prepared = prepare(prepared, self.key()).into_iter();
        let prepared: Vec<PreparedChange> =
            prepared.filter_map(|change| change.judged_elsewhere(&in_force)).collect();
        let absent = if changes.whole { Absent::Delete } else { Absent::Keep };
        let applied = in_force.take(prepared, ApplyOptions { absent, ..ApplyOptions::default() });
        let AppliedBatch { book, changed, .. } = applied.map_err(|rejections| {
            SaveError::Invalid(rejections.into_iter().map(RuleFault::from).collect())
        })?;
        let book = Arc::new(book.at_generation(changes.generation));
        let actors = changes.actors(&changed);
        self.live.swap(Arc::clone(&book));
        self.announce(&Swap {
            source: self.source,
            book: &book,
            changed: &changed,
            actors: &actors,
            followed: Some(changes),
            took: started.elapsed(),
        });
        Ok(())
    }
}
