//! Points about who is let in, by surface.

use http::StatusCode;

use super::headers;
use super::tickets;
use super::{AskedEdge, AskedSurface, Probed, Treated};
use crate::checklist::Deployment;
use crate::checklist::point::{CheckPoint, PointGroup, PointKind};
use embedgate_policy::widget::{Access, Environment};

const fn point(code: &'static str, title: &'static str) -> PointKind {
    PointKind::new(PointGroup::Edge, code, title)
}

const OWN: PointKind = point("own_origin", "The edge knows this address as its own");
const LISTED: PointKind = point("listed", "The site is on the list");
const PUBLIC: PointKind = point("public_pages", "Trust Center and policy pages answer");

/// The points of a surface: of the site, and of a stranger.
struct SurfacePoints {
    site: PointKind,
    stranger: PointKind,
    /// Other answers than a success are the upstream's own affair.
    is_session: bool,
}

const SURFACES: [SurfacePoints; 4] = [
    SurfacePoints {
        site: point("loader_allowed", "The site gets the loader"),
        stranger: point("loader_refused", "A stranger does not get the loader"),
        is_session: false,
    },
    SurfacePoints {
        site: point("frame_allowed", "The site gets the frame's document"),
        stranger: point("frame_refused", "A stranger does not get the frame's document"),
        is_session: false,
    },
    SurfacePoints {
        site: point("session_allowed", "The site's calls reach sessions"),
        stranger: point("session_refused", "A stranger's calls reach no session"),
        is_session: true,
    },
    SurfacePoints {
        site: point("websocket_allowed", "The site opens a WebSocket"),
        stranger: point("websocket_refused", "A stranger opens no WebSocket"),
        is_session: true,
    },
];

/// All points about what the edge answers; `None`: it was not asked, because browsers would not speak with it.
pub(in crate::checklist) fn points(deployment: &Deployment, asked: Option<&AskedEdge>) -> Vec<CheckPoint> {
    let nothing = AskedEdge::default();
    let asked_at_all = asked.is_some();
    let asked = asked.unwrap_or(&nothing);
    let surfaces = [&asked.loader, &asked.frame, &asked.session, &asked.websocket];
    let listed = listed(deployment, &surfaces);
    let is_refused = listed.mend.is_some() || !deployment.facts.enabled;
    let is_known = deployment.facts.origins.contains(&deployment.edge.origin().ascii_serialization());
    let mut points = vec![own(deployment, is_known), listed];
    let pairs = || SURFACES.iter().zip(surfaces);
    points.extend(pairs().map(|(kinds, asked)| match is_refused {
        true => kinds.site.skipped("the site is refused"),
        false => allowed(kinds, &asked.site),
    }));
    points.extend(pairs().map(|(kinds, asked)| refused(deployment, kinds, &asked.stranger)));
    points.push(match &asked.tickets {
        _ if is_refused => tickets::skipped("the site is refused"),
        _ if !is_known => tickets::skipped("the edge does not know this address as its own"),
        Some(walk) => walk.point(),
        None => tickets::skipped("there is no site, no frame or no session to ask for"),
    });
    points.extend(headers::points(deployment, asked));
    points.push(match asked_at_all {
        true => public(deployment, asked),
        false => PUBLIC.skipped("the edge was not asked"),
    });
    points
}

fn own(deployment: &Deployment, is_known: bool) -> CheckPoint {
    let edge = deployment.edge.origin().ascii_serialization();
    match is_known {
        true => OWN.pass(edge),
        false => OWN.fail(
            format!("{edge} is none of {}", deployment.facts.origins.join(", ")),
            "Give --edge as browsers see it, or add it to `edge.public_origins`: the iframe's calls count as a stranger's.",
        ),
    }
}

