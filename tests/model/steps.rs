//! Steps of an edge: it connects, takes messages, saves, answers, and decides about a bucket on an operator's word.

use crate::EDGES;
use crate::bucket::{Body, Bucket, Kind, Message, Position, Rules};
use crate::edge::{Book, CatchUp, Edge, Link, Saving, Waiting};
use crate::model::{Fleet, State};
use crate::rules::Broken;

impl Fleet {
    pub(crate) fn connect(&self, state: &mut State, index: usize) -> Option<()> {
        let State { bucket, edges, .. } = &mut *state;
        let edge = edges[index];
        (edge.is_reached() && edge.link != Link::Following).then_some(())?;
        let differs = bucket.differs(edge.book.at, edge.book.key);
        let (decision, kind) = bucket.decision();
        let is_less = edge.book.rules & !bucket.rules().0 != 0;
        let is_followed = kind == Kind::Accepted || !is_less || !self.has(Broken::FollowsNothingLess);
        let is_new = decision > edge.book.at.followed;
        let is_decided = is_new && is_followed;
        let differs = differs || is_new && edge.book.at.created != 0 && self.has(Broken::DecisionsFollowed);
        if differs && !is_decided && self.has(Broken::NeverBackwards) {
            edges[index].link = Link::Fault;
            return Some(());
        }
        let heard = edges.iter().any(|other| other.is_reached() && knows_of_damage(bucket, other));
        if heard && self.has(Broken::AsksTheOthers) && self.has(Broken::NeverBackwards) {
            return None;
        }
        let is_unaware = !heard && edges.iter().any(|other| knows_of_damage(bucket, other));
        let edge = &mut edges[index];
        edge.is_unaware = is_unaware;
        edge.link = Link::Following;
        if self.has(Broken::AnnouncedInOrder) {
            let sequence = bucket.publish(Body::Announced(index), self.bounds.history);
            edge.sent = Some((sequence, 0));
            if !self.has(Broken::ContactWhenApplied) {
                edge.contact = 0;
            }
        }
        if differs {
            (edge.saving, edge.waiting) = (None, None);
            let (rules, key) = bucket.rules();
            let followed = decision;
            let at =
                Position { created: bucket.created, sequence: bucket.last, written: bucket.losses, followed };
            edge.book = Book { rules, key, at, ..edge.book };
            (edge.contact, edge.serves, edge.catches_up) = (0, true, None);
        } else if edge.book.at.created == 0 {
            edge.book.at = Position { created: bucket.created, ..Position::default() };
        }
        if self.has(Broken::MembersKept) {
            for (member, announced) in bucket.announced().into_iter().enumerate() {
                if let Some(is_member) = announced.filter(|_| self.has(Broken::AnnouncedInOrder)) {
                    (edge.book.members[member], edge.heard[member]) = (is_member, 0);
                }
            }
        }
        if differs {
            edge.keep();
        }
        Some(())
    }

    pub(crate) fn deliver(&self, state: &mut State, index: usize) -> Option<()> {
        let edge = &mut state.edges[index];
        (edge.follows() && edge.hears).then_some(())?;
        let Message { sequence, written, body } = state.bucket.after(edge.book.at.sequence)?;
        match body {
            Body::Rules(rules) => (edge.book.rules, edge.book.key) = (rules, sequence),
            Body::Announced(of) => (edge.book.members[of], edge.heard[of]) = (true, 0),
            Body::SignedOff(of) => edge.book.members[of] = false,
            Body::Decided(..) if self.has(Broken::DecisionsFollowed) => {
                edge.link = Link::Off;
                return Some(());
            }
            Body::Decided(number, _) => edge.book.at.followed = number,
        }
        (edge.book.at.sequence, edge.book.at.written) = (sequence, written);
        if let Some((_, age)) = edge.sent.take_if(|(sent, _)| *sent <= sequence) {
            edge.contact = edge.contact.min(age);
            (edge.serves, edge.catches_up) = (true, None);
        } else if !self.has(Broken::AnnouncedInOrder) {
            edge.serves |= sequence == state.bucket.last;
            edge.catches_up = edge.catches_up.filter(|_| !edge.serves);
        }
        edge.keep();
        if let Some(saving) = edge.saving.take_if(|saving| saving.sequence <= sequence) {
            let Saving { sequence, save } = saving;
            // A bucket that has lost it may have another message there.
            let is_own = matches!(body, Body::Rules(rules) if rules & save != 0);
            if is_own || !self.has(Broken::KnowsOwnSave) {
                let until = state.bucket.last;
                edge.waiting = Some(Waiting { sequence, save, answered: [false; EDGES], until });
                state.saved |= save;
            }
        }
        Some(())
    }

    /// Published on the condition that nobody has changed the widget since.
    pub(crate) fn save(&self, state: &mut State, index: usize) -> Option<()> {
        let edge = &mut state.edges[index];
        (edge.follows() && edge.serves && edge.speaks).then_some(())?;
        (edge.saving.is_none() && state.bucket.rules().1 == edge.book.key).then_some(())?;
        (state.used.saves < self.bounds.saves).then(|| state.used.saves += 1)?;
        let save = 1 << state.used.saves;
        let sequence = state.bucket.publish(Body::Rules(edge.book.rules | save), self.bounds.history);
        edge.waiting = None;
        edge.saving = edge.hears.then_some(Saving { sequence, save });
        Some(())
    }

