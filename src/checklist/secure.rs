//! Points about the edge's certificate, and about plain http beside it.

use jiff::Timestamp;
use url::Url;

use super::fetch::{CheckClient, CheckRequest, FetchFault};
use super::point::{CheckPoint, PointGroup, PointKind};
use embedgate_policy::lint::EXPIRY_NOTICE;

const CERTIFICATE: PointKind =
    PointKind::new(PointGroup::Edge, "certificate", "The certificate is valid, and not about to expire");
const REDIRECT: PointKind =
    PointKind::new(PointGroup::Edge, "redirect", "Plain http serves nothing, or leads to https");

/// How the edge's address is secured.
pub(super) struct SecuredEdge {
    pub(super) points: [CheckPoint; 2],
    /// Browsers would speak with it at all.
    pub(super) is_usable: bool,
}

/// Looks at the address of the edge; the fault says that nothing answers there.
pub(super) fn look(client: &CheckClient, edge: &Url, now: Timestamp) -> Result<SecuredEdge, FetchFault> {
    let answered = client.ask(CheckRequest::get(edge));
    if edge.scheme() != "https" {
        answered?;
        let skipped = "the edge is asked over plain http";
        return Ok(SecuredEdge {
            points: [CERTIFICATE.skipped(skipped), REDIRECT.skipped(skipped)],
            is_usable: true,
        });
    }
    let renew = "Renew the certificate, and see that it names this host and that its chain is whole: browsers refuse every part of the widget.";
    match answered {
        Err(fault) if fault.is_certificate => {
            let points = [CERTIFICATE.fail(fault.detail, renew), redirect(client, edge)];
            return Ok(SecuredEdge { points, is_usable: false });
        }
        answered => answered?,
    };
    let expiry = client.chain(edge).ok().and_then(|chain| {
        let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
        Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
    });
    let certificate = match expiry {
        None => CERTIFICATE.pass("it is valid"),
        Some(at) if at.duration_since(now) <= EXPIRY_NOTICE => CERTIFICATE.warn(
            format!("it expires at {at}"),
            "Renew the certificate now, and see why that did not happen by itself.",
        ),
        Some(at) => CERTIFICATE.pass(format!("it is valid until {at}")),
    };
    Ok(SecuredEdge { points: [certificate, redirect(client, edge)], is_usable: true })
}

fn redirect(client: &CheckClient, edge: &Url) -> CheckPoint {
    let mut plain = edge.clone();
    // Only the usual port has a plain counterpart that browsers try.
    if edge.port().is_some() || plain.set_scheme("http").is_err() {
        return REDIRECT.skipped("the edge has a port of its own");
    }
    let Ok(answer) = client.ask(CheckRequest::get(&plain)) else {
        return REDIRECT.pass("nothing answers over plain http");
    };
    match answer.redirect(&plain) {
        Some(to) if to.scheme() == "https" => {
            REDIRECT.pass(format!("plain http leads to {}", to.origin().ascii_serialization()))
        }
        _ => REDIRECT.fail(
            format!("plain http is answered with {}", answer.status.as_u16()),
            "Set `edge.redirect_http = true`, or close the plain listener.",
        ),
    }
}
