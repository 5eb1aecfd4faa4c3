//! The cache's part in one request on the proxy library's path: what its callbacks call.

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

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

impl AssetCache {
    /// Answers a request from memory ([`Caching::Answered`]), or says what the later callbacks are to do.
    pub async fn serve(
        &self,
        session: &mut Session,
        (visit, upstream, https): (&Visit, &str, bool),
    ) -> Result<Caching> {
        if self.0.is_none() {
            return Ok(Caching::Outside);
        }
        let request = session.req_header();
        if !request.method.is_safe() {
            return Ok(Caching::Unsafe(self.clone()));
        }
        if request.method == Method::OPTIONS {
            return Ok(Caching::Outside);
        }
        match self.look_up(&Asked { request, visit, upstream, https }).await {
            Lookup::Hit(hit) => hit.send(session, visit).await.map(|()| Caching::Answered),
            Lookup::Miss(mut filling) => {
                filling.ask(session.req_header_mut())?;
                Ok(Caching::Filling(filling))
            }
            Lookup::Bypass => Ok(Caching::Outside),
        }
    }
}

impl Caching {
    /// The head of the upstream's answer, as received.
    pub async fn head(
        &mut self,
        session: &mut Session,
        response: &mut ResponseHeader,
        (visit, upstream, https): (&Visit, &str, bool),
    ) -> Result<()> {
        match self {
            // RFC 9111 §4.4. Whatever else of the widget depends on it is not known, so all of it goes.
            Self::Unsafe(cache) if response.status.is_success() || response.status.is_redirection() => {
                cache.purge(&visit.widget);
            }
            Self::Filling(filling) => {
                let asked = Asked { request: session.req_header(), visit, upstream, https };
                if let Some(hit) = filling.head(response, &asked)? {
                    filling.ask_no_more(session.req_header_mut())?;
                    hit.send(session, visit).await?;
                    *self = Self::Answered;
                    // The library goes on to send what the upstream said. An interim answer is one that it leaves
                    // out when told so, over HTTP/2 always.
                    session.as_downstream_mut().set_ignore_info_resp(true);
                    response.set_status(StatusCode::EARLY_HINTS)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A piece of the upstream's body.
    pub fn piece(&mut self, piece: &mut Option<Bytes>, end: bool) {
        match self {
            Self::Filling(filling) => {
                if let Some(piece) = piece {
                    filling.piece(piece);
                }
                if end {
                    filling.end();
                }
            }
            Self::Answered => *piece = None,
            Self::Outside | Self::Unsafe(_) => {}
        }
    }

    /// The upstream failed before it answered. `true`: what is in memory was sent in place of an error.
    pub async fn stand_in(&mut self, session: &mut Session, visit: Option<&Visit>) -> bool {
        let (Self::Filling(filling), Some(visit)) = (self, visit) else { return false };
        let Some(hit) = filling.stand_in() else { return false };
        // The library keeps no connection on which a request failed.
        session.set_keepalive(None);
        let sent = match filling.ask_no_more(session.req_header_mut()) {
            Ok(()) => hit.send(session, visit).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::debug!(%error, "a stale asset could not be sent");
        }
        session.response_written().is_some()
    }
}
