//! The bucket of these tests, and the edges that follow it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use tempfile::TempDir;

use super::super::*;
use crate::rules::book::ForcedChange;
use crate::rules::change::{Actor, ApplyOptions, Change, Precondition};
use crate::rules::documents::{Documents, HistoryEntry, Json, restore};
use crate::rules::fixtures::Notebook;
use crate::rules::live::LiveRules;
use crate::rules::publisher::tests::Ledger;
use crate::rules::shared::{BucketPosition, SharedBatch, SharedChange, SharedEntry, SharedState, Taking};
use crate::rules::source::SourceKind;
use crate::rules::storage::memory::InMemory;
use crate::rules::storage::redb::{Reading, RuleStore, StoreUse};
use crate::rules::storage::share::{KeptContact, KeptShare, SharedKey};
use crate::rules::storage::{Commit, Pending, StoredDocument, WidgetState, Write};
use embedgate_policy::suffix::PublicSuffixes;
use embedgate_policy::widget::Widget;

pub(super) const LONG: Duration = Duration::from_secs(60);

/// Message of the bucket.
#[derive(Clone)]
struct Message {
    id: WidgetId,
    revision: u64,
    /// `None`: deleted.
    json: Option<Json>,
    was_restricted: bool,
    actor: Arc<str>,
    at: Timestamp,
    /// It is the last one of its batch.
    is_end: bool,
}

impl Message {
    fn of(SignedWrite { write, author }: &SignedWrite) -> Self {
        let (revision, json, was_restricted) = match &write.state {
            WidgetState::Put { revision, json, .. } => (*revision, Some(Arc::clone(json)), false),
            WidgetState::Deleted(tombstone) => (tombstone.revision, None, tombstone.was_restricted),
        };
        let (id, actor) = (write.id.clone(), Arc::clone(&author.name));
        Self { id, revision, json, was_restricted, actor, at: author.at, is_end: false }
    }

    fn change(&self, sequence: u64) -> SharedChange {
        let state = match &self.json {
            Some(json) => {
                let widget = restore(json, self.revision, PublicSuffixes::shipped()).unwrap();
                SharedState::Document(Box::new(widget))
            }
            None => SharedState::Deleted { revision: self.revision, was_restricted: self.was_restricted },
        };
        let (id, actor) = (self.id.clone(), Arc::clone(&self.actor));
        SharedChange { id, sequence, state, actor, at: self.at }
    }
}

/// Bucket in memory: the messages of all edges in one order.
#[derive(Default)]
pub(super) struct Bus {
    messages: Mutex<Vec<Message>>,
    grown: Condvar,
}

pub(super) fn position(sequence: u64) -> BucketPosition {
    BucketPosition { created: 1, sequence, written: sequence * 10, followed: 0 }
}

impl Bus {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The sequence of the last message.
    pub(super) fn last(&self) -> u64 {
        self.messages.lock().len() as u64
    }

    /// Waits until there is a message of this sequence.
    pub(super) fn wait_for(&self, sequence: u64) {
        let mut messages = self.messages.lock();
        while (messages.len() as u64) < sequence {
            assert!(!self.grown.wait_for(&mut messages, LONG).timed_out());
        }
    }

    /// Waits until everything is in force on these edges.
    pub(super) fn settle(&self, edges: &[&Edge]) {
        for edge in edges {
            let last = self.last();
            let settled = edge.publisher.sharing.wait(Instant::now() + LONG, |share| sequence(share) >= last);
            assert!(settled, "{} is at {:?}, not at {last}", edge.name, edge.publisher.position());
        }
    }

