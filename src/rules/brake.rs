//! Brake on wide changes: what a batch would do to many widgets at once is held until its writer has said the number.
//!
//! A slip is as cheap as a wish: an empty input to a batch that replaces the whole book takes every widget away. So
//! such a batch always has to be confirmed. Single saves and the first seed know no brake; a rules file is one
//! document that says what it holds (`{"widgets": []}`), and an empty or missing one is a fault.

use super::book::{AppliedBatch, RuleBook};
use super::change::{Absent, ApplyOptions};
use super::error::WideChange;

/// Passes a change, or says what it would do. `confirmed`: how many widgets it may touch at most, as its writer says.
pub(in crate::rules) fn check(
    before: &RuleBook,
    applied: &AppliedBatch,
    options: ApplyOptions,
    confirmed: Option<usize>,
) -> Result<(), WideChange> {
    let empties = options.absent == Absent::Delete && applied.book.is_empty() && !before.is_empty();
    if !empties {
        return Ok(());
    }
    let widgets = before.len();
    let wide = WideChange { widgets, deleted: widgets, confirm: widgets };
    if confirmed.is_some_and(|confirmed| wide.confirm <= confirmed) { Ok(()) } else { Err(wide) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::rules::change::Change;
    use crate::rules::fixtures::{delete, put};

    fn checked(before: &[Change], changes: &[Change], absent: Absent, confirmed: Option<usize>) -> bool {
        let careful = ApplyOptions::default();
        let before = RuleBook::new().apply(before, careful).unwrap().book;
        let options = ApplyOptions { absent, ..careful };
        let applied = before.apply(changes, options).unwrap();
        let checked = check(&before, &applied, options, confirmed);
        if let Err(wide) = checked {
            let all = before.len();
            assert_eq!(wide, WideChange { widgets: all, deleted: all, confirm: all });
        }
        checked.is_ok()
    }

    #[test]
    fn what_would_leave_nothing_is_confirmed_by_its_number() {
        let two = [put("a", &[], ""), put("b", &["b.example"], "")];
        let one = [put("a", &[], "")];
        let gone = [delete("a", None), delete("b", None)];
        for (before, changes, absent, confirmed, passes) in [
            (&two[..], &[][..], Absent::Delete, None, false),
            (&two, &[], Absent::Delete, Some(0), false),
            (&two, &[], Absent::Delete, Some(1), false),
            (&two, &[], Absent::Delete, Some(2), true),
            (&two, &[], Absent::Delete, Some(usize::MAX), true),
            (&two, &gone, Absent::Delete, None, false),
            (&two, &gone[..1], Absent::Delete, None, false),
            (&two, &gone, Absent::Delete, Some(2), true),
            (&one, &[], Absent::Delete, None, false),
            // Something is left, nothing was there, or the input says what goes.
            (&two, &one, Absent::Delete, None, true),
            (&[], &[], Absent::Delete, None, true),
            (&two, &[], Absent::Keep, None, true),
            (&two, &gone, Absent::Keep, None, true),
            (&two, &[], Absent::Withdraw, None, true),
        ] {
            assert_eq!(
                checked(before, changes, absent, confirmed),
                passes,
                "{changes:?} {absent:?} {confirmed:?}"
            );
        }
    }
}
