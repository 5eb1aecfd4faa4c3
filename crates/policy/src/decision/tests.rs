#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;

use super::*;
use crate::allowlist::samples::{self, expiring, now, rule};
use crate::compiled::WidgetRulesBuf;
use crate::entry::listed::ListedEntry;
use crate::limits::{LimitMode, Limits};
use crate::origin::{OpaqueOrigin, OriginBuf, OriginError};
use crate::widget::Widget;
use crate::widget::{Environment, WidgetId};

const OWN: &str = "https://edge.example";
const SYSTEM: &str = "https://app.vendor.example";
const LISTED: &str = "https://example.com";
const STRANGER: &str = "https://stranger.example";

fn widget(access: Option<Access>, rules: Vec<ListedEntry>) -> Widget {
    Widget {
        id: WidgetId::parse("wgt_demo").unwrap(),
        environment: Environment::Production,
        access,
        enabled: true,
        allowed_domains: rules,
        capabilities: BTreeSet::new(),
        public_trust_center: true,
        limits: Limits::default(),
        labels: Default::default(),
        revision: Some(7),
    }
}

fn list() -> Vec<ListedEntry> {
    vec![
        rule("example.com"),
        rule("*.example.org"),
        rule("pr-*.preview.example.com"),
        rule("ports.example:8443"),
        expiring("old.example", 0),
    ]
}

fn policy() -> EdgePolicy {
    EdgePolicy {
        own_origins: OriginBuf::parse(OWN).into_iter().collect(),
        system_origins: OriginSet::new([OriginBuf::parse(SYSTEM).unwrap()]),
        open_allowed: true,
        stale_at: None,
    }
}

/// The same, once the rules are too old.
fn stale() -> EdgePolicy {
    EdgePolicy { stale_at: Some(now()), ..policy() }
}

fn origin(text: &str) -> Origin<'_> {
    Origin::parse(text).unwrap()
}

fn embedder(text: &str) -> Embedder<'_> {
    match text {
        "" => Embedder::Absent,
        "null" => Embedder::Opaque(OpaqueOrigin::Null),
        "file://" => Embedder::Opaque(OpaqueOrigin::File),
        "malformed" => Embedder::Malformed(OriginError::TrailingDot),
        known => Embedder::Known(origin(known)),
    }
}

fn facts<'a>(class: Class, from: &'a str) -> Facts<'a> {
    Facts { widget: "w", class, embedder: embedder(from), missing_denied: false, ticket: TicketState::Absent }
}

fn judge(facts: &Facts<'_>, widget: &Widget) -> Decision {
    decide(facts, Some(widget.compile().as_rules()), &policy(), now())
}

fn outcome(decision: Decision) -> (Verdict, Reason) {
    (decision.verdict, decision.reason)
}

const LIMITS: [Reason; 2] = [Reason::LimitSessions, Reason::LimitOpens];

use Class::{Asset, Frame, Public, Session};
use Verdict::{Allow, Deny};

#[test]
fn every_cell_of_the_class_table() {
    let widget = widget(None, list());
    let cells = [
        (Asset, OWN, Allow, Reason::OwnOrigin),
        (Asset, "", Allow, Reason::NoEmbedder),
        (Asset, "null", Deny, Reason::OpaqueOrigin),
        (Frame, OWN, Allow, Reason::OwnOrigin),
        (Frame, "", Allow, Reason::NoEmbedder),
        (Frame, "null", Deny, Reason::OpaqueOrigin),
        (Session, OWN, Deny, Reason::TicketMissing),
        (Session, "", Deny, Reason::NoEmbedder),
        (Session, "null", Deny, Reason::OpaqueOrigin),
        (Public, OWN, Allow, Reason::Public),
        (Public, "", Allow, Reason::Public),
        (Public, "null", Allow, Reason::Public),
        (Public, "malformed", Allow, Reason::Public),
        (Public, STRANGER, Allow, Reason::Public),
    ];
    for (class, from, verdict, reason) in cells {
        assert_eq!(outcome(judge(&facts(class, from), &widget)), (verdict, reason), "{class} from `{from}`");
    }
    for class in [Asset, Frame] {
        let strict = Facts { missing_denied: true, ..facts(class, "") };
        assert_eq!(outcome(judge(&strict, &widget)), (Deny, Reason::NoEmbedder), "{class}");
    }
}

