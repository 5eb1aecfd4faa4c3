//! Changes that are held until they are confirmed.

use std::fmt;
use std::ops::AddAssign;

use serde::Serialize;
use utoipa::ToSchema;

/// Road by which many changes come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// A batch of the control plane.
    Batch,
    /// An import into a store that no edge has open.
    Import,
    /// A rules file or folder that was edited.
    File,
}

impl Road {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Import => "import",
            Self::File => "file",
        }
    }
}

/// What a change would do to many widgets at once. Each widget counts once, by what becomes of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct WideChange {
    /// How many widgets there are.
    pub widgets: usize,
    /// How many of them it would delete.
    pub deleted: usize,
    /// How many it would disable.
    pub disabled: usize,
    /// How many it would restrict: a page that may embed the widget now may not do so any more.
    pub restricted: usize,
    /// How many it would open to every page.
    pub opened: usize,
    /// How many it would set to `monitor`, where every page may embed the widget, too.
    pub monitored: usize,
    /// The number by which it is confirmed: of all these widgets.
    pub confirm: usize,
}

impl WideChange {
    /// No change of so many widgets.
    pub(in crate::rules) fn none(widgets: usize) -> Self {
        Self { widgets, ..Self::default() }
    }
}

impl AddAssign for WideChange {
    /// Adds what becomes of other widgets; how many there are stays.
    fn add_assign(&mut self, other: Self) {
        // Taken apart so that a new field can't be forgotten here.
        let Self { widgets: _, deleted, disabled, restricted, opened, monitored, confirm } = other;
        self.deleted += deleted;
        self.disabled += disabled;
        self.restricted += restricted;
        self.opened += opened;
        self.monitored += monitored;
        self.confirm += confirm;
    }
}

impl fmt::Display for WideChange {
    /// `delete 3, disable 2 and open 1 of 1000 widgets`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { widgets, deleted, disabled, restricted, opened, monitored, confirm: _ } = *self;
        let parts = [
            ("delete ", deleted, ""),
            ("disable ", disabled, ""),
            ("restrict ", restricted, ""),
            ("open ", opened, ""),
            ("set ", monitored, " to monitor"),
        ];
        let parts: Vec<_> = parts.into_iter().filter(|(_, count, _)| *count > 0).collect();
        for (index, (verb, count, rest)) in parts.iter().enumerate() {
            match index {
                0 => {}
                _ if index + 1 == parts.len() => f.write_str(" and ")?,
                _ => f.write_str(", ")?,
            }
            // The number of all stands with the last, where it reads well.
            write!(f, "{verb}{count}{rest}")?;
        }
        match parts.is_empty() {
            true => write!(f, "touch none of {widgets} widgets"),
            false => write!(f, " of {widgets} widgets"),
        }
    }
}

/// What a held change says of itself, by the road on which it came.
pub(super) fn message(wide: &WideChange, road: Road) -> String {
    let confirm = wide.confirm;
    let rest = match road {
        Road::Batch => format!(
            "nothing was changed; if that is what is meant, confirm it by the number: ?confirm={confirm}"
        ),
        Road::Import => {
            format!("nothing was written; if that is what is meant, run it again with --confirm {confirm}")
        }
        Road::File => format!(
            "the rules in force stay; if that is what is meant, run `embedgate apply --confirm {confirm}`, or else \
             undo the edit"
        ),
    };
    format!("this would {wide}, so {rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_change_reads_well() {
        let wide = WideChange { widgets: 1000, deleted: 3, confirm: 3, ..WideChange::default() };
        assert_eq!(wide.to_string(), "delete 3 of 1000 widgets");
        let wide = WideChange { disabled: 2, monitored: 1, confirm: 6, ..wide };
        assert_eq!(wide.to_string(), "delete 3, disable 2 and set 1 to monitor of 1000 widgets");
        let told = message(&wide, Road::File);
        assert!(
            told.starts_with("this would delete 3, disable 2 ")
                && told.contains("`embedgate apply --confirm 6`")
        );
        assert!(message(&wide, Road::Batch).ends_with("?confirm=6"));
        assert!(message(&wide, Road::Import).ends_with("--confirm 6"));
    }
}
