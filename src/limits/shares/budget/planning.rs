//! What is to be written about one budget.

use std::time::Duration;

use tokio::time::Instant;

use embedgate_policy::limits::LimitKind;

use super::{BudgetStanding, CALM, IDLE, ShareCeiling, SharedBudget, WRITTEN_AGAIN};
use crate::limits::shares::chunk::chunk;
use crate::limits::shares::document::{HeldShare, ShareDocument, ShareWish};
use crate::limits::shares::leases::{LastLease, SPENT};

/// Time after which a wish is repeated.
const REPEATED: Duration = Duration::from_secs(3);

/// What is to be written about a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::limits::shares) struct PlannedWrite {
    pub(in crate::limits::shares) expected: u64,
    pub(in crate::limits::shares) document: ShareDocument,
    /// Leases that have to be the last ones.
    pub(in crate::limits::shares) confirm: Vec<LastLease>,
}

/// What is to be done about a budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::limits::shares) enum ShareErrand {
    Read,
    Write(PlannedWrite),
}

impl SharedBudget {
    /// What is to be done. `used`: how many had been let through before it was read how much is used, and how much that is.
    pub(in crate::limits::shares) fn plan(
        &mut self,
        used: Option<(u64, u32)>,
        at: &BudgetStanding<'_>,
        is_over: impl Fn(&str) -> bool,
    ) -> Option<ShareErrand> {
        if self.is_held_up(at) {
            return None;
        }
        if let Some((admitted, used)) = used {
            let since = u32::try_from(self.admitted - admitted).unwrap_or(u32::MAX);
            self.bound = used.saturating_add(since);
        }
        self.looked = at.now;
        if self.is_outdated {
            self.is_busy = true;
            return Some(ShareErrand::Read);
        }
        let write = self.write(at, is_over)?;
        self.is_busy = true;
        Some(ShareErrand::Write(write))
    }

    fn write(&mut self, at: &BudgetStanding<'_>, is_over: impl Fn(&str) -> bool) -> Option<PlannedWrite> {
        let (now, kind, own) = (at.now, self.kind(), at.leases.own());
        let mut next = match &self.document {
            Some(document) => document.clone(),
            None if self.is_replaceable(at) => ShareDocument::new(self.name.clone()),
            None => return None,
        };
        if kind == LimitKind::OpensPerDay {
            match next.day {
                // The clock of another edge is ahead, or this one's is behind.
                Some(day) if day > at.today => return None,
                Some(day) if day == at.today => {}
                _ => next = ShareDocument { day: Some(at.today), ..ShareDocument::new(self.name.clone()) },
            }
        }
        let shares_before = next.shares.clone();
        let held = self.claim(&mut next, at);
        let covered = self.covered(&next, at);
        let floor = self.bound.saturating_sub(covered);
        let is_leaving = at.leases.leaving().is_some();
        let is_lacking = self.is_lacking(at) && !is_leaving;
        // One is used beside the share.
        let short = floor.saturating_sub(held.max(1));
        let wanted = floor.saturating_add(1).saturating_add(self.owed(&next, at));
        let need = if is_lacking { wanted.saturating_sub(held) } else { short };
        let mut confirm = Vec::new();
        let mut free = self.limit.saturating_sub(next.total().saturating_add(held));
        if free < need {
            next.shares.retain(|share| {
                if share.holder.edge == own.edge {
                    return true;
                }
                let abandoned = at.leases.abandoned(kind, &share.holder, now, &is_over);
                abandoned.is_none_or(|lease| {
                    confirm.push(lease);
                    false
                })
            });
            free = self.limit.saturating_sub(next.total().saturating_add(held));
        }
        let mut share = held;
        if free > 0 && (need > 0 || self.looks_ahead(at)) && !is_leaving {
            share += chunk(self.limit, held, free, need, at.edges);
        } else {
            share -= self.given(held.saturating_sub(floor), next.total().saturating_add(held), free, at);
        }
        let is_unmet = is_lacking && free < need;
        let is_wish_new = self.wish_again(&mut next, is_unmet, need.saturating_sub(free), at);
        if share > 0 {
            next.shares.push(HeldShare { holder: own.clone(), share });
        }
        next.shares.sort_by(|one, other| one.holder.process.cmp(&other.holder.process));
        let is_old = share > 0 && now - self.revised >= WRITTEN_AGAIN;
        if next.shares == shares_before && !is_wish_new && !is_old {
            return None;
        }
        if share < held {
            // Before it is written: from now on no more than this is used.
            let before = self.ceiling_now();
            self.ceiling = Some(ShareCeiling {
                most: before.map_or(share, |before| before.most.min(share)),
                revision: self.revision,
                is_uncertain: before.is_some_and(|before| before.is_uncertain),
            });
        }
        Some(PlannedWrite { expected: self.revision, document: next, confirm })
    }

