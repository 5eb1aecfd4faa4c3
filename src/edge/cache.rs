//! Cache of assets in memory: a shared cache (RFC 9111) behind the verdict. A request is always judged first.
//! Only an allowed one is looked up, and the fields of its admission (CORS) are its own.
//!
//! # The way of a request
//!
//! `caching` (called by the pipeline and exchanges) → [`AssetCache::look_up`] → a [`Hit`], which is sent; or
//! a [`CacheFill`], which reads the upstream's head and body as they pass; or neither. `key` and `vary`
//! decide which answer fits, `directives` and `storable` whether an answer may be stored and for how long.
//! `store` stores answers, and `flight` is for requests that wait.
//!
//! # What is stored
//!
//! Complete answers to GET with an explicit lifetime, by `CDN-Cache-Control` (RFC 9213) or `Cache-Control` or
//! `Expires`. This is decided by the upstream's answer before it is rewritten for browsers. Never stored are:
//! `private`, `no-store`, `no-cache`, `Set-Cookie`, `Vary: *` or by a personal field, answers to
//! `Authorization` (except by §3.5), bodies whose end looks like a broken connection, and the edge's own
//! answers.
//!
//! The `Cache-Control` of a request is ignored: it is only advice (§5.2.1), and it would let any visitor send
//! load to the upstream. HEAD is answered from the answer to a GET. `If-Match` and `If-Unmodified-Since` are
//! left to the upstream (§4.3.2). A conditional request or one for a range does not fill the cache, because
//! its answer would not be complete. A request in which `X-Forwarded-Host` or `X-Forwarded-Proto` differs
//! from what is in the key goes past the cache.
//!
//! # Purges
//!
//! A change of the widget, or a purge call, drops the widget's answers at once. Answers that were requested
//! before the purge and arrive after it are not stored: a [`store::FillPermit`] is valid until the next
//! purge.
//!
//! # Which libraries, and why
//!
//! - *Rules of HTTP*: the pure parts of pingora's own cache (`pingora-cache` and `pingora-core`:
//!   `Cache-Control`, rules of shared caches, conditions). They are compiled in anyway, and maintained by
//!   people who run them. `http-cache-semantics` reads the names of directives as case-sensitive and splits
//!   quoted strings, so it would misread `Private` or `no-cache="a, b"`, and it has no `CDN-Cache-Control`.
//!   That one is read by `sfv`, the parser of structured fields that pingora also uses.
//! - *The rest* of `pingora-cache` is not used. Its callbacks belong to its proxy, so neither a request
//!   filter nor another path to the upstream could answer or fill. Its only storage says "for testing only,
//!   not for production use"; it parses the head and copies the body for each hit. And it purges by key, not
//!   by widget.
//! - *The store*: `quick_cache` (S3-FIFO, bounded by weight, lookup by a borrowed key under a read lock, no
//!   thread of its own). `moka` has times to live, listeners and maintenance that are not needed here;
//!   `foyer` is made for memory together with disk. The guards of `quick_cache` for a single fetch are not
//!   used: they borrow the cache, which a request under way can't, and if a fetch fails, they wake the
//!   waiting requests one after the other.

mod answer;
mod caching;
mod directives;
mod filling;
mod flight;
mod key;
mod storable;
mod store;
mod stored;
mod vary;

use std::sync::Arc;

use http::Method;
use http::header::{self, HeaderValue};
use tokio::time::Instant;

pub use answer::Hit;
pub use caching::{BegunLookup, CacheState};
pub use filling::CacheFill;

use self::filling::Permit;
use self::flight::Flight;
use self::key::AssetKeyRef;
use self::store::{AssetStore, Claim, FillPermit};
use self::stored::StoredAnswer;
use self::vary::Selecting;
use super::admission::terms::SharedTerms;
use super::admission::{client, request};
use super::http::body::BodyLength;
use crate::edge::http::message::RequestHead;
use crate::telemetry::metrics::{CacheOutcome, Metrics};

/// How often a request looks again after it has waited: the other request's answer may not fit.
const MOST_WAITS: usize = 2;

/// Cache of assets in memory; clones share it.
#[derive(Clone, Debug)]
pub struct AssetCache(Option<Arc<CacheShared>>);

#[derive(Debug)]
struct CacheShared {
    store: AssetStore,
    metrics: Arc<Metrics>,
}

impl CacheShared {
    fn tell_size(&self) {
        let (entries, bytes) = self.store.size();
        self.metrics.cache_entries.set(entries.try_into().unwrap_or(i64::MAX));
        self.metrics.cache_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
    }
}

/// Allowed request for an asset.
#[derive(Clone, Copy, Debug)]
pub struct AssetRequest<'r> {
    /// The request's head, as the browser sent it.
    pub request: &'r RequestHead,
    /// The terms that all visitors share.
    pub shared: &'r SharedTerms,
    /// The embedder that the upstream gets: `Vary` may select an answer by it.
    pub embedder: Option<&'r HeaderValue>,
    /// The name of the request's upstream.
    pub upstream: &'r str,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// The length of the request's body.
    pub length: BodyLength,
}

impl AssetRequest<'_> {
    fn key(&self) -> AssetKeyRef<'_> {
        AssetKeyRef {
            widget: &self.shared.widget,
            environment: self.shared.environment,
            upstream: self.upstream,
            https: self.https,
            host: request::host(self.request),
            target: self.request.target().as_bytes(),
        }
    }

    fn selecting(&self) -> Selecting<'_> {
        Selecting { fields: &self.request.fields, embedder: self.embedder }
    }
}

