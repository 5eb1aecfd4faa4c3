//! Memory of sessions that have left the edge: by widget and by what they rest on, so that one verdict is enough for all
//! sessions of a page, and by age, so that the oldest can be forgotten.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use foldhash::fast::RandomState;
use jiff::Timestamp;

use super::TakenSeat;
use crate::rules::sessions::SessionFacts;

mod judging;

pub use judging::{DeniedSource, GivesPlace, JudgingBounds, JudgingPlace, LeftToJudge};

/// Number of the first session that was not read from the file.
const FIRST: u64 = 1 << 32;

/// What sessions rest on that are judged alike.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct SessionSource {
    /// The widget's id.
    pub widget: Arc<str>,
    /// The facts of the request that opened them.
    pub facts: SessionFacts,
    /// The name of the upstream that names them.
    pub upstream: Arc<str>,
}

/// Name of a session that has left the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionName {
    /// What it rests on.
    pub source: Arc<SessionSource>,
    /// Its id at the upstream.
    pub id: Arc<str>,
}

/// Stay of a session that counts as open.
pub struct Stay {
    /// When it is over.
    pub until: Timestamp,
    /// The address of its client, where it is known. It is never written anywhere.
    pub address: Option<IpAddr>,
    /// Its place among the open sessions of its widget, where those are limited.
    pub place: Option<TakenSeat>,
}

/// Session that has left the edge.
struct LeftSession {
    name: SessionName,
    since: Timestamp,
    stay: Option<Box<Stay>>,
}

/// Sessions of one source, at least one.
struct OfSource {
    number: u64,
    ids: HashMap<Arc<str>, u64, RandomState>,
    /// The numbers of the same, the oldest first.
    ages: BTreeSet<u64>,
}

/// Sessions of one widget, at least one.
#[derive(Default)]
struct OfWidget {
    sources: HashMap<Arc<SessionSource>, OfSource, RandomState>,
    /// The same by their numbers, so that they can be judged some at a time.
    order: BTreeMap<u64, Arc<SessionSource>>,
    /// The next expiry of an entry of the widget, which is on the agenda while there are sessions.
    expires_at: Option<Timestamp>,
}

/// Memory of sessions that have left the edge, at most so many.
pub struct SessionMemory {
    most: usize,
    /// The number of the next session that is remembered, and of the next one that was read: those are older.
    next: u64,
    next_read: u64,
    /// The number of the next source.
    next_source: u64,
    by_age: BTreeMap<u64, LeftSession>,
    widgets: HashMap<Arc<str>, OfWidget, RandomState>,
    expiries: BTreeSet<(Timestamp, Arc<str>)>,
    stays: BTreeSet<(Timestamp, u64)>,
    /// Numbers of those that were taken out while they are listed.
    taken: Option<Vec<u64>>,
}

impl SessionMemory {
    /// A memory with nothing in it.
    pub fn new(most: usize) -> Self {
        Self {
            most,
            next: FIRST,
            next_read: 0,
            next_source: 0,
            by_age: BTreeMap::new(),
            widgets: HashMap::default(),
            expiries: BTreeSet::new(),
            stays: BTreeSet::new(),
            taken: None,
        }
    }

    /// The number of sessions.
    pub fn len(&self) -> usize {
        self.by_age.len()
    }

    /// Remembers a session, in place of the one that had its name. Returns the oldest one, if there were too many.
    pub fn keep(&mut self, name: SessionName, since: Timestamp, stay: Option<Stay>) -> Option<SessionName> {
        if let Some(number) = self.number(&name) {
            self.take(number);
        }
        let oldest =
            (self.len() >= self.most).then(|| self.by_age.first_key_value().map(|(first, _)| *first));
        let dropped = oldest.flatten().and_then(|number| self.take(number));
        let number = self.next;
        self.next += 1;
        self.put(number, name, since, stay);
        dropped
    }

    /// Remembers a session that was read from the file, unless it was named again meanwhile. They come in the order of
    /// their age. Returns whether there is room for it.
    pub fn keep_read(&mut self, name: SessionName, since: Timestamp, stay: Option<Stay>) -> bool {
        let has_room = self.len() < self.most;
        if has_room && self.number(&name).is_none() {
            let number = self.next_read;
            self.next_read += 1;
            self.put(number, name, since, stay);
        }
        has_room
    }

    fn put(&mut self, number: u64, name: SessionName, since: Timestamp, stay: Option<Stay>) {
        let SessionName { source, id } = name;
        let of_widget = self.widgets.entry(Arc::clone(&source.widget)).or_default();
        // All sessions of a page share one.
        let source = of_widget.sources.get_key_value(&*source).map_or(source, |(known, _)| Arc::clone(known));
        let of_source = of_widget.sources.entry(Arc::clone(&source)).or_insert_with(|| {
            let number = self.next_source;
            self.next_source += 1;
            of_widget.order.insert(number, Arc::clone(&source));
            OfSource { number, ids: HashMap::default(), ages: BTreeSet::new() }
        });
        of_source.ids.insert(Arc::clone(&id), number);
        of_source.ages.insert(number);
        if let Some(stay) = &stay {
            self.stays.insert((stay.until, number));
        }
        let name = SessionName { source, id };
        self.by_age.insert(number, LeftSession { name, since, stay: stay.map(Box::new) });
    }

