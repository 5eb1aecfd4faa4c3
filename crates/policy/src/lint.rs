//! Lint of a widget's document: findings about what it allows but probably should not.
//!
//! The lint needs only the document, the edge's policy and the time; [`stale_entries`] also needs what was seen.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::allowlist::{AllowlistBuf, Judgement};
use super::decision::EdgePolicy;
use super::entry::{Entry, EntryScheme, HostPattern, PortPattern};
use super::origin::Origin;
use super::suffix::PublicSuffixes;
use super::widget::{Access, Environment, Widget};
use crate::entry::listed::ListedEntry;

mod limits;
mod stage;
mod stale;

pub use stale::{EntryUse, STALE_AFTER, stale_entries, uses_its_list};

use stage::Stage;

/// Time before the expiry of an entry from which it is reported: 14 days.
pub const EXPIRY_NOTICE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Probably unintended.
    Warning,
    /// Open to everyone, or certain not to work.
    Error,
}

impl Severity {
    /// The name in answers and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

/// Finding about a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// The kind of finding, a stable code.
    pub code: &'static str,
    /// The severity.
    pub severity: Severity,
    /// The place: a JSON Pointer (RFC 6901) into the document.
    pub pointer: String,
    /// The entry in canonical text, if the finding is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// What the finding means and what to do.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}: {}", self.severity.as_str(), self.code, self.pointer, self.detail)
    }
}

/// All findings about one widget: first those about the widget as a whole, then by entry in the order of its
/// list.
pub fn lint(widget: &Widget, policy: &EdgePolicy, suffixes: &PublicSuffixes, now: Timestamp) -> Vec<Finding> {
    let mut findings = Vec::new();
    access(widget, policy, &mut findings);
    trust_center(widget, &mut findings);
    own_host(widget, policy, &mut findings);
    limits::limits(&widget.limits, &mut findings);
    let stages: Vec<Stage> =
        widget.allowed_domains.iter().map(|rule| Stage::of(&rule.entry, suffixes)).collect();
    mixed_environments(widget, &stages, &mut findings);
    let compiled = AllowlistBuf::compile(&widget.allowed_domains);
    let shadows = compiled.as_allowlist().shadows(now);
    let rules = widget.allowed_domains.iter().zip(stages).zip(shadows);
    for (index, ((rule, stage), shadow)) in rules.enumerate() {
        let mut say = |code, severity, detail: String| {
            findings.push(Finding {
                code,
                severity,
                pointer: format!("/allowed_domains/{index}"),
                entry: Some(rule.entry.to_string()),
                detail,
            });
        };
        expiry(rule, now, &mut say);
        if let Some((by, wider)) = shadow.and_then(|by| Some((by, widget.allowed_domains.get(by)?))) {
            shadowed(&rule.entry, by, &wider.entry, &mut say);
        }
        if widget.environment == Environment::Production {
            production_host(&rule.entry, &stage, &mut say);
        }
        entry(widget, rule, &mut say);
        if !rule.is_expired(now) {
            let admitted = |origin: Origin<'_>| {
                matches!(compiled.as_allowlist().judge(origin, now), Judgement::Admitted { .. })
            };
            www_apex_gap(&rule.entry, suffixes, &admitted, &mut say);
        }
    }
    findings
}

