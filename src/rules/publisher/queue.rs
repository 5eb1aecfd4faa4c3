//! Queue of callers for group commit. A caller who finds nobody writing writes for all who wait: a single save starts
//! at once, and the saves that arrive while it is written share the next commit.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::obeying::ObeyedBatch;
use super::published::Published;
use crate::rules::book::{PreparedChange, Rejection};
use crate::rules::change::{Actor, ApplyOptions, Precondition};
use crate::rules::edit::Edit;
use crate::rules::error::SaveError;
use embedgate_policy::widget::WidgetId;

/// Most changes of one group: later ones wait for the next, or one small save would wait for all large ones.
const GROUP_CHANGES: usize = 10_000;

/// Call of a writer: what it asks for.
pub(super) struct Call {
    pub(super) work: Work,
    pub(super) answer: Arc<AnswerSlot>,
}

/// Work that a call asks for.
pub(super) enum Work {
    /// Changes to be judged.
    Request(Request),
    /// Keeping what is in force and could not be kept yet.
    Keep,
    /// What a bucket says.
    Obey(Box<ObeyedBatch>),
    /// A kill switch that can't be published, and why.
    Stop { id: WidgetId, only_if: Precondition, actor: Actor, cause: SaveError },
}

/// Changes that somebody asks for.
#[derive(Clone)]
pub(super) enum Request {
    /// Changes, whole or not at all.
    Changes {
        changes: Vec<PreparedChange>,
        options: ApplyOptions,
        /// How many widgets it may touch at most, where it is a wide change.
        confirmed: Option<usize>,
        actor: Actor,
    },
    /// A change that is made of what is stored.
    Edit { id: WidgetId, edit: Edit, only_if: Precondition, actor: Actor },
}

/// Call with a request.
pub(super) struct RequestCall {
    pub(super) request: Request,
    pub(super) answer: Arc<AnswerSlot>,
}

impl Work {
    /// How many changes it counts for.
    fn size(&self) -> usize {
        match self {
            Self::Request(Request::Changes { changes, .. }) => changes.len().max(1),
            Self::Request(Request::Edit { .. }) | Self::Keep | Self::Stop { .. } => 1,
            Self::Obey(batch) => batch.len().max(1),
        }
    }
}

/// Reason why a call was not carried out.
pub(super) enum CallFailure {
    /// Changes that are refused.
    Rejected(Vec<Rejection>),
    /// Changes that were not saved for another reason.
    NotSaved(SaveError),
}

/// Slot for the answer of one call. The first answer counts.
#[derive(Default)]
pub(super) struct AnswerSlot(Mutex<Option<Result<Published, CallFailure>>>);

impl AnswerSlot {
    pub(super) fn give(&self, answer: Result<Published, CallFailure>) {
        self.0.lock().get_or_insert(answer);
    }

    pub(super) fn take(&self) -> Option<Result<Published, CallFailure>> {
        self.0.lock().take()
    }
}

/// Queue of calls, of which the first ones are written as a group.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<QueueState>,
    moved: Condvar,
}

/// State of the queue, under its lock.
#[derive(Default)]
struct QueueState {
    waiting: VecDeque<Call>,
    writing: bool,
    /// Nobody may begin to write.
    paused: bool,
    /// Somebody else writes, for good.
    closed: bool,
}

impl Queue {
    /// Waits until the call is answered. `write` answers a group of calls, this one or others; one at a time.
    pub(super) fn run(&self, work: Work, write: impl Fn(Vec<Call>)) -> Result<Published, CallFailure> {
        let answer = Arc::new(AnswerSlot::default());
        let call = Call { work, answer: Arc::clone(&answer) };
        let mut state = self.state.lock();
        if state.closed {
            return Err(CallFailure::NotSaved(SaveError::HandedOver));
        }
        state.waiting.push_back(call);
        loop {
            if let Some(answer) = answer.take() {
                return answer;
            }
            if state.writing || state.paused {
                self.moved.wait(&mut state);
                continue;
            }
            state.writing = true;
            let group = state.group();
            drop(state);
            {
                // Answers and releases whatever happens, a panic of the writer among it.
                let _lock = WriterLock {
                    queue: self,
                    answers: group.iter().map(|call| Arc::clone(&call.answer)).collect(),
                };
                write(group);
            }
            state = self.state.lock();
        }
    }
}

impl Queue {
    /// Lets nobody begin to write from now on, and waits until nobody writes. Callers wait.
    pub(super) fn pause(&self) {
        let mut state = self.state.lock();
        state.paused = true;
        while state.writing {
            self.moved.wait(&mut state);
        }
    }

    /// Lets callers write again after a pause.
    pub(super) fn resume(&self) {
        self.state.lock().paused = false;
        self.moved.notify_all();
    }

    /// Waits while nobody may begin to write. `false`: somebody else writes, for good.
    pub(super) fn is_open(&self) -> bool {
        let mut state = self.state.lock();
        while state.paused && !state.closed {
            self.moved.wait(&mut state);
        }
        !state.closed
    }

    /// Refuses everybody who waits after a pause, and everybody who comes.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        for call in state.waiting.drain(..) {
            call.answer.give(Err(CallFailure::NotSaved(SaveError::HandedOver)));
        }
        drop(state);
        self.moved.notify_all();
    }
}

#[cfg(test)]
impl Queue {
    /// How many calls wait for their turn.
    pub(super) fn waiting(&self) -> usize {
        self.state.lock().waiting.len()
    }
}

impl QueueState {
    /// Takes the next group out.
    fn group(&mut self) -> Vec<Call> {
        let mut changes = 0;
        let fits = |call: &&Call| {
            let first = changes == 0;
            changes += call.work.size();
            first || changes <= GROUP_CHANGES
        };
        let calls = self.waiting.iter().take_while(fits).count();
        self.waiting.drain(..calls).collect()
    }
}

/// Write lock, held while a group commits: on drop it answers whoever has no answer yet, and is released.
struct WriterLock<'a> {
    queue: &'a Queue,
    answers: Vec<Arc<AnswerSlot>>,
}

impl Drop for WriterLock<'_> {
    fn drop(&mut self) {
        for answer in &self.answers {
            // Does nothing where there is an answer: nobody takes one before the lock is released.
            answer.give(Err(CallFailure::NotSaved(SaveError::WriterFailed)));
        }
        self.queue.state.lock().writing = false;
        self.queue.moved.notify_all();
    }
}