    /// Takes the shares of the own edge out, and gives what this process holds; it is written again as it holds it now. Those of
    /// processes before it stay as one for as long as they count.
    fn claim(&self, next: &mut ShareDocument, at: &BudgetStanding<'_>) -> u32 {
        let own = at.leases.own();
        let (mut held, mut former) = (0_u32, None::<HeldShare>);
        next.shares.retain(|share| {
            if share.holder.edge != own.edge {
                return true;
            }
            if share.holder.process == own.process {
                held = held.saturating_add(share.share);
            } else if !at.leases.is_spent_of_former(self.kind(), at.now) {
                match &mut former {
                    Some(former) => former.share = former.share.saturating_add(share.share),
                    None => former = Some(share.clone()),
                }
            }
            false
        });
        next.shares.extend(former);
        held
    }

    /// How much of what is unused here is given back.
    fn given(&self, unused: u32, total: u32, free: u32, at: &BudgetStanding<'_>) -> u32 {
        if at.leases.leaving().is_some() {
            return unused;
        }
        let calm_for = at.now - self.asked;
        let wished =
            self.wishes(at).fold(0, |sum: u32, wish| sum.saturating_add(wish.need)).saturating_sub(free);
        if self.limit > 0 && total > self.limit || calm_for >= IDLE || wished > 0 && calm_for >= CALM {
            unused
        } else if wished > 0 {
            unused.div_ceil(2).max(unused.min(wished))
        } else {
            0
        }
    }

    /// Writes the own wish, if there is one, and leaves out those that are no longer heard. Returns whether others have to hear
    /// of it.
    fn wish_again(
        &mut self,
        next: &mut ShareDocument,
        is_unmet: bool,
        need: u32,
        at: &BudgetStanding<'_>,
    ) -> bool {
        let process = &at.leases.own().process;
        let known = next.wishes.iter().find(|wish| wish.process == *process).cloned();
        let heard: Vec<ShareWish> = self.wishes(at).cloned().collect();
        next.wishes.retain(|wish| heard.contains(wish));
        if !is_unmet {
            return false;
        }
        let is_due = known.is_none() || self.is_time_to_wish(at);
        if is_due {
            self.wish = self.wish.wrapping_add(1);
            self.wished = Some(at.now);
        }
        // A little more than it takes, so that not every one of them is a wish of its own.
        let need = need.max(self.limit / 64);
        next.wishes.push(ShareWish { process: process.clone(), need, nth: self.wish });
        is_due
    }

    /// Whether the wish that it has use for more is to be written, or written again.
    pub(super) fn is_wish_due(&self, document: &ShareDocument, at: &BudgetStanding<'_>) -> bool {
        let process = &at.leases.own().process;
        self.is_time_to_wish(at) || !document.wishes.iter().any(|wish| wish.process == *process)
    }

    fn is_time_to_wish(&self, at: &BudgetStanding<'_>) -> bool {
        self.wished.is_none_or(|wished| at.now - wished >= REPEATED)
    }

    /// Whether this edge holds more than it uses, or was not looked at since it is about to stop.
    pub(super) fn is_to_be_given_back(&self, since: Instant, at: &BudgetStanding<'_>) -> bool {
        let own = at.leases.own();
        let is_unused = |held: &HeldShare| {
            held.holder.process == own.process && (self.looked < since || held.share > self.bound)
        };
        self.document(at.today).is_some_and(|document| document.shares.iter().any(is_unused))
    }

    /// Whether a document that can't be read is replaced: for as long as shares of it could count, nobody has written it again.
    pub(super) fn is_replaceable(&self, at: &BudgetStanding<'_>) -> bool {
        self.document.is_none() && at.now - self.revised >= SPENT
    }

    /// Whether it can be forgotten here, and read again: nobody asks for it, and its document says for the rest of the day what
    /// this edge holds of it, and may use. So it is not with shares of other kinds, which change while nobody asks.
    pub(in crate::limits::shares) fn can_be_read_again(&self, at: &BudgetStanding<'_>) -> bool {
        let is_calm = at.now - self.asked >= IDLE && !self.is_outdated && !self.is_held_up(at);
        if self.kind() != LimitKind::OpensPerDay || !is_calm || self.ceiling_now().is_some() {
            return false;
        }
        let own = at.leases.own();
        self.document(at.today).filter(|document| document.day.is_some()).is_some_and(|document| {
            // How much of the share of a process before this one is used stands nowhere.
            document
                .shares
                .iter()
                .filter(|held| held.holder.edge == own.edge)
                .all(|held| held.holder == *own && held.share <= self.bound)
        })
    }
}
