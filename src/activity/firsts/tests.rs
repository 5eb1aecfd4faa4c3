#![allow(clippy::unwrap_used)]

use parking_lot::Mutex;

use super::*;
use crate::activity::kept::{Growth, KeptWidget};
use crate::activity::sighting::{Sighting, SightingKind};
use crate::activity::sketch::FrequencySketch;
use crate::activity::tally::SightingTally;
use crate::rules::fixtures::widget;

const NOW: i64 = 1_800_000_000;
const GROWS: Growth = Growth { of_admitted: true, of_others: true };

/// Taker that keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<Notice>>, bool);

impl Notify for Told {
    fn tell(&self, notice: Notice) {
        self.0.lock().push(notice);
    }

    fn is_wanted(&self) -> bool {
        !self.1
    }
}

/// Record of one widget, with what is told of it.
struct Watched {
    told: Arc<Told>,
    taker: NoticeTaker,
    record: KeptWidget,
    sketch: FrequencySketch,
}

impl Watched {
    fn new(told: Told) -> Self {
        let told = Arc::new(told);
        let taker = NoticeTaker::new(Arc::clone(&told) as Arc<dyn Notify>);
        Self { told, taker, record: KeptWidget::default(), sketch: FrequencySketch::new(1 << 20) }
    }

    /// Writes these sightings at once, and returns what was told.
    fn write(&mut self, document: &str, sightings: &[(&str, SightingKind)]) -> Vec<Notice> {
        let compiled = widget(document).compile();
        let mut tally = SightingTally::new(1 << 20);
        for (second, (embedder, kind)) in (NOW..).zip(sightings) {
            let (client, at) = (None, Timestamp::from_second(second).unwrap());
            assert!(tally.add(&Sighting { widget: "w", embedder, kind: *kind, client, at }));
        }
        let mut firsts = self.taker.firsts();
        let (lines, rules) = (tally.lines(), compiled.as_rules());
        self.record.add(&lines, rules, GROWS, &mut self.sketch, &mut firsts, |_| {});
        std::mem::take(&mut *self.told.0.lock())
    }
}

fn admitted(reason: Reason) -> SightingKind {
    SightingKind::Admitted { reason, would_deny: None }
}

fn refused(reason: Reason) -> SightingKind {
    SightingKind::Refused { reason }
}

fn denied(embedder: &str, reason: Reason, would_admit: Option<&str>, second: i64) -> Notice {
    Notice::EmbedderFirstDenied {
        widget: "w".to_owned(),
        embedder: embedder.to_owned(),
        reason,
        would_admit: would_admit.map(str::to_owned),
        at: Timestamp::from_second(NOW + second).unwrap(),
    }
}

fn seen(embedder: &str, entry: &str, second: i64) -> Notice {
    let at = Timestamp::from_second(NOW + second).unwrap();
    let [widget, embedder, entry] = ["w", embedder, entry].map(str::to_owned);
    Notice::EmbedderFirstSeen { widget, embedder, entry, at }
}

const DOCUMENT: &str = r#"{"id":"w","revision":1,"allowed_domains":["example.com","*.example.org",
    "pr-*.preview.example.net",{"pattern":"old.example","expires_at":"2001-01-01T00:00:00Z"}]}"#;