    /// Forgets the sessions of a widget with this id, whatever they rest on.
    pub fn end(&mut self, widget: &str, id: &str) -> Vec<SessionName> {
        self.end_before(u64::MAX, widget, id)
    }

    /// The same, of those alone that were read from the file: others were named since.
    pub fn end_read(&mut self, widget: &str, id: &str) {
        drop(self.end_before(FIRST, widget, id));
    }

    fn end_before(&mut self, end: u64, widget: &str, id: &str) -> Vec<SessionName> {
        let Some(of_widget) = self.widgets.get(widget) else { return Vec::new() };
        let numbers = of_widget.sources.values().filter_map(|of_source| of_source.ids.get(id)).copied();
        let numbers: Vec<u64> = numbers.filter(|number| *number < end).collect();
        numbers.into_iter().filter_map(|number| self.take(number)).collect()
    }

    /// Forgets the sessions that are not younger than this.
    pub fn forget_until(&mut self, at: Timestamp) -> Vec<SessionName> {
        let mut forgotten = Vec::new();
        while let Some((number, session)) = self.by_age.first_key_value()
            && session.since <= at
        {
            forgotten.extend(self.take(*number));
        }
        forgotten
    }

    /// Has the stays end whose time is over. Their sessions are remembered, but count no more.
    pub fn end_stays(&mut self, now: Timestamp) {
        while let Some((until, number)) = self.stays.first().copied()
            && until <= now
        {
            self.stays.pop_first();
            if let Some(session) = self.by_age.get_mut(&number) {
                session.stay = None;
            }
        }
    }

    /// Notes when an entry of a widget expires next, if it has sessions here.
    pub fn expect_expiry(&mut self, widget: &str, next: Option<Timestamp>) {
        let Some((id, of_widget)) = self.widgets.get_key_value(widget) else { return };
        if of_widget.expires_at == next {
            return;
        }
        let id = Arc::clone(id);
        if let Some(before) = of_widget.expires_at {
            self.expiries.remove(&(before, Arc::clone(&id)));
        }
        if let Some(next) = next {
            self.expiries.insert((next, Arc::clone(&id)));
        }
        if let Some(of_widget) = self.widgets.get_mut(widget) {
            of_widget.expires_at = next;
        }
    }

    /// Takes the widgets of which an entry has expired.
    pub fn take_expired(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.expiries.first()
            && *at <= now
        {
            let Some((_, widget)) = self.expiries.pop_first() else { break };
            if let Some(of_widget) = self.widgets.get_mut(&widget) {
                of_widget.expires_at = None;
            }
            due.push(widget);
        }
        due
    }

    /// The next instant at which an entry expires or a stay is over.
    pub fn next_due(&self) -> Option<Timestamp> {
        let expiry = self.expiries.first().map(|(at, _)| *at);
        expiry.into_iter().chain(self.stays.first().map(|(at, _)| *at)).min()
    }

    /// Whether there are sessions of a widget.
    pub fn has_widget(&self, widget: &str) -> bool {
        self.widgets.contains_key(widget)
    }

    /// The widgets with sessions.
    pub fn widgets(&self) -> impl ExactSizeIterator<Item = &Arc<str>> {
        self.widgets.keys()
    }

    /// What the sessions of a widget rest on, and how many rest on each.
    pub fn of_widget(&self, widget: &str) -> impl Iterator<Item = (&SessionSource, usize)> {
        let sources = self.widgets.get(widget).into_iter().flat_map(|of_widget| &of_widget.sources);
        sources.map(|(source, of_source)| (&**source, of_source.ids.len()))
    }

    /// Begins to list all sessions, some at a time.
    pub fn begin_list(&mut self) {
        self.taken = Some(Vec::new());
    }

    /// The next sessions, from this number on: their number, their name, since when, and until when they count as open.
    pub fn list(&self, from: u64) -> impl Iterator<Item = (u64, &SessionName, Timestamp, Option<Timestamp>)> {
        let until = |session: &LeftSession| session.stay.as_ref().map(|stay| stay.until);
        let listed = self.by_age.range(from..);
        listed.map(move |(number, session)| (*number, &session.name, session.since, until(session)))
    }

    /// Ends the list, and returns the numbers of those that were taken out since it was begun.
    pub fn end_list(&mut self) -> Vec<u64> {
        self.taken.take().unwrap_or_default()
    }

    fn number(&self, SessionName { source, id }: &SessionName) -> Option<u64> {
        self.widgets.get(&source.widget)?.sources.get(source)?.ids.get(id).copied()
    }

    /// Takes a session out.
    fn take(&mut self, number: u64) -> Option<SessionName> {
        let LeftSession { name, stay, .. } = self.by_age.remove(&number)?;
        if let Some(taken) = &mut self.taken {
            taken.push(number);
        }
        if let Some(stay) = stay {
            self.stays.remove(&(stay.until, number));
        }
        let widget = &*name.source.widget;
        if let Some(of_widget) = self.widgets.get_mut(widget) {
            if let Some(of_source) = of_widget.sources.get_mut(&name.source) {
                of_source.ids.remove(&name.id);
                of_source.ages.remove(&number);
                if of_source.ids.is_empty() {
                    of_widget.order.remove(&of_source.number);
                    of_widget.sources.remove(&name.source);
                }
            }
            if of_widget.sources.is_empty() {
                self.expect_expiry(widget, None);
                self.widgets.remove(widget);
            }
        }
        Some(name)
    }
}

#[cfg(test)]
mod tests;
