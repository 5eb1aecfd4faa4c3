//! Survey of all widgets: how many findings of each kind there are. It reads every document, so it runs beside the requests
//! of people, who are shown the last one with its time.
//!
//! It is made only where somebody looks, and takes at most a fifth of one core while it runs. Then it rests for as long as it
//! took, however often somebody looks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::findings::{self, Findings, WidgetFinding};
use super::problem::Problem;
use super::{Admin, blocking};
use embedgate_policy::lint::Severity;
use embedgate_policy::widget::WidgetId;

/// Documents that are read at once.
const AT_ONCE: usize = 500;

/// Rest after each of these readings, as a multiple of its time.
const REST: u32 = 4;

/// Longest rest after a reading.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Shortest rest between two surveys.
const SHORTEST_REST: Duration = Duration::from_secs(1);

/// Age from which a survey of the rules in force is made again: entries become stale, and expire.
const LARGEST_AGE: Duration = Duration::from_secs(5 * 60);

/// Time that somebody who looks waits for a new one: enough for some hundred widgets.
const PATIENCE: Duration = Duration::from_millis(50);

/// Widgets that are named for each kind of finding.
pub(super) const EXAMPLES: usize = 5;

/// The last survey, and whether another one is under way.
#[derive(Debug)]
pub struct Survey {
    last: watch::Sender<Option<Arc<Surveyed>>>,
    state: Mutex<SurveyState>,
}

#[derive(Debug, Default)]
struct SurveyState {
    is_under_way: bool,
    /// When the last one ended, and how long it took.
    ended: Option<(Instant, Duration)>,
}

/// Outcome of a survey.
#[derive(Debug)]
pub(super) struct Surveyed {
    /// When it began.
    pub(super) at: Timestamp,
    /// The version of the rule book then.
    generation: u64,
    /// The kinds of findings, the most severe first; or why there are none.
    pub(super) kinds: Result<Vec<FindingKind>, Problem>,
    /// Edges of the fleet that did not answer: an entry that is called stale may be of use there.
    pub(super) missing: BTreeSet<String>,
}

/// Findings of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FindingKind {
    pub(super) code: &'static str,
    pub(super) severity: Severity,
    /// The number of findings.
    pub(super) findings: usize,
    /// The number of widgets that have one.
    pub(super) widgets: usize,
    /// The first widgets that have one, each with what is said of it.
    pub(super) examples: Vec<(WidgetId, String)>,
}

#[cfg(test)]
impl Surveyed {
    /// A survey with this outcome.
    pub(super) fn of(
        at: Timestamp,
        kinds: Result<Vec<FindingKind>, Problem>,
        missing: BTreeSet<String>,
    ) -> Self {
        Self { at, generation: 1, kinds, missing }
    }
}

impl Default for Survey {
    fn default() -> Self {
        Self { last: watch::Sender::new(None), state: Mutex::default() }
    }
}

impl Survey {
    /// The last survey, for somebody who looks; `None`: the first one is under way. Begins another one where it is time, and
    /// waits a moment for it.
    pub(super) async fn look(admin: &Arc<Admin>) -> Option<Arc<Surveyed>> {
        let survey = &admin.survey;
        let mut last = survey.last.subscribe();
        if survey.begin(admin.publisher.live().load().generation()) {
            tokio::spawn(make(Arc::clone(admin)));
            // Whoever has waited long enough sees the one before.
            let _ = timeout(PATIENCE, last.changed()).await;
        }
        last.borrow().clone()
    }

    /// Whether another survey is to begin now, by whoever asks.
    fn begin(&self, generation: u64) -> bool {
        let mut state = self.state.lock();
        let (is_of_these_rules, ended) =
            (self.last.borrow().as_ref().map(|last| last.generation), state.ended);
        let is_due = ended.is_none_or(|(ended, took)| {
            let age = ended.elapsed();
            let is_old = is_of_these_rules != Some(generation) || age >= LARGEST_AGE;
            is_old && age >= took.max(SHORTEST_REST)
        });
        let begins = is_due && !state.is_under_way;
        state.is_under_way |= begins;
        begins
    }

    fn end(&self, surveyed: Surveyed, took: Duration) {
        let mut state = self.state.lock();
        *state = SurveyState { is_under_way: false, ended: Some((Instant::now(), took)) };
        self.last.send_replace(Some(Arc::new(surveyed)));
    }
}