    pub(crate) fn answer(&self, state: &mut State, index: usize, of: usize) -> Option<()> {
        let (asked, edge) = (state.edges[of], &mut state.edges[index]);
        let book = if self.has(Broken::AnswersForKept) { asked.kept } else { asked.book };
        let own = edge.book.at;
        let waiting = edge.waiting.as_mut()?;
        let is_same = (book.at.created, book.at.followed) == (own.created, own.followed);
        let enforces = asked.serves && is_same && book.at.sequence >= waiting.sequence;
        let is_heard = asked.follows() && asked.is_reached() && edge.is_up && edge.hears && edge.speaks;
        (is_heard && enforces).then(|| waiting.answered[of] = true)
    }

    pub(crate) fn acknowledge(&self, state: &mut State, index: usize) -> Option<()> {
        let edge = &state.edges[index];
        let waiting = edge.waiting.filter(|_| edge.follows())?;
        let at = edge.book.at.sequence;
        let kept = if self.has(Broken::AnswersForKept) { edge.kept.at.sequence } else { at };
        let is_known = !self.has(Broken::MembersUpToTheEnd) || at >= waiting.until;
        let bound = match self.broken {
            Some(Broken::WaitedUntilStale) => self.bounds.staleness - 1,
            Some(Broken::AllowsForSlowClocks) => self.bounds.staleness,
            _ => self.bounds.staleness + self.bounds.slow,
        };
        let is_done = |of: usize| {
            let denies = self.bounds.staleness > 0 && edge.heard[of] > bound;
            of == index || !edge.book.members[of] || waiting.answered[of] || denies
        };
        (is_known && kept >= waiting.sequence && (0..EDGES).all(is_done)).then_some(())?;
        // An edge whose announcement the bucket has lost, and which nobody hears, can't be waited for.
        let is_lost = |of: &Edge| !of.is_reached() && knows_of_damage(&state.bucket, of);
        let has_lost = (0..EDGES).any(|of| !edge.book.members[of] && is_lost(&state.edges[of]));
        if !edge.is_unaware && !has_lost {
            state.everywhere |= waiting.save;
        }
        state.edges[index].waiting = None;
        Some(())
    }

    /// What isn't kept is gone.
    pub(crate) fn end(&self, edge: &mut Edge) {
        (edge.is_up, edge.link, edge.serves) = (false, Link::Off, false);
        (edge.sent, edge.saving, edge.waiting) = (None, None, None);
        (edge.book, edge.contact, edge.heard) = (edge.kept, edge.kept_contact, [0; EDGES]);
        if !self.has(Broken::MembersKept) {
            edge.book.members = [false; EDGES];
        }
    }

    /// From what was kept.
    pub(crate) fn start(&self, state: &mut State, index: usize) -> Option<()> {
        let edge = &mut state.edges[index];
        let is_new = edge.kept.at.created == 0;
        (!edge.is_up && (!is_new || self.bounds.joins)).then_some(())?;
        let waits = match edge.catches_up {
            Some(CatchUp::New) => is_new || self.has(Broken::FirstReadingIsWhole),
            Some(CatchUp::SignedOff) => self.has(Broken::SignedOffCatchesUp),
            None => false,
        };
        (edge.is_up, edge.serves) = (true, !waits);
        edge.heard = [0; EDGES];
        Some(())
    }

    /// Fills the bucket again: nothing that it has is taken back, and no edge that can be asked is ahead.
    pub(crate) fn restore(&self, state: &mut State, index: usize) -> Option<()> {
        let State { bucket, edges, .. } = &mut *state;
        let edge = edges[index];
        (edge.is_reached() && edge.serves && edge.link == Link::Fault).then_some(())?;
        let is_ahead = |rules: Rules| rules & !edge.book.rules != 0;
        let (rules, _) = bucket.rules();
        (!is_ahead(rules)).then_some(())?;
        if edges.iter().any(|other| other.is_reached() && is_ahead(other.book.rules)) {
            return None;
        }
        if rules != edge.book.rules {
            bucket.publish(Body::Rules(edge.book.rules), self.bounds.history);
        }
        self.decide(state, index, Kind::Restored)?;
        state.restored = true;
        Some(())
    }

    pub(crate) fn decide(&self, state: &mut State, index: usize, kind: Kind) -> Option<()> {
        let State { bucket, edges, .. } = &mut *state;
        let followed = edges.iter().map(|edge| edge.book.at.followed).max().unwrap_or_default();
        let number = followed.max(bucket.decision().0) + 1;
        (number <= self.bounds.decisions).then_some(())?;
        let (announced, known) = (bucket.announced(), edges[index].book.members);
        let mut found = bucket.rules().0;
        for member in 0..EDGES {
            let edge = &mut edges[member];
            let is_heard = edge.is_reached() && edge.kept.at.created != 0;
            if (known[member] || is_heard)
                && announced[member].is_none()
                && self.has(Broken::MembersCarriedOver)
            {
                bucket.publish(Body::Announced(member), self.bounds.history);
            }
            if known[member] || is_heard {
                found |= edge.kept.rules;
            } else {
                edge.is_unaware = true;
            }
        }
        bucket.publish(Body::Decided(number, kind), self.bounds.history);
        state.given_up |= state.saved & !found;
        Some(())
    }
}

/// Whether an edge finds that this is not the bucket that it has followed, and no operator has decided about it.
fn knows_of_damage(bucket: &Bucket, edge: &Edge) -> bool {
    bucket.decision().0 <= edge.kept.at.followed && bucket.differs(edge.kept.at, edge.kept.key)
}
