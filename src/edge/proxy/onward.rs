//! An allowed request on its way: as a tunnel, or directly. What neither takes goes the proxy library's way.

use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::{Context, EdgeProxy};
use crate::edge::cache::{Asked, Caching};
use crate::edge::deadline::Deadline;
use crate::edge::direct::{self, Passage, Passed};
use crate::edge::forward;
use crate::edge::tickets::presented;
use crate::edge::tunnel::{Handshake, Opened};

impl EdgeProxy {
    pub(super) async fn open_tunnel(&self, session: &mut Session, context: &mut Context) -> Result<Opened> {
        let (Some(client), Some(upstream), Some(visit)) =
            (&context.client, &context.upstream, &context.visit)
        else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let mut request = session.req_header().clone();
        let subprotocol = presented::subprotocol(&request.headers);
        presented::strip(&mut request)?;
        forward::to_upstream(&mut request, Some(visit), client)?;
        let handshake = Handshake { request, subprotocol, upstream, visit, https: client.https };
        let opened = self.tunnels.open(session, handshake, &mut context.session).await?;
        if matches!(opened, Opened::Tunnel) {
            context.status = Some(StatusCode::SWITCHING_PROTOCOLS.as_u16());
        }
        Ok(opened)
    }

    /// Forwards what fits the direct path. `false`: nothing was done.
    pub(super) async fn forward_directly(
        &self,
        session: &mut Session,
        context: &mut Context,
    ) -> Result<bool> {
        let (Some(client), Some(upstream)) = (&context.client, &context.upstream) else { return Ok(false) };
        if !upstream.is_http1() || !session.is_body_empty() || !direct::head::fits(session.req_header()) {
            return Ok(false);
        }
        let (visit, https) = (context.visit.as_ref(), client.https);
        let head = direct::head::write(session.req_header(), visit, client);
        let mut caching = std::mem::take(&mut context.caching);
        let request = matches!(caching, Caching::Filling(_)).then(|| session.req_header().clone());
        let asset = request.as_ref().zip(visit).map(|(request, visit)| {
            (&mut caching, Asked { request, visit, upstream: upstream.name(), https })
        });
        let passage = Passage { head, upstream, visit, https, status: &mut context.status, asset };
        let passed = self.direct.forward(session, passage, &mut Deadline::default()).await;
        if let (Ok(Passed::Instead(hit)), Some(visit)) = (&passed, visit) {
            caching.ask_no_more(session.req_header_mut())?;
            hit.send(session, visit).await?;
        }
        // A failure may still be made up for.
        context.caching = caching;
        passed.map(|_| true)
    }
}
