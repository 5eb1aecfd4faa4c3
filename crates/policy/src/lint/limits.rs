//! Findings about a document's limits: what they leave unbounded, and which of them can't be reached.

use super::{Finding, Severity};
use crate::limits::{LimitKind, LimitPart, Limits, PartLimits};

pub(super) fn limits(limits: &Limits, findings: &mut Vec<Finding>) {
    without_address(limits, findings);
    for kind in LimitKind::ALL {
        for part in [LimitPart::Embedder, LimitPart::Address] {
            within_widget(limits, part, kind, findings);
        }
    }
    for part in LimitPart::ALL {
        within_a_day(limits, part, findings);
    }
}

/// Finds what the limits of widget and embedders count, and those of addresses don't.
fn without_address(limits: &Limits, findings: &mut Vec<Finding>) {
    let others = [&limits.widget, &limits.embedder];
    let of_opens = |part: &PartLimits| part.opens_per_minute.is_some() || part.opens_per_day.is_some();
    let sessions = others.iter().any(|part| part.sessions.is_some()) && limits.address.sessions.is_none();
    let opens = others.iter().any(|part| of_opens(part)) && !of_opens(&limits.address);
    let missing = match (sessions, opens) {
        (true, true) => "`sessions` and `opens_per_minute`",
        (true, false) => "`sessions`",
        (false, true) => "`opens_per_minute`",
        (false, false) => return,
    };
    let pointer = if limits.address.is_empty() { "/limits" } else { "/limits/address" };
    findings.push(Finding {
        code: "limit_without_address",
        severity: Severity::Warning,
        pointer: pointer.to_owned(),
        entry: None,
        detail: format!(
            "a single client that is no browser can claim any site that is admitted and use all of this up, and then the visitors \
             of that site, or of all sites, are refused; only `address` bounds what one client may take: give it {missing}"
        ),
    });
}

/// Finds a limit of what the widget counts as well, and allows less of, or just as much.
fn within_widget(limits: &Limits, part: LimitPart, kind: LimitKind, findings: &mut Vec<Finding>) {
    let (Some(inner), Some(widget)) = (limits.of(part).of(kind), limits.widget.of(kind)) else { return };
    if inner >= widget {
        let one = match part {
            LimitPart::Address => "one address",
            LimitPart::Embedder | LimitPart::Widget => "one embedder",
        };
        let detail = format!(
            "the whole widget is limited to {widget}, so {one} never gets beyond that; lower this limit, or leave it out"
        );
        findings.push(out_of_reach(part, kind, detail));
    }
}

/// Finds a limit by the minute that a day has no room for.
fn within_a_day(limits: &Limits, part: LimitPart, findings: &mut Vec<Finding>) {
    let PartLimits { opens_per_minute: Some(minute), opens_per_day: Some(day), .. } = *limits.of(part) else {
        return;
    };
    if minute >= day {
        let detail = format!(
            "`opens_per_day` is {day}, so this limit of a minute refuses nothing that the day does not; lower it, or \
             leave it out"
        );
        findings.push(out_of_reach(part, LimitKind::OpensPerMinute, detail));
    }
}

fn out_of_reach(part: LimitPart, kind: LimitKind, detail: String) -> Finding {
    Finding {
        code: "limit_out_of_reach",
        severity: Severity::Info,
        pointer: format!("/limits/{part}/{kind}"),
        entry: None,
        detail,
    }
}
