//! One budget on this edge: what of it may be used.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use embedgate_policy::limits::LimitKind;

use super::chunk::runs_low;
use super::document::{BudgetName, HeldShare, ShareDocument, ShareWish};
use super::leases::LeaseTable;

mod planning;

pub(super) use planning::{PlannedWrite, ShareErrand};

/// Time for which somebody who lacked something counts as one who does.
const LACKING: Duration = Duration::from_secs(3);

/// Time after which a wish that is not repeated is no longer heard.
const HEARD: Duration = Duration::from_secs(5);

/// Time after which an edge that was asked for nothing gives everything it can to one that wishes for something.
const CALM: Duration = Duration::from_secs(1);

/// Time after which an edge that was asked for nothing gives back what it does not use.
const IDLE: Duration = Duration::from_secs(120);

/// Time between two looks at what is idle, and after which a share that is held is written again, so that it is not dropped.
const LOOK: Duration = Duration::from_secs(30);
const WRITTEN_AGAIN: Duration = Duration::from_secs(12 * 3600);

/// Time in which a request may wait, and after which the next one may, where nothing came.
pub(super) const WAIT: Duration = Duration::from_millis(250);
const WAIT_AGAIN: Duration = Duration::from_secs(1);

/// Pause after something that was not read or written.
const PAUSE: Duration = Duration::from_millis(300);

/// Budget on this edge.
#[derive(Debug)]
pub(super) struct SharedBudget {
    pub(super) name: BudgetName,
    /// How many were made before it, and it: one that is forgotten and comes again has another.
    pub(super) number: u64,
    pub(super) is_newcomer: bool,
    /// The last document that this edge knows; `None`: one that it can't read.
    document: Option<ShareDocument>,
    revision: u64,
    revised: Instant,
    limit: u32,
    /// No more than this is used.
    bound: u32,
    /// How many were let through, to be added to what was counted before.
    pub(super) admitted: u64,
    /// What was used on this day before this process was first asked, by processes before it.
    before: Option<(i64, u32)>,
    ceiling: Option<ShareCeiling>,
    /// An errand is under way.
    pub(super) is_busy: bool,
    is_outdated: bool,
    /// Something was not read or written, and nothing was since: it is not tried again before.
    not_before: Option<Instant>,
    asked: Instant,
    lacked: Option<Instant>,
    /// Since when a request waits for more.
    waited: Option<Instant>,
    wish: u32,
    wished: Option<Instant>,
    heard: Vec<(ShareWish, Instant)>,
    looked: Instant,
    changed: watch::Sender<()>,
}

/// Bound of what may be used while a lower share is written.
#[derive(Clone, Copy, Debug)]
struct ShareCeiling {
    most: u32,
    /// The revision that is replaced. Once there is a later one, the bound says nothing more.
    revision: u64,
    /// Nobody knows whether what was sent will be written yet.
    is_uncertain: bool,
}

/// What a budget is looked at with.
pub(super) struct BudgetStanding<'l> {
    pub(super) leases: &'l LeaseTable,
    pub(super) now: Instant,
    /// The day, counted from 1970.
    pub(super) today: i64,
    /// The number of edges.
    pub(super) edges: u32,
}

impl SharedBudget {
    pub(super) fn new(name: BudgetName, (number, is_newcomer): (u64, bool), now: Instant) -> Self {
        Self {
            document: Some(ShareDocument::new(name.clone())),
            name,
            number,
            is_newcomer,
            revision: 0,
            revised: now,
            limit: 0,
            bound: 0,
            admitted: 0,
            before: None,
            ceiling: None,
            is_busy: false,
            is_outdated: false,
            not_before: None,
            asked: now,
            lacked: None,
            waited: None,
            wish: 0,
            wished: None,
            heard: Vec::new(),
            looked: now,
            changed: watch::Sender::new(()),
        }
    }

    fn kind(&self) -> LimitKind {
        self.name.kind
    }

    /// The document of this day; `None` where it can't be read, or is of a later day.
    fn document(&self, today: i64) -> Option<&ShareDocument> {
        let document = self.document.as_ref()?;
        let is_of_now = self.kind() != LimitKind::OpensPerDay || document.day.is_none_or(|day| day == today);
        is_of_now.then_some(document)
    }

