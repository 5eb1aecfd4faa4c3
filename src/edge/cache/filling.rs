//! Fill of the cache by an answer on its way from an upstream. The exchange passes it the head as received,
//! the pieces of the body, and the end. If the fill is dropped before the end, nothing is stored.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use http::header::{self, HeaderName, HeaderValue};
use http::{StatusCode, Version};
use jiff::Timestamp;
use pingora_core::protocols::http::conditional_filter::weak_validate_etag;
use tokio::time::Instant;

use super::answer::Hit;
use super::storable::{Freshness, UpstreamAnswer, freshness, plainly_refused};
use super::store::{FillPermit, Uncacheable};
use super::stored::StoredAnswer;
use super::vary::Selected;
use super::{AssetRequest, CacheShared};
use crate::edge::http::fields::Fields;
use crate::edge::http::message::{RequestHead, ResponseHead};
use crate::telemetry::metrics::CacheOutcome;

/// Fill by a forwarded request whose answer may be stored.
#[derive(Debug)]
pub struct CacheFill {
    shared: Arc<CacheShared>,
    permit: Permit,
    /// The stale answer that has to be validated.
    stale: Option<Arc<StoredAnswer>>,
    /// The browser's own conditions, while the request has those of the cache.
    conditions: Vec<(HeaderName, HeaderValue)>,
    began: Instant,
    arriving: Option<Arriving>,
    reserved: u64,
    outcome: CacheOutcome,
}

/// Permit to store the answer.
#[derive(Debug)]
pub enum Permit {
    /// The permit was taken when the request was sent.
    Held(FillPermit),
    /// The permit will be taken if the head allows storing, unlike the heads before it.
    Deferred(Uncacheable),
    /// No longer needed: the answer was stored or will not be.
    Released,
}

impl Permit {
    fn held(&self) -> Option<&FillPermit> {
        match self {
            Self::Held(permit) => Some(permit),
            Self::Deferred(_) | Self::Released => None,
        }
    }
}

/// Answer that will be stored when it is complete.
#[derive(Debug)]
struct Arriving {
    stored: StoredAnswer,
    length: Option<u64>,
    body: BytesMut,
}

impl CacheFill {
    pub(super) fn new(
        shared: Arc<CacheShared>,
        permit: Permit,
        stale: Option<Arc<StoredAnswer>>,
        began: Instant,
    ) -> Self {
        Self {
            shared,
            permit,
            stale,
            conditions: Vec::new(),
            began,
            arriving: None,
            reserved: 0,
            outcome: CacheOutcome::Miss,
        }
    }

