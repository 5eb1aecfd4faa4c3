//! An answer on its way from an upstream, looked at as it passes: kept where it may be, given up where it may not.
//! Knows nothing of how it is proxied: whoever does that shows it the head as received, the pieces of the body, and
//! the end. Dropped before the end, nothing is kept.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::header::{self, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use jiff::Timestamp;
use pingora::protocols::http::conditional_filter::weak_validate_etag;

use super::answer::Hit;
use super::storable::{Freshness, Received, freshness, plainly_refused};
use super::store::{Personal, Place};
use super::stored::Stored;
use super::vary::Selected;
use super::{Asked, Shared};
use crate::edge::fields::Fields;
use crate::edge::message::{RequestHead, ResponseHead};
use crate::telemetry::metrics::CacheOutcome;

/// A request that goes to the upstream, and whose answer may be kept.
#[derive(Debug)]
pub struct Filling {
    shared: Arc<Shared>,
    right: Right,
    /// What is in memory and has to be validated.
    stale: Option<Arc<Stored>>,
    /// What the browser asked for, while the request asks for something else.
    conditions: Vec<(HeaderName, HeaderValue)>,
    began: Instant,
    arriving: Option<Arriving>,
    reserved: u64,
    outcome: CacheOutcome,
}

/// The right to store the answer.
#[derive(Debug)]
pub enum Right {
    /// Taken when it was asked for.
    Held(Place),
    /// To be taken once the head says that it may be kept, which those before it did not.
    Late(Personal),
    /// It is settled what becomes of the answer.
    Settled,
}

impl Right {
    fn place(&self) -> Option<&Place> {
        match self {
            Self::Held(place) => Some(place),
            Self::Late(_) | Self::Settled => None,
        }
    }
}

/// An answer that will be kept, if the rest of it comes.
#[derive(Debug)]
struct Arriving {
    stored: Stored,
    length: Option<u64>,
    body: BytesMut,
}

impl Filling {
    pub(super) fn new(shared: Arc<Shared>, right: Right, stale: Option<Arc<Stored>>, began: Instant) -> Self {
        Self {
            shared,
            right,
            stale,
            conditions: Vec::new(),
            began,
            arriving: None,
            reserved: 0,
            outcome: CacheOutcome::Miss,
        }
    }

    /// Makes the request one for validation, where there is something to validate (RFC 9111 §4.3.1): the answer to
    /// it is for the cache, which then answers the browser by the browser's own conditions.
    pub fn ask(&mut self, request: &mut RequestHead) {
        let Some(stale) = &self.stale else { return };
        for name in CONDITIONS {
            let lines = request.fields.get_all(&name);
            self.conditions.extend(lines.map(|value| (name.clone(), value.clone())));
            request.fields.remove(&name);
        }
        for (asks, field) in
            [(header::IF_NONE_MATCH, header::ETAG), (header::IF_MODIFIED_SINCE, header::LAST_MODIFIED)]
        {
            if let Some(validator) = stale.received().get(&field) {
                request.fields.insert(asks, validator.clone());
            }
        }
    }

    /// Makes it the browser's again, for an answer from memory.
    pub fn ask_no_more(&mut self, request: &mut RequestHead) {
        for name in CONDITIONS {
            request.fields.remove(&name);
        }
        for (name, value) in self.conditions.drain(..) {
            request.fields.append(name, value);
        }
    }

    /// The head of the answer, as the upstream sent it. `Some`: the browser is to get this in place of it.
    pub fn head(&mut self, response: &ResponseHead, asked: &Asked<'_>) -> Option<Hit> {
        if response.status.is_informational() {
            return None;
        }
        if let Some(stale) = self.stale.take() {
            if response.status == StatusCode::NOT_MODIFIED {
                return Some(self.validated(&stale, response, asked));
            }
            if is_failure(response.status) {
                self.stale = Some(stale);
                if let Some(hit) = self.stand_in() {
                    return Some(hit);
                }
            } else if let Some(place) = self.right.place() {
                self.shared.store.supersede(place, &stale);
            }
        }
        match self.arriving(response, asked) {
            Some(arriving) => {
                if let Right::Late(personal) = self.right {
                    let Some(place) = self.shared.store.claim_late(&asked.key(), personal) else {
                        self.right = Right::Settled;
                        return None;
                    };
                    self.right = Right::Held(place);
                }
                if let Some(flight) = self.right.place().and_then(Place::flight) {
                    flight.coming();
                }
                let is_whole = arriving.length == Some(0);
                self.arriving = Some(arriving);
                if is_whole {
                    self.end();
                }
            }
            None => self.give_up(!is_failure(response.status)),
        }
        None
    }

    /// A piece of the body.
    pub fn piece(&mut self, piece: &[u8]) {
        let Some(arriving) = &mut self.arriving else { return };
        let size = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        let length = arriving.body.len() as u64 + size;
        let too_long = length > arriving.length.unwrap_or(u64::MAX) || length > self.shared.store.largest();
        if too_long || !self.shared.store.reserve(size) {
            self.give_up(too_long);
            return;
        }
        self.reserved += size;
        arriving.body.extend_from_slice(piece);
    }

    /// The answer is whole.
    pub fn end(&mut self) {
        let Some(Arriving { stored, length, body }) = self.arriving.take() else { return };
        if length.is_some_and(|length| length != body.len() as u64) {
            return self.give_up(false);
        }
        let stored = stored.with_body(&body);
        self.keep(Arc::new(stored));
    }

