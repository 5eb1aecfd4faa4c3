//! Answers of class `asset` from memory: a shared cache (RFC 9111) behind the verdict. A request is judged first,
//! always; only one that may have its asset is looked up, and what it gets of a visit (CORS) is its own.
//!
//! # The way of a request
//!
//! `caching` (what those who proxy call) → [`AssetCache::look_up`] → a [`Hit`], sent as it is; or a [`Filling`], shown the
//! upstream's head and body as they pass; or neither. `key` and `vary` say which answer fits, `directives` and
//! `storable` whether an answer may be kept and for how long, `store` where it is, `flight` who waits for whom.
//!
//! # What is kept
//!
//! Whole answers to GET with an explicit lifetime, by `CDN-Cache-Control` (RFC 9213) or `Cache-Control` or `Expires`,
//! decided from what the upstream sent, before anything is rewritten for browsers. Never: `private`, `no-store`,
//! `no-cache`, `Set-Cookie`, `Vary: *` or by a field of one's own, answers to `Authorization` but as by §3.5, bodies
//! whose end can't be told from a connection that broke, and what the edge answers itself.
//!
//! What a request says in `Cache-Control` is not heeded: it is advice (§5.2.1), and would let any visitor send the
//! load on to the upstream. HEAD is answered by what a GET left. `If-Match` and `If-Unmodified-Since` are the
//! upstream's to judge (§4.3.2). A request that is conditional or for a range does not fill: its answer would not be
//! the whole.
//!
//! # Purges
//!
//! A change of the widget, or a call for it, drops its answers at once, and those that were asked for before it and
//! come after it are not kept: a [`store::Place`] is good until the next purge.
//!
//! # Which libraries, and why
//!
//! - *Rules of HTTP*: the pure parts of pingora's own cache (`pingora-cache` and `pingora-core`: reading
//!   `Cache-Control`, what shared caches may do, conditions), which are compiled in anyhow and kept by people
//!   who run them. `http-cache-semantics` takes the names of directives as case-sensitive and splits quoted strings, so
//!   `Private` or `no-cache="a, b"` would be misread; it knows no `CDN-Cache-Control`. For that one: `sfv`, the
//!   parser of structured fields that pingora has, too.
//! - *The machinery* of `pingora-cache` is not used: its callbacks belong to its proxy, so that neither a request
//!   filter nor another way to the upstream could answer or fill; its only storage says "for testing only, not for
//!   production use", and reads the head anew and copies the body for each hit; and it purges by key, not by widget.
//! - *The store*: `quick_cache` (S3-FIFO, bounded by weight, looked up by a borrowed key under a read lock, no thread
//!   of its own). `moka` brings times to live, listeners and upkeep that are of no use here; `foyer` is made for
//!   memory and disk together. The guards of `quick_cache` for one fetch of many are not used: they borrow the cache,
//!   which a request under way can't, and wake those who wait one after the other where a fetch fails.

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
use std::time::Instant;

use http::Method;
use http::header::{self, HeaderValue};

pub use answer::Hit;
pub use caching::{Begun, Caching};
pub use filling::Filling;

use self::filling::Right;
use self::flight::Flight;
use self::key::KeyRef;
use self::store::{Claim, Place, Store};
use self::stored::Stored;
use self::vary::Selecting;
use super::body::Length;
use super::request;
use super::visit::SharedTerms;
use crate::edge::message::RequestHead;
use crate::rules::assets::CachedAssets;
use crate::rules::error::RulesError;
use crate::rules::publisher::{Observer, Swap};
use crate::rules::source::SourceKind;
use crate::telemetry::metrics::{CacheOutcome, Metrics};

/// How often a request looks again after it has waited: somebody else's answer may not fit it.
const MOST_WAITS: usize = 2;

/// Assets in memory. Clones share them.
#[derive(Clone, Debug)]
pub struct AssetCache(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    store: Store,
    metrics: Arc<Metrics>,
}

impl Shared {
    fn tell_size(&self) {
        let (entries, bytes) = self.store.size();
        self.metrics.cache_entries.set(entries.try_into().unwrap_or(i64::MAX));
        self.metrics.cache_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
    }
}

/// An allowed request for an asset.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'r> {
    /// Its head, as the browser sent it.
    pub request: &'r RequestHead,
    /// What its answer shares with those to all other visitors.
    pub shared: &'r SharedTerms,
    /// The embedder that the upstream is told: an answer may be selected by it.
    pub embedder: Option<&'r HeaderValue>,
    /// The name of the upstream that it would go to.
    pub upstream: &'r str,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// How long its body is.
    pub length: Length,
}