/// Receiver of a finding about one entry: code, severity and detail.
type Say<'a> = &'a mut dyn FnMut(&'static str, Severity, String);

fn access(widget: &Widget, policy: &EdgePolicy, findings: &mut Vec<Finding>) {
    if widget.effective_access() != Access::Open || !policy.open_allowed {
        return;
    }
    let (code, severity) = match widget.environment {
        Environment::Production => ("unrestricted_production", Severity::Error),
        Environment::Staging => ("unrestricted", Severity::Info),
    };
    let (pointer, why) = match widget.access {
        None => ("/allowed_domains", "the list is empty".to_owned()),
        Some(_) if widget.allowed_domains.is_empty() => ("/access", "`access` is `open`".to_owned()),
        Some(_) => {
            let entries = widget.allowed_domains.len();
            ("/access", format!("`access` is `open`, and the list's {entries} entries restrict nothing"))
        }
    };
    let detail =
        format!("{why}: any site may embed the widget; list its sites and set `access` to `enforce`");
    findings.push(Finding { code, severity, pointer: pointer.to_owned(), entry: None, detail });
}

fn trust_center(widget: &Widget, findings: &mut Vec<Finding>) {
    if widget.environment == Environment::Production && !widget.public_trust_center {
        findings.push(Finding {
            code: "trust_center_private",
            severity: Severity::Warning,
            pointer: "/public_trust_center".to_owned(),
            entry: None,
            detail: "visitors of a production site can't read the Trust Center and policy pages (404); set it to `true`"
                .to_owned(),
        });
    }
}

fn own_host(widget: &Widget, policy: &EdgePolicy, findings: &mut Vec<Finding>) {
    let id = widget.id.as_str();
    if let Some(own) = policy.own_origins.iter().find(|own| !own.fits(id)) {
        findings.push(Finding {
            code: "id_not_in_host",
            severity: Severity::Warning,
            pointer: "/id".to_owned(),
            entry: None,
            detail: format!(
                "browsers can't open `{own}` for this id, because names of hosts have only lower-case letters, digits, \
                 `-` and `_`, and at most 63 of them; give the widget such an id"
            ),
        });
    }
}

fn mixed_environments(widget: &Widget, stages: &[Stage], findings: &mut Vec<Finding>) {
    let rules = widget.allowed_domains.iter().zip(stages).enumerate();
    let first = |wanted: fn(&Stage) -> bool| {
        rules.clone().find(|(_, (_, stage))| wanted(stage)).map(|(index, (rule, _))| (index, rule))
    };
    let production = first(|stage| matches!(stage, Stage::Production));
    let trial = first(|stage| matches!(stage, Stage::Staging(_) | Stage::Preview(_)));
    if let (Some((_, production)), Some((index, trial))) = (production, trial) {
        let detail = format!(
            "the widget is on production (`{}`) and on staging or preview hosts (`{}`), so a change that is tried out \
            there is live here; use a separate widget for staging",
            production.entry, trial.entry
        );
        findings.push(Finding {
            code: "mixed_environments",
            severity: Severity::Warning,
            pointer: format!("/allowed_domains/{index}"),
            entry: Some(trial.entry.to_string()),
            detail,
        });
    }
}

fn expiry(rule: &ListedEntry, now: Timestamp, say: Say<'_>) {
    let Some(at) = rule.expires_at else { return };
    if rule.is_expired(now) {
        let detail = format!("expired at {at} and admits nobody any more; remove it or renew `expires_at`");
        say("expiring_entry", Severity::Warning, detail);
    } else if at.duration_since(now) <= EXPIRY_NOTICE {
        let detail = format!("expires at {at}; renew `expires_at` if the site still needs the widget then");
        say("expiring_entry", Severity::Warning, detail);
    }
}

fn shadowed(entry: &Entry, by: usize, wider: &Entry, say: Say<'_>) {
    let detail = format!(
        "`{wider}` (/allowed_domains/{by}) admits everything that `{entry}` admits; remove the narrower one, or \
        narrow the wider one"
    );
    say("shadowed_entry", Severity::Info, detail);
}

fn production_host(entry: &Entry, stage: &Stage, say: Say<'_>) {
    match stage {
        Stage::Loopback => {
            let detail = "any program on a visitor's machine that serves this host may embed the production widget; keep \
                          loopback hosts on a staging widget";
            say("loopback_in_production", Severity::Warning, detail.to_owned());
        }
        Stage::Preview(sign) => {
            let detail = format!(
                "`{entry}` is a preview host ({sign}) on a production widget; keep previews on a staging widget"
            );
            say("preview_in_production", Severity::Warning, detail);
        }
        Stage::Production | Stage::Staging(_) => {}
    }
}

fn entry(widget: &Widget, rule: &ListedEntry, say: Say<'_>) {
    if let (true, HostPattern::Glob { parent, .. }) = (rule.entry.is_claimable(), rule.entry.host()) {
        let detail = format!(
            "anyone can register a name under `{parent}` that fits this pattern; list the exact hosts, or use your own \
            domain for previews"
        );
        say("claimable_preview", Severity::Warning, detail);
    }
    if let HostPattern::Ipv6(_) = rule.entry.host() {
        let detail = "`frame-ancestors` can't express an IPv6 address, so browsers refuse to frame the widget there; \
                      use a name";
        say("ip_not_frameable", Severity::Warning, detail.to_owned());
    }
    if widget.has_voice() && rule.is_plain_http() {
        let detail =
            "browsers give a plain-http page no microphone, so voice can't work there; serve it over https";
        say("insecure_voice", Severity::Error, detail.to_owned());
    }
}

/// Finds an apex without its `www` name, or the other way round, because visitors use both.
fn www_apex_gap(
    entry: &Entry,
    suffixes: &PublicSuffixes,
    admitted: &dyn Fn(Origin<'_>) -> bool,
    say: Say<'_>,
) {
    let is_apex = |name: &str| suffixes.registrable(name) == Some(name);
    let other = match entry.host() {
        HostPattern::Name(name) if is_apex(name) => format!("www.{name}"),
        HostPattern::Name(name) => match name.strip_prefix("www.") {
            Some(apex) if is_apex(apex) => apex.to_owned(),
            _ => return,
        },
        HostPattern::Below(apex) if is_apex(apex) => apex.to_string(),
        _ => return,
    };
    let scheme = match entry.scheme() {
        _ if entry.is_loopback() => return,
        Some(EntryScheme::Custom(_)) => return,
        Some(EntryScheme::Http) => "http",
        None | Some(EntryScheme::Https) => "https",
    };
    let port = match entry.port() {
        PortPattern::Exact(port) => format!(":{port}"),
        PortPattern::Unstated | PortPattern::Any => String::new(),
    };
    let sibling = format!("{scheme}://{other}{port}");
    if Origin::parse(&sibling).is_ok_and(|origin| !admitted(origin)) {
        let detail = format!(
            "`{entry}` is listed, but `{sibling}` is not admitted; visitors use both, so list it too (or redirect it)"
        );
        say("www_apex_gap", Severity::Info, detail);
    }
}

#[cfg(test)]
mod tests;