    /// The upstream failed before there was a head. `Some`: the browser is to get this in place of an error.
    pub fn stand_in(&mut self) -> Option<Hit> {
        let now = Instant::now();
        let stale = self.stale.take().filter(|stale| stale.serves_if_error(now))?;
        stale.grant_respite(now);
        self.outcome = CacheOutcome::Stale;
        self.settle(true);
        Some(Hit::new(stale, now))
    }

    /// The upstream says that what is in memory is still right: RFC 9111 §4.3.4.
    fn validated(&mut self, stale: &Arc<Stored>, response: &ResponseHead, asked: &Asked<'_>) -> Hit {
        self.outcome = CacheOutcome::Revalidated;
        let now = Instant::now();
        let mut merged = stale.received().clone();
        let newer = || response.fields.iter().filter(|(name, _)| !OF_THE_BODY.contains(name));
        newer().for_each(|(name, _)| merged.remove(name));
        newer().for_each(|(name, value)| merged.append(name.clone(), value.clone()));
        let is_it = match (stale.received().get(&header::ETAG), response.fields.get(&header::ETAG)) {
            (Some(own), Some(theirs)) => weak_validate_etag(theirs.as_bytes(), own.as_bytes()),
            _ => true,
        };
        let kept = self.judge(stale.status(), &merged, asked).filter(|_| is_it);
        let (selected, freshness, is_kept) = match kept {
            Some((selected, freshness)) => (selected, freshness, true),
            None => (Selected::default(), Freshness::NONE, false),
        };
        let about = (selected, freshness, now);
        let stored =
            Stored::prepare(stale.status(), &merged, stale.body(), about, (asked.shared, asked.https));
        let stored = Arc::new(stored);
        if is_kept {
            self.keep(Arc::clone(&stored));
        } else {
            if let Some(place) = self.right.place() {
                self.shared.store.supersede(place, stale);
            }
            self.give_up(true);
        }
        Hit::new(stored, now)
    }

    /// What is to be kept of an answer; `None` where it may not be, or would be too large.
    fn arriving(&self, response: &ResponseHead, asked: &Asked<'_>) -> Option<Arriving> {
        let (selected, freshness) = self.judge(response.status, &response.fields, asked)?;
        let chunked = response.fields.contains(&header::TRANSFER_ENCODING);
        let length = response.fields.get(&header::CONTENT_LENGTH).filter(|_| !chunked);
        let length = length.map(|length| length.to_str().ok()?.parse::<u64>().ok());
        let length = match length {
            Some(Some(length)) if length <= self.shared.store.largest() => Some(length),
            Some(_) => return None,
            // A body that ends with its connection can be cut short unseen (RFC 9112 §8).
            None if !chunked && response.version < Version::HTTP_2 => return None,
            None => None,
        };
        let about = (selected, freshness, Instant::now());
        let stored = Stored::prepare(
            response.status,
            &response.fields,
            bytes::Bytes::new(),
            about,
            (asked.shared, asked.https),
        );
        Some(Arriving { stored, length, body: BytesMut::new() })
    }

    fn judge(
        &self,
        status: StatusCode,
        headers: &Fields,
        asked: &Asked<'_>,
    ) -> Option<(Selected, Freshness)> {
        if plainly_refused(status, headers) {
            return None;
        }
        let received = Received {
            status,
            headers,
            authorized: asked.request.fields.contains(&header::AUTHORIZATION),
            delay: self.began.elapsed(),
            at: Timestamp::now(),
        };
        Some((Selected::read(headers, asked.selecting())?, freshness(&received)?))
    }

    fn keep(&mut self, stored: Arc<Stored>) {
        let is_kept = self.right.place().is_some_and(|place| self.shared.store.put(place, stored));
        self.settle(is_kept);
    }

    /// Nothing will be kept. `personal`: nor of the next answer, most likely.
    fn give_up(&mut self, personal: bool) {
        self.arriving = None;
        match &self.right {
            Right::Held(place) if personal => self.shared.store.note_personal(place, Instant::now()),
            Right::Late(known) if personal => self.shared.store.still_personal(*known, self.began),
            _ => {}
        }
        self.settle(false);
    }

    /// Lets those go who wait. `landed`: there is something for them to find.
    fn settle(&mut self, landed: bool) {
        let Right::Held(place) = std::mem::replace(&mut self.right, Right::Settled) else { return };
        self.shared.store.unreserve(std::mem::take(&mut self.reserved));
        match place.flight() {
            Some(flight) if landed => flight.land(),
            Some(flight) => flight.lose(),
            None => {}
        }
        self.shared.store.release(place);
        self.shared.tell_size();
    }
}

impl Drop for Filling {
    fn drop(&mut self) {
        self.settle(false);
        self.shared.metrics.cache_answered(self.outcome);
    }
}

impl Freshness {
    /// Of an answer that is used once.
    const NONE: Self = Self {
        age: Duration::ZERO,
        fresh_for: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
    };
}

/// The errors for which a stale answer may stand in (RFC 5861 §4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// The browser's own, which its answer is judged by afterwards.
const CONDITIONS: [HeaderName; 4] =
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE, header::IF_RANGE];

/// Fields of a 304 that would be about a body it has not.
const OF_THE_BODY: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::TRANSFER_ENCODING];
