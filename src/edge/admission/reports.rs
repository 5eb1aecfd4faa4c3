//! Reports that browsers send of the pages around a frame: the address that they are sent to, and which of them count.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use ring::error::Unspecified;

use self::budget::ReportBudget;
use super::decision_id::DecisionId;
use super::tickets::key_file::KeyFile;
use crate::config::PathPattern;
use crate::edge::http::message::RequestHead;
use embedgate_policy::origin::Origin;
use embedgate_policy::report::{ReportKeys, ReportPath, ReportTokenError, ReportedFrame, presented};
use embedgate_policy::ticket::TicketKeys;

mod budget;

/// Issuer of the addresses for reports, and reader of the tokens in them.
#[derive(Debug)]
pub struct Reports {
    /// `None`: browsers are not asked for any.
    wanted: Option<WantedReports>,
    key_file: Arc<KeyFile>,
    /// The keys, derived at the first use and after a change of the file.
    keys: ArcSwapOption<DerivedKeys>,
}

#[derive(Debug)]
struct WantedReports {
    path: ReportPath,
    budget: ReportBudget,
}

/// Keys of tokens, with the ticket keys that they are from.
#[derive(Debug)]
struct DerivedKeys {
    source: Arc<TicketKeys>,
    keys: ReportKeys,
}

impl Reports {
    /// Reports to this path, with keys derived from this file.
    pub fn new(key_file: Arc<KeyFile>, path: Option<&PathPattern>) -> Self {
        let path = path.and_then(|path| ReportPath::new(path.as_str()));
        let wanted = path.map(|path| WantedReports { path, budget: ReportBudget::new() });
        Self { wanted, key_file, keys: ArcSwapOption::empty() }
    }

    /// The address for reports about a frame of this widget, which this decision has sent to a page of this origin. `None`
    /// if none are wanted, or if it does not fit into `room` bytes.
    pub fn address(
        &self,
        widget: &str,
        room: usize,
        decision: &DecisionId,
        embedder: Option<Origin<'_>>,
        now: Timestamp,
    ) -> Option<String> {
        let WantedReports { path, .. } = self.wanted.as_ref()?;
        path.address(widget, room, || {
            let derived = self.keys().ok()?;
            ReportedFrame::issue(&derived.keys, widget, decision.bytes(), embedder, now)
        })
    }

    /// Whether browsers are asked for reports.
    pub fn are_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    /// Reads the token of a report about this widget.
    ///
    /// # Errors
    ///
    /// There is none, or it is not this edge's, for another widget, or over.
    pub fn read(
        &self,
        widget: &str,
        request: &RequestHead,
        now: Timestamp,
    ) -> Result<ReportedFrame, ReportTokenError> {
        let token = presented(request.uri.query()).ok_or(ReportTokenError::Malformed)?;
        let derived = self.keys().map_err(|_| ReportTokenError::Foreign)?;
        ReportedFrame::verify(&derived.keys, widget, token, now)
    }

    /// Whether one more report about this widget counts from this address.
    pub fn counts(&self, widget: &str, address: Option<IpAddr>, now: Timestamp) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted.budget.take(widget, address, now))
    }

    fn keys(&self) -> Result<Arc<DerivedKeys>, Unspecified> {
        let source = self.key_file.load();
        let known = self.keys.load();
        if let Some(keys) = known.as_ref().filter(|keys| Arc::ptr_eq(&keys.source, &source)) {
            return Ok(Arc::clone(keys));
        }
        let keys = ReportKeys::derive(&source)?;
        let derived = Arc::new(DerivedKeys { source: Arc::clone(&source), keys });
        self.keys.store(Some(Arc::clone(&derived)));
        Ok(derived)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;
    use crate::files::Reload as _;

    const ROOM: usize = 4096;

    fn reports(folder: &std::path::Path) -> (Arc<KeyFile>, Reports) {
        let file = Arc::new(KeyFile::open(folder.join("ticket.keys")).unwrap());
        let path = PathPattern::parse("/w/{widget}/embed-report").unwrap();
        let reports = Reports::new(Arc::clone(&file), Some(&path));
        (file, reports)
    }

    #[test]
    fn a_token_is_good_for_as_long_as_its_key_is_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let (file, reports) = reports(folder.path());
        let now = Timestamp::now();
        let decision = DecisionId::new(now);
        let site = Origin::parse("https://site.example").unwrap();
        let address = || reports.address("w", ROOM, &decision, Some(site), now).unwrap();
        let read = |address: &str| reports.read("w", &RequestHead::of("POST", address, &[]), now);
        let first = address();
        assert!(first.starts_with("/w/w/embed-report?r="), "{first}");
        let frame = read(&first).unwrap();
        assert_eq!(frame.embedder().unwrap().as_str(), "https://site.example");
        assert_eq!(DecisionId::of(frame.decision()).as_str(), decision.as_str());

        let path = folder.path().join("ticket.keys");
        let key = fs::read_to_string(&path).unwrap();
        let new = "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=";
        fs::write(&path, format!("{new}\n{key}")).unwrap();
        assert!(file.reload_if_changed().unwrap());
        let second = address();
        assert!(read(&first).is_ok() && read(&second).is_ok() && first != second);
        fs::write(&path, new).unwrap();
        assert!(file.reload_if_changed().unwrap());
        assert_eq!((read(&first), read(&second).is_ok()), (Err(ReportTokenError::Foreign), true));
        assert_eq!(read("/w/w/embed-report"), Err(ReportTokenError::Malformed));
    }

    #[test]
    fn without_a_path_there_are_none() {
        let file = Arc::new(KeyFile::unsaved("ticket.keys".into()).unwrap());
        let (reports, now) = (Reports::new(file, None), Timestamp::now());
        assert_eq!(reports.address("w", ROOM, &DecisionId::new(now), None, now), None);
        assert!(!reports.counts("w", None, now));
    }
}