    fn publish(&self, publication: &Publication<'_>) -> Result<u64, PublishError> {
        let mut messages = self.messages.lock();
        let count = messages.len() as u64;
        if publication.last_sequence.is_some_and(|last| last != count) {
            return Err(PublishError::Conflict { last: Some(count) });
        }
        let mut last: HashMap<&WidgetId, u64> = HashMap::new();
        for (sequence, message) in (1..).zip(messages.iter()) {
            last.insert(&message.id, sequence);
        }
        for ExpectedWrite { signed, expected } in &publication.writes {
            let last = last.get(&signed.write.id).copied().unwrap_or(0);
            if last != *expected {
                return Err(PublishError::Conflict { last: Some(last).filter(|_| last % 3 != 0) });
            }
        }
        messages.extend(publication.writes.iter().map(|write| Message::of(write.signed)));
        messages.last_mut().unwrap().is_end = true;
        self.grown.notify_all();
        Ok(messages.len() as u64)
    }

    /// The whole batches behind this sequence, no more messages than this where that can be; waits a little for some.
    fn behind(&self, sequence: u64, most: usize) -> Vec<(u64, Message)> {
        let mut messages = self.messages.lock();
        if messages.len() as u64 <= sequence {
            self.grown.wait_for(&mut messages, Duration::from_millis(5));
        }
        let mut taken = Vec::new();
        for (sequence, message) in (1..).zip(messages.iter()).skip(sequence as usize) {
            taken.push((sequence, message.clone()));
            if message.is_end && taken.len() >= most {
                break;
            }
        }
        taken
    }
}

/// Connection of one edge to the bucket.
pub(super) struct Port {
    bus: Arc<Bus>,
    /// No messages arrive.
    held: AtomicBool,
    failure: Mutex<Option<PublishError>>,
    conflicts: AtomicU64,
    is_over: AtomicBool,
}

impl Port {
    /// Has no messages arrive, or again.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, SeqCst);
    }

    /// Has every publication fail like this.
    pub(super) fn fail(&self, failure: Option<PublishError>) {
        *self.failure.lock() = failure;
    }

    /// Waits until one more publication was refused because somebody was faster.
    pub(super) fn wait_for_conflict(&self) {
        let deadline = Instant::now() + LONG;
        while self.conflicts.swap(0, SeqCst) == 0 {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }
}

impl SharedBucket for Port {
    fn publish(&self, publication: &Publication<'_>) -> Result<u64, PublishError> {
        if let Some(failure) = self.failure.lock().clone() {
            return Err(failure);
        }
        self.bus.publish(publication).inspect_err(|_| {
            self.conflicts.fetch_add(1, SeqCst);
        })
    }
}

/// Disk that may be full, or have one widget on a page that is damaged.
pub(super) struct Disk {
    pub(super) kept: Arc<dyn Storage>,
    pub(super) is_full: AtomicBool,
    pub(super) damaged: Mutex<Option<WidgetId>>,
}

impl Disk {
    fn new(kept: Arc<dyn Storage>) -> Arc<Self> {
        Arc::new(Self { kept, is_full: AtomicBool::new(false), damaged: Mutex::new(None) })
    }

    fn is_damaged(&self, id: &WidgetId) -> bool {
        self.damaged.lock().as_ref() == Some(id)
    }
}

impl Documents for Disk {
    fn get(&self, id: &str) -> Result<Option<Widget>, StoreError> {
        self.kept.documents().get(id)
    }
    fn page(&self, after: Option<&str>, limit: usize) -> Result<Vec<Widget>, StoreError> {
        self.kept.documents().page(after, limit)
    }
    fn ids(&self, after: Option<&str>, limit: usize) -> Result<Vec<WidgetId>, StoreError> {
        self.kept.documents().ids(after, limit)
    }
    fn history(&self, id: &str) -> Result<Vec<HistoryEntry>, StoreError> {
        self.kept.documents().history(id)
    }
}

