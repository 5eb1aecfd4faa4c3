//! Cache state of one request, used by the pipeline and exchanges.

use http::Method;

use super::answer::Hit;
use super::filling::CacheFill;
use super::{AssetCache, AssetRequest, CacheLookup};
use crate::edge::http::message::{RequestHead, ResponseHead};

/// Cache state of a request.
#[derive(Debug)]
pub enum CacheState {
    /// The cache is not involved.
    Bypass,
    /// The fill reads the answer as it passes, and stores it if it may.
    Fill(Box<CacheFill>),
    /// The request may change the resource: if it succeeds, the widget's assets are dropped.
    Invalidate(AssetCache),
}

/// Result of a lookup, for the pipeline.
#[derive(Debug)]
pub enum BegunLookup {
    /// An answer from memory.
    Hit(Hit),
    /// The request goes to the upstream.
    Forward(CacheState),
}

impl AssetCache {
    /// Looks up an allowed request. If it is forwarded, [`CacheState::add_validators`] comes next.
    pub async fn begin(&self, asked: &AssetRequest<'_>) -> BegunLookup {
        let method = &asked.request.method;
        if self.0.is_none() || *method == Method::OPTIONS {
            return BegunLookup::Forward(CacheState::Bypass);
        }
        if !method.is_safe() {
            return BegunLookup::Forward(CacheState::Invalidate(self.clone()));
        }
        match self.look_up(asked).await {
            CacheLookup::Hit(hit) => BegunLookup::Hit(hit),
            CacheLookup::Miss(filling) => BegunLookup::Forward(CacheState::Fill(filling)),
            CacheLookup::Bypass => BegunLookup::Forward(CacheState::Bypass),
        }
    }
}

impl CacheState {
    /// Adds the validators of a stale answer, so that the upstream can say that it is still good.
    pub fn add_validators(&mut self, request: &mut RequestHead) {
        if let Self::Fill(filling) = self {
            filling.add_validators(request);
        }
    }

    /// Restores the browser's own conditions, for an answer from memory.
    pub fn restore_conditions(&mut self, request: &mut RequestHead) {
        if let Self::Fill(filling) = self {
            filling.restore_conditions(request);
        }
    }

    /// Processes the head of the upstream's answer, as received. `Some`: this answer replaces it.
    pub fn received(&mut self, response: &ResponseHead, asked: &AssetRequest<'_>) -> Option<Hit> {
        match self {
            // RFC 9111 §4.4. It is unknown which other assets of the widget depend on the resource, so all of
            // them are dropped.
            Self::Invalidate(cache) if response.status.is_success() || response.status.is_redirection() => {
                cache.purge(&asked.shared.widget);
                None
            }
            Self::Fill(filling) => filling.head(response, asked),
            Self::Bypass | Self::Invalidate(_) => None,
        }
    }

    /// Processes a piece of the body.
    pub fn passes(&mut self, piece: &[u8]) {
        if let Self::Fill(filling) = self {
            filling.piece(piece);
        }
    }

    /// Marks the body as complete.
    pub fn ended(&mut self) {
        if let Self::Fill(filling) = self {
            filling.end();
        }
    }

    /// A stale answer that replaces an error, if the upstream failed before it answered.
    pub fn instead_of_an_error(&mut self) -> Option<Hit> {
        match self {
            Self::Fill(filling) => filling.stand_in(),
            Self::Bypass | Self::Invalidate(_) => None,
        }
    }
}
