//! Problem document (RFC 9457) of a running edge, as people read it.

use std::fmt;

use serde::Deserialize;

/// Number of errors that are shown.
const SHOWN: usize = 50;

/// Problem document, as far as it is shown.
#[derive(Debug, Deserialize)]
pub struct ReceivedProblem {
    /// The kind of error.
    pub(super) code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<ReceivedFault>,
    #[serde(default)]
    errors_omitted: usize,
    wide_change: Option<ReceivedWidth>,
    /// What confirms a bucket that is wide.
    confirm: Option<u64>,
}

/// One error of a problem document.
#[derive(Debug, Deserialize)]
struct ReceivedFault {
    line: Option<usize>,
    parameter: Option<String>,
    #[serde(default)]
    pointer: String,
    code: String,
    detail: String,
}

/// What confirms a change of many widgets.
#[derive(Debug, Deserialize)]
struct ReceivedWidth {
    confirm: u64,
}

impl ReceivedProblem {
    /// Whether it is of this kind.
    pub(in crate::cli) fn is(&self, code: &str) -> bool {
        self.code == code
    }

    /// Whether this edge has no such call, as an earlier version.
    pub(super) fn is_no_such_call(&self) -> bool {
        matches!(self.code.as_str(), "not_found" | "method_not_allowed")
    }

    /// What to type next.
    pub(super) fn advice(&self) -> Option<String> {
        let same =
            |option: &str| Some(format!("if that is what is meant, run the same command with {option}"));
        match self.code.as_str() {
            "wide_change" => {
                let confirm = self.wide_change.as_ref().map(|wide| wide.confirm).or(self.confirm);
                same(&format!("--confirm {}", confirm?))
            }
            "would_restrict_widget" => same("--confirm restrict"),
            "unknown_widget" => Some("`embedgate widgets list` lists those that are there".to_owned()),
            "unknown_decision" => Some(
                "search what the edge wrote to standard output for the id, such as with `journalctl -u embedgate | grep ID`"
                    .to_owned(),
            ),
            "unknown_edge" | "edge_alive" => Some("`embedgate fleet status` lists the edges".to_owned()),
            "edge_ahead" => Some(
                "run the same command for that edge, with --admin and the URL of its admin listener"
                    .to_owned(),
            ),
            "fleet_fault" => Some(
                "`embedgate fleet status` tells what is wrong with the bucket, and what mends it".to_owned(),
            ),
            "unknown_revision" => {
                Some("`embedgate widgets history ID` lists the revisions that are kept".to_owned())
            }
            "stale_revision" | "precondition_failed" => Some(
                "read the document again with `embedgate widgets get ID > FILE`, edit it, and put it"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// The kind of error and its detail, then each error that the detail does not tell, on a line of its own.
impl fmt::Display for ReceivedProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.detail)?;
        let is_told = |fault: &ReceivedFault| self.detail.contains(fault.detail.as_str());
        if let [only] = self.errors.as_slice()
            && is_told(only)
            && self.detail.contains(only.pointer.as_str())
        {
            return Ok(());
        }
        for fault in self.errors.iter().take(SHOWN) {
            write!(f, "\n  {fault}")?;
        }
        match self.errors.len().saturating_sub(SHOWN) + self.errors_omitted {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for ReceivedFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, parameter, pointer, code, detail } = self;
        if let Some(line) = line {
            write!(f, "line {line}: ")?;
        }
        let place = parameter.as_deref().unwrap_or(pointer);
        if !place.is_empty() {
            write!(f, "{place}: ")?;
        }
        write!(f, "{detail} ({code})")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn problem(value: serde_json::Value) -> ReceivedProblem {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_error_is_told_once() {
        let one = problem(json!({"code": "invalid_document", "detail": "/id: bad", "errors":
            [{"pointer": "/id", "code": "invalid_id", "detail": "bad"}]}));
        assert_eq!(one.to_string(), "invalid_document: /id: bad");
        let place = problem(json!({"code": "stale_revision", "detail": "too low", "errors":
            [{"pointer": "/revision", "code": "stale_revision", "detail": "too low"}]}));
        assert_eq!(place.to_string(), "stale_revision: too low\n  /revision: too low (stale_revision)");
        let faults: Vec<_> = (1..=60)
            .map(|line| json!({"line": line, "pointer": "/id", "code": "c", "detail": "d"}))
            .collect();
        let many =
            problem(json!({"code": "c", "detail": "60 errors", "errors": faults, "errors_omitted": 5}));
        let told = many.to_string();
        assert!(told.starts_with("c: 60 errors\n  line 1: /id: d (c)\n  line 2: "), "{told}");
        assert!(told.ends_with("\n  and 15 more"), "{told}");
        assert_eq!(told.lines().count(), 52);
    }

    #[test]
    fn what_to_type_next_is_told() {
        let wide = problem(json!({"code": "wide_change", "detail": "d", "wide_change": {"confirm": 7}}));
        assert!(wide.advice().unwrap().ends_with("--confirm 7"));
        let bucket = problem(json!({"code": "wide_change", "detail": "d", "confirm": 31}));
        assert!(bucket.advice().unwrap().ends_with("--confirm 31"));
        let code = |code: &str| problem(json!({"code": code, "detail": "d"})).advice();
        assert!(code("would_restrict_widget").unwrap().ends_with("--confirm restrict"));
        assert!(code("unknown_revision").unwrap().contains("widgets history"));
        assert_eq!(code("invalid_document"), None);
    }
}