impl Storage for Disk {
    fn documents(&self) -> &dyn Documents {
        self
    }
    fn stored(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        self.kept.stored(id)
    }
    fn suffixes(&self) -> &PublicSuffixes {
        self.kept.suffixes()
    }
    fn may_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        match writes.iter().any(|write| self.is_damaged(&write.id)) {
            true => {
                let source = Arc::from(Box::from("the page can't be read"));
                Err(StoreError::DamagedPart { what: "a widget".into(), source })
            }
            false => Ok(()),
        }
    }
    fn share(&self) -> KeptShare {
        self.kept.share()
    }
    fn shared_keys(&self, ids: &[&str]) -> Result<Vec<Option<SharedKey>>, StoreError> {
        self.kept.shared_keys(ids)
    }
    fn entries(&self, after: Option<&str>, limit: usize) -> Result<Vec<SharedEntry>, StoreError> {
        self.kept.entries(after, limit)
    }
    fn keep_contact(&self, contact: KeptContact) -> Result<(), StoreError> {
        self.kept.keep_contact(contact)
    }
    fn edges(&self) -> Result<Vec<u8>, StoreError> {
        self.kept.edges()
    }
    fn keep_edges(&self, edges: &[u8]) -> Result<(), StoreError> {
        self.kept.keep_edges(edges)
    }
    fn prepare<'a>(&'a self, commit: &'a Commit) -> Result<Box<dyn Pending + 'a>, StoreError> {
        if self.is_full.load(SeqCst) {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(StoreError::Full { source: Arc::new(full) });
        }
        commit.writes.iter().try_for_each(|signed| self.may_write(std::slice::from_ref(&signed.write)))?;
        self.kept.prepare(commit)
    }
}

/// Where an edge keeps what it needs after a restart.
#[derive(Clone)]
enum Place {
    File(Arc<TempDir>),
    Memory(Arc<InMemory>),
}

impl Place {
    /// What is kept there, and the book of it, as a start makes it.
    fn open(&self) -> (Arc<dyn Storage>, RuleBook) {
        match self {
            Self::File(folder) => {
                let suffixes = Arc::new(PublicSuffixes::shipped().clone());
                let path = folder.path().join("fleet.redb");
                let (store, book) = RuleStore::open(&path, suffixes, StoreUse::Edge, Reading::Whole).unwrap();
                store.establish().unwrap();
                (Arc::new(store), book)
            }
            Self::Memory(kept) => (Arc::clone(kept) as Arc<dyn Storage>, book(kept)),
        }
    }
}

impl Place {
    /// Everything comes, on a busy machine, too, but a kill switch in one test. In memory, what doesn't come is not waited
    /// for.
    fn times(&self) -> SharingTimes {
        let quick = Duration::from_millis(150);
        match self {
            Self::File(_) => SharingTimes {
                trying: LONG,
                coming_back: LONG,
                stopping: Duration::from_secs(3),
                ..SharingTimes::default()
            },
            Self::Memory(_) => {
                SharingTimes { trying: quick * 4, coming_back: quick, stopping: quick, arriving: quick }
            }
        }
    }
}

/// Edge that follows the bucket on a thread of its own.
pub(super) struct Edge {
    pub(super) name: &'static str,
    pub(super) publisher: Arc<Publisher>,
    pub(super) port: Arc<Port>,
    pub(super) storage: Arc<Disk>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) notebook: Arc<Notebook>,
    follower: Option<JoinHandle<()>>,
    bus: Arc<Bus>,
    place: Place,
}

impl Edge {
    pub(super) fn start(bus: &Arc<Bus>, name: &'static str) -> Self {
        Self::start_at(bus, name, Place::File(Arc::new(tempfile::tempdir().unwrap())))
    }

    /// The same, which keeps everything in memory: quick, and without a history.
    pub(super) fn in_memory(bus: &Arc<Bus>, name: &'static str) -> Self {
        Self::start_at(bus, name, Place::Memory(Arc::default()))
    }