/// Makes a survey.
async fn make(admin: Arc<Admin>) {
    let (begun, at) = (Instant::now(), Timestamp::now());
    let generation = admin.publisher.live().load().generation();
    let (mut kinds, mut missing, mut after) = (BTreeMap::new(), BTreeSet::new(), None);
    let failure = loop {
        let reading = Instant::now();
        let asked = Arc::clone(&admin);
        let page = match blocking(move || findings::page(&asked, after, AT_ONCE)).await {
            Ok(page) => page,
            Err(problem) => break Some(problem),
        };
        let Findings { findings, widgets: _, next, missing: silent } = page;
        missing.extend(silent);
        findings.into_iter().for_each(|found| count(&mut kinds, found));
        match next {
            None => break None,
            next => after = next,
        }
        // Most of a long time was waiting for edges that are silent.
        sleep((reading.elapsed() * REST).min(LONGEST_REST)).await;
    };
    let kinds = failure.map_or_else(|| Ok(most_severe_first(kinds)), Err);
    admin.survey.end(Surveyed { at, generation, kinds, missing }, begun.elapsed());
}

/// Counts a finding. Those of one widget follow each other.
fn count(kinds: &mut BTreeMap<&'static str, (FindingKind, WidgetId)>, found: WidgetFinding) {
    let WidgetFinding { widget, finding } = found;
    let (code, severity) = (finding.code, finding.severity);
    let begin = || {
        let kind = FindingKind { code, severity, findings: 0, widgets: 0, examples: Vec::new() };
        (kind, widget.clone())
    };
    let (kind, last) = kinds.entry(code).or_insert_with(begin);
    kind.findings += 1;
    kind.severity = kind.severity.max(severity);
    if kind.widgets == 0 || *last != widget {
        kind.widgets += 1;
        if kind.examples.len() < EXAMPLES {
            kind.examples.push((widget.clone(), finding.detail));
        }
        *last = widget;
    }
}

fn most_severe_first(kinds: BTreeMap<&'static str, (FindingKind, WidgetId)>) -> Vec<FindingKind> {
    let mut kinds: Vec<FindingKind> = kinds.into_values().map(|(kind, _)| kind).collect();
    kinds.sort_by_key(|kind| (std::cmp::Reverse((kind.severity, kind.widgets)), kind.code));
    kinds
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use embedgate_policy::lint::Finding;

    #[test]
    fn findings_are_counted_by_kind_and_widget() {
        let found = |widget: &str, code, severity| {
            let (pointer, detail) = (String::new(), format!("of {widget}"));
            let finding = Finding { code, severity, pointer, entry: None, detail };
            WidgetFinding { widget: WidgetId::parse(widget).unwrap(), finding }
        };
        let mut kinds = BTreeMap::new();
        for (widget, code, severity) in [
            ("a", "stale_entry", Severity::Warning),
            ("a", "unrestricted", Severity::Info),
            ("a", "stale_entry", Severity::Warning),
            ("b", "stale_entry", Severity::Warning),
            ("b", "insecure_voice", Severity::Error),
            ("c", "unrestricted", Severity::Info),
            ("d", "unrestricted", Severity::Info),
        ] {
            count(&mut kinds, found(widget, code, severity));
        }
        let kinds = most_severe_first(kinds);
        let told: Vec<_> = kinds.iter().map(|kind| (kind.code, kind.findings, kind.widgets)).collect();
        assert_eq!(told, [("insecure_voice", 1, 1), ("stale_entry", 3, 2), ("unrestricted", 3, 3)]);
        let named: Vec<&str> = kinds[2].examples.iter().map(|(widget, _)| widget.as_str()).collect();
        assert_eq!((named, kinds[1].examples[1].1.as_str()), (vec!["a", "c", "d"], "of b"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_survey_is_made_once_at_a_time_and_rests() {
        let survey = Survey::default();
        let end = |generation, took| {
            let (at, missing) = (Timestamp::UNIX_EPOCH, BTreeSet::new());
            survey
                .end(Surveyed { at, generation, kinds: Ok(Vec::new()), missing }, Duration::from_secs(took));
        };
        assert!(survey.begin(1) && !survey.begin(1), "one is under way");
        end(1, 10);
        assert!(!survey.begin(2), "it rests for as long as it took");
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!survey.begin(1), "of the same rules");
        assert!(survey.begin(2));
        end(2, 0);
        tokio::time::advance(LARGEST_AGE).await;
        assert!(survey.begin(2), "it is old");
    }
}