#[test]
fn every_reason_is_reached() {
    let listed = widget(None, list());
    let off = Widget { enabled: false, ..listed.clone() };
    let empty = widget(Some(Access::Enforce), vec![]);
    let open = widget(None, vec![]);
    let ticket = |ticket| Facts { ticket, ..facts(Session, OWN) };
    let rows = [
        (&listed, facts(Asset, LISTED), Allow, Reason::Exact),
        (&listed, facts(Asset, "https://a.example.org"), Allow, Reason::Wildcard),
        (&listed, facts(Asset, "https://pr-1.preview.example.com"), Allow, Reason::Glob),
        (&open, facts(Asset, STRANGER), Allow, Reason::Unrestricted),
        (&listed, facts(Asset, SYSTEM), Allow, Reason::SystemOrigin),
        (&listed, facts(Frame, OWN), Allow, Reason::OwnOrigin),
        (&listed, ticket(TicketState::Valid(origin(LISTED))), Allow, Reason::Ticket),
        (&listed, facts(Frame, ""), Allow, Reason::NoEmbedder),
        (&listed, facts(Public, ""), Allow, Reason::Public),
        (&listed, facts(Frame, STRANGER), Deny, Reason::NotListed),
        (&listed, facts(Frame, "http://example.com"), Deny, Reason::InsecureScheme),
        (&listed, facts(Frame, "https://ports.example"), Deny, Reason::PortMismatch),
        (&listed, facts(Frame, "https://old.example"), Deny, Reason::ExpiredEntry),
        (&listed, facts(Frame, "null"), Deny, Reason::OpaqueOrigin),
        (&listed, facts(Frame, "file://"), Deny, Reason::OpaqueOrigin),
        (&listed, facts(Frame, "malformed"), Deny, Reason::MalformedOrigin),
        (&listed, facts(Frame, "capacitor://localhost"), Deny, Reason::UnsupportedScheme),
        (&off, facts(Frame, LISTED), Deny, Reason::WidgetDisabled),
        (&empty, facts(Frame, LISTED), Deny, Reason::Locked),
        (&listed, ticket(TicketState::Absent), Deny, Reason::TicketMissing),
        (&listed, ticket(TicketState::Invalid), Deny, Reason::TicketInvalid),
        (&listed, ticket(TicketState::Expired), Deny, Reason::TicketExpired),
    ];
    let mut reached: BTreeSet<Reason> = BTreeSet::new();
    for (widget, facts, verdict, reason) in rows {
        assert_eq!(outcome(judge(&facts, widget)), (verdict, reason), "{facts:?}");
        reached.insert(reason);
    }
    let unknown = decide(&facts(Public, LISTED), None, &policy(), now());
    assert_eq!(outcome(unknown), (Deny, Reason::UnknownWidget));
    reached.insert(unknown.reason);
    reached.insert(decide(&facts(Asset, LISTED), None, &stale(), now()).reason);
    let open = judge(&facts(Session, LISTED), &listed);
    reached.extend(LIMITS.map(|reason| open.beyond_limit(LimitMode::Enforce, reason).reason));
    assert_eq!(reached, Reason::ALL.into_iter().collect());
}

/// What can become of a decision by the limits of a widget.
fn beyond_limits(class: Class, decision: Decision) -> Vec<Decision> {
    if class != Session || !decision.is_allowed() || decision.reason == Reason::SystemOrigin {
        return Vec::new();
    }
    let modes = LimitMode::ALL.into_iter();
    modes.flat_map(|mode| LIMITS.map(|reason| decision.beyond_limit(mode, reason))).collect()
}

