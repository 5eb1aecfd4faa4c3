//! Reports that browsers send when a page around a frame violates the frame's policy (`report-uri`, CSP Level 3 §6.5.1).
//!
//! A request names the page directly around a frame at most. A report comes from the page that the policy does not admit,
//! which is its `Referer`, however far around the frame that page is. Nothing in it is verified: anybody who has seen a
//! frame's policy can send a report.

use jiff::Timestamp;

use super::compiled::WidgetRules;
use super::csp::is_expressible;
use super::decision::{EdgePolicy, Facts, TicketState, decide};
use super::origin::{Embedder, Origin};
use super::verdict::{Class, Reason};

mod token;

pub use token::{MAX_REPORT_TOKEN, ReportKeys, ReportTokenError, ReportedFrame};

/// Directive by which browsers send reports. Chromium has delivered none by `report-to`.
pub const REPORT_URI: &str = "; report-uri ";

const PARAMETER: &str = "r=";

/// Path that browsers send reports to, with a place for the widget's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportPath {
    before: Box<str>,
    after: Box<str>,
}

impl ReportPath {
    /// The path of this pattern; `None` if it has no `{widget}`. What the pattern is made of besides must not end a
    /// directive of a policy: no `;`, no `,` and no white space.
    #[must_use]
    pub fn new(pattern: &str) -> Option<Self> {
        let (before, after) = pattern.split_once("{widget}")?;
        Some(Self { before: before.into(), after: after.into() })
    }

    /// The address for reports about a frame of this widget, absolute on the frame's own origin. `None` if an address
    /// with the longest token would not fit into `room` bytes, so that whether there is one does not depend on the token.
    pub fn address(
        &self,
        widget: &str,
        room: usize,
        token: impl FnOnce() -> Option<String>,
    ) -> Option<String> {
        let Self { before, after } = self;
        let length = before.len() + widget.len() + after.len() + 1 + PARAMETER.len() + MAX_REPORT_TOKEN;
        if length > room {
            return None;
        }
        let token = token()?;
        Some(format!("{before}{widget}{after}?{PARAMETER}{token}"))
    }
}

/// The token in the query of a report's address; `None` if the query is not as the edge has written it.
#[must_use]
pub fn presented(query: Option<&str>) -> Option<&str> {
    query?.strip_prefix(PARAMETER)
}

/// Facts of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportFacts<'a> {
    /// The widget's id.
    pub widget: &'a str,
    /// The page that the policy does not admit, by the report's `Referer`. It has none if the page sends none, or has an
    /// opaque origin.
    pub named: Option<Origin<'a>>,
    /// The page directly around the frame, as the frame's request has named it.
    pub embedder: Option<Origin<'a>>,
}

impl<'a> ReportFacts<'a> {
    /// The page that is worth keeping, by the rules in force: the named one, if the list does not admit it. If none is
    /// named, the page directly around the frame, if the list admits that: then a page around it is not on the list.
    /// `None` if the report tells nothing that the verdicts have not told.
    #[must_use]
    pub fn news(&self, widget: WidgetRules<'_>, policy: &EdgePolicy, now: Timestamp) -> Option<Origin<'a>> {
        let named = self.named.filter(|page| !policy.own_origins.contains(*page, self.widget));
        let page = named.or(self.embedder)?;
        let facts = Facts {
            widget: self.widget,
            class: Class::Frame,
            embedder: Embedder::Known(page),
            missing_denied: false,
            ticket: TicketState::Absent,
        };
        let decision = decide(&facts, Some(widget), policy, now);
        let denial = decision.would_deny.or((!decision.is_allowed()).then_some(decision.reason));
        match denial {
            Some(Reason::WidgetDisabled | Reason::StaleRules) => None,
            // The frame's own request has told of it.
            Some(_) if self.embedder.is_some_and(|embedder| embedder.as_str() == page.as_str()) => None,
            Some(_) => Some(page),
            // It was listed since, or only a glob or its like admits it, which browsers can't be told of.
            None if named.is_some() => None,
            None => {
                let is_listed = decision.entry.is_some();
                let is_told = || widget.allowlist.entries(now).all(|entry| is_expressible(&entry));
                (is_listed && is_told()).then_some(page)
            }
        }
    }
}

#[cfg(test)]
mod tests;
