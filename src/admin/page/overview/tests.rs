//! What the overview says of a state.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use jiff::{SignedDuration, ToSpan};

use super::attention::{Concern, Urgency, concerns};
use super::*;
use crate::admin::status::{CertificateStatus, FleetConnection, ServerStatus, Widgets};
use crate::admin::survey::FindingKind;
use crate::rules::fleet::FleetFault;
use crate::rules::source::SourceKind;
use crate::rules::status::{LastError, SourceStatus};
use crate::telemetry::metrics::NotificationTotals;
use embedgate_policy::lint::Severity;
use embedgate_policy::widget::WidgetId;

/// An edge with nothing to tell.
fn well() -> Glance {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let rules = SourceStatus { connected: true, ..SourceStatus::new(SourceKind::STORE, "data/rules.redb") };
    let production = BTreeMap::from([("enforce", 3), ("monitor", 0), ("open", 0)]);
    Glance {
        now,
        status: Status {
            version: "0",
            generation: 7,
            widgets: Widgets {
                total: 3,
                by_environment: [("production", production)].into(),
                unrestricted: BTreeMap::new(),
            },
            read_only: false,
            rules,
            fleet: None,
            not_kept: Vec::new(),
            sessions: 2,
            remembered_sessions: 0,
            upstreams: [("app", "a:1"), ("app", "b:1")]
                .map(|(upstream, server)| server_of(upstream, server))
                .into(),
            certificates: vec![CertificateStatus {
                certificate: "site.pem".to_owned(),
                expires_at: now.checked_add((24 * 60).hours()).unwrap(),
            }],
            decisions_not_logged: 0,
        },
        open_allowed: true,
        surveyed: None,
        refused: Err(Problem::not_found()),
        outbox: OutboxState {
            receiver: None,
            pending: 0,
            oldest: None,
            last_arrival: None,
            durable: true,
            totals: NotificationTotals { delivered: 0, retried: 0, dead: 0, dropped: 0 },
            failing: Vec::new(),
        },
        dead: 0,
        recent: vec![minute(1000, 0)],
        edges: None,
    }
}

fn server_of(upstream: &str, server: &str) -> ServerStatus {
    ServerStatus { upstream: upstream.to_owned(), server: server.to_owned(), healthy: true }
}

fn minute(allowed: u64, errors: u64) -> TrafficMinute {
    TrafficMinute { at: 0, allowed, denied: 0, monitored: 0, errors, p50: None, p99: None }
}

fn surveyed(severity: Severity) -> Option<Arc<Surveyed>> {
    let example = (WidgetId::parse("wgt_a").unwrap(), "of no use".to_owned());
    let kind =
        FindingKind { code: "stale_entry", severity, findings: 1, widgets: 1, examples: vec![example] };
    Some(Arc::new(Surveyed::of(Timestamp::UNIX_EPOCH, Ok(vec![kind]), BTreeSet::new())))
}

fn in_fleet(glance: &mut Glance) -> &mut FleetConnection {
    glance.edges = Some([(EdgeState::Current, 2)].into());
    glance.status.fleet.insert(FleetConnection {
        bucket: "widgets".to_owned(),
        edge: "edge-1".to_owned(),
        connected: true,
        sequence: 7,
        current_at: None,
        stale_at: None,
        fault: None,
    })
}

#[test]
fn an_edge_that_is_well_needs_nobody() {
    assert_eq!(concerns(&well()), []);
    let mut glance = well();
    in_fleet(&mut glance);
    glance.surveyed = surveyed(Severity::Info);
    // A refused call of somebody is that caller's business, where rules are written by calls.
    glance.status.rules.last_error =
        Some(LastError { at: glance.now, since: glance.now, code: "x", detail: "y".to_owned() });
    assert_eq!(concerns(&glance), []);
}

