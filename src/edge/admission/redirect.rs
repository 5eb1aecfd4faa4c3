//! Redirect from plain HTTP to https, if it is configured.

use std::sync::Arc;

use super::reply::{Recipient, Reply};
use super::request;
use crate::edge::http::message::RequestHead;
use embedgate_policy::headers::OwnProfile;
use embedgate_policy::origin::{OriginBuf, OriginSet, Scheme};

/// Redirect to the https origins of this edge.
#[derive(Clone, Debug)]
pub struct HttpsRedirect {
    first: OriginBuf,
    others: Vec<OriginBuf>,
    /// Without headers of a route: its `Referrer-Policy` could remove the embedder from the next request.
    own: Arc<OwnProfile>,
}

impl HttpsRedirect {
    /// A redirect to the https origins; `None` if there are none.
    pub fn new(public_origins: &OriginSet) -> Option<Self> {
        let https = public_origins.iter().filter(|origin| origin.scheme() == Scheme::Https);
        let mut https = https.map(OriginBuf::from);
        Some(Self { first: https.next()?, others: https.collect(), own: Arc::new(OwnProfile::new([])) })
    }

    /// The redirect, to the origin with the same host or else to the first.
    pub fn reply(&self, request: &RequestHead) -> Reply {
        let host = request::host(request);
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let same = |origin: &&OriginBuf| origin.as_origin().host_str().eq_ignore_ascii_case(name);
        let origin = self.others.iter().find(same).unwrap_or(&self.first);
        let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
        let to = Recipient { request, own: &self.own, https: false };
        Reply::redirect(to, &format!("{}{target}", origin.as_origin().as_str()))
    }
}
