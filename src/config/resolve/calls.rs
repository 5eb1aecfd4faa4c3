//! Paths of calls to the edge itself: `tickets.path` and `reports.path`.

use crate::config::pattern::PathPattern;

/// Paths of calls to the edge itself, which no route may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct CallPaths<'s> {
    tickets: &'s PathPattern,
    reports: Option<&'s PathPattern>,
}

impl<'s> CallPaths<'s> {
    pub(super) fn new(tickets: &'s PathPattern, reports: Option<&'s PathPattern>) -> Self {
        Self { tickets, reports }
    }

    /// What is wrong with a route of this path, if anything.
    pub(super) fn fault(self, path: &PathPattern) -> Option<String> {
        let reports = self.reports.map(|path| ("reports.path", path));
        let mut calls = [("tickets.path", self.tickets)].into_iter().chain(reports);
        calls.find_map(|(key, call)| {
            if takes(path, call) {
                Some(format!("'{path}' is {key}, which the edge answers itself"))
            } else if path.competes(call) {
                let detail = "could both match a path, and neither is narrower; write one of them longer";
                Some(format!("'{path}' and '{call}' {detail}, or change {key}"))
            } else {
                None
            }
        })
    }
}

/// Whether a route would take calls, of all widgets or of the one that it names.
fn takes(path: &PathPattern, call: &PathPattern) -> bool {
    let is = |call: &str| path.as_str() == call || path.without_rest() == Some(call);
    is(call.as_str()) || call.narrowed(path).is_some_and(|(narrowed, _)| is(&narrowed))
}

/// Reads a path of calls. `usual`: the end of the default.
pub(super) fn call_path(text: &str, usual: &str) -> Result<PathPattern, String> {
    let pattern = PathPattern::parse(text)?;
    if pattern.has_rest() {
        Err(format!("'{text}' must be a single path; leave {{*rest}} out"))
    } else if !pattern.has_widget() {
        Err(format!("'{text}' has no {{widget}}; write it like \"/w/{{widget}}/{usual}\""))
    } else {
        Ok(pattern)
    }
}