#[test]
fn a_limit_denies_an_open_or_notes_it() {
    let (listed, monitoring) = (widget(None, list()), widget(Some(Access::Monitor), list()));
    for reason in LIMITS {
        let admitted = judge(&facts(Session, LISTED), &listed);
        let denied = admitted.beyond_limit(LimitMode::Enforce, reason);
        assert_eq!((denied, denied.is_allowed()), (Decision::limited(reason), false));
        assert_eq!((denied.verdict, denied.reason, denied.would_deny), (Deny, reason, None));
        let noted = admitted.beyond_limit(LimitMode::Monitor, reason);
        assert_eq!(noted, Decision { would_deny: Some(reason), ..admitted });
        assert_eq!((noted.reason, noted.entry), (Reason::Exact, Some(0)), "its entry has admitted it");
        assert_eq!(noted.embedder_denial(), None, "the embedder is admitted all the same");

        // `enforce` would not have come as far as the limits.
        let stranger = judge(&facts(Session, STRANGER), &monitoring);
        assert_eq!(stranger.embedder_denial(), Some(Reason::NotListed));
        assert_eq!(stranger.beyond_limit(LimitMode::Monitor, reason), stranger);
        assert_eq!(stranger.beyond_limit(LimitMode::Enforce, reason), Decision::limited(reason));
    }
}

#[test]
fn the_possible_outcomes_are_those_that_are_reached() {
    let listed = widget(None, list());
    let widgets = [
        listed.clone(),
        widget(Some(Access::Open), vec![]),
        widget(Some(Access::Monitor), list()),
        widget(Some(Access::Monitor), vec![]),
        widget(Some(Access::Enforce), vec![]),
        Widget { enabled: false, ..listed.clone() },
        Widget { public_trust_center: false, ..listed },
    ];
    let pages = [
        "",
        "null",
        "malformed",
        OWN,
        SYSTEM,
        LISTED,
        STRANGER,
        "https://a.example.org",
        "https://pr-1.preview.example.com",
        "http://example.com",
        "https://ports.example",
        "https://old.example",
        "capacitor://localhost",
    ];
    let named = [LISTED, STRANGER].map(|page| TicketState::Valid(origin(page)));
    let tickets = [TicketState::Absent, TicketState::Invalid, TicketState::Expired].into_iter().chain(named);
    let (mut reached, mut monitored) = (BTreeSet::new(), BTreeSet::new());
    for ticket in tickets {
        for (class, from) in Class::ALL.into_iter().flat_map(|class| pages.map(|from| (class, from))) {
            for missing_denied in [false, true] {
                let facts = Facts { missing_denied, ticket, ..facts(class, from) };
                for widget in widgets.iter().map(Some).chain([None]) {
                    let rules = widget.map(Widget::compile);
                    for policy in [policy(), stale()] {
                        let rules = rules.as_ref().map(WidgetRulesBuf::as_rules);
                        let decision = decide(&facts, rules, &policy, now());
                        for decision in [vec![decision], beyond_limits(class, decision)].concat() {
                            reached.insert((class, decision.verdict, decision.reason));
                            monitored.extend(decision.would_deny.map(|reason| (class, reason)));
                        }
                    }
                }
            }
        }
    }
    for class in Class::ALL {
        for reason in Reason::ALL {
            for verdict in Verdict::ALL {
                let outcome = (class, verdict, reason);
                assert_eq!(is_possible(class, verdict, reason), reached.contains(&outcome), "{outcome:?}");
            }
            let is_monitored = monitored.contains(&(class, reason));
            assert_eq!(can_be_monitored(class, reason), is_monitored, "{class} {reason}");
        }
    }
}

#[test]
fn the_entry_and_the_near_miss_are_named() {
    let widget = widget(None, list());
    assert_eq!(judge(&facts(Asset, "https://a.example.org"), &widget).entry, Some(1));
    assert_eq!(judge(&facts(Asset, "https://ports.example"), &widget).near_miss, Some(3));
    let ticket = TicketState::Valid(origin("https://pr-1.preview.example.com"));
    let by_ticket = judge(&Facts { ticket, ..facts(Session, OWN) }, &widget);
    assert_eq!((by_ticket.reason, by_ticket.entry), (Reason::Ticket, Some(2)));
    let by_ticket = judge(
        &Facts { ticket: TicketState::Valid(origin("https://old.example")), ..facts(Session, OWN) },
        &widget,
    );
    assert_eq!((by_ticket.reason, by_ticket.near_miss), (Reason::ExpiredEntry, Some(4)));
}

