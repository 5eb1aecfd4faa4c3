//! Settings of the admin listener, in its own types.

use std::sync::Arc;

use crate::admin::{ClassAnswer, ClassAnswers, MutualTls, MutualTlsFiles};
use crate::config::{AdminTls, CertificateFiles, RouteSettings, Settings};
use crate::edge::error::EdgeError;
use embedgate_policy::explain::RouteAnswers;
use embedgate_policy::origin::Scheme;
use embedgate_policy::verdict::Class;

/// Answers of the routes, by class. Where routes of one class differ, the first stands for them, but requests
/// without an embedder count as refused only if all of them refuse.
pub fn class_answers(settings: &Settings) -> ClassAnswers {
    let https =
        settings.edge.public_origins.iter().next().is_some_and(|origin| origin.scheme() == Scheme::Https);
    let answer = |class: Class| {
        let route = settings.routes.iter().find(|route| route.class == class)?;
        let missing_denied = super::missing_denied(settings, class);
        Some((class, ClassAnswer { missing_denied, answers: route_answers(route, https) }))
    };
    Class::ALL.into_iter().filter_map(answer).collect()
}

fn route_answers(route: &RouteSettings, https: bool) -> RouteAnswers {
    RouteAnswers {
        silent: route.profile(false),
        voice: route.profile(true),
        own: route.own_profile(),
        credentials: route.credentials,
        cache: route.cache_rule(),
        https,
    }
}

/// Mutual TLS of the admin listener, if it is configured.
pub(super) fn mutual_tls(settings: &Settings) -> Result<Option<Arc<MutualTls>>, EdgeError> {
    let Some(AdminTls { certificate: CertificateFiles { cert, key }, client_ca }) =
        settings.admin.tls.clone()
    else {
        return Ok(None);
    };
    Ok(Some(Arc::new(MutualTls::load(MutualTlsFiles { cert, key, client_ca })?)))
}
