//! History of a widget: who changed what, and a way back to each revision.

use maud::{Markup, html};

use crate::admin::page::parts::{BadgeKind, badge, empty, time};
use crate::admin::widgets::PastRevision;
use crate::rules::audit::in_words;

/// The section.
pub(super) fn section(history: &[PastRevision], may_change: bool) -> Markup {
    html! {
        section class="card" id="history" {
            h2 { "History" }
            @if history.is_empty() {
                (empty("No change is kept", "The next one is, with who made it.", None))
            } @else {
                ol class="timeline" {
                    @for (at, past) in history.iter().enumerate() {
                        li data-past=(past.revision) {
                            h3 {
                                "Revision " (past.revision)
                                @if at == 0 && !past.deleted { " " (badge(BadgeKind::Good, "in force")) }
                            }
                            p class="help" {
                                @if let Some(saved) = past.at { (time(saved)) }
                                @if let Some(actor) = &past.actor { " by " (actor) }
                            }
                            (changed(past, history.get(at + 1)))
                            @if may_change && let Some((to, words)) = way_back(history, at) {
                                button type="button" class="quiet" data-change="revert" data-to=(to) { (words) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a revision changed.
fn changed(past: &PastRevision, before: Option<&PastRevision>) -> Markup {
    let told = match (&past.changes, before) {
        _ if past.deleted => "The widget was deleted.",
        (None, Some(_)) => "The widget was brought back.",
        (None, None) if past.revision == 1 => "The widget was created.",
        (None, None) => "The oldest document that is kept.",
        (Some(changes), _) => {
            return html! { ul { @for line in in_words(changes) { li { (marked(&line)) } } } };
        }
    };
    html! { p { (told) } }
}

/// A line of what differs. What was added and what was removed stand out.
fn marked(line: &str) -> Markup {
    match (line.strip_prefix("+ "), line.strip_prefix("- ")) {
        (Some(added), _) => html! { ins { "added " (added) } },
        (_, Some(removed)) => html! { del { "removed " (removed) } },
        (None, None) => html! { (line) },
    }
}

/// The revision that a change can be taken back to, and what the button says: from the last one to the one before it, and
/// from an earlier one to itself.
fn way_back(history: &[PastRevision], at: usize) -> Option<(u64, String)> {
    let to = history.get(if at == 0 { 1 } else { at })?;
    let words = match at {
        0 => "Undo".to_owned(),
        _ => format!("Go back to revision {}", to.revision),
    };
    (!to.deleted).then_some((to.revision, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_change_is_undone_and_earlier_ones_are_gone_back_to() {
        let past = |revision, deleted| PastRevision { revision, deleted, ..PastRevision::default() };
        let history = [past(4, false), past(3, true), past(2, false), past(1, false)];
        assert_eq!(way_back(&history, 0), None, "a deletion is no document");
        assert_eq!(way_back(&history[1..], 0), Some((2, "Undo".to_owned())), "a deletion is undone");
        assert_eq!(way_back(&history, 1), None);
        assert_eq!(way_back(&history, 2), Some((2, "Go back to revision 2".to_owned())));
        assert_eq!(way_back(&history[3..], 0), None, "there is none before the first");
    }
}