    /// What this edge may use.
    fn usable(&self, at: &BudgetStanding<'_>) -> u32 {
        let one = u32::from(at.leases.has_one(self.kind(), at.now));
        if !at.leases.is_valid(at.now) {
            return one;
        }
        // Where a limit was lowered, nobody goes on before the shares are, too.
        let Some(document) = self.document(at.today).filter(|document| document.total() <= self.limit) else {
            return one;
        };
        let own = document.shares.iter().filter(|held| held.holder == *at.leases.own());
        let mut own = own.fold(0, |own: u32, held| own.saturating_add(held.share));
        if let Some(ceiling) = self.ceiling_now() {
            own = own.min(ceiling.most);
        }
        let own = own.saturating_sub(self.owed(document, at));
        own.saturating_add(self.covered(document, at)).min(self.limit).max(one)
    }

    /// What a process before this one may have used within the last minute beside its share: it stands nowhere.
    fn owed(&self, document: &ShareDocument, at: &BudgetStanding<'_>) -> u32 {
        let own = at.leases.own();
        let is_former = |held: &HeldShare| held.holder.edge == own.edge && held.holder.process != own.process;
        let may_be_used = !at.leases.has_one(self.kind(), at.now);
        u32::from(may_be_used && !document.shares.iter().any(is_former))
    }

    fn ceiling_now(&self) -> Option<ShareCeiling> {
        self.ceiling.filter(|ceiling| self.revision <= ceiling.revision)
    }

    /// How much of what is used now was used by processes before this one, and stands in their shares.
    fn covered(&self, document: &ShareDocument, at: &BudgetStanding<'_>) -> u32 {
        let Some((_, used)) = self.before.filter(|(day, _)| *day == at.today) else { return 0 };
        let own = at.leases.own();
        let former = document
            .shares
            .iter()
            .filter(|held| held.holder.edge == own.edge && held.holder.process != own.process);
        former.fold(0, |former: u32, held| former.saturating_add(held.share)).min(used)
    }

    /// What this edge may use, where so much was used before somebody counted one more.
    pub(super) fn share(&mut self, limit: u32, used: u32, at: &BudgetStanding<'_>) -> u32 {
        self.limit = limit;
        self.asked = at.now;
        if self.kind() == LimitKind::OpensPerDay {
            // The least: others may have counted theirs, and ask later.
            let before =
                self.before.filter(|(day, _)| *day == at.today).map_or(used, |(_, before)| before.min(used));
            self.before = Some((at.today, before));
        }
        let usable = self.usable(at);
        if used < usable {
            self.admitted += 1;
            self.bound = self.bound.max(used.saturating_add(1));
            self.waited = None;
        } else {
            self.lacked = Some(at.now);
        }
        usable
    }

    /// Asks for more. What is returned is told of a change; `None`: nothing comes soon.
    pub(super) fn more(
        &mut self,
        limit: u32,
        used: u32,
        at: &BudgetStanding<'_>,
    ) -> Option<watch::Receiver<()>> {
        self.limit = limit;
        (self.asked, self.lacked) = (at.now, Some(at.now));
        let mut changed = self.changed.subscribe();
        if used < self.usable(at) {
            changed.mark_changed();
            return Some(changed);
        }
        let free = self.document(at.today).map_or(0, |document| limit.saturating_sub(document.total()));
        let has_waited = self.waited.map(|since| at.now - since);
        if has_waited.is_none_or(|waited| waited > WAIT_AGAIN) {
            self.waited = Some(at.now);
        } else if (free == 0 || self.not_before.is_some()) && has_waited.is_some_and(|waited| waited > WAIT) {
            return None;
        }
        Some(changed)
    }

    /// Whether something may have to be written.
    pub(super) fn is_due(&self, at: &BudgetStanding<'_>) -> bool {
        if self.is_held_up(at) {
            return false;
        }
        if let Some(since) = at.leases.leaving() {
            return self.is_to_be_given_back(since, at);
        }
        let own = at.leases.own();
        let Some(document) = &self.document else {
            return self.is_outdated || self.is_lacking(at) && self.is_replaceable(at);
        };
        let held = document.shares.iter().find(|held| held.holder.process == own.process);
        let has_claim = held.is_some_and(|held| held.holder != *own);
        let may_give = held.is_some_and(|_| {
            document.total() > self.limit
                || self.wishes(at).next().is_some()
                || at.now - self.revised >= WRITTEN_AGAIN
        });
        let is_idle = at.now - self.asked >= IDLE && at.now - self.looked >= LOOK;
        self.is_outdated || self.may_get(at) || self.looks_ahead(at) || has_claim || may_give || is_idle
    }

