//! What open sessions take of their widget's limits.

use std::net::IpAddr;

use super::*;
use crate::limits::opening::{Opened, OpenedAt, Opening};
use embedgate_policy::limits::Limits;

const SYSTEM: &str = "https://dashboard.example";

/// A widget that allows one session in all.
fn one() -> Change {
    put("w", &["a.example"], r#""limits":{"widget":{"sessions":1}}"#)
}

impl House {
    /// Charges a session of the widget `w`, as the judge does; `None` where it is one too many.
    fn charge(&self) -> Option<NewSession> {
        let book = self.publisher.live().load();
        let limits = book.get("w").unwrap().limits.map_or(Limits::default(), |limits| limits.read());
        let address = Some(IpAddr::from([203, 0, 113, 9]));
        let opening = Opening {
            widget: "w",
            limits: &limits,
            embedder: A,
            is_listed: &|| true,
            address,
            is_open: true,
            is_session: true,
            may_wait: false,
        };
        match self.limiter.open(&opening, OpenedAt::now()) {
            Opened::Admitted { charge, .. } => Some(NewSession {
                generation: book.generation(),
                address,
                charge: Some(charge),
                ..session(facts(A))
            }),
            Opened::Refused(_) => None,
            Opened::Waits(_) => panic!("nobody shares limits here"),
        }
    }

    fn enter(&self, session: NewSession) -> Option<SessionGuard> {
        self.sessions.open("w", session, DecisionId::new(Timestamp::UNIX_EPOCH))
    }

    /// Whether there is room for one session more, of which none is taken.
    fn has_room(&self) -> bool {
        self.charge().is_some()
    }
}

#[test]
fn an_open_session_has_its_place_until_it_ends() {
    let house = House::with(&[one()]);
    let charged = house.charge().unwrap();
    assert!(!house.has_room());
    let guard = house.enter(charged).unwrap();
    assert!(!house.has_room());
    drop(guard);
    assert!(house.has_room());
}

#[test]
fn what_does_not_open_gives_its_place_back() {
    let house = House::with(&[one()]);
    let charged = house.charge().unwrap();
    house.save(&[put("w", &["b.example"], r#""limits":{"widget":{"sessions":1}}"#)]);
    assert!(house.enter(charged).is_none());
    assert!(house.has_room());
}

#[test]
fn a_revoked_session_has_its_place_until_it_is_gone() {
    let house = House::with(&[one()]);
    let charged = house.charge().unwrap();
    let guard = house.enter(charged).unwrap();
    house.save(&[put("w", &["b.example"], r#""limits":{"widget":{"sessions":1}}"#)]);
    assert!(revoked(&guard) && !house.has_room());
    drop(guard);
    assert!(house.has_room());
}

#[test]
fn sessions_from_before_a_limit_take_a_place() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let before = house.open("w", A).unwrap();
    // No WebSocket and no stream: it is none of the sessions that are limited.
    let call = house.enter(NewSession { is_counted: false, ..session(facts(A)) }).unwrap();
    house.save(&[one()]);
    assert!(!house.has_room() && !revoked(&before));
    // Other limits count nothing twice, and without any it still counts.
    for more in [r#""limits":{"embedder":{"sessions":1}}"#, "", r#""limits":{"widget":{"sessions":1}}"#] {
        house.save(&[put("w", &["a.example"], more)]);
    }
    assert!(!house.has_room());
    house.save(&[put("w", &["a.example"], r#""limits":{"widget":{"sessions":2}}"#)]);
    assert!(house.has_room(), "counted once");
    house.save(&[one()]);
    drop(before);
    assert!(house.has_room() && !revoked(&call));
}

#[test]
fn a_session_that_older_rules_allowed_takes_a_place_as_it_opens() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let unlimited =
        NewSession { generation: house.publisher.live().load().generation(), ..session(facts(A)) };
    house.save(&[one()]);
    let guard = house.enter(unlimited).unwrap();
    assert!(!house.has_room());
    drop(guard);
    assert!(house.has_room());
}

#[test]
fn previews_take_no_place() {
    let house = House::with(&[put("w", &["a.example"], "")]);
    let system: OriginBuf = SYSTEM.parse().unwrap();
    house.policy.store(Arc::new(EdgePolicy {
        system_origins: OriginSet::new([system]),
        open_allowed: true,
        ..EdgePolicy::default()
    }));
    let preview = house.enter(session(facts(SYSTEM))).unwrap();
    house.save(&[one()]);
    assert!(house.has_room() && !revoked(&preview));
}