impl Asked<'_> {
    fn key(&self) -> KeyRef<'_> {
        KeyRef {
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

/// What there is for a request.
#[derive(Debug)]
pub enum Lookup {
    /// Its answer.
    Hit(Hit),
    /// Nothing that may be used; the upstream's answer to it is to be shown to this.
    Miss(Box<Filling>),
    /// Nothing, and its answer is none to keep.
    Bypass,
}

enum Found {
    Now(Lookup),
    /// Somebody else is fetching it.
    Later(Arc<Flight>),
}

impl AssetCache {
    /// A cache of this many bytes; of none, where it is 0.
    pub fn new(bytes: u64, metrics: Arc<Metrics>) -> Self {
        Self((bytes > 0).then(|| Arc::new(Shared { store: Store::new(bytes), metrics })))
    }

    /// Looks a request up that was judged and may have its asset. Waits where another request is fetching it.
    pub async fn look_up(&self, asked: &Asked<'_>) -> Lookup {
        let Some(shared) = &self.0 else { return Lookup::Bypass };
        let mut waits = 0;
        let mut collapse = !asked.request.fields.contains(&header::AUTHORIZATION);
        loop {
            match shared.find(asked, collapse) {
                Found::Now(lookup) => return lookup,
                Found::Later(flight) => {
                    waits += 1;
                    collapse = flight.landed().await && waits < MOST_WAITS;
                }
            }
        }
    }

    /// Drops everything of a widget; how many keys there were.
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

impl Shared {
    fn find(self: &Arc<Self>, asked: &Asked<'_>, collapse: bool) -> Found {
        if !is_for_caches(asked) {
            return self.bypass();
        }
        let (key, now) = (asked.key(), Instant::now());
        let resource = self.store.get(&key);
        let stored = resource.as_ref().and_then(|resource| resource.pick(asked.selecting()));
        match stored {
            Some(stored) if stored.is_fresh(now) => return self.hit(stored, now, CacheOutcome::Hit),
            Some(stored) if stored.has_respite(now) => return self.hit(stored, now, CacheOutcome::Stale),
            // Validation is done with a GET that has no body; the rest goes on as it is.
            _ if asked.request.method != Method::GET => return self.bypass(),
            None if answer::is_conditional(&asked.request.fields) => return self.bypass(),
            _ => {}
        }
        if stored.is_none()
            && let Some(personal) = self.store.personal(&key, now)
        {
            return self.miss(Right::Late(personal), None, now);
        }
        match (self.store.claim(&key, collapse), stored) {
            (Claim::Yours(place), stored) => self.fetch(asked, place, stored.cloned(), now),
            (Claim::Taken(_), Some(stored)) if stored.serves_while_validated(now) => {
                self.hit(stored, now, CacheOutcome::Stale)
            }
            (Claim::Taken(flight), _) => Found::Later(flight),
        }
    }

    fn fetch(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        place: Place,
        stale: Option<Arc<Stored>>,
        now: Instant,
    ) -> Found {
        // Somebody may have landed between the look and the claim.
        let resource = self.store.get(&asked.key());
        let landed = resource.as_ref().and_then(|resource| resource.pick(asked.selecting()));
        if let Some(landed) = landed.filter(|landed| landed.is_fresh(now)) {
            if let Some(flight) = place.flight() {
                flight.land();
            }
            self.store.release(place);
            return self.hit(landed, now, CacheOutcome::Hit);
        }
        self.miss(Right::Held(place), stale, now)
    }

    fn miss(self: &Arc<Self>, right: Right, stale: Option<Arc<Stored>>, now: Instant) -> Found {
        Found::Now(Lookup::Miss(Box::new(Filling::new(Arc::clone(self), right, stale, now))))
    }

    fn hit(&self, stored: &Arc<Stored>, now: Instant, outcome: CacheOutcome) -> Found {
        self.metrics.cache_answered(outcome);
        Found::Now(Lookup::Hit(Hit::new(Arc::clone(stored), now)))
    }

    fn bypass(&self) -> Found {
        self.metrics.cache_answered(CacheOutcome::Bypass);
        Found::Now(Lookup::Bypass)
    }
}

/// Whether a request is one that a cache may answer.
fn is_for_caches(asked: &Asked<'_>) -> bool {
    let Asked { request, length, .. } = asked;
    let headers = &request.fields;
    matches!(request.method, Method::GET | Method::HEAD)
        && !headers.contains(&header::IF_MATCH)
        && !headers.contains(&header::IF_UNMODIFIED_SINCE)
        // What a body asks for is nobody else's answer.
        && length.is_none()
}

impl CachedAssets for AssetCache {
    fn purge(&self, widget: &str) -> usize {
        Self::purge(self, widget)
    }
}

/// Every change of a widget drops its answers before the change is answered.
impl Observer for AssetCache {
    fn swapped(&self, swap: &Swap<'_>) {
        for widget in swap.changed {
            self.purge(widget.id.as_str());
        }
    }

    fn rejected(&self, _: SourceKind, _: &RulesError) {}
}

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;
