//! Points of a checklist: each has a stable code, what was found, and what mends it.

use std::fmt;

use serde::Serialize;
use utoipa::ToSchema;

/// What a point is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PointGroup {
    /// The widget's document, and who was seen.
    Widget,
    /// What the edge answers.
    Edge,
    /// The site's page.
    Site,
}

impl PointGroup {
    /// All groups, in their order.
    pub const ALL: [Self; 3] = [Self::Widget, Self::Edge, Self::Site];

    /// The group's name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Widget => "The widget",
            Self::Edge => "The edge",
            Self::Site => "The site",
        }
    }
}

/// State of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum PointState {
    /// It is as it should be.
    Pass,
    /// It works, and is worth a look.
    Warn,
    /// It is wrong.
    Fail,
    /// It could not be looked at, or there is nothing to look at.
    Skipped,
}

impl PointState {
    /// The word in output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// Point of a checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CheckPoint {
    /// The point: a stable code.
    #[schema(value_type = String, example = "linked")]
    pub code: &'static str,
    /// What it is about.
    pub group: PointGroup,
    /// What holds if it passes.
    #[schema(value_type = String, example = "The page has the script tag")]
    pub title: &'static str,
    /// The state.
    pub state: PointState,
    /// What was found.
    pub found: String,
    /// What to do; `null` where there is nothing to do.
    pub mend: Option<String>,
}

/// Point before it is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct PointKind {
    pub(super) code: &'static str,
    pub(super) group: PointGroup,
    pub(super) title: &'static str,
}

impl PointKind {
    pub(super) const fn new(group: PointGroup, code: &'static str, title: &'static str) -> Self {
        Self { code, group, title }
    }

    fn as_found(self, state: PointState, found: String, mend: Option<String>) -> CheckPoint {
        let Self { code, group, title } = self;
        CheckPoint { code, group, title, state, found, mend }
    }

    pub(super) fn pass(self, found: impl Into<String>) -> CheckPoint {
        self.as_found(PointState::Pass, found.into(), None)
    }

    pub(super) fn skipped(self, found: impl Into<String>) -> CheckPoint {
        self.as_found(PointState::Skipped, found.into(), None)
    }

    pub(super) fn warn(self, found: impl Into<String>, mend: impl Into<String>) -> CheckPoint {
        self.as_found(PointState::Warn, found.into(), Some(mend.into()))
    }

    pub(super) fn fail(self, found: impl Into<String>, mend: impl Into<String>) -> CheckPoint {
        self.as_found(PointState::Fail, found.into(), Some(mend.into()))
    }
}

impl fmt::Display for CheckPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, title, state, found, mend, .. } = self;
        write!(f, "  {:<7}  {title} ({code}): {found}", state.as_str())?;
        match mend {
            Some(mend) => write!(f, "\n           → {mend}"),
            None => Ok(()),
        }
    }
}
