//! Requests in progress on one connection, each in a slot. A slot keeps its waker, its time limits and the
//! memory of its work for the next request.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::wakes::{self, Wakes, Who};
use crate::pacing::deadline::Deadline;

/// Requests of one connection. `F` serves one of them, and returns the time limits that it borrowed.
pub struct Requests<F> {
    wakes: Arc<Wakes>,
    /// Maximum number of slots.
    most: usize,
    places: Vec<RequestSlot<F>>,
    free: Vec<usize>,
}

struct RequestSlot<F> {
    waker: Waker,
    request: Pin<Box<Option<F>>>,
    deadline: Deadline,
}

impl<F: Future<Output = Deadline>> Requests<F> {
    /// No requests yet, and at most this many at a time.
    pub fn new(wakes: Arc<Wakes>, most: usize) -> Self {
        Self { wakes, most: most.min(wakes::MOST), places: Vec::new(), free: Vec::new() }
    }

    /// Whether there are no requests.
    pub fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Whether there is a slot for another request.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.places.len() < self.most
    }

    /// Begins to serve a request. Most requests that the edge answers itself are answered at once.
    pub fn begin(&mut self, serve: impl FnOnce(Deadline) -> F) {
        let number = self.free.pop().unwrap_or_else(|| self.add());
        if let Some(place) = self.places.get_mut(number) {
            place.request.set(Some(serve(std::mem::take(&mut place.deadline))));
            self.poll(number);
        }
    }

    /// Polls the request with this number.
    pub fn poll(&mut self, number: usize) {
        let Some(place) = self.places.get_mut(number) else { return };
        let Some(request) = place.request.as_mut().as_pin_mut() else { return };
        if let Poll::Ready(deadline) = request.poll(&mut Context::from_waker(&place.waker)) {
            place.request.set(None);
            place.deadline = deadline;
            self.free.push(number);
        }
    }

    /// Frees all slots but one, while there are no requests.
    pub fn rest(&mut self) {
        if self.is_empty() && self.places.len() > 1 {
            self.places.truncate(1);
            self.free.clear();
            self.free.push(0);
        }
    }

    fn add(&mut self) -> usize {
        let number = self.places.len();
        let waker = self.wakes.waker(Who::Request(number));
        self.places.push(RequestSlot { waker, request: Box::pin(None), deadline: Deadline::default() });
        number
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;

    use super::*;

    /// One that is over once it is told to be, and counts how often it is polled.
    async fn told(deadline: Deadline, is_over: &Cell<bool>, polled: &Cell<usize>) -> Deadline {
        poll_fn(|_| {
            polled.set(polled.get() + 1);
            if is_over.get() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        deadline
    }

    #[test]
    fn places_are_taken_again() {
        let (is_over, polled) = (Cell::new(true), Cell::new(0));
        const MOST: usize = 100;
        let mut requests = Requests::new(Arc::new(Wakes::default()), MOST);
        requests.begin(|deadline| told(deadline, &is_over, &polled));
        assert!(requests.is_empty(), "what is answered at once waits for nothing");
        is_over.set(false);
        for _ in 0..MOST {
            assert!(requests.has_room());
            requests.begin(|deadline| told(deadline, &is_over, &polled));
        }
        assert!(!requests.has_room() && requests.places.len() == MOST);
        requests.rest();
        assert_eq!(requests.places.len(), MOST);
        is_over.set(true);
        requests.poll(7);
        assert!(requests.has_room() && !requests.is_empty());
        polled.set(0);
        requests.poll(7);
        requests.poll(MOST);
        assert_eq!(polled.get(), 0, "woken too late");
        (0..MOST).for_each(|number| requests.poll(number));
        assert!(requests.is_empty());
        requests.rest();
        assert!(requests.is_empty() && requests.has_room() && requests.places.len() == 1);
        requests.begin(|deadline| told(deadline, &is_over, &polled));
        assert!(requests.is_empty());
    }
}