#[test]
fn the_kill_switch_spares_public_pages_only() {
    let widget = Widget { enabled: false, ..widget(None, vec![]) };
    for class in Class::ALL {
        for from in ["", "null", "malformed", OWN, SYSTEM, LISTED] {
            let expected =
                if class == Public { (Allow, Reason::Public) } else { (Deny, Reason::WidgetDisabled) };
            assert_eq!(outcome(judge(&facts(class, from), &widget)), expected);
        }
    }
}

#[test]
fn stale_rules_spare_public_pages_only() {
    let listed = widget(None, list());
    let widgets = [
        listed.clone(),
        widget(Some(Access::Open), vec![]),
        widget(Some(Access::Monitor), list()),
        widget(Some(Access::Enforce), vec![]),
        Widget { enabled: false, ..listed.clone() },
        Widget { public_trust_center: false, ..listed },
    ];
    for class in Class::ALL {
        for from in ["", "null", "file://", "malformed", OWN, SYSTEM, LISTED, STRANGER] {
            for ticket in [TicketState::Absent, TicketState::Invalid, TicketState::Valid(origin(SYSTEM))] {
                let facts = Facts { ticket, ..facts(class, from) };
                for widget in widgets.iter().map(Some).chain([None]) {
                    let rules = widget.map(Widget::compile);
                    let rules = rules.as_ref().map(WidgetRulesBuf::as_rules);
                    let decision = decide(&facts, rules, &stale(), now());
                    let expected = match class {
                        Public => decide(&facts, rules, &policy(), now()),
                        _ => Decision::deny(Reason::StaleRules),
                    };
                    assert_eq!(decision, expected, "{widget:?} {facts:?}");
                }
            }
        }
    }
}

#[test]
fn rules_are_stale_from_the_instant_on() {
    let widget = widget(None, list());
    let tick = jiff::SignedDuration::from_nanos(1);
    for (stale_at, expected) in [
        (Timestamp::MIN, (Deny, Reason::StaleRules)),
        (now() - tick, (Deny, Reason::StaleRules)),
        (now(), (Deny, Reason::StaleRules)),
        (now() + tick, (Allow, Reason::Exact)),
        (Timestamp::MAX, (Allow, Reason::Exact)),
    ] {
        let policy = EdgePolicy { stale_at: Some(stale_at), ..policy() };
        let decision = decide(&facts(Session, LISTED), Some(widget.compile().as_rules()), &policy, now());
        assert_eq!(outcome(decision), expected, "{stale_at}");
    }
}

#[test]
fn a_private_trust_center_is_denied_to_everyone() {
    let widget = Widget { public_trust_center: false, ..widget(None, list()) };
    assert_eq!(outcome(judge(&facts(Public, LISTED), &widget)), (Deny, Reason::WidgetDisabled));
    assert_eq!(outcome(judge(&facts(Asset, LISTED), &widget)), (Allow, Reason::Exact));
}

#[test]
fn an_open_widget_needs_no_ticket_and_admits_any_page() {
    let widget = widget(Some(Access::Open), list());
    for (from, expected) in [
        (OWN, (Allow, Reason::Unrestricted)),
        (STRANGER, (Allow, Reason::Unrestricted)),
        ("capacitor://localhost", (Allow, Reason::Unrestricted)),
        (SYSTEM, (Allow, Reason::SystemOrigin)),
        ("null", (Allow, Reason::Unrestricted)),
        ("file://", (Allow, Reason::Unrestricted)),
        ("", (Deny, Reason::NoEmbedder)),
        ("malformed", (Deny, Reason::MalformedOrigin)),
    ] {
        assert_eq!(outcome(judge(&facts(Session, from), &widget)), expected, "{from}");
    }
    for class in [Asset, Frame] {
        for from in ["null", "file://"] {
            assert_eq!(
                outcome(judge(&facts(class, from), &widget)),
                (Allow, Reason::Unrestricted),
                "{class}"
            );
        }
    }
    let off = Widget { enabled: false, ..widget };
    assert_eq!(outcome(judge(&facts(Session, "null"), &off)), (Deny, Reason::WidgetDisabled));
}