    /// Whether nothing can be done about it now.
    fn is_held_up(&self, at: &BudgetStanding<'_>) -> bool {
        self.is_busy || !at.leases.is_valid(at.now) || self.not_before.is_some_and(|from| at.now < from)
    }

    /// Whether something is lacking here, and there is some, or it is time to wish for it.
    fn may_get(&self, at: &BudgetStanding<'_>) -> bool {
        self.is_lacking(at)
            && self
                .document(at.today)
                .is_none_or(|document| document.total() < self.limit || self.is_wish_due(document, at))
    }

    /// Whether little is left here, and something is free.
    fn looks_ahead(&self, at: &BudgetStanding<'_>) -> bool {
        at.now - self.asked < CALM && runs_low(self.limit, self.usable(at), self.bound) && self.has_free(at)
    }

    fn is_lacking(&self, at: &BudgetStanding<'_>) -> bool {
        self.lacked.is_some_and(|lacked| at.now - lacked < LACKING)
    }

    fn has_free(&self, at: &BudgetStanding<'_>) -> bool {
        self.document(at.today).is_some_and(|document| document.total() < self.limit)
    }

    /// Wishes of others that are heard.
    fn wishes(&self, at: &BudgetStanding<'_>) -> impl Iterator<Item = &ShareWish> {
        let now = at.now;
        self.heard.iter().filter(move |(_, since)| now - *since < HEARD).map(|(wish, _)| wish)
    }

    /// Takes a document that was written, unless a newer one is known.
    pub(super) fn take(&mut self, revision: u64, document: Option<ShareDocument>, at: &BudgetStanding<'_>) {
        if revision <= self.revision && revision > 0 {
            return;
        }
        let before = self.usable(at);
        (self.revision, self.document, self.revised) = (revision, document, at.now);
        (self.is_outdated, self.not_before) = (false, None);
        let wishes = self.document.as_ref().map(|document| document.wishes.as_slice()).unwrap_or_default();
        let others = wishes.iter().filter(|wish| wish.process != at.leases.own().process);
        self.heard = others
            .map(|wish| {
                let known = self.heard.iter().find(|(heard, _)| heard == wish);
                (wish.clone(), known.map_or(at.now, |(_, since)| *since))
            })
            .collect();
        if self.usable(at) > before {
            self.waited = None;
            self.changed.send_replace(());
        }
    }

    /// The newest document was read.
    pub(super) fn was_read(&mut self) {
        (self.is_outdated, self.not_before) = (false, None);
    }

    /// Something was not read or written, for a reason that may last.
    pub(super) fn pause(&mut self, now: Instant) {
        self.not_before = Some(now + PAUSE);
    }

    /// Whatever held it up is over.
    pub(super) fn resume(&mut self) {
        self.not_before = None;
    }

    /// Somebody else has written it meanwhile.
    pub(super) fn was_outdated(&mut self) {
        self.is_outdated = true;
    }

    /// What was sent last was not written, and will not be.
    pub(super) fn was_not_written(&mut self) {
        self.ceiling = self.ceiling.filter(|ceiling| ceiling.is_uncertain);
    }

    /// Nobody knows whether what was sent last was written, or will be yet.
    pub(super) fn may_be_written(&mut self) {
        self.is_outdated = true;
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.is_uncertain = true;
        }
    }

    /// All notes are gone.
    pub(super) fn begin_anew(&mut self) {
        (self.revision, self.document) = (0, Some(ShareDocument::new(self.name.clone())));
        (self.ceiling, self.is_outdated) = (None, false);
        self.heard.clear();
    }

    /// Whether nothing is used, held or asked for.
    pub(super) fn is_idle(&self, at: &BudgetStanding<'_>) -> bool {
        let process = &at.leases.own().process;
        let document = self.document.as_ref().filter(|_| self.document(at.today).is_some());
        let holds = document
            .is_some_and(|document| document.shares.iter().any(|held| held.holder.process == *process));
        !self.is_busy && !holds && self.bound == 0 && at.now - self.asked >= IDLE
    }
}
