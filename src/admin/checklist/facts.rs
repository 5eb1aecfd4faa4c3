//! Facts of a widget, gathered for its checklist.

use jiff::Timestamp;

use crate::activity::seen::WidgetActivity;
use crate::admin::Admin;
use crate::admin::activity::{Gather, SiteJudge, is_preview, stale};
use crate::admin::problem::Problem;
use crate::checklist::{KnownFinding, TrafficSeen, WidgetFacts};
use embedgate_policy::limits::LimitMode;
use embedgate_policy::lint::lint;
use embedgate_policy::widget::{Access, Capability, Widget};

/// The facts of this widget.
pub(super) fn of(admin: &Admin, widget: &Widget) -> Result<WidgetFacts, Problem> {
    let (policy, now) = (admin.policy.load(), Timestamp::now());
    let activity = Gather::new(admin).widget(widget.id.as_str())?;
    let mut findings = lint(widget, &policy, &admin.suffixes, now);
    findings.extend(stale(admin, widget, &activity, now)?);
    let access = match widget.effective_access() {
        Access::Open if !policy.open_allowed => Access::Enforce,
        access => access,
    };
    Ok(WidgetFacts {
        widget: widget.id.clone(),
        enabled: widget.enabled,
        environment: widget.environment,
        access,
        voice: widget.capabilities.contains(&Capability::Voice),
        public_trust_center: widget.public_trust_center,
        limited: !widget.limits.is_empty() && widget.limits.mode == LimitMode::Enforce,
        findings: findings.into_iter().map(KnownFinding::from).collect(),
        traffic: traffic(admin, &SiteJudge::new(widget, &policy, now), &activity),
        surfaces: admin.answers.load().surfaces(&widget.id),
        origins: policy.own_origins.iter().map(|own| own.of(widget.id.as_str())).collect(),
    })
}

/// Who was let in, by the list or by `monitor`.
fn traffic(admin: &Admin, judge: &SiteJudge<'_>, activity: &WidgetActivity) -> TrafficSeen {
    let mut traffic =
        TrafficSeen { since: admin.activity.since(), browsers: 0, others: 0, previews: 0, last: None };
    let monitored = activity.refused.embedders.iter().filter(|seen| seen.monitored > 0);
    for seen in activity.admitted.embedders.iter().chain(monitored) {
        if is_preview(&judge.by_list(&seen.origin)) {
            traffic.previews = traffic.previews.saturating_add(seen.count);
            continue;
        }
        traffic.browsers = traffic.browsers.saturating_add(seen.clients.browser);
        let others = seen.clients.unknown.saturating_add(seen.clients.contradictory);
        traffic.others = traffic.others.saturating_add(others);
        traffic.last = traffic.last.max(Some(seen.last));
    }
    traffic
}