#[test]
fn an_edge_that_allows_no_open_widgets_judges_them_by_their_list() {
    let policy = EdgePolicy { open_allowed: false, ..policy() };
    let judge = |widget: &Widget, facts: &Facts<'_>| {
        outcome(decide(facts, Some(widget.compile().as_rules()), &policy, now()))
    };
    let open = widget(Some(Access::Open), list());
    assert_eq!(judge(&open, &facts(Asset, LISTED)), (Allow, Reason::Exact));
    assert_eq!(judge(&open, &facts(Asset, STRANGER)), (Deny, Reason::NotListed));
    assert_eq!(judge(&open, &facts(Session, OWN)), (Deny, Reason::TicketMissing));
    assert_eq!(judge(&open, &facts(Asset, "null")), (Deny, Reason::OpaqueOrigin));
    assert_eq!(judge(&widget(None, vec![]), &facts(Asset, LISTED)), (Deny, Reason::Locked));
}

#[test]
fn monitoring_lets_through_and_tells() {
    let monitor = widget(Some(Access::Monitor), list());
    let ticket = |ticket| Facts { ticket, ..facts(Session, OWN) };
    let passed = [
        (facts(Frame, STRANGER), Reason::NotListed, None),
        (facts(Frame, "http://example.com"), Reason::InsecureScheme, Some(0)),
        (facts(Frame, "https://old.example"), Reason::ExpiredEntry, Some(4)),
        (facts(Session, ""), Reason::NoEmbedder, None),
        (facts(Frame, "null"), Reason::OpaqueOrigin, None),
        (ticket(TicketState::Absent), Reason::TicketMissing, None),
        (ticket(TicketState::Invalid), Reason::TicketInvalid, None),
        (ticket(TicketState::Expired), Reason::TicketExpired, None),
        (ticket(TicketState::Valid(origin(STRANGER))), Reason::NotListed, None),
    ];
    for (facts, denial, near_miss) in passed {
        let expected = Decision {
            verdict: Allow,
            reason: Reason::Unrestricted,
            would_deny: Some(denial),
            entry: None,
            near_miss,
        };
        assert_eq!(judge(&facts, &monitor), expected, "{facts:?}");
    }
    let admitted = judge(&facts(Frame, LISTED), &monitor);
    assert_eq!((outcome(admitted), admitted.would_deny), ((Allow, Reason::Exact), None));
    assert_eq!(outcome(judge(&facts(Frame, "malformed"), &monitor)), (Deny, Reason::MalformedOrigin));
    let off = Widget { enabled: false, ..monitor };
    assert_eq!(outcome(judge(&facts(Frame, LISTED), &off)), (Deny, Reason::WidgetDisabled));
    let empty = widget(Some(Access::Monitor), vec![]);
    assert_eq!(judge(&facts(Frame, STRANGER), &empty).would_deny, Some(Reason::Locked));
}

#[test]
fn a_preview_in_the_dashboard_runs_on_a_ticket_of_its_origin() {
    let locked = widget(Some(Access::Enforce), vec![]);
    let facts = Facts { ticket: TicketState::Valid(origin(SYSTEM)), ..facts(Session, OWN) };
    assert_eq!(outcome(judge(&facts, &locked)), (Allow, Reason::SystemOrigin));
}

#[test]
fn a_frame_that_moves_within_itself_is_judged_as_the_page_of_its_ticket() {
    let listed = widget(None, list());
    let open = widget(Some(Access::Open), list());
    let monitor = widget(Some(Access::Monitor), list());
    let by = |from| TicketState::Valid(origin(from));
    for (widget, ticket, expected) in [
        (&listed, by(LISTED), (Allow, Reason::Ticket)),
        (&listed, by("https://pr-1.preview.example.com"), (Allow, Reason::Ticket)),
        (&listed, by(SYSTEM), (Allow, Reason::SystemOrigin)),
        (&listed, by(STRANGER), (Deny, Reason::NotListed)),
        (&listed, by("https://old.example"), (Deny, Reason::ExpiredEntry)),
        (&open, by(STRANGER), (Allow, Reason::Unrestricted)),
        (&monitor, by(STRANGER), (Allow, Reason::Unrestricted)),
        // What is none is passed over: the browser decides, as it does without.
        (&listed, TicketState::Absent, (Allow, Reason::OwnOrigin)),
        (&listed, TicketState::Invalid, (Allow, Reason::OwnOrigin)),
        (&listed, TicketState::Expired, (Allow, Reason::OwnOrigin)),
    ] {
        let facts = Facts { ticket, ..facts(Frame, OWN) };
        assert_eq!(outcome(judge(&facts, widget)), expected, "{ticket:?}");
        assert_eq!(facts.by_ticket(&policy()), ticket.opened_by());
    }
    // Nobody else's counts, and no other class's.
    for (class, from) in [(Frame, STRANGER), (Frame, LISTED), (Frame, ""), (Asset, OWN), (Public, OWN)] {
        let with = Facts { ticket: by(LISTED), ..facts(class, from) };
        assert_eq!(judge(&with, &listed), judge(&facts(class, from), &listed), "{class} from `{from}`");
        assert_eq!(with.by_ticket(&policy()), None, "{class} from `{from}`");
    }
}

