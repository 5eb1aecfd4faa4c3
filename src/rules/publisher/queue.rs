//! Callers who wait for the writer. Whoever finds nobody writing writes for all who wait: a save alone starts at
//! once, and while it is written the next ones gather and share the next stroke.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::rules::book::{Prepared, Rejection};
use crate::rules::brake::WideChange;
use crate::rules::change::{Actor, ApplyOptions};
use crate::rules::error::RulesError;

use super::Published;

/// Changes that may be written together: what comes after them waits its turn, or one small save would wait for
/// all large ones.
const GROUP_CHANGES: usize = 10_000;

/// One call: what is asked for.
pub(super) struct Call {
    pub(super) changes: Vec<Prepared>,
    pub(super) options: ApplyOptions,
    /// How many widgets it may touch at most, where it is a wide change.
    pub(super) confirmed: Option<usize>,
    pub(super) actor: Actor,
    pub(super) answer: Arc<Answer>,
}

/// Why a call was not carried out.
pub(super) enum Failure {
    /// Changes that can't be made.
    Rejected(Vec<Rejection>),
    /// A wide change that has to be confirmed.
    Held(WideChange),
    /// They could not be kept.
    NotKept(RulesError),
}

/// The place for the answer of one call. The first answer counts.
#[derive(Default)]
pub(super) struct Answer(Mutex<Option<Result<Published, Failure>>>);

impl Answer {
    pub(super) fn give(&self, answer: Result<Published, Failure>) {
        lock(&self.0).get_or_insert(answer);
    }

    fn take(&self) -> Option<Result<Published, Failure>> {
        lock(&self.0).take()
    }
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Call>,
    writing: bool,
}

impl Queue {
    /// Waits until the call is answered. `write` answers a group of calls, this one or others; one at a time.
    pub(super) fn run(&self, call: Call, write: impl Fn(Vec<Call>)) -> Result<Published, Failure> {
        let answer = Arc::clone(&call.answer);
        let mut state = lock(&self.state);
        state.waiting.push_back(call);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            if state.writing {
                state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.writing = true;
            let group = state.group();
            drop(state);
            {
                // Answers and lets go of the pen whatever happens.
                let _turn = Turn {
                    queue: self,
                    answers: group.iter().map(|call| Arc::clone(&call.answer)).collect(),
                };
                write(group);
            }
            state = lock(&self.state);
        }
    }
}

#[cfg(test)]
impl Queue {
    /// How many calls wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }
}

impl State {
    fn group(&mut self) -> Vec<Call> {
        let mut changes = 0;
        let fits = |call: &&Call| {
            let first = changes == 0;
            changes += call.changes.len().max(1);
            first || changes <= GROUP_CHANGES
        };
        let calls = self.waiting.iter().take_while(fits).count();
        self.waiting.drain(..calls).collect()
    }
}

/// The pen in somebody's hand.
struct Turn<'a> {
    queue: &'a Queue,
    answers: Vec<Arc<Answer>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        for answer in &self.answers {
            // Does nothing where there is an answer, which nobody takes before the pen is free.
            answer.give(Err(Failure::NotKept(RulesError::StorageFailed {
                detail: "the writer failed; whether the change is saved is not known: read it again".into(),
            })));
        }
        lock(&self.queue.state).writing = false;
        self.queue.moved.notify_all();
    }
}

/// No holder leaves half-made data behind, so a lock that saw a panic is as good as before.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