#[test]
fn whoever_was_never_seen_before_is_told_once() {
    let mut watched = Watched::new(Told::default());
    let monitored =
        SightingKind::Admitted { reason: Reason::NotListed, would_deny: Some(Reason::InsecureScheme) };
    let all = [
        ("https://example.com", admitted(Reason::Exact)),
        ("https://a.example.org", admitted(Reason::Wildcard)),
        ("https://pr-1.preview.example.net", admitted(Reason::Glob)),
        ("https://b.example.org", admitted(Reason::Ticket)),
        ("https://dashboard.example", admitted(Reason::SystemOrigin)),
        ("https://stranger.example", refused(Reason::NotListed)),
        ("https://old.example", refused(Reason::ExpiredEntry)),
        ("http://example.com", monitored),
        ("null", refused(Reason::OpaqueOrigin)),
        ("ftp://files.example", refused(Reason::UnsupportedScheme)),
        ("https://switched.example", refused(Reason::WidgetDisabled)),
        ("https://reported.example", SightingKind::Reported),
    ];
    assert_eq!(
        watched.write(DOCUMENT, &all),
        [
            seen("https://a.example.org", "*.example.org", 1),
            seen("https://b.example.org", "*.example.org", 3),
            seen("https://pr-1.preview.example.net", "pr-*.preview.example.net", 2),
            denied("ftp://files.example", Reason::UnsupportedScheme, None, 9),
            denied("http://example.com", Reason::InsecureScheme, Some("http://example.com"), 7),
            denied("https://old.example", Reason::ExpiredEntry, None, 6),
            denied("https://stranger.example", Reason::NotListed, Some("stranger.example"), 5),
            denied("null", Reason::OpaqueOrigin, None, 8),
        ]
    );
    assert_eq!(watched.write(DOCUMENT, &all), []);
    // Nothing was said of whom the kill switch refused.
    let mut enabled = all.to_vec();
    enabled.push(("https://switched.example", refused(Reason::NotListed)));
    assert_eq!(
        watched.write(DOCUMENT, &enabled),
        [denied("https://switched.example", Reason::NotListed, Some("switched.example"), 10)]
    );
    assert_eq!(watched.write(DOCUMENT, &enabled), []);
    // Whoever was let in is new among those that were denied.
    let removed = r#"{"id":"w","revision":2,"allowed_domains":["example.com"]}"#;
    let cut = [("https://a.example.org", refused(Reason::NotListed))];
    assert_eq!(
        watched.write(removed, &cut),
        [denied("https://a.example.org", Reason::NotListed, Some("a.example.org"), 0)]
    );
    assert_eq!(watched.write(removed, &cut), []);
}

#[test]
fn more_than_are_told_in_an_hour_are_counted() {
    let mut watched = Watched::new(Told::default());
    let strangers: Vec<String> = (0..30).map(|number| format!("https://n{number:02}.example")).collect();
    let mut sightings: Vec<_> =
        strangers.iter().map(|embedder| (embedder.as_str(), refused(Reason::NotListed))).collect();
    let hosts = ["https://a.example.org", "https://b.example.org", "https://c.example.org"];
    sightings.extend(hosts.map(|host| (host, admitted(Reason::Wildcard))));
    let told = watched.write(DOCUMENT, &sightings);
    assert_eq!(told.len(), ONE_BY_ONE + 1, "{told:?}");
    let (widget, since) = ("w".to_owned(), Timestamp::from_second(NOW - NOW % 3600).unwrap());
    assert_eq!(*told.last().unwrap(), Notice::EmbedderSummary { widget, denied: 13, seen: 0, since });
    assert_eq!(watched.write(DOCUMENT, &sightings), []);
}

/// Those that a full list has no place for are known from the sketch.
#[test]
fn a_full_list_tells_newcomers_once() {
    let mut watched = Watched::new(Told::default());
    let mut told = 0;
    for _ in 0..3 {
        for number in 0..400 {
            let stranger = format!("https://n{number}.example");
            let sighting = [(stranger.as_str(), refused(Reason::NotListed))];
            told += watched.write(DOCUMENT, &sighting).len();
        }
    }
    // Their cells are many, and hardly any two share them all.
    assert!((395..=400).contains(&told), "{told}");
}

#[test]
fn nothing_is_looked_up_for_nobody() {
    let mut watched = Watched::new(Told(Mutex::default(), true));
    let stranger = [("https://stranger.example", refused(Reason::NotListed))];
    assert_eq!(watched.write(DOCUMENT, &stranger), []);
}
