//! Brake on wide changes: what would take many widgets from their sites at once, or open many, is held until its writer
//! has said the number.
//!
//! A slip is as cheap as a wish: an empty input to a batch that replaces the whole book takes every widget away, and a
//! script with an error disables a thousand. What counts is what each widget was and what becomes of it. Single saves,
//! the first seed and a start know no brake: one widget is never many, and where nothing is in force nothing is lost.

use jiff::Timestamp;

use super::book::{AppliedBatch, RuleBook};
use super::change::{Absent, ApplyOptions};
use super::error::WideChange;
use embedgate_policy::allowlist::Allowlist;
use embedgate_policy::compiled::WidgetRules;
use embedgate_policy::widget::Access;

mod share;

pub use self::share::BrakeShare;

/// So many widgets may always be touched, unless they are more than half of all.
const ALWAYS: usize = 10;

/// Passes a change, or says what it would do. `confirmed`: how many widgets it may touch at most, as its writer says.
pub(in crate::rules) fn check(
    before: &RuleBook,
    applied: &AppliedBatch,
    options: ApplyOptions,
    share: BrakeShare,
    confirmed: Option<usize>,
) -> Result<(), WideChange> {
    // One widget is never many, so a single save pays nothing.
    if applied.changed.len() < 2 && !empties(before, applied, options) {
        return Ok(());
    }
    match held(before, applied, &touched(before, applied), options, share) {
        Some(wide) if confirmed.is_none_or(|confirmed| wide.confirm > confirmed) => Err(wide),
        _ => Ok(()),
    }
}

/// What [`check`] would hold where nothing is confirmed. `wide`: what the change does.
pub(in crate::rules) fn held(
    before: &RuleBook,
    applied: &AppliedBatch,
    wide: &WideChange,
    options: ApplyOptions,
    share: BrakeShare,
) -> Option<WideChange> {
    (empties(before, applied, options) || is_wide(wide, share)).then_some(*wide)
}

/// Whether a batch that replaces everything leaves no widget, as an empty input does.
fn empties(before: &RuleBook, applied: &AppliedBatch, options: ApplyOptions) -> bool {
    options.absent == Absent::Delete && applied.book.is_empty() && !before.is_empty()
}

/// Whether so much may not be done without a word.
pub(in crate::rules) fn is_wide(wide: &WideChange, share: BrakeShare) -> bool {
    let (touched, all) = (wide.confirm, wide.widgets);
    touched > ALWAYS && share.is_exceeded_by(touched, all) || touched > 1 && touched > all / 2
}

/// What a change does to the widgets that were there.
pub(in crate::rules) fn touched(before: &RuleBook, applied: &AppliedBatch) -> WideChange {
    let now = Timestamp::now();
    let mut wide = WideChange::none(before.len());
    for changed in applied.changed.iter().filter(|changed| changed.before.is_some()) {
        let id = changed.id.as_str();
        if let Some(rules) = before.get(id) {
            wide += effect(rules, applied.book.get(id), now);
        }
    }
    wide
}

/// What has become of all widgets of a book in a later one.
pub(in crate::rules) fn between(before: &RuleBook, after: &RuleBook) -> WideChange {
    let now = Timestamp::now();
    let mut wide = WideChange::none(before.len());
    for rules in before.widgets() {
        wide += effect(rules, after.get(rules.id), now);
    }
    wide
}

/// State of a widget, as far as it counts here. The kill switch goes before everything.
enum WidgetEffect<'b> {
    Disabled,
    Open,
    Monitored,
    Enforced(Allowlist<'b>),
}

impl<'b> WidgetEffect<'b> {
    fn of(rules: WidgetRules<'b>) -> Self {
        match (rules.enabled, rules.access) {
            (false, _) => Self::Disabled,
            (true, Access::Open) => Self::Open,
            (true, Access::Monitor) => Self::Monitored,
            (true, Access::Enforce) => Self::Enforced(rules.allowlist),
        }
    }
}

/// What becomes of one widget. From `open` to `monitor` counts: where the edge takes `open` for the list, that lets in
/// whom the list refuses.
fn effect(before: WidgetRules<'_>, after: Option<WidgetRules<'_>>, now: Timestamp) -> WideChange {
    use WidgetEffect::{Disabled, Enforced, Monitored, Open};
    let one = WideChange { confirm: 1, ..WideChange::default() };
    let Some(after) = after else { return WideChange { deleted: 1, ..one } };
    match (WidgetEffect::of(before), WidgetEffect::of(after)) {
        (Enforced(was), Enforced(is)) if is.covers(was, now) => WideChange::default(),
        // Who was denied altogether is denied by the list at most.
        (Disabled, Disabled | Enforced(_)) | (Open, Open) | (Monitored, Monitored) => WideChange::default(),
        (Open | Monitored | Enforced(_), Disabled) => WideChange { disabled: 1, ..one },
        (Open | Monitored | Enforced(_), Enforced(_)) => WideChange { restricted: 1, ..one },
        (Disabled | Monitored | Enforced(_), Open) => WideChange { opened: 1, ..one },
        (Disabled | Open | Enforced(_), Monitored) => WideChange { monitored: 1, ..one },
    }
}

#[cfg(test)]
mod tests;
