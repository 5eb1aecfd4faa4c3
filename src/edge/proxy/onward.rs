//! An allowed request on its way: as a tunnel, or directly. What neither takes goes the proxy library's way.

use http::StatusCode;
use pingora::proxy::Session;
use pingora::{Error, ErrorType, Result};

use super::{Context, EdgeProxy};
use crate::edge::direct::{self, Passage};
use crate::edge::forward;
use crate::edge::tunnel::{Handshake, Opened};

impl EdgeProxy {
    pub(super) async fn open_tunnel(&self, session: &mut Session, context: &mut Context) -> Result<Opened> {
        let (Some(client), Some(upstream), Some(visit)) =
            (&context.client, &context.upstream, &context.visit)
        else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let mut request = session.req_header().clone();
        forward::to_upstream(&mut request, Some(visit), client)?;
        let handshake = Handshake { request, upstream, visit, https: client.https };
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
        if !upstream.is_http1() || !session.is_body_empty() {
            return Ok(false);
        }
        let (request, visit) = (session.req_header(), context.visit.as_ref());
        if !direct::head::fits(request) {
            return Ok(false);
        }
        let head = direct::head::write(request, visit, client);
        let passage = Passage { head, upstream, visit, https: client.https, status: &mut context.status };
        self.direct.forward(session, passage).await.map(|()| true)
    }
}