/// What the naive reading says of a document's list: `Ok` with how it admits.
fn naive_list(rules: &[ListedEntry], origin: Origin<'_>) -> Result<Reason, Reason> {
    if rules.is_empty() {
        return Err(Reason::Locked);
    }
    let live: Vec<_> = rules.iter().filter(|rule| rule.expires_at.is_none_or(|at| now() < at)).collect();
    for (kind, reason) in [
        (EntryKind::Exact, Reason::Exact),
        (EntryKind::Wildcard, Reason::Wildcard),
        (EntryKind::Glob, Reason::Glob),
    ] {
        if live.iter().any(|rule| rule.entry.kind() == kind && rule.entry.admits(origin)) {
            return Ok(reason);
        }
    }
    let text = origin.as_str();
    if rules.iter().any(|rule| rule.entry.admits(origin)) {
        return Err(Reason::ExpiredEntry);
    }
    let mut on_host = live.iter().filter(|rule| rule.entry.admits_host(origin));
    let wants_https = |rule: &ListedEntry| {
        let secure = format!("https://{}", origin.host_str());
        rule.entry.admits_scheme(self::origin(&secure))
    };
    if text.starts_with("http://")
        && on_host.clone().any(|rule| !rule.entry.admits_scheme(origin) && wants_https(rule))
    {
        return Err(Reason::InsecureScheme);
    }
    if on_host.any(|rule| rule.entry.admits_scheme(origin)) {
        return Err(Reason::PortMismatch);
    }
    let web = text.starts_with("http://") || text.starts_with("https://");
    Err(if web { Reason::NotListed } else { Reason::UnsupportedScheme })
}

/// The contract read aloud: the questions in their order, each answered from the document itself.
fn naive(
    facts: &Facts<'_>,
    widget: Option<&Widget>,
    open_allowed: bool,
    is_stale: bool,
) -> (Verdict, Reason, Option<Reason>) {
    if is_stale && facts.class != Public {
        return (Deny, Reason::StaleRules, None);
    }
    let Some(widget) = widget else { return (Deny, Reason::UnknownWidget, None) };
    if facts.class == Public {
        let shown = widget.public_trust_center;
        return if shown { (Allow, Reason::Public, None) } else { (Deny, Reason::WidgetDisabled, None) };
    }
    if !widget.enabled {
        return (Deny, Reason::WidgetDisabled, None);
    }
    if matches!(facts.embedder, Embedder::Malformed(_)) {
        return (Deny, Reason::MalformedOrigin, None);
    }
    let stated_open = widget.access == Some(Access::Open);
    let set_up = widget.access.is_none() && widget.allowed_domains.is_empty();
    let open = open_allowed && (stated_open || set_up);
    let from = facts.embedder.origin().map(|origin| origin.as_str());
    let list = |origin| naive_list(&widget.allowed_domains, origin);
    let judged = if matches!(facts.embedder, Embedder::Opaque(_)) {
        if open { Ok(Reason::Unrestricted) } else { Err(Reason::OpaqueOrigin) }
    } else if from == Some(SYSTEM) {
        Ok(Reason::SystemOrigin)
    } else if from == Some(OWN)
        && facts.class == Frame
        && matches!(facts.ticket, TicketState::Valid(_))
        && !open
    {
        // It moves within itself, and its ticket tells the page around it.
        let opened_by = facts.ticket.opened_by().unwrap();
        if opened_by.as_str() == SYSTEM {
            Ok(Reason::SystemOrigin)
        } else {
            list(opened_by).map(|_| Reason::Ticket)
        }
    } else if from == Some(OWN) && facts.class == Frame && matches!(facts.ticket, TicketState::Valid(_)) {
        Ok(Reason::Unrestricted)
    } else if from == Some(OWN) && facts.class != Session {
        Ok(Reason::OwnOrigin)
    } else if from == Some(OWN) && open {
        Ok(Reason::Unrestricted)
    } else if from == Some(OWN) {
        match facts.ticket {
            TicketState::Absent => Err(Reason::TicketMissing),
            TicketState::Invalid => Err(Reason::TicketInvalid),
            TicketState::Expired => Err(Reason::TicketExpired),
            TicketState::Valid(opened_by) if opened_by.as_str() == SYSTEM => Ok(Reason::SystemOrigin),
            TicketState::Valid(opened_by) => list(opened_by).map(|_| Reason::Ticket),
        }
    } else if from.is_none() {
        let denied = facts.class == Session || facts.missing_denied;
        if denied { Err(Reason::NoEmbedder) } else { Ok(Reason::NoEmbedder) }
    } else if open {
        Ok(Reason::Unrestricted)
    } else {
        list(facts.embedder.origin().unwrap())
    };
    match judged {
        Ok(reason) => (Allow, reason, None),
        Err(denial) if widget.access == Some(Access::Monitor) => (Allow, Reason::Unrestricted, Some(denial)),
        Err(denial) => (Deny, denial, None),
    }
}

