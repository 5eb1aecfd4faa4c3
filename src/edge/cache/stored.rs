//! One answer in memory, ready to be sent: the head as browsers get it, made once, and the body.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderName, HeaderValue};

use super::storable::Freshness;
use super::vary::{Selected, Selecting};
use crate::edge::fields::Fields;
use crate::edge::forward;
use crate::edge::message::ResponseHead;
use crate::edge::visit::SharedTerms;
use crate::policy::headers::{Sender, is_hop_by_hop, nominated, sender};

/// For how long an upstream that failed is not asked again for an answer that may stand in for its error.
const RESPITE: Duration = Duration::from_secs(5);

/// What an entry takes beside its bytes: its places in the store and in the index, and allocators' rounding.
const OVERHEAD: usize = 1024;

/// The most answers that are kept for one key, one for each way in which `Vary` selects.
const MOST_VARIANTS: usize = 16;

/// One answer.
#[derive(Debug)]
pub struct Stored {
    /// The upstream's fields, for its validation (RFC 9111 §4.3.4), but for those of one connection or moment.
    received: Fields,
    /// What a browser gets, but for what differs from visit to visit.
    head: ResponseHead,
    body: Bytes,
    selected: Selected,
    freshness: Freshness,
    at: Instant,
    /// Until when it stands in for a failed upstream unasked, in milliseconds after `at`.
    respite: AtomicU64,
}

impl Stored {
    /// Makes an answer ready. `received` is the upstream's head, `at` when it came.
    pub fn prepare(
        status: StatusCode,
        received: &Fields,
        body: Bytes,
        (selected, freshness, at): (Selected, Freshness, Instant),
        (shared, https): (&SharedTerms, bool),
    ) -> Self {
        let received = lasting(received);
        let mut head = ResponseHead::new(status, received.clone());
        forward::to_everyone(&mut head, shared, https);
        head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        Self { received, head, body, selected, freshness, at, respite: AtomicU64::new(0) }
    }

    /// The same with the body that came after the head, copied into as much memory as it needs.
    pub fn with_body(mut self, body: &[u8]) -> Self {
        self.body = Bytes::copy_from_slice(body);
        self.head.fields.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        self
    }

    /// The head for browsers, to which a visit's own fields are to be added.
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

    /// How old it is (RFC 9111 §4.2.3).
    pub fn age(&self, now: Instant) -> Duration {
        self.freshness.age + self.since(now)
    }

    /// Whether it may be used without asking.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for
    }

    /// Whether it may be used while somebody else asks.
    pub fn serves_while_validated(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for.saturating_add(self.freshness.stale_while_revalidate)
    }

    /// Whether it may stand in for an error.
    pub fn serves_if_error(&self, now: Instant) -> bool {
        self.since(now) < self.freshness.fresh_for.saturating_add(self.freshness.stale_if_error)
    }

    /// Whether its upstream failed a moment ago, so that it stands in without asking.
    pub fn has_respite(&self, now: Instant) -> bool {
        self.serves_if_error(now) && self.since(now).as_millis() < self.respite.load(Ordering::Relaxed).into()
    }

    /// Its upstream failed.
    pub fn grant_respite(&self, now: Instant) {
        let until = self.since(now).saturating_add(RESPITE).as_millis();
        self.respite.store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
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

/// All answers for one key, the newest first.
#[derive(Debug)]
pub struct Resource {
    variants: Vec<Arc<Stored>>,
    weight: u64,
}

impl Resource {
    /// `newest` among those that are there already.
    pub fn with(newest: Arc<Stored>, others: Option<&Self>) -> Self {
        let others = others.into_iter().flat_map(|others| &others.variants);
        let others = others.filter(|other| other.selected != newest.selected).cloned();
        Self::of(std::iter::once(Arc::clone(&newest)).chain(others).take(MOST_VARIANTS).collect())
    }

    /// All but this one; `None` where there is no other.
    pub fn without(&self, gone: &Arc<Stored>) -> Option<Self> {
        let others = self.variants.iter().filter(|other| !Arc::ptr_eq(other, gone)).cloned();
        let others: Vec<_> = others.collect();
        (!others.is_empty()).then(|| Self::of(others))
    }

    fn of(variants: Vec<Arc<Stored>>) -> Self {
        let weight = variants.iter().map(|variant| variant.weight()).sum::<usize>();
        Self { variants, weight: u64::try_from(weight).unwrap_or(u64::MAX) }
    }

    /// The newest answer to a request with these fields.
    pub fn pick(&self, request: Selecting<'_>) -> Option<&Arc<Stored>> {
        self.variants.iter().find(|variant| variant.selected.fits(request))
    }

    /// What it takes, in bytes.
    pub fn weight(&self) -> u64 {
        self.weight
    }
}

/// Whether a field says something of a connection, of the moment, or of one visit (RFC 9111 §3.1).
fn is_passing(name: &HeaderName) -> bool {
    is_hop_by_hop(name)
        || matches!(*name, header::CONTENT_LENGTH | header::AGE | header::DATE)
        || name.as_str() == "proxy-authentication-info"
        || sender(name) != Sender::Anyone
}

/// The fields that can be kept, copied: a value that was read from a socket holds on to all that was read with it.
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