    /// Turns the request into a validation (RFC 9111 §4.3.1), if there is a stale answer. The cache gets the
    /// answer, and then answers the browser by the browser's own conditions.
    pub fn add_validators(&mut self, request: &mut RequestHead) {
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

    /// Restores the browser's conditions, for an answer from memory.
    pub fn restore_conditions(&mut self, request: &mut RequestHead) {
        for name in CONDITIONS {
            request.fields.remove(&name);
        }
        for (name, value) in self.conditions.drain(..) {
            request.fields.append(name, value);
        }
    }

    /// Processes the head of the answer, as the upstream sent it. `Some`: this answer replaces it.
    pub fn head(&mut self, response: &ResponseHead, asked: &AssetRequest<'_>) -> Option<Hit> {
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
            } else if let Some(permit) = self.permit.held() {
                // The upstream has another answer now, so the stale one must go, even if the new one can't be
                // stored.
                self.shared.store.supersede(permit, &stale);
            }
        }
        match self.arriving(response, asked) {
            Some(arriving) => {
                // Only now, because most answers for a deferred permit can't be stored, and a permit takes a
                // lock.
                if let Permit::Deferred(marker) = self.permit {
                    let Some(permit) = self.shared.store.claim_deferred(&asked.key(), marker) else {
                        self.permit = Permit::Released;
                        return None;
                    };
                    self.permit = Permit::Held(permit);
                }
                if let Some(flight) = self.permit.held().and_then(FillPermit::flight) {
                    // Requests that wait get more time: there will be an answer for them.
                    flight.coming();
                }
                // Without a body, no later call would end the fill.
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

    /// Processes a piece of the body.
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

    /// Stores the answer, which is complete now.
    pub fn end(&mut self) {
        let Some(Arriving { stored, length, body }) = self.arriving.take() else { return };
        if length.is_some_and(|length| length != body.len() as u64) {
            return self.give_up(false);
        }
        let stored = stored.with_body(&body);
        self.keep(Arc::new(stored));
    }

    /// Handles a failure of the upstream before its head. `Some`: this stale answer replaces the error.
    pub fn stand_in(&mut self) -> Option<Hit> {
        let now = Instant::now();
        let stale = self.stale.take().filter(|stale| stale.serves_if_error(now))?;
        stale.start_backoff(now);
        self.outcome = CacheOutcome::Stale;
        self.settle(true);
        Some(Hit::new(stale, now))
    }

    /// Handles a 304: the stale answer is valid again, with updated fields (RFC 9111 §4.3.4).
    fn validated(
        &mut self,
        stale: &Arc<StoredAnswer>,
        response: &ResponseHead,
        asked: &AssetRequest<'_>,
    ) -> Hit {
        self.outcome = CacheOutcome::Revalidated;
        let now = Instant::now();
        let Some(merged) = updated(stale.received(), &response.fields) else {
            // Under the other answer's tag, a browser would keep this body as that answer's.
            self.drop_stale(stale);
            return Hit::new(Arc::clone(stale), now);
        };
        let (selected, freshness, is_kept) = match self.judge(stale.status(), &merged, asked) {
            Some((selected, freshness)) => (selected, freshness, true),
            None => (Selected::default(), Freshness::NONE, false),
        };
        // Even if it may not be stored, the 304 makes it a valid answer to this one request.
        let about = (selected, freshness, now);
        let stored =
            StoredAnswer::prepare(stale.status(), &merged, stale.body(), about, (asked.shared, asked.https));
        let stored = Arc::new(stored);
        if is_kept {
            self.keep(Arc::clone(&stored));
        } else {
            self.drop_stale(stale);
        }
        Hit::new(stored, now)
    }

    /// Drops the stale answer, with nothing to store in its place.
    fn drop_stale(&mut self, stale: &Arc<StoredAnswer>) {
        if let Some(permit) = self.permit.held() {
            self.shared.store.supersede(permit, stale);
        }
        self.give_up(true);
    }

    /// The answer to store; `None` if it may not be stored or is too large.
    fn arriving(&self, response: &ResponseHead, asked: &AssetRequest<'_>) -> Option<Arriving> {
        let (selected, freshness) = self.judge(response.status, &response.fields, asked)?;
        let chunked = response.fields.contains(&header::TRANSFER_ENCODING);
        let length = response.fields.get(&header::CONTENT_LENGTH).filter(|_| !chunked);
        let length = length.map(|length| length.to_str().ok()?.parse::<u64>().ok());
        let length = match length {
            Some(Some(length)) if length <= self.shared.store.largest() => Some(length),
            Some(_) => return None,
            // If a body ends with its connection, a lost part of it can't be noticed (RFC 9112 §8).
            None if !chunked && response.version < Version::HTTP_2 => return None,
            None => None,
        };
        let about = (selected, freshness, Instant::now());
        let stored = StoredAnswer::prepare(
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
        asked: &AssetRequest<'_>,
    ) -> Option<(Selected, Freshness)> {
        if plainly_refused(status, headers) {
            return None;
        }
        let received = UpstreamAnswer {
            status,
            headers,
            authorized: asked.request.fields.contains(&header::AUTHORIZATION),
            delay: self.began.elapsed(),
            at: Timestamp::now(),
        };
        Some((Selected::read(headers, asked.selecting())?, freshness(&received)?))
    }

    fn keep(&mut self, stored: Arc<StoredAnswer>) {
        let is_kept = self.permit.held().is_some_and(|permit| self.shared.store.put(permit, stored));
        self.settle(is_kept);
    }

    /// Gives up the fill. `uncacheable`: the next answers can't be stored either, most likely.
    fn give_up(&mut self, uncacheable: bool) {
        self.arriving = None;
        match &self.permit {
            Permit::Held(permit) if uncacheable => self.shared.store.mark_uncacheable(permit, Instant::now()),
            Permit::Deferred(known) if uncacheable => self.shared.store.renew_uncacheable(*known, self.began),
            _ => {}
        }
        self.settle(false);
    }

    /// Ends the fill and wakes the waiting requests. `landed`: there is an answer for them.
    fn settle(&mut self, landed: bool) {
        let Permit::Held(permit) = std::mem::replace(&mut self.permit, Permit::Released) else { return };
        self.shared.store.unreserve(std::mem::take(&mut self.reserved));
        match permit.flight() {
            Some(flight) if landed => flight.land(),
            Some(flight) => flight.lose(),
            None => {}
        }
        self.shared.store.release(permit);
        self.shared.tell_size();
    }
}

impl Drop for CacheFill {
    fn drop(&mut self) {
        self.settle(false);
        self.shared.metrics.cache_answered(self.outcome);
    }
}

impl Freshness {
    /// Freshness of an answer that is used only once.
    const NONE: Self = Self {
        age: Duration::ZERO,
        fresh_for: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
    };
}

/// The fields of a stored answer, updated by a 304; `None` if the 304 has another entity tag, and so is about
/// another answer.
fn updated(received: &Fields, not_modified: &Fields) -> Option<Fields> {
    if let (Some(own), Some(theirs)) = (received.get(&header::ETAG), not_modified.get(&header::ETAG))
        && !weak_validate_etag(theirs.as_bytes(), own.as_bytes())
    {
        return None;
    }
    let mut merged = received.clone();
    let newer = || not_modified.iter().filter(|(name, _)| !OF_THE_BODY.contains(name));
    newer().for_each(|(name, _)| merged.remove(name));
    newer().for_each(|(name, value)| merged.append(name.clone(), value.clone()));
    Some(merged)
}

/// Whether a status is an error that a stale answer may replace (RFC 5861 §4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// Condition and range fields of the browser, which are applied to the stored answer later.
const CONDITIONS: [HeaderName; 4] =
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE, header::IF_RANGE];

/// Fields of a 304 that do not apply, because it has no body.
const OF_THE_BODY: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::TRANSFER_ENCODING];