/// Result of a lookup.
#[derive(Debug)]
pub enum CacheLookup {
    /// A stored answer.
    Hit(Hit),
    /// No usable answer; the fill has to see the upstream's answer.
    Miss(Box<CacheFill>),
    /// No answer, and the upstream's answer can't be stored.
    Bypass,
}

enum CachedResource {
    Now(CacheLookup),
    /// Another request is fetching the asset.
    Later(Arc<Flight>),
}

impl AssetCache {
    /// A cache of this many bytes; 0 bytes: no cache.
    pub fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        Self((bytes > 0).then(|| Arc::new(CacheShared { store: AssetStore::new(bytes), metrics })))
    }

    /// Looks up an allowed request. Waits if another request is fetching the asset.
    pub async fn look_up(&self, asked: &AssetRequest<'_>) -> CacheLookup {
        let Some(shared) = &self.0 else { return CacheLookup::Bypass };
        let mut waits = 0;
        let mut collapse = !asked.request.fields.contains(&header::AUTHORIZATION);
        loop {
            match shared.find(asked, collapse) {
                CachedResource::Now(lookup) => return lookup,
                CachedResource::Later(flight) => {
                    waits += 1;
                    collapse = flight.landed().await && waits < MOST_WAITS;
                }
            }
        }
    }

    /// Sets the metrics of its size.
    pub fn tell_size(&self, metrics: &Metrics) {
        match &self.0 {
            Some(shared) => shared.tell_size(),
            None => {
                metrics.cache_entries.set(0);
                metrics.cache_bytes.set(0);
            }
        }
    }

    /// Drops all answers of a widget. Returns the number of its keys.
    pub fn purge(&self, widget: &str) -> usize {
        let Some(shared) = &self.0 else { return 0 };
        let purged = shared.store.purge(widget);
        if purged > 0 {
            shared.metrics.cache_purged.inc_by(purged as u64);
            shared.tell_size();
        }
        purged
    }
}

impl CacheShared {
    fn find(self: &Arc<Self>, asked: &AssetRequest<'_>, collapse: bool) -> CachedResource {
        if !is_for_caches(asked) {
            return self.bypass();
        }
        let (key, now) = (asked.key(), Instant::now());
        let resource = self.store.get(&key);
        let stored = resource.as_ref().and_then(|resource| resource.pick(asked.selecting()));
        match stored {
            Some(stored) if stored.is_fresh(now) => return self.hit(stored, now, CacheOutcome::Hit),
            Some(stored) if stored.in_backoff(now) => return self.hit(stored, now, CacheOutcome::Stale),
            // Only a GET without a body can validate and fill; the rest is forwarded unchanged.
            _ if asked.request.method != Method::GET => return self.bypass(),
            None if answer::is_conditional(&asked.request.fields) => return self.bypass(),
            _ => {}
        }
        if stored.is_none()
            && let Some(marker) = self.store.uncacheable(&key, now)
        {
            return self.miss(Permit::Deferred(marker), None, now);
        }
        match (self.store.claim(&key, collapse), stored) {
            (Claim::Yours(permit), stored) => self.fetch(asked, permit, stored.cloned(), now),
            (Claim::Taken(_), Some(stored)) if stored.serves_while_validated(now) => {
                self.hit(stored, now, CacheOutcome::Stale)
            }
            (Claim::Taken(flight), _) => CachedResource::Later(flight),
        }
    }

    fn fetch(
        self: &Arc<Self>,
        asked: &AssetRequest<'_>,
        permit: FillPermit,
        stale: Option<Arc<StoredAnswer>>,
        now: Instant,
    ) -> CachedResource {
        // Another request may have stored the answer between the lookup and the claim.
        let resource = self.store.get(&asked.key());
        let landed = resource.as_ref().and_then(|resource| resource.pick(asked.selecting()));
        if let Some(landed) = landed.filter(|landed| landed.is_fresh(now)) {
            if let Some(flight) = permit.flight() {
                flight.land();
            }
            self.store.release(permit);
            return self.hit(landed, now, CacheOutcome::Hit);
        }
        self.miss(Permit::Held(permit), stale, now)
    }

    fn miss(
        self: &Arc<Self>,
        permit: Permit,
        stale: Option<Arc<StoredAnswer>>,
        now: Instant,
    ) -> CachedResource {
        CachedResource::Now(CacheLookup::Miss(Box::new(CacheFill::new(Arc::clone(self), permit, stale, now))))
    }

    fn hit(&self, stored: &Arc<StoredAnswer>, now: Instant, outcome: CacheOutcome) -> CachedResource {
        self.metrics.cache_answered(outcome);
        CachedResource::Now(CacheLookup::Hit(Hit::new(Arc::clone(stored), now)))
    }

    fn bypass(&self) -> CachedResource {
        self.metrics.cache_answered(CacheOutcome::Bypass);
        CachedResource::Now(CacheLookup::Bypass)
    }
}

/// Whether a cache may answer the request.
fn is_for_caches(asked: &AssetRequest<'_>) -> bool {
    let AssetRequest { request, length, https, .. } = asked;
    let headers = &request.fields;
    matches!(request.method, Method::GET | Method::HEAD)
        && !headers.contains(&header::IF_MATCH)
        && !headers.contains(&header::IF_UNMODIFIED_SINCE)
        // An answer to a body is personal.
        && length.is_none()
        // The upstream may answer by what it is told, and the key has only the host and scheme that the edge
        // goes by: such an answer must not reach others.
        && !client::claims_another_host_or_scheme(request, *https)
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
