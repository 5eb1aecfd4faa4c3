//! Stored answer: the head as browsers get it, prepared once, and the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};
use tokio::time::Instant;

use super::storable::Freshness;
use super::vary::{Selected, Selecting};
use crate::edge::admission::terms::SharedTerms;
use crate::edge::forward::headers;
use crate::edge::http::fields::Fields;
use crate::edge::http::message::ResponseHead;
use embedgate_policy::headers::{Sender, is_hop_by_hop, nominated, sender};

/// Time after a failure in which a stale answer is used without asking the upstream again.
const STALE_IF_ERROR_BACKOFF: Duration = Duration::from_secs(5);

/// Overhead of an entry, in bytes: its slots in the store and the index, and rounding of the allocator.
const OVERHEAD: usize = 1024;

/// Maximum number of answers for one key, one for each selection by `Vary`.
const MOST_VARIANTS: usize = 16;

/// Answer in memory.
#[derive(Debug)]
pub struct StoredAnswer {
    /// The upstream's fields, for validation (RFC 9111 §4.3.4), except those of one connection or moment.
    received: Fields,
    /// The head for browsers, without the fields of an admission.
    head: ResponseHead,
    body: Bytes,
    selected: Selected,
    freshness: Freshness,
    at: Instant,
    /// End of the backoff after a failure, in milliseconds after `at`.
    backoff_until: AtomicU64,
}

impl StoredAnswer {
    /// Prepares an answer. `received` is the upstream's head, `at` is the time of its receipt.
    pub fn prepare(
        status: StatusCode,
        received: &Fields,
        body: Bytes,
        (selected, freshness, at): (Selected, Freshness, Instant),
        (shared, https): (&SharedTerms, bool),
    ) -> Self {
        let received = lasting(received);
        let mut head = ResponseHead::new(status, received.clone());
        headers::to_everyone(&mut head, shared, https);
        head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Self { received, head, body, selected, freshness, at, backoff_until: AtomicU64::new(0) }
    }

    /// The same answer with its body, copied into memory of the exact size.
    pub fn with_body(mut self, body: &[u8]) -> Self {
        self.body = Bytes::copy_from_slice(body);
        self.head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        self
    }

    /// The head for browsers; the fields of an admission have to be added.
    pub fn head(&self) -> ResponseHead {
        self.head.clone()
    }

    /// The whole body.
    pub fn body(&self) -> Bytes {
        self.body.clone()
    }

    /// The upstream's fields.
    pub fn received(&self) -> &Fields {
        &self.received
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// The current age (RFC 9111 §4.2.3).
    pub fn age(&self, now: Instant) -> Duration {
        self.freshness.age + self.since(now)
    }

    /// Whether the answer is fresh.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for
    }

    /// Whether the answer may be used while another request validates it.
    pub fn serves_while_validated(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for.saturating_add(self.freshness.stale_while_revalidate)
    }

    /// Whether the answer may replace an error.
    pub fn serves_if_error(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for.saturating_add(self.freshness.stale_if_error)
    }

    /// Whether the upstream failed a moment ago, so that the answer is used without asking.
    pub fn in_backoff(&self, now: Instant) -> bool {
        self.serves_if_error(now)
            && self.since(now).as_millis() < self.backoff_until.load(Ordering::Relaxed).into()
    }

    /// Starts the backoff after a failure of the upstream.
    pub fn start_backoff(&self, now: Instant) {
        let until = self.since(now).saturating_add(STALE_IF_ERROR_BACKOFF).as_millis();
        self.backoff_until.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }

    fn weight(&self) -> usize {
        let fields = |headers: &Fields| -> usize {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 64).sum()
        };
        self.body.len() + fields(&self.received) + fields(&self.head.fields) + OVERHEAD
    }
}

/// Resource: all answers for one key, the newest first.
#[derive(Debug)]
pub struct Resource {
    variants: Vec<Arc<StoredAnswer>>,
    weight: u64,
}

impl Resource {
    /// The resource with `newest` added to the existing answers.
    pub fn with(newest: Arc<StoredAnswer>, others: Option<&Self>) -> Self {
        let others = others.into_iter().flat_map(|others| &others.variants);
        let others = others.filter(|other| other.selected != newest.selected).cloned();
        Self::of(std::iter::once(Arc::clone(&newest)).chain(others).take(MOST_VARIANTS).collect())
    }

    /// The resource without one answer; `None` if there is no other.
    pub fn without(&self, gone: &Arc<StoredAnswer>) -> Option<Self> {
        let others = self.variants.iter().filter(|other| !Arc::ptr_eq(other, gone)).cloned();
        let others: Vec<_> = others.collect();
        (!others.is_empty()).then(|| Self::of(others))
    }

    fn of(variants: Vec<Arc<StoredAnswer>>) -> Self {
        let weight = variants.iter().map(|variant| variant.weight()).sum::<usize>();
        Self { variants, weight: u64::try_from(weight).unwrap_or(u64::MAX) }
    }

    /// The newest answer to a request with these fields.
    pub fn pick(&self, request: Selecting<'_>) -> Option<&Arc<StoredAnswer>> {
        self.variants.iter().find(|variant| variant.selected.fits(request))
    }

    /// Memory used by the answers, in bytes.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

/// Whether a field is about a connection, a moment, or one admission (RFC 9111 §3.1).
fn is_passing(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || matches!(*name, header::CONTENT_LENGTH | header::AGE | header::DATE)
        || name.as_str() == "proxy-authentication-info"
        || sender(name) != Sender::Anyone
}

/// The fields that can be stored, copied: a value that was read from a socket keeps the whole buffer alive.
fn lasting(headers: &Fields) -> Fields {
    let nominated: Vec<HeaderName> = nominated(headers.get_all(header::CONNECTION)).collect();
    let mut lasting = Fields::with_capacity(headers.count());
    for (name, value) in headers.iter() {
        if is_passing(name) || nominated.contains(name) {
            continue;
        }
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            lasting.append(name.clone(), value);
        }
    }
    lasting
}