#[test]
fn each_trouble_is_told_with_the_place_where_it_is_mended() {
    type Trouble = fn(&mut Glance);
    let troubles: [(Trouble, Urgency, &str, &str); 16] = [
        (|glance| glance.status.rules.connected = false, Urgency::Fault, "can't be read", "#rules"),
        (
            |glance| {
                glance.status.rules.source = SourceKind::FILE;
                let now = glance.now;
                glance.status.rules.last_error = Some(LastError {
                    at: now,
                    since: now,
                    code: "x",
                    detail: "line 3: a slip\nmore".to_owned(),
                });
            },
            Urgency::Fault,
            "refused: line 3: a slip",
            "#rules",
        ),
        (
            |glance| {
                let fault =
                    FleetFault { code: "x".into(), detail: "the bucket is gone".into(), since: glance.now };
                in_fleet(glance).fault = Some(fault);
            },
            Urgency::Fault,
            "the bucket is gone",
            "/fleet",
        ),
        (
            |glance| in_fleet(glance).connected = false,
            Urgency::Fault,
            "no contact to the bucket widgets",
            "/fleet",
        ),
        (
            |glance| {
                in_fleet(glance);
                glance.edges = Some([(EdgeState::Current, 1), (EdgeState::Silent, 1)].into());
            },
            Urgency::Look,
            "does not answer",
            "/fleet",
        ),
        (|glance| glance.status.upstreams[0].healthy = false, Urgency::Look, "1 of 2 servers", "#upstreams"),
        (
            |glance| glance.status.upstreams.iter_mut().for_each(|server| server.healthy = false),
            Urgency::Fault,
            "No server of the upstream app",
            "#upstreams",
        ),
        (
            |glance| glance.status.certificates[0].expires_at = glance.now - SignedDuration::from_secs(1),
            Urgency::Fault,
            "has expired",
            "#certificates",
        ),
        (
            |glance| glance.status.certificates[0].expires_at = glance.now + SignedDuration::from_hours(30),
            Urgency::Look,
            "expires in 1 day.",
            "#certificates",
        ),
        (|glance| glance.recent = vec![minute(100, 1)], Urgency::Look, "1 of some 100 requests", "#traffic"),
        (
            |glance| glance.recent = vec![minute(5, 5), minute(5, 0)],
            Urgency::Fault,
            "5 of some 10",
            "#traffic",
        ),
        (|glance| glance.outbox.durable = false, Urgency::Fault, "can't be written", "#notifications"),
        (
            |glance| glance.dead = 2,
            Urgency::Look,
            "Given up, without arriving: 2 notifications",
            "#notifications",
        ),
        (
            |glance| {
                glance.status.widgets.by_environment.get_mut("production").unwrap().extend([("open", 2)])
            },
            Urgency::Fault,
            "load 2 widgets in production",
            "/widgets?environment=production&access=open",
        ),
        (
            |glance| glance.surveyed = surveyed(Severity::Warning),
            Urgency::Look,
            "nobody uses: 1 widget",
            "/widgets/wgt_a",
        ),
        (|glance| glance.status.decisions_not_logged = 9, Urgency::Look, "too slow: 9", "#rules"),
    ];
    for (trouble, urgency, text, address) in troubles {
        let mut glance = well();
        trouble(&mut glance);
        let told = concerns(&glance);
        let [Concern { urgency: told_urgency, text: told_text, place }] = told.as_slice() else {
            panic!("{text}: {told:?}");
        };
        assert!(
            told_text.contains(text) && place.0 == address && *told_urgency == urgency,
            "{text}: {told:?}"
        );
        let shown = content(&glance, Role::Read).into_string().replace("&amp;", "&");
        assert!(shown.contains(address), "{text}: {shown}");
    }
}

#[test]
fn the_worst_comes_first() {
    let mut glance = well();
    glance.dead = 1;
    glance.surveyed = surveyed(Severity::Error);
    let urgencies: Vec<Urgency> = concerns(&glance).into_iter().map(|concern| concern.urgency).collect();
    assert_eq!(urgencies, [Urgency::Fault, Urgency::Look]);
}

#[test]
fn open_widgets_are_no_fault_where_nothing_is_open() {
    let mut glance = well();
    glance.status.widgets.by_environment.get_mut("production").unwrap().insert("open", 2);
    glance.open_allowed = false;
    assert_eq!(concerns(&glance), []);
}

#[test]
fn without_a_widget_whoever_may_add_one_is_told_how() {
    let mut glance = well();
    glance.status.widgets.total = 0;
    let shown = |glance: &Glance, role| content(glance, role).into_string();
    assert!(shown(&glance, Role::Write).contains("href=\"/widgets\">Add a widget"));
    assert!(!shown(&glance, Role::Read).contains("Add a widget"));
    glance.status.read_only = true;
    assert!(!shown(&glance, Role::Write).contains("Add a widget"));
}
