//! Requests that are under way on one connection, each in a place of its own: its waker, its time limits and the memory
//! that its work takes are there already when the next one takes the place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::wakes::{self, Wakes, Who};
use crate::edge::deadline::Deadline;

/// The requests of one connection. `F` serves one of them, and gives back the time limits that it was lent.
pub struct Requests<F> {
    wakes: Arc<Wakes>,
    places: Vec<Place<F>>,
    free: Vec<usize>,
}

struct Place<F> {
    waker: Waker,
    request: Pin<Box<Option<F>>>,
    deadline: Deadline,
}

impl<F: Future<Output = Deadline>> Requests<F> {
    /// None yet.
    pub fn new(wakes: Arc<Wakes>) -> Self {
        Self { wakes, places: Vec::new(), free: Vec::new() }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    /// Whether there is a place for another one.
    pub fn has_room(&self) -> bool {
        !self.free.is_empty() || self.places.len() < wakes::MOST
    }

    /// Begins to serve another one. Most that the edge answers itself are answered at once.
    pub fn begin(&mut self, serve: impl FnOnce(Deadline) -> F) {
        let number = self.free.pop().unwrap_or_else(|| self.add());
        if let Some(place) = self.places.get_mut(number) {
            place.request.set(Some(serve(std::mem::take(&mut place.deadline))));
            self.poll(number);
        }
    }

    /// Goes on with the one of this number.
    pub fn poll(&mut self, number: usize) {
        let Some(place) = self.places.get_mut(number) else { return };
        let Some(request) = place.request.as_mut().as_pin_mut() else { return };
        if let Poll::Ready(deadline) = request.poll(&mut Context::from_waker(&place.waker)) {
            place.request.set(None);
            place.deadline = deadline;
            self.free.push(number);
        }
    }

    /// While there is none, one place is kept.
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
        self.places.push(Place { waker, request: Box::pin(None), deadline: Deadline::default() });
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
        let mut requests = Requests::new(Arc::new(Wakes::default()));
        requests.begin(|deadline| told(deadline, &is_over, &polled));
        assert!(requests.is_empty(), "what is answered at once waits for nothing");
        is_over.set(false);
        for _ in 0..wakes::MOST {
            assert!(requests.has_room());
            requests.begin(|deadline| told(deadline, &is_over, &polled));
        }
        assert!(!requests.has_room() && requests.places.len() == wakes::MOST);
        requests.rest();
        assert_eq!(requests.places.len(), wakes::MOST);
        is_over.set(true);
        requests.poll(7);
        assert!(requests.has_room() && !requests.is_empty());
        polled.set(0);
        requests.poll(7);
        requests.poll(wakes::MOST);
        assert_eq!(polled.get(), 0, "woken too late");
        (0..wakes::MOST).for_each(|number| requests.poll(number));
        assert!(requests.is_empty());
        requests.rest();
        assert!(requests.is_empty() && requests.has_room() && requests.places.len() == 1);
        requests.begin(|deadline| told(deadline, &is_over, &polled));
        assert!(requests.is_empty());
    }
}