/// The site is listed unless every surface refuses it.
fn listed(deployment: &Deployment, surfaces: &[&AskedSurface; 4]) -> CheckPoint {
    let Some(origin) = deployment.origin() else {
        return LISTED.skipped("no site was given");
    };
    if !deployment.facts.enabled {
        return LISTED.skipped("the widget is disabled");
    }
    let treated: Vec<Treated> =
        surfaces.iter().filter_map(|asked| asked.site.as_ref()).map(Treated::of).collect();
    let refusals = treated.iter().filter(|treated| matches!(treated, Treated::Refused(_))).count();
    match treated.len() {
        0 => LISTED.skipped("the edge was not asked"),
        all if all == refusals => {
            LISTED.fail(format!("the edge refuses {origin}"), format!("Add `{origin}` to `allowed_domains`."))
        }
        _ => LISTED.pass(format!("the edge lets {origin} in")),
    }
}

fn allowed(kinds: &SurfacePoints, probed: &Probed) -> CheckPoint {
    let kind = kinds.site;
    let Some(asked) = probed else {
        return kind.skipped("there is no site, or no route with a fixed path");
    };
    match Treated::of(asked) {
        Treated::LetThrough(status) if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS => {
            kind.pass(format!("the answer is {}", status.as_u16()))
        }
        Treated::LetThrough(status) if kinds.is_session && status.is_client_error() => {
            kind.pass(format!("the edge lets it through; the upstream's answer is {}", status.as_u16()))
        }
        Treated::LetThrough(status) => kind.fail(
            format!("the upstream's answer is {}", status.as_u16()),
            "See that the route's path and its upstream are right.",
        ),
        Treated::Limited => {
            kind.warn("a limit is reached", "See how much of the widget's limits is used, and by whom.")
        }
        Treated::Refused(why) => kind.fail(
            format!("it is refused: {why}"),
            "`embedgate explain` says why; see also what stands in front of the edge.",
        ),
        Treated::Failed(why) => kind.fail(why, "See that the upstream runs, and that the edge reaches it."),
    }
}

fn refused(deployment: &Deployment, kinds: &SurfacePoints, probed: &Probed) -> CheckPoint {
    let kind = kinds.stranger;
    let Some(asked) = probed else {
        return kind.skipped("there is no route with a fixed path, or the edge was not asked");
    };
    let treated = Treated::of(asked);
    if deployment.facts.access != Access::Enforce && deployment.facts.enabled {
        return kind.skipped("the list is not enforced");
    }
    match treated {
        Treated::Refused(_) => kind.pass("it is refused"),
        Treated::Failed(why) => {
            kind.warn(why, "See why the edge does not answer, and run the checklist again.")
        }
        treated if treated.is_let_through() => kind.fail(
            "a site that is not on the list is let in",
            "See what stands in front of the edge: a cache that ignores `Vary`, or a way around the edge.",
        ),
        _ => kind.pass("it gets nothing"),
    }
}

fn public(deployment: &Deployment, asked: &AskedEdge) -> CheckPoint {
    if !deployment.facts.public_trust_center {
        return match deployment.facts.environment {
            Environment::Production => PUBLIC.warn(
                "visitors can't read them: `public_trust_center` is `false`",
                "Set `public_trust_center` to `true`.",
            ),
            Environment::Staging => PUBLIC.skipped("`public_trust_center` is `false`"),
        };
    }
    let fault = asked.public.iter().find_map(|(url, answer)| {
        let what = match answer {
            Ok(answer) if answer.status.is_success() || answer.status.is_redirection() => return None,
            Ok(answer) => format!("the answer is {}", answer.status.as_u16()),
            Err(fault) => fault.detail.clone(),
        };
        Some(format!("{}: {what}", url.path()))
    });
    match fault {
        Some(fault) => PUBLIC.fail(fault, "See that the upstream serves these pages."),
        None if asked.public.is_empty() => {
            PUBLIC.skipped("there is no route of class `public` with a fixed path")
        }
        None => PUBLIC.pass(asked.public.iter().map(|(url, _)| url.path()).collect::<Vec<_>>().join(", ")),
    }
}
