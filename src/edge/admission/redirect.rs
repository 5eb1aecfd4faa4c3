//! Redirect from plain HTTP to https, if it is configured.

use std::sync::Arc;

use http::StatusCode;

use super::reply::{Recipient, Reply};
use super::request::{self, RequestRefusal};
use crate::edge::http::message::RequestHead;
use embedgate_policy::headers::OwnProfile;
use embedgate_policy::origin::{OriginBuf, OwnOrigin, OwnOrigins};

/// Redirect to the https origins of this edge.
#[derive(Clone, Debug)]
pub struct HttpsRedirect {
    https: Vec<OwnOrigin>,
    /// The first that is not of one widget alone.
    first: Option<OriginBuf>,
    /// Without headers of a route: its `Referrer-Policy` could remove the embedder from the next request.
    own: Arc<OwnProfile>,
}

/// Refusal of a host that has no https origin to redirect to.
const UNKNOWN_HOST: RequestRefusal =
    RequestRefusal::new(StatusCode::MISDIRECTED_REQUEST, "this host has no https origin here");

impl HttpsRedirect {
    /// A redirect to the https origins; `None` if there are none.
    pub fn new(public_origins: &OwnOrigins) -> Option<Self> {
        let https: Vec<OwnOrigin> = public_origins.iter().filter(OwnOrigin::is_https).collect();
        let first = https.iter().find_map(|own| match own {
            OwnOrigin::Shared(origin) => Some(origin.clone()),
            OwnOrigin::ByWidget(_) => None,
        });
        (!https.is_empty()).then(|| Self { https, first, own: Arc::new(OwnProfile::new([])) })
    }

    /// The redirect, to the origin with the same host or else to the first.
    pub fn reply(&self, request: &RequestHead) -> Reply {
        let host = request::host(request);
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name).to_ascii_lowercase();
        let same = self.https.iter().find_map(|own| own.at_host(&name));
        let to = Recipient { request, own: &self.own, https: false };
        match same.or_else(|| self.first.as_ref().map(ToString::to_string)) {
            Some(origin) => Reply::redirect(to, &format!("{origin}{}", request.target())),
            None => Reply::refusal(to, UNKNOWN_HOST),
        }
    }
}
