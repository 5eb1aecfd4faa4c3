//! The cache's part in one request, whichever way it is proxied: what the direct path and the library's callbacks call.

use bytes::Bytes;
use http::response::Parts;
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use super::answer::Hit;
use super::filling::Filling;
use super::{Asked, AssetCache, Lookup};
use crate::edge::visit::Visit;

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
    /// It is answered from memory; what the upstream may still say is not for the browser.
    Answered,
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

    /// Answers a request from memory ([`Caching::Answered`]), or says what the library's later callbacks are to do.
    pub async fn serve(
        &self,
        session: &mut Session,
        (visit, upstream, https): (&Visit, &str, bool),
    ) -> Result<Caching> {
        let request = session.req_header();
        match self.begin(&Asked { request, visit, upstream, https }).await {
            Begun::Hit(hit) => hit.send(session, visit).await.map(|()| Caching::Answered),
            Begun::Goes(mut caching) => {
                caching.ask(session.req_header_mut())?;
                Ok(caching)
            }
        }
    }
}

impl Caching {
    /// Makes the request what the cache wants to know of the upstream.
    pub fn ask(&mut self, request: &mut RequestHeader) -> Result<()> {
        match self {
            Self::Filling(filling) => filling.ask(request),
            Self::Outside | Self::Unsafe(_) | Self::Answered => Ok(()),
        }
    }

    /// Makes the request the browser's again, for an answer from memory.
    pub fn ask_no_more(&mut self, request: &mut RequestHeader) -> Result<()> {
        match self {
            Self::Filling(filling) => filling.ask_no_more(request),
            Self::Outside | Self::Unsafe(_) | Self::Answered => Ok(()),
        }
    }

    /// Shown the head of the upstream's answer, as received. `Some`: the browser is to get this in place of it.
    pub fn received(&mut self, response: &Parts, asked: &Asked<'_>) -> Result<Option<Hit>> {
        match self {
            // RFC 9111 §4.4. Whatever else of the widget depends on it is not known, so all of it goes.
            Self::Unsafe(cache) if response.status.is_success() || response.status.is_redirection() => {
                cache.purge(&asked.visit.widget);
                Ok(None)
            }
            Self::Filling(filling) => filling.head(response, asked),
            Self::Outside | Self::Unsafe(_) | Self::Answered => Ok(None),
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
            Self::Outside | Self::Unsafe(_) | Self::Answered => None,
        }
    }
}

/// On the library's path.
impl Caching {
    /// The head of the upstream's answer, as received.
    pub async fn head(
        &mut self,
        session: &mut Session,
        response: &mut ResponseHeader,
        (visit, upstream, https): (&Visit, &str, bool),
    ) -> Result<()> {
        let asked = Asked { request: session.req_header(), visit, upstream, https };
        if let Some(hit) = self.received(response, &asked)? {
            self.ask_no_more(session.req_header_mut())?;
            hit.send(session, visit).await?;
            *self = Self::Answered;
            // The library goes on to send what the upstream said. An interim answer is one that it leaves out when
            // told so, over HTTP/2 always.
            session.as_downstream_mut().set_ignore_info_resp(true);
            response.set_status(StatusCode::EARLY_HINTS)?;
        }
        Ok(())
    }

    /// A piece of the upstream's body.
    pub fn piece(&mut self, piece: &mut Option<Bytes>, end: bool) {
        if let Self::Answered = self {
            *piece = None;
        }
        if let Some(piece) = piece {
            self.passes(piece);
        }
        if end {
            self.ended();
        }
    }

    /// The upstream failed before it answered. `true`: what is in memory was sent in place of an error.
    pub async fn stand_in(&mut self, session: &mut Session, visit: Option<&Visit>) -> bool {
        let (Some(hit), Some(visit)) = (self.instead_of_an_error(), visit) else { return false };
        // The library keeps no connection on which a request failed.
        session.set_keepalive(None);
        let sent = match self.ask_no_more(session.req_header_mut()) {
            Ok(()) => hit.send(session, visit).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a stale asset could not be sent");
        }
        session.response_written().is_some()
    }
}