    fn start_at(bus: &Arc<Bus>, name: &'static str, place: Place) -> Self {
        let (kept, book) = place.open();
        let storage = Disk::new(kept);
        let port = Arc::new(Port {
            bus: Arc::clone(bus),
            held: AtomicBool::new(false),
            failure: Mutex::new(None),
            conflicts: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let (ledger, notebook) = (Arc::new(Ledger::default()), Notebook::new());
        let publisher = Publisher::new(LiveRules::new(), SourceKind::NATS, "bucket")
            .with_observer(notebook.clone())
            .with_audit(ledger.clone())
            .with_storage(storage.clone(), book)
            .with_bucket(port.clone())
            .with_times(place.times());
        let publisher = Arc::new(publisher);
        let follower = {
            let (publisher, port) = (Arc::clone(&publisher), Arc::clone(&port));
            thread::spawn(move || follow(&publisher, &port))
        };
        let bus = Arc::clone(bus);
        Self { name, publisher, port, storage, ledger, notebook, follower: Some(follower), bus, place }
    }

    /// Ends the edge, and starts it again from what it has kept.
    pub(super) fn restart(mut self) -> Self {
        self.end();
        let (bus, name, place) = (Arc::clone(&self.bus), self.name, self.place.clone());
        drop(self);
        Self::start_at(&bus, name, place)
    }

    fn end(&mut self) {
        self.port.is_over.store(true, SeqCst);
        if let Some(follower) = self.follower.take() {
            follower.join().unwrap();
        }
    }

    pub(super) fn actor(&self) -> Actor {
        Actor::Token(self.name.into())
    }

    pub(super) fn save(&self, changes: Vec<Change>) -> Result<Published, SaveError> {
        self.publisher.apply_confirmed(changes, ApplyOptions::default(), Some(9), self.actor())
    }

    pub(super) fn edit(&self, id: &str, edit: Edit, only_if: Precondition) -> Result<Published, SaveError> {
        self.publisher.edit(WidgetId::parse(id).unwrap(), edit, only_if, self.actor())
    }

    /// Waits until everything that is in force is kept, too.
    pub(super) fn wait_until_kept(&self) {
        let deadline = Instant::now() + LONG;
        while !self.publisher.storage.behind().is_kept() {
            assert!(Instant::now() < deadline);
            thread::yield_now();
        }
    }

    pub(super) fn document(&self, id: &str) -> Option<Widget> {
        self.publisher.documents().get(id).unwrap()
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let page = self.publisher.documents().page(None, 1000).unwrap();
        assert_eq!(page.len(), self.publisher.live().load().len());
        page.into_iter().map(|widget| widget.id.to_string()).collect()
    }

    pub(super) fn is_enabled(&self, id: &str) -> Option<bool> {
        self.publisher.live().load().get(id).map(|rules| rules.enabled)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.end();
    }
}

/// The book of what is kept, as a start makes it.
fn book(kept: &InMemory) -> RuleBook {
    let book = RuleBook::new();
    let entry = |entry: SharedEntry| match entry.json {
        Some(json) => {
            let widget = restore(&json, entry.revision, PublicSuffixes::shipped()).unwrap();
            ForcedChange::put(widget, book.key())
        }
        None => ForcedChange::delete(entry.id, entry.revision, entry.was_restricted),
    };
    let entries = kept.entries(None, usize::MAX).unwrap();
    book.force(entries.into_iter().map(entry).collect()).book
}

fn follow(publisher: &Publisher, port: &Port) {
    while !port.is_over.load(SeqCst) {
        if port.held.load(SeqCst) {
            thread::yield_now();
            continue;
        }
        let from = sequence(&publisher.sharing.in_force());
        let taken = port.bus.behind(from, 3);
        let Some((last, _)) = taken.last().filter(|_| !port.held.load(SeqCst)) else { continue };
        let position = Some(position(*last));
        let changes = taken.iter().map(|(sequence, message)| message.change(*sequence)).collect();
        if publisher.obey(SharedBatch { changes, gone: Vec::new(), position, taking: Taking::Newer }).is_err()
        {
            return;
        }
    }
}
