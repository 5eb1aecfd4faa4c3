//! What the control plane needs of the settings.

use std::sync::Arc;

use crate::admin::{ClassAnswer, ClassAnswers, MutualTls, MutualTlsFiles};
use crate::config::{AdminTls, CertificateFiles, Route, Settings};
use crate::edge::error::EdgeError;
use crate::policy::decision::Class;
use crate::policy::explain::RouteAnswers;
use crate::policy::origin::Scheme;

/// What the routes of each class do. Where several of one class differ, the first speaks for them, and requests
/// without an embedder are told to be refused only where all of them refuse.
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

fn route_answers(route: &Route, https: bool) -> RouteAnswers {
    RouteAnswers {
        silent: route.profile(false),
        voice: route.profile(true),
        own: route.own_profile(),
        credentials: route.credentials,
        cache: route.cache_rule(),
        https,
    }
}

/// The certificates of the admin listener, where it has any.
pub(super) fn mutual_tls(settings: &Settings) -> Result<Option<Arc<MutualTls>>, EdgeError> {
    let Some(AdminTls { certificate: CertificateFiles { cert, key }, client_ca }) =
        settings.admin.tls.clone()
    else {
        return Ok(None);
    };
    Ok(Some(Arc::new(MutualTls::load(MutualTlsFiles { cert, key, client_ca })?)))
}
