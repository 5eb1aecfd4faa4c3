//! Faults of documents and changes, each with its place.

use std::fmt;
use std::path::Path;
use std::slice;
use std::sync::Arc;
use std::vec;

use serde::Serialize;

use embedgate_policy::json_position::Position;
use embedgate_policy::widget::WidgetId;

/// List of everything that is wrong with documents or changes; at least one fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.summary(usize::MAX))]
pub struct FaultList(Vec<RuleFault>);

impl FaultList {
    /// Stable code: that of the first fault.
    pub fn code(&self) -> &'static str {
        self.0.first().map_or("invalid_document", |fault| fault.code)
    }

    /// The faults, in their order.
    pub fn as_slice(&self) -> &[RuleFault] {
        &self.0
    }

    /// The first `most` faults, one a line, and how many more there are.
    pub fn summary(&self, most: usize) -> String {
        let mut shown: Vec<String> = self.0.iter().take(most).map(RuleFault::to_string).collect();
        if let Some(more) = self.0.len().checked_sub(most).filter(|more| *more > 0) {
            shown.push(format!("and {more} more"));
        }
        shown.join("\n")
    }
}

impl From<Vec<RuleFault>> for FaultList {
    fn from(faults: Vec<RuleFault>) -> Self {
        Self(faults)
    }
}

impl<F: Into<RuleFault>> FromIterator<F> for FaultList {
    fn from_iter<I: IntoIterator<Item = F>>(faults: I) -> Self {
        Self(faults.into_iter().map(Into::into).collect())
    }
}

impl IntoIterator for FaultList {
    type Item = RuleFault;
    type IntoIter = vec::IntoIter<RuleFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'f> IntoIterator for &'f FaultList {
    type Item = &'f RuleFault;
    type IntoIter = slice::Iter<'f, RuleFault>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// Fault of one document or change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleFault {
    /// Which change of the batch, from 0; `None` where no batch came about.
    pub index: Option<usize>,
    /// The widget, where it is known.
    pub widget: Option<WidgetId>,
    /// Where it stands, for rules from files.
    pub place: Option<FilePosition>,
    /// Where in the file, or in the change: a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// What kind, a stable code.
    pub code: &'static str,
    /// What is wrong and what would be right.
    pub detail: String,
}

impl fmt::Display for RuleFault {
    /// `file:line:column: /pointer: detail`, or `change 3 (wgt_demo): /pointer: detail`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.index, &self.widget) {
            (Some(place), ..) => write!(f, "{place}: ")?,
            (None, Some(index), Some(id)) => write!(f, "change {index} ({id}): ")?,
            (None, Some(index), None) => write!(f, "change {index}: ")?,
            (None, None, Some(id)) => write!(f, "{id}: ")?,
            (None, None, None) => {}
        }
        if !self.pointer.is_empty() {
            write!(f, "{}: ", self.pointer)?;
        }
        f.write_str(&self.detail)
    }
}

/// Position in a rules file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FilePosition {
    /// The file, named as the configuration names it.
    pub file: Arc<Path>,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
}

impl FilePosition {
    /// A position in a file.
    pub fn new(file: &Arc<Path>, Position { line, column }: Position) -> Self {
        Self { file: file.clone(), line, column }
    }
}

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_say_where() {
        let fault = RuleFault {
            index: Some(2),
            widget: WidgetId::parse("a").ok(),
            place: None,
            pointer: "/revision".into(),
            code: "stale_revision",
            detail: "too low".into(),
        };
        assert_eq!(fault.to_string(), "change 2 (a): /revision: too low");
        let place = FilePosition { file: Path::new("conf/w.json").into(), line: 3, column: 7 };
        let fault = RuleFault { place: Some(place), pointer: "/widgets/0/revision".into(), ..fault };
        assert_eq!(fault.to_string(), "conf/w.json:3:7: /widgets/0/revision: too low");
    }
}
