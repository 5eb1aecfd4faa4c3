//! Requests on connections that the edge serves itself: the same steps as the library's callbacks, without it.

use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use pingora::http::RequestHeader;
use pingora::{Error, ErrorSource, ErrorType, Result};

use super::answer::Asker;
use super::{Context, EdgeProxy};
use crate::edge::cache::{Asked, Begun, Caching, Hit};
use crate::edge::deadline::Deadline;
use crate::edge::direct::{self, Downstream, Passage, Passed};
use crate::edge::failure;
use crate::edge::http1::{Connection, head};
use crate::edge::request::{self, Upgrade};
use crate::edge::route::Target;
use crate::edge::tickets::presented;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Served {
    /// It is answered, as far as it can be.
    Here,
    /// It is for the library; nothing was done.
    NotHere,
}

impl EdgeProxy {
    /// Serves one request, if it is one that needs nothing of the library.
    pub async fn serve_plain(
        &self,
        connection: &mut Connection,
        head: &Bytes,
        asker: Asker,
        deadline: &mut Deadline,
    ) -> Served {
        let Some(mut request) = head::read(head) else { return Served::NotHere };
        let target = self.target(&request);
        // Any other has no body, and fits the direct path.
        let is_plain = request.method != Method::OPTIONS || request::is_preflight(&request);
        let is_http1 = match &target {
            Target::Route { route, .. } => route.is_http1(),
            Target::DemoPage(upstream) => upstream.is_http1(),
            Target::Tickets { .. } | Target::None => true,
        };
        if !is_plain || !is_http1 {
            return Served::NotHere;
        }
        let mut context = Context::default();
        let answered = match self.judge(&request, target, Upgrade::None, asker, &mut context) {
            Some(reply) => {
                context.status = Some(reply.status().as_u16());
                connection.reply(reply).await
            }
            None => self.pass_on(connection, deadline, &mut request, &mut context).await,
        };
        if let Err(error) = answered {
            self.record_failure(&error, &context);
            if let Some(status) = failure::status(&error).filter(|_| !connection.has_begun()) {
                context.status = Some(status.as_u16());
                // That the client can't be told any more is the lesser trouble.
                let _ = connection.reply(self.failed(&request, &context, status)).await;
            }
        }
        let status = context.status.filter(|_| connection.has_begun());
        self.count(&mut context, status);
        Served::Here
    }

    /// Answers an allowed request from memory, or passes it on.
    async fn pass_on(
        &self,
        connection: &mut Connection,
        deadline: &mut Deadline,
        request: &mut RequestHeader,
        context: &mut Context,
    ) -> Result<()> {
        presented::strip(request)?;
        let mut caching = Caching::Outside;
        if let Some((visit, upstream, https)) = context.asset() {
            match self.cache.begin(&Asked { request, visit, upstream: upstream.name(), https }).await {
                Begun::Hit(hit) => return from_memory(&hit, connection, request, context).await,
                Begun::Goes(goes) => caching = goes,
            }
            caching.ask(request)?;
        }
        let hit = match self.forward((connection, deadline), request, &mut caching, context).await {
            Ok(Passed::Whole) => return Ok(()),
            Ok(Passed::Instead(hit)) => hit,
            Err(error) if *error.esource() == ErrorSource::Upstream && !connection.has_begun() => {
                let Some(hit) = caching.instead_of_an_error() else { return Err(error) };
                self.record_failure(&error, context);
                hit
            }
            Err(error) => return Err(error),
        };
        caching.ask_no_more(request)?;
        from_memory(&hit, connection, request, context).await
    }

    /// Forwards a request, for as long as the rules allow it.
    async fn forward(
        &self,
        (connection, deadline): (&mut Connection, &mut Deadline),
        request: &RequestHeader,
        caching: &mut Caching,
        context: &mut Context,
    ) -> Result<Passed> {
        let (Some(client), Some(upstream)) = (&context.client, &context.upstream) else {
            return Err(Error::new_in(ErrorType::InternalError));
        };
        let (visit, https) = (context.visit.as_ref(), client.https);
        let head = direct::head::write(request, visit, client);
        let looked_at = visit.filter(|_| matches!(caching, Caching::Filling(_)));
        let asset =
            looked_at.map(|visit| (caching, Asked { request, visit, upstream: upstream.name(), https }));
        let passage = Passage { head, upstream, visit, https, status: &mut context.status, asset };
        let passing = self.direct.forward(connection, passage, deadline);
        let Some(guard) = &context.session else { return passing.await };
        let revocation = Arc::clone(guard.revocation());
        tokio::select! {
            biased;
            passed = passing => passed,
            at = revocation.revoked() => {
                self.metrics.session_revocation_duration.observe(at.elapsed().as_secs_f64());
                Ok(Passed::Whole)
            }
        }
    }
}

async fn from_memory(
    hit: &Hit,
    connection: &mut Connection,
    request: &RequestHeader,
    context: &mut Context,
) -> Result<()> {
    let Some(visit) = &context.visit else { return Err(Error::new_in(ErrorType::InternalError)) };
    let (head, body) = hit.answer(request, visit);
    context.status = Some(head.status.as_u16());
    connection.head(head, None, body.is_empty()).await?;
    connection.piece(body, true).await
}
