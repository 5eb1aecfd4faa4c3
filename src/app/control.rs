//! Settings of the admin listener, in its own types.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::SignedDuration;

use crate::admin::{ClassAnswer, ClassAnswers, MutualTls, MutualTlsFiles};
use crate::config::{AdminTls, CertificateFiles, RouteSettings, Settings, TicketCookie, WidgetPlace};
use crate::edge::error::EdgeError;
use crate::edge::setup::LiveSetup;
use embedgate_policy::explain::RouteAnswers;
use embedgate_policy::report::ReportPath;
use embedgate_policy::ticket::{Ticket, TicketError, TicketReader};

mod surfaces;

/// Where a browser finds the operator's page.
pub(super) fn page_address(settings: &Settings) -> String {
    let admin = &settings.admin;
    let scheme = if admin.tls.is_some() { "https" } else { "http" };
    // The listener may be at every address, and answers to these names alone.
    let host = admin.hosts.first().map_or("localhost", String::as_str);
    format!("{scheme}://{host}:{}/", admin.listen.port())
}

/// What the routes answer.
pub fn class_answers(settings: &Settings) -> ClassAnswers {
    let https = settings.edge.public_origins.iter().next().is_some_and(|origin| origin.is_https());
    let renewable_for = SignedDuration::try_from(settings.tickets.renewable_for).ok();
    // Browsers keep such a cookie only under https, localhost aside.
    let is_kept =
        https || settings.edge.public_origins.iter().next().is_some_and(|origin| origin.is_loopback());
    let ticket_cookie =
        renewable_for.filter(|_| settings.tickets.cookie == TicketCookie::Partitioned && is_kept);
    let reports = settings.reports.path.as_ref().and_then(|path| ReportPath::new(path.as_str()));
    let answer = |route: &RouteSettings| ClassAnswer {
        class: route.class,
        only: match &route.widget {
            WidgetPlace::Fixed(id) => Some(id.clone()),
            WidgetPlace::Path | WidgetPlace::Host | WidgetPlace::Query(_) => None,
        },
        missing_denied: route.missing_denied,
        answers: route_answers(route, https, ticket_cookie, reports.clone()),
    };
    settings.routes.iter().map(answer).collect::<ClassAnswers>().with_surfaces(surfaces::of(settings))
}

fn route_answers(
    route: &RouteSettings,
    https: bool,
    ticket_cookie: Option<SignedDuration>,
    reports: Option<ReportPath>,
) -> RouteAnswers {
    RouteAnswers {
        silent: route.profile(false),
        voice: route.profile(true),
        own: route.own_profile(),
        credentials: route.credentials,
        cache: route.cache_rule(),
        https,
        ticket_cookie,
        reports,
    }
}

/// Reader of tickets by the setup in force.
pub(super) struct LiveTickets(LiveSetup);

impl LiveTickets {
    pub(super) fn new(setup: LiveSetup) -> Self {
        Self(setup)
    }
}

impl TicketReader for LiveTickets {
    fn read_ticket(&self, widget: &str, presented: &[u8]) -> Result<Ticket, TicketError> {
        self.0.load().tickets.read_ticket(widget, presented)
    }

    fn renewable_for(&self) -> SignedDuration {
        self.0.load().tickets.renewable_for()
    }
}

/// Where a copy of the store, or of what a fleet has published, is written before it is sent; `None` if rules come from
/// files.
pub(super) fn backup_path(settings: &Settings) -> Option<PathBuf> {
    let (_, store) = settings.rules.kept()?;
    let mut path = store.as_os_str().to_owned();
    path.push(".backup-under-way");
    Some(path.into())
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
