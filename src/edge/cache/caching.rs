//! The cache's part in one request: what the pipeline and exchanges call.

use http::Method;

use super::answer::Hit;
use super::filling::Filling;
use super::{Asked, AssetCache, Lookup};
use crate::edge::message::{RequestHead, ResponseHead};

/// How a request stands to the cache.
#[derive(Debug, Default)]
pub enum Caching {
    /// It is none of the cache's business.
    #[default]
    Outside,
    /// Its answer is looked at as it passes.
    Filling(Box<Filling>),
    /// It may change what its URI stands for.
    Unsafe(AssetCache),
}

/// What the cache makes of a request.
#[derive(Debug)]
pub enum Begun {
    /// This is the answer.
    Hit(Hit),
    /// It goes on to the upstream, and the cache looks at its answer so.
    Goes(Caching),
}

impl AssetCache {
    /// Looks a judged request up. Where it goes on, [`Caching::ask`] comes next.
    pub async fn begin(&self, asked: &Asked<'_>) -> Begun {
        let method = &asked.request.method;
        if self.0.is_none() || *method == Method::OPTIONS {
            return Begun::Goes(Caching::Outside);
        }
        if !method.is_safe() {
            return Begun::Goes(Caching::Unsafe(self.clone()));
        }
        match self.look_up(asked).await {
            Lookup::Hit(hit) => Begun::Hit(hit),
            Lookup::Miss(filling) => Begun::Goes(Caching::Filling(filling)),
            Lookup::Bypass => Begun::Goes(Caching::Outside),
        }
    }
}

impl Caching {
    /// Makes the request what the cache wants to know of the upstream.
    pub fn ask(&mut self, request: &mut RequestHead) {
        if let Self::Filling(filling) = self {
            filling.ask(request);
        }
    }

    /// Makes the request the browser's again, for an answer from memory.
    pub fn ask_no_more(&mut self, request: &mut RequestHead) {
        if let Self::Filling(filling) = self {
            filling.ask_no_more(request);
        }
    }

    /// Shown the head of the upstream's answer, as received. `Some`: the browser is to get this in place of it.
    pub fn received(&mut self, response: &ResponseHead, asked: &Asked<'_>) -> Option<Hit> {
        match self {
            // RFC 9111 §4.4. Whatever else of the widget depends on it is not known, so all of it goes.
            Self::Unsafe(cache) if response.status.is_success() || response.status.is_redirection() => {
                cache.purge(&asked.shared.widget);
                None
            }
            Self::Filling(filling) => filling.head(response, asked),
            Self::Outside | Self::Unsafe(_) => None,
        }
    }

    /// Shown a piece of its body.
    pub fn passes(&mut self, piece: &[u8]) {
        if let Self::Filling(filling) = self {
            filling.piece(piece);
        }
    }

    /// Told that the body is whole.
    pub fn ended(&mut self) {
        if let Self::Filling(filling) = self {
            filling.end();
        }
    }

    /// What may be sent in place of an error, once the upstream has failed before it answered.
    pub fn instead_of_an_error(&mut self) -> Option<Hit> {
        match self {
            Self::Filling(filling) => filling.stand_in(),
            Self::Outside | Self::Unsafe(_) => None,
        }
    }
}
