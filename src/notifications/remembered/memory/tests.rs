#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use embedgate_policy::decision::{Facts, TicketState};
use embedgate_policy::origin::{Embedder, Origin};
use embedgate_policy::verdict::{Class, Reason};

const MOST: usize = 8;

/// Judges all sessions of a widget, one at a time.
fn judge(
    memory: &mut SessionMemory,
    widget: &str,
    verdict: impl Fn(&SessionSource) -> Option<Reason>,
    gives_place: Option<GivesPlace<'_>>,
) -> Vec<DeniedSource> {
    let (mut all, mut place) = (Vec::new(), JudgingPlace::default());
    loop {
        let bounds = JudgingBounds { at_once: 1, room: usize::MAX };
        let (denied, left) = memory.judge(widget, place, bounds, &verdict, gives_place);
        all.extend(denied);
        match left {
            LeftToJudge::From(next) => place = next,
            LeftToJudge::Nothing | LeftToJudge::WithoutRoom(_) => return all,
        }
    }
}

fn source(widget: u8, site: u8) -> Arc<SessionSource> {
    let origin = format!("https://s{site}.example");
    let embedder = Embedder::Known(Origin::parse(&origin).unwrap());
    let widget = format!("w{widget}");
    let facts = Facts {
        widget: &widget,
        class: Class::Session,
        embedder,
        missing_denied: false,
        ticket: TicketState::Absent,
    };
    let facts = SessionFacts::keep(&facts).unwrap();
    Arc::new(SessionSource { widget: widget.as_str().into(), facts, upstream: "app".into() })
}

fn name(widget: u8, site: u8, id: u8) -> SessionName {
    SessionName { source: source(widget, site), id: id.to_string().into() }
}

fn at(second: u32) -> Timestamp {
    Timestamp::from_second(second.into()).unwrap()
}

/// Places that are taken.
#[derive(Clone, Default)]
struct Places(Arc<AtomicUsize>);

struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    fn take(&self) -> Option<TakenSeat> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Taken(Arc::clone(&self.0))))
    }

    fn taken(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is done, each a second after the last.
#[derive(Clone, Debug)]
enum Act {
    Keep { widget: u8, site: u8, id: u8, stay: Option<u32> },
    End { widget: u8, id: u8 },
    Forget { age: u32 },
    EndStays,
    Deny { widget: u8, site: u8 },
}

fn act() -> impl Strategy<Value = Act> {
    let (widget, site, id) = (0..3u8, 0..3u8, 0..4u8);
    prop_oneof![
        5 => (widget.clone(), site.clone(), id.clone(), proptest::option::of(1..9u32))
            .prop_map(|(widget, site, id, stay)| Act::Keep { widget, site, id, stay }),
        1 => (widget.clone(), id).prop_map(|(widget, id)| Act::End { widget, id }),
        1 => (0..9u32).prop_map(|age| Act::Forget { age }),
        1 => Just(Act::EndStays),
        1 => (widget, site).prop_map(|(widget, site)| Act::Deny { widget, site }),
    ]
}

/// The same as a list, by what it is looked up by: when it was remembered, and until when it counts.
type Model = BTreeMap<(u8, u8, u8), (u32, Option<u32>)>;

fn oldest(model: &Model) -> Option<(u8, u8, u8)> {
    model.iter().min_by_key(|(_, (since, _))| *since).map(|(name, _)| *name)
}

proptest! {
    #[test]
    fn it_has_what_a_list_has(acts in proptest::collection::vec(act(), 0..60)) {
        let (mut memory, mut model, places) = (SessionMemory::new(MOST), Model::new(), Places::default());
        for (now, act) in (100..).zip(acts) {
            match act {
                Act::Keep { widget, site, id, stay } => {
                    let until = stay.map(|stay| now + stay);
                    let stay = until.map(|until| Stay { until: at(until), address: None, place: places.take() });
                    model.remove(&(widget, site, id));
                    let expected = (model.len() == MOST).then(|| oldest(&model)).flatten();
                    if let Some(oldest) = expected {
                        model.remove(&oldest);
                    }
                    let dropped = memory.keep(name(widget, site, id), at(now), stay);
                    prop_assert_eq!(dropped, expected.map(|(widget, site, id)| name(widget, site, id)));
                    model.insert((widget, site, id), (now, until));
                }
                Act::End { widget, id } => {
                    let before = model.len();
                    model.retain(|(of, _, named), _| (*of, *named) != (widget, id));
                    let ended = memory.end(&format!("w{widget}"), &id.to_string());
                    prop_assert_eq!(ended.len(), before - model.len());
                }
                Act::Forget { age } => {
                    let until = now - age;
                    let before = model.len();
                    model.retain(|_, (since, _)| *since > until);
                    prop_assert_eq!(memory.forget_until(at(until)).len(), before - model.len());
                }
                Act::EndStays => {
                    for (_, until) in model.values_mut() {
                        *until = until.filter(|until| *until > now);
                    }
                    memory.end_stays(at(now));
                }
                Act::Deny { widget, site } => {
                    let refused = source(widget, site);
                    let verdict = |source: &SessionSource| (*source == *refused).then_some(Reason::NotListed);
                    let denied = judge(&mut memory, &format!("w{widget}"), verdict, None);
                    let mut expected: Vec<(u32, String)> = model
                        .iter()
                        .filter(|((of, by, _), _)| (*of, *by) == (widget, site))
                        .map(|((_, _, id), (since, _))| (*since, id.to_string()))
                        .collect();
                    expected.sort();
                    let told: Vec<String> =
                        denied.iter().flat_map(|denied| &denied.ids).map(ToString::to_string).collect();
                    prop_assert_eq!(told, expected.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
                    model.retain(|(of, by, _), _| (*of, *by) != (widget, site));
                }
            }
            let kept: BTreeMap<String, (Timestamp, Option<Timestamp>)> = memory
                .list(0)
                .map(|(_, name, since, until)| (format!("{name:?}"), (since, until)))
                .collect();
            let expected: BTreeMap<String, (Timestamp, Option<Timestamp>)> = model
                .iter()
                .map(|((widget, site, id), (since, until))| {
                    (format!("{:?}", name(*widget, *site, *id)), (at(*since), until.map(at)))
                })
                .collect();
            prop_assert_eq!(kept, expected);
            prop_assert_eq!(memory.len(), model.len());
            prop_assert_eq!(places.taken(), model.values().filter(|(_, until)| until.is_some()).count());
            let widgets: std::collections::BTreeSet<u8> = model.keys().map(|(widget, _, _)| *widget).collect();
            prop_assert_eq!(memory.widgets().len(), widgets.len());
            let due = model.values().filter_map(|(_, until)| *until).min();
            prop_assert_eq!(memory.next_due(), due.map(at));
        }
    }
}

#[test]
fn what_was_read_is_older_than_what_was_named_meanwhile() {
    let mut memory = SessionMemory::new(3);
    assert_eq!(memory.keep(name(0, 0, 9), at(50), None), None);
    assert!(memory.keep_read(name(0, 0, 1), at(10), None));
    assert!(memory.keep_read(name(0, 0, 9), at(20), None), "and what was named again is not older");
    assert!(memory.keep_read(name(0, 0, 2), at(30), None));
    assert!(!memory.keep_read(name(0, 0, 3), at(40), None), "there is no room");
    let order: Vec<_> = memory.list(0).map(|(_, name, since, _)| (name.id.to_string(), since)).collect();
    assert_eq!(order, [("1".to_owned(), at(10)), ("2".to_owned(), at(30)), ("9".to_owned(), at(50))]);
    assert_eq!(memory.keep(name(0, 0, 4), at(60), None), Some(name(0, 0, 1)));
    memory.end_read("w0", "2");
    memory.end_read("w0", "9");
    let left: Vec<_> = memory.list(0).map(|(_, name, ..)| name.id.to_string()).collect();
    assert_eq!(left, ["9", "4"], "what was named since goes on");
}

#[test]
fn an_expiry_is_on_the_agenda_while_there_are_sessions() {
    let mut memory = SessionMemory::new(MOST);
    memory.expect_expiry("w0", Some(at(5)));
    assert_eq!(memory.next_due(), None, "of a widget without any");
    memory.keep(name(0, 0, 0), at(1), None);
    memory.keep(name(1, 0, 0), at(2), None);
    memory.expect_expiry("w0", Some(at(5)));
    memory.expect_expiry("w1", Some(at(7)));
    memory.expect_expiry("w1", Some(at(6)));
    assert_eq!(memory.take_expired(at(4)), Vec::<Arc<str>>::new());
    assert_eq!(memory.take_expired(at(5)), ["w0".into()]);
    assert_eq!(memory.next_due(), Some(at(6)));
    memory.end("w1", "0");
    assert_eq!(memory.next_due(), None);
}

#[test]
fn new_limits_give_places() {
    let (mut memory, places) = (SessionMemory::new(MOST), Places::default());
    let stay = || Some(Stay { until: at(9), address: None, place: None });
    memory.keep(name(0, 0, 0), at(1), stay());
    memory.keep(name(0, 1, 1), at(2), stay());
    memory.keep(name(0, 1, 2), at(3), None);
    memory.keep(name(1, 1, 2), at(3), stay());
    judge(&mut memory, "w0", |_| None, Some(&|_, _| None));
    assert_eq!(places.taken(), 0);
    for _ in 0..2 {
        judge(&mut memory, "w0", |_| None, Some(&|_, _| places.take()));
        assert_eq!(places.taken(), 2, "those of the widget that count, once");
    }
    memory.end_stays(at(9));
    assert_eq!(places.taken(), 0);
}

#[test]
fn no_more_are_denied_than_there_is_room_to_tell() {
    let mut memory = SessionMemory::new(MOST);
    for id in 0..6 {
        memory.keep(name(0, id % 3, id), at(u32::from(id)), None);
    }
    let deny =
        |source: &SessionSource| (source.facts != self::source(0, 0).facts).then_some(Reason::NotListed);
    let room = |room| JudgingBounds { at_once: 100, room };
    let (denied, left) = memory.judge("w0", JudgingPlace::default(), room(1), deny, None);
    let LeftToJudge::WithoutRoom(place) = left else { panic!("there was room for all") };
    assert_eq!((denied.len(), memory.len()), (1, 4), "the others stay");
    assert_eq!(denied[0].ids, ["1".into(), "4".into()]);
    let (denied, left) = memory.judge("w0", place, room(1), deny, None);
    assert_eq!((denied[0].ids.len(), left, memory.len()), (2, LeftToJudge::Nothing, 2));
}

#[test]
fn a_list_knows_what_was_taken_out_meanwhile() {
    let mut memory = SessionMemory::new(MOST);
    (0..4).for_each(|id| drop(memory.keep(name(0, 0, id), at(1), None)));
    memory.begin_list();
    let first: Vec<u64> = memory.list(0).map(|(number, ..)| number).take(2).collect();
    memory.end("w0", "0");
    memory.keep(name(0, 0, 9), at(2), None);
    let rest: Vec<String> = memory.list(first[1] + 1).map(|(_, name, ..)| name.id.to_string()).collect();
    assert_eq!(rest, ["2", "3", "9"]);
    assert_eq!(memory.end_list(), [first[0]]);
    assert_eq!(memory.end_list(), Vec::<u64>::new());
}
