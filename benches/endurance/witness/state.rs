//! Counts of a witness.

use std::cell::RefCell;
use std::rc::Rc;

use super::Seen;

/// The heads that are remembered.
const MOST_HEADS: usize = 256;

/// All counts, on one thread.
#[derive(Clone, Default)]
pub struct State(Rc<RefCell<Counts>>);

#[derive(Default)]
struct Counts {
    seen: Seen,
    at_once: u64,
}

impl State {
    pub fn seen(&self) -> Seen {
        self.0.borrow().seen.clone()
    }

    /// Counts from now on; what is open stays.
    pub fn forget(&self) {
        let counts = &mut *self.0.borrow_mut();
        let connections = counts.seen.connections;
        counts.seen = Seen {
            connections,
            most_connections: connections,
            most_at_once: counts.at_once,
            ..Seen::default()
        };
    }

    /// A connection, until it is dropped.
    pub fn connected(&self) -> Open {
        let seen = &mut self.0.borrow_mut().seen;
        seen.accepted += 1;
        seen.connections += 1;
        seen.most_connections = seen.most_connections.max(seen.connections);
        Open { state: self.clone(), over: |counts| counts.seen.connections -= 1 }
    }

    /// A request, until it is dropped.
    pub fn asked(&self, id: Option<&str>, head: Option<&str>) -> Open {
        let counts = &mut *self.0.borrow_mut();
        counts.at_once += 1;
        counts.seen.requests += 1;
        counts.seen.most_at_once = counts.seen.most_at_once.max(counts.at_once);
        if let Some(id) = id {
            *counts.seen.ids.entry(id.to_owned()).or_default() += 1;
        }
        if let Some(head) = head.filter(|_| counts.seen.heads.len() < MOST_HEADS) {
            counts.seen.heads.push(head.to_owned());
        }
        Open { state: self.clone(), over: |counts| counts.at_once -= 1 }
    }
}

/// Something that is counted as open as long as this is there.
pub struct Open {
    state: State,
    over: fn(&mut Counts),
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.over)(&mut self.state.0.borrow_mut());
    }
}
