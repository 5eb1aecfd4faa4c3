//! Counts that tell what the first of them was.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// One count, and what the first of it was.
#[derive(Default)]
pub struct Count {
    number: AtomicU64,
    first: Mutex<Option<String>>,
}

impl Count {
    pub fn add(&self) {
        self.number.fetch_add(1, Ordering::Relaxed);
    }

    /// One of what should not be.
    pub fn note(&self, what: impl FnOnce() -> String) {
        self.add();
        self.first.lock().unwrap().get_or_insert_with(what);
    }

    pub fn get(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// Empty where there is none.
    pub fn first(&self) -> String {
        self.first.lock().unwrap().clone().unwrap_or_default()
    }
}