fn any_origin() -> impl Strategy<Value = OriginBuf> {
    prop_oneof![
        3 => samples::origin(),
        1 => select(vec![OWN, SYSTEM]).prop_map(|text| OriginBuf::parse(text).unwrap()),
    ]
}

fn any_widget() -> impl Strategy<Value = Option<Widget>> {
    let access = select(vec![None, Some(Access::Open), Some(Access::Monitor), Some(Access::Enforce)]);
    let rules = prop_oneof![1 => samples::rules(0..1), 5 => samples::rules(1..9)];
    let widget = (access, rules, prop::bool::weighted(0.9), any::<bool>()).prop_map(
        |(access, rules, enabled, public_trust_center)| Widget {
            enabled,
            public_trust_center,
            ..widget(access, rules)
        },
    );
    prop::option::weighted(0.95, widget)
}

proptest! {
    #![proptest_config(Config { cases: 2000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn decide_agrees_with_the_contract_read_aloud(
        widget in any_widget(),
        class in select(Class::ALL.to_vec()),
        embedder in 0..7_u8,
        ticket in 0..7_u8,
        from in any_origin(),
        opened_by in any_origin(),
        missing_denied: bool,
        open_allowed in prop::bool::weighted(0.8),
        stale_in in prop::option::weighted(0.3, -2..3_i64),
    ) {
        let embedder = match embedder {
            0 => Embedder::Absent,
            1 => Embedder::Opaque(OpaqueOrigin::Null),
            2 => Embedder::Malformed(OriginError::List),
            _ => Embedder::Known(from.as_origin()),
        };
        let ticket = match ticket {
            0 => TicketState::Absent,
            1 => TicketState::Invalid,
            2 => TicketState::Expired,
            _ => TicketState::Valid(opened_by.as_origin()),
        };
        let facts = Facts { widget: "w", class, embedder, missing_denied, ticket };
        let stale_at = stale_in.map(|nanoseconds| now() + jiff::SignedDuration::from_nanos(nanoseconds));
        let is_stale = stale_in.is_some_and(|nanoseconds| nanoseconds <= 0);
        let policy = EdgePolicy { open_allowed, stale_at, ..policy() };
        let decision = decide(&facts, widget.as_ref().map(Widget::compile).as_ref().map(WidgetRulesBuf::as_rules), &policy, now());
        let found = (decision.verdict, decision.reason, decision.would_deny);
        prop_assert_eq!(found, naive(&facts, widget.as_ref(), open_allowed, is_stale));
        let by_entry = matches!(decision.reason, Reason::Exact | Reason::Wildcard | Reason::Glob | Reason::Ticket);
        prop_assert_eq!(decision.entry.is_some(), by_entry);
    }
}
