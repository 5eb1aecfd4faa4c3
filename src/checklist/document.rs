//! Points about the widget's document, and about who was seen.

use embedgate_policy::lint::Severity;
use embedgate_policy::widget::{Access, Environment};

use super::Deployment;
use super::facts::{KnownFinding, TrafficSeen, WidgetFacts};
use super::point::{CheckPoint, PointGroup, PointKind};
use super::reach::is_local;

const fn point(code: &'static str, title: &'static str) -> PointKind {
    PointKind::new(PointGroup::Widget, code, title)
}

const ENABLED: PointKind = point("enabled", "The widget is enabled");
const RESTRICTED: PointKind = point("restricted", "Only listed sites may embed it");
const STAGING: PointKind = point("staging_left", "Nothing is left of staging and previews");
const STALE: PointKind = point("stale_entries", "Every entry is of use");
const EXPIRING: PointKind = point("expiring_entries", "No entry expires soon");
const VOICE: PointKind = point("secure_voice", "Voice has https everywhere");
const LIMITS: PointKind = point("limits", "What one client can take is limited");
const OTHERS: PointKind = point("document", "The document has no other findings");
const TRAFFIC: PointKind = point("traffic", "Sites have embedded it, and not only previews");

/// Findings that say that something of another stage is listed.
const STAGES: [&str; 4] =
    ["mixed_environments", "preview_in_production", "loopback_in_production", "claimable_preview"];

/// Findings that other points tell of.
const ELSEWHERE: [&str; 8] = [
    "unrestricted_production",
    "unrestricted",
    "trust_center_private",
    "stale_entry",
    "expiring_entry",
    "insecure_voice",
    "limit_without_address",
    "shadowed_entry",
];

/// All points of this group.
pub(super) fn points(deployment: &Deployment) -> Vec<CheckPoint> {
    let facts = &deployment.facts;
    vec![
        match facts.enabled {
            true => ENABLED.pass("it is enabled"),
            false => ENABLED.fail("it is disabled, so every site is refused", "Set `enabled` to `true`."),
        },
        restricted(facts),
        by_findings(
            STAGING,
            facts,
            &|code| STAGES.contains(&code),
            "Remove these entries, and give staging a widget of its own.",
        ),
        by_findings(
            STALE,
            facts,
            &|code| code == "stale_entry" || code == "shadowed_entry",
            "Remove the entries that nobody needs: whoever gets such a name can embed the widget.",
        ),
        by_findings(
            EXPIRING,
            facts,
            &|code| code == "expiring_entry",
            "Renew `expires_at` of the entries that are still needed, and remove the others.",
        ),
        voice(deployment),
        limits(facts),
        by_findings(
            OTHERS,
            facts,
            &|code| !STAGES.contains(&code) && !ELSEWHERE.contains(&code),
            "Follow what each finding says, or accept it.",
        ),
        traffic(deployment),
    ]
}

fn restricted(facts: &WidgetFacts) -> CheckPoint {
    let mend = "List the widget's sites in `allowed_domains`, and set `access` to `enforce`.";
    match (facts.access, facts.environment) {
        (Access::Enforce, _) => RESTRICTED.pass("the list is enforced"),
        (Access::Monitor, _) => RESTRICTED.warn("`access` is `monitor`, so every site is let through", mend),
        (Access::Open, Environment::Production) => RESTRICTED.fail("any site may embed it", mend),
        (Access::Open, Environment::Staging) => RESTRICTED.warn("any site may embed it", mend),
    }
}

/// A point that passes if there is no such finding.
fn by_findings(kind: PointKind, facts: &WidgetFacts, is_it: &dyn Fn(&str) -> bool, mend: &str) -> CheckPoint {
    let found: Vec<&KnownFinding> = facts.findings.iter().filter(|finding| is_it(&finding.code)).collect();
    let Some(worst) = found.iter().map(|finding| finding.severity).max() else {
        return kind.pass("no finding");
    };
    let told: Vec<String> = found
        .iter()
        .map(|finding| match &finding.entry {
            Some(entry) => format!("`{entry}`: {}", finding.detail),
            None => finding.detail.clone(),
        })
        .collect();
    let told = told.join("; ");
    match worst {
        Severity::Error => kind.fail(told, mend),
        Severity::Warning => kind.warn(told, mend),
        Severity::Info => kind.pass(told),
    }
}

fn voice(deployment: &Deployment) -> CheckPoint {
    let facts = &deployment.facts;
    if !facts.voice {
        return VOICE.skipped("the widget has no voice");
    }
    let listed = by_findings(
        VOICE,
        facts,
        &|code| code == "insecure_voice",
        "Browsers give a microphone to https pages alone: list https sites.",
    );
    if listed.mend.is_some() {
        return listed;
    }
    let is_trusted = |url: &url::Url| url.scheme() == "https" || is_local(url);
    match std::iter::once(&deployment.edge).chain(&deployment.page).find(|url| !is_trusted(url)) {
        Some(url) => VOICE.fail(
            format!("{} is plain http", url.origin().ascii_serialization()),
            "Serve it over https: browsers give plain-http pages no microphone.",
        ),
        None => VOICE.pass("the edge and the site are secure contexts"),
    }
}

fn limits(facts: &WidgetFacts) -> CheckPoint {
    let mend = "Set `limits.address`, such as 5 sessions and 20 opens a minute.";
    match facts.limited {
        false => LIMITS.warn("no limit of the widget is enforced", mend),
        true => by_findings(LIMITS, facts, &|code| code == "limit_without_address", mend),
    }
}

fn traffic(deployment: &Deployment) -> CheckPoint {
    let TrafficSeen { since, browsers, others, previews, last } = deployment.facts.traffic;
    let mend =
        "Open the site in a browser, and the widget in it: a preview proves nothing about the live site.";
    let last = last.map(|last| format!(", the last at {last}")).unwrap_or_default();
    // Browsers say what they are to pages that they trust; over plain http nobody can tell.
    let says = deployment.edge.scheme() == "https" || deployment.edge.host_str() == Some("localhost");
    match (browsers, others, previews) {
        (0, 0, 0) => TRAFFIC.warn(format!("no site was let in since {since}"), mend),
        (0, 0, _) => TRAFFIC.warn(format!("only the dashboard's preview was seen since {since}"), mend),
        (0, others, _) if says => {
            TRAFFIC.warn(format!("{others} requests on sites, but none of a browser{last}"), mend)
        }
        (browsers, others, _) => {
            let requests = browsers.saturating_add(others);
            TRAFFIC.pass(format!("{requests} requests on sites since {since}{last}"))
        }
    }
}
