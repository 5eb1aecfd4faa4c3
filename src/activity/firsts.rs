//! First sightings of embedders, told as notices.
//!
//! An embedder is told of when the record of its widget gets it and never had it. Once a list is full, those that it has
//! no place for are known from the sketch alone, which is begun anew at a start and when it is worn. So after a flood of
//! made-up origins somebody may be told twice; so may those whose record was lost with a damaged file. Of others that share
//! all their cells in the sketch with those that were counted, nobody is told.
//!
//! Notices are given away right before the write that keeps the sightings is committed. If the process is lost in between,
//! they are mostly told twice; not at all, if the outbox had not written them yet, and the sightings were kept. If the write
//! fails, the same sightings are written again, and not told again.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::frequent::second;
use super::tally::{EmbedderList, TallyLine};
use crate::notifications::notice::Notice;
use crate::notifications::notifier::Notify;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::entry::EntryKind;
use embedgate_policy::explain::entry_missing;
use embedgate_policy::origin::Origin;
use embedgate_policy::verdict::Reason;

/// Embedders of one widget that one write tells one by one: as many as are told in an hour. Others are counted.
const ONE_BY_ONE: usize = 20;

/// Whoever is told of first sightings.
#[derive(Default)]
pub(super) struct NoticeTaker(Option<Arc<dyn Notify>>);

/// First sightings of one write, told widget by widget.
#[derive(Default)]
pub(super) struct FirstSightings<'n> {
    taker: Option<&'n dyn Notify>,
    /// Those of the widget that is being written.
    notices: Vec<Notice>,
    /// Those of it that are not told one by one.
    more: Option<MoreFirsts>,
}

/// First sightings of one widget that are not told one by one.
#[derive(Debug)]
struct MoreFirsts {
    widget: Box<str>,
    denied: u64,
    seen: u64,
    since: u32,
}

impl NoticeTaker {
    /// This one.
    pub(super) fn new(notices: Arc<dyn Notify>) -> Self {
        Self(Some(notices))
    }

    /// First sightings that will be told, where anybody wants them.
    pub(super) fn firsts(&self) -> FirstSightings<'_> {
        let taker = self.0.as_deref().filter(|taker| taker.is_wanted());
        FirstSightings { taker, ..FirstSightings::default() }
    }
}

impl FirstSightings<'_> {
    /// Whether anybody wants them.
    pub(super) fn are_wanted(&self) -> bool {
        self.taker.is_some()
    }

    /// Notes the first sightings of an embedder. `entry`: the one that has admitted it.
    pub(super) fn add(
        &mut self,
        line: &TallyLine<'_>,
        rules: WidgetRules<'_>,
        entry: Option<&(EntryKind, String)>,
    ) {
        let reason = line.tallied.reason;
        let is_denied = match (line.list, entry) {
            (EmbedderList::Admitted, Some((EntryKind::Wildcard | EntryKind::Glob, _))) => false,
            // The kill switch is about no embedder.
            (EmbedderList::Refused, _) if reason != Some(Reason::WidgetDisabled) => true,
            _ => return,
        };
        if self.notices.len() >= ONE_BY_ONE {
            let more = self.more.get_or_insert_with(|| MoreFirsts {
                widget: line.widget.into(),
                denied: 0,
                seen: 0,
                since: line.tallied.first,
            });
            more.denied += u64::from(is_denied);
            more.seen += u64::from(!is_denied);
            more.since = more.since.min(line.tallied.first);
            return;
        }
        let (widget, embedder) = (line.widget.to_owned(), line.origin.to_owned());
        let at = second(line.tallied.first);
        self.notices.extend(match (reason, entry) {
            (Some(reason), _) if is_denied => {
                let origin = Origin::parse(line.origin).ok();
                let would_admit = origin.and_then(|origin| entry_missing(reason, origin, rules));
                let would_admit = would_admit.map(|entry| entry.to_string());
                Some(Notice::EmbedderFirstDenied { widget, embedder, reason, would_admit, at })
            }
            (_, Some((_, entry))) => {
                Some(Notice::EmbedderFirstSeen { widget, embedder, entry: entry.clone(), at })
            }
            _ => None,
        });
    }

    /// Tells those of one widget.
    pub(super) fn end_widget(&mut self) {
        let more = self.more.take().map(|more| Notice::EmbedderSummary {
            widget: more.widget.into(),
            denied: more.denied,
            seen: more.seen,
            since: hour_of(second(more.since)),
        });
        let Some(taker) = self.taker else { return };
        self.notices.drain(..).chain(more).for_each(|notice| taker.tell(notice));
    }
}

/// The beginning of the hour.
fn hour_of(at: Timestamp) -> Timestamp {
    let seconds = at.as_second();
    Timestamp::from_second(seconds - seconds.rem_euclid(3600)).unwrap_or(at)
}

impl fmt::Debug for NoticeTaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NoticeTaker").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
