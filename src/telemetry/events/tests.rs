#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use futures_util::FutureExt;
use jiff::Timestamp;

use super::kept::KEPT_BYTES;
use super::*;

fn swap(feed: &EventFeed, generation: u64, widget: &str) {
    let named = Box::new([widget.into()]);
    let changed = vec![SwappedWidget { id: widget, before: None, after: Some(1), actor: None }];
    let time = Timestamp::UNIX_EPOCH;
    let (source, widgets, changed_omitted, took_us) = ("store", 1, 0, 1);
    let event = Event::Swap { time, generation, source, widgets, changed, changed_omitted, took_us };
    feed.tell(Subject::Widgets { named, and_others: false }, &event);
}

fn refuse(feed: &EventFeed) {
    let event =
        Event::Refused { time: Timestamp::UNIX_EPOCH, source: "store", code: "x", detail: String::new() };
    feed.tell(Subject::Rules, &event);
}

/// What a reader hears without waiting: numbers of events, and lags.
fn heard(reader: &mut EventReader) -> Vec<Result<u64, Lag>> {
    let next = || match reader.next().now_or_never()? {
        NextEvent::Event(event) => Some(Ok(event.number)),
        NextEvent::Lagged(lag) => Some(Err(lag)),
    };
    std::iter::from_fn(next).collect()
}

fn of(widget: &str, kinds: &[EventKind]) -> WantedEvents {
    let widget = (!widget.is_empty()).then(|| widget.into());
    WantedEvents { widget, kinds: kinds.to_vec(), ..WantedEvents::default() }
}

fn request(widget: &str, embedder: &str, verdict: Verdict) -> Embedding {
    let embedder = Some(embedder.into());
    Embedding { widget: widget.into(), embedder, opened_by: None, verdict: Some(verdict) }
}

fn swaps() -> WantedEvents {
    of("", &[EventKind::Swap])
}

#[test]
fn a_reader_that_comes_back_goes_on_where_it_was() {
    let feed = Arc::new(EventFeed::new());
    swap(&feed, 1, "a");
    let mut reader = feed.reader(swaps());
    assert_eq!(heard(&mut reader), []);
    for generation in 2..6 {
        swap(&feed, generation, "a");
    }
    let mut ids = vec![reader.position().to_string()];
    while let Some(NextEvent::Event(_)) = reader.next().now_or_never() {
        ids.push(reader.position().to_string());
    }
    for (before, id) in ids.iter().enumerate() {
        let mut back = feed.reader_after(id, swaps());
        let expected: Vec<_> = (2 + before as u64..6).map(Ok).collect();
        assert_eq!(heard(&mut back), expected, "{id}");
    }
}

#[test]
fn what_is_gone_is_told() {
    let feed = Arc::new(EventFeed::new());
    let mut slow = feed.reader(swaps());
    let id = slow.position().to_string();
    for generation in 1..=KEPT as u64 + 3 {
        swap(&feed, generation, "a");
    }
    let lag = Lag { reason: LagReason::NotKept, missed: Some(3) };
    let mut back = feed.reader_after(&id, of("b", &[EventKind::Swap]));
    assert_eq!(heard(&mut back), [Err(lag)], "also where nothing of it was wanted: nobody knows");
    let told = heard(&mut slow);
    assert_eq!((told[0], told[1], told.len()), (Err(lag), Ok(4), KEPT + 1));
    assert_eq!(feed.kept.lock().others.events.len(), KEPT);
}

#[test]
fn decisions_take_no_place_of_the_others() {
    let feed = Arc::new(EventFeed::new());
    let start = feed.reader(swaps()).position().to_string();
    swap(&feed, 1, "a");
    feed.begin_decisions();
    let mut all = feed.reader_after(&start, WantedEvents::default());
    assert_eq!(heard(&mut all), [Err(Lag { reason: LagReason::NotTold, missed: None }), Ok(1)]);
    let here = all.position().to_string();
    let decide = |times: usize| {
        (0..times).for_each(|_| {
            feed.tell_decision(request("w", "https://a.example", Verdict::Allow), "{\"time\":\"now\"}")
        })
    };
    decide(5);
    swap(&feed, 2, "a");
    decide(KEPT);
    refuse(&feed);
    // 1 is the first swap, 2 the begin of decisions, 8 the second swap.
    let last = 9 + KEPT as u64;
    let rest = [EventKind::Swap, EventKind::Refused];
    assert_eq!(heard(&mut feed.reader_after(&start, of("", &rest))), [Ok(1), Ok(8), Ok(last)]);
    let lag = Lag { reason: LagReason::NotKept, missed: Some(5) };
    let mut back = feed.reader_after(&here, WantedEvents::default());
    let told = heard(&mut back);
    assert_eq!((told[0], told[1], told[2], told.len()), (Err(lag), Ok(8), Ok(9), KEPT + 3));
    assert_eq!(told.last(), Some(&Ok(last)));
    let told = heard(&mut feed.reader_after(&here, of("", &[EventKind::Decision])));
    assert_eq!((told[0], told[1], told.len()), (Err(lag), Ok(9), KEPT + 1));
    // Another process knows nothing of it, and hears what there is.
    let told = heard(&mut feed.reader_after("other", WantedEvents::default()));
    let lag = Lag { reason: LagReason::Restarted, missed: None };
    assert_eq!((told[0], told[1], told[2], told.len()), (Err(lag), Ok(1), Ok(8), KEPT + 4));
}

#[test]
fn a_gap_is_told_once_and_the_next_one_too() {
    let feed = Arc::new(EventFeed::new());
    feed.begin_decisions();
    let mut slow = feed.reader(WantedEvents::default());
    let decide = |times: usize| {
        (0..times).for_each(|_| {
            feed.tell_decision(request("w", "https://a.example", Verdict::Allow), "{\"time\":\"now\"}")
        })
    };
    swap(&feed, 1, "a");
    decide(KEPT + 7);
    let mut next = || {
        slow.next().now_or_never().map(|next| match next {
            NextEvent::Event(event) => Ok(event.number),
            NextEvent::Lagged(lag) => Err(lag.missed),
        })
    };
    assert_eq!(next(), Some(Err(Some(7))));
    decide(3);
    assert_eq!(next(), Some(Err(Some(3))));
    assert_eq!((next(), next()), (Some(Ok(2)), Some(Ok(13))));
}

#[test]
fn many_bytes_are_not_kept() {
    let feed = EventFeed::new();
    let id = "w".repeat(64 << 10);
    for generation in 0..1_000 {
        swap(&feed, generation, &id);
    }
    let kept = &feed.kept.lock().others;
    let bytes: usize = kept.events.iter().map(|event| event.data.len()).sum();
    assert!(bytes == kept.bytes && bytes <= KEPT_BYTES && bytes > KEPT_BYTES - (128 << 10), "{bytes}");
}

#[test]
fn an_id_of_another_process_is_told_and_what_there_is_follows() {
    let (feed, other) = (Arc::new(EventFeed::new()), Arc::new(EventFeed { process: 7, ..EventFeed::new() }));
    swap(&feed, 1, "a");
    swap(&other, 1, "a");
    let lag = Lag { reason: LagReason::Restarted, missed: None };
    let foreign = other.reader(swaps()).position().to_string();
    let own = feed.reader(swaps()).position().to_string();
    let future = own.replace("-1", "-2");
    for id in [&*foreign, &*future, "nonsense", "", "1", "00000007-+1", "7-1"] {
        assert_eq!(heard(&mut feed.reader_after(id, swaps())), [Err(lag), Ok(1)], "{id}");
    }
    assert_eq!(heard(&mut feed.reader_after(&own, swaps())), []);
}

#[test]
fn a_reader_hears_what_it_wants_and_its_position_moves_on() {
    let feed = Arc::new(EventFeed::new());
    let mut reader = feed.reader(of("a", &[]));
    let mut refusals = feed.reader(of("", &[EventKind::Refused]));
    swap(&feed, 1, "a");
    swap(&feed, 2, "b");
    refuse(&feed);
    let many = Subject::Widgets { named: Box::new([]), and_others: true };
    let time = Timestamp::UNIX_EPOCH;
    let event = Event::SessionEnded {
        time,
        widget: "x",
        embedder: None,
        opened_by: None,
        since: time,
        cause: SessionEndCause::Change,
        reason: embedgate_policy::verdict::Reason::NotListed,
        generation: 1,
        revision: None,
        actor: None,
    };
    feed.tell(many, &event);
    assert_eq!(heard(&mut reader), [Ok(1), Ok(4)], "those that may be about it, too");
    assert_eq!(heard(&mut refusals), [Ok(3)]);
    assert_eq!(refusals.position(), reader.position());
}

#[test]
fn decisions_are_told_only_while_somebody_wants_them() {
    let feed = Arc::new(EventFeed::new());
    let decide =
        || feed.tell_decision(request("w", "https://a.example", Verdict::Allow), "{\"time\":\"now\"}");
    decide();
    assert!(feed.kept.lock().decisions.events.is_empty());
    feed.begin_decisions();
    swap(&feed, 1, "w");
    let mut reader = feed.reader(of("w", &[EventKind::Decision]));
    let id = reader.position().to_string();
    decide();
    assert_eq!(heard(&mut reader), [Ok(3)]);
    assert_eq!(feed.kept.lock().decisions.events[0].data(), "{\"kind\":\"decision\",\"time\":\"now\"}");
    feed.end_decisions();
    swap(&feed, 2, "w");
    let mut swaps = feed.reader_after(&id, of("", &[EventKind::Swap]));
    assert_eq!(heard(&mut swaps), [Ok(4)], "the others stay whole");
    let (lag, last) = (Lag { reason: LagReason::NotTold, missed: None }, swaps.position().to_string());
    assert_eq!(heard(&mut feed.reader_after(&id, WantedEvents::default())), [Err(lag), Ok(4)]);
    feed.begin_decisions();
    for (id, expected) in [(&id, &[Err(lag), Ok(4)][..]), (&last, &[Err(lag)])] {
        assert_eq!(heard(&mut feed.reader_after(id, WantedEvents::default())), expected, "{id}");
    }
    let now = feed.reader(WantedEvents::default()).position().to_string();
    assert_eq!(heard(&mut feed.reader_after(&now, WantedEvents::default())), []);
}

#[test]
fn decisions_are_chosen_by_embedder_and_verdict() {
    let feed = Arc::new(EventFeed::new());
    feed.begin_decisions();
    let (a, b) = ("https://a.example", "https://b.example");
    let of_embedder = WantedEvents { embedder: Some(a.into()), ..WantedEvents::default() };
    let denials = WantedEvents { verdict: Some(Verdict::Deny), ..WantedEvents::default() };
    let both = WantedEvents { verdict: Some(Verdict::Deny), ..of_embedder.clone() };
    let mut readers = [of_embedder, denials, both].map(|wanted| feed.reader(wanted));
    feed.tell_decision(request("w", a, Verdict::Allow), "{}");
    feed.tell_decision(request("w", b, Verdict::Deny), "{}");
    feed.tell_decision(Embedding { opened_by: Some(a.into()), ..request("v", b, Verdict::Deny) }, "{}");
    swap(&feed, 1, "w");
    let heard = readers.each_mut().map(heard);
    assert_eq!(heard[0], [Ok(2), Ok(4)], "a swap is of no embedder");
    assert_eq!(heard[1], [Ok(3), Ok(4), Ok(5)], "what has no verdict is no decision");
    assert_eq!(heard[2], [Ok(4)]);
}

#[tokio::test]
async fn whoever_waits_is_woken() {
    let feed = Arc::new(EventFeed::new());
    let mut reader = feed.reader(WantedEvents::default());
    let waiting = tokio::spawn(async move { matches!(reader.next().await, NextEvent::Event(_)) });
    tokio::task::yield_now().await;
    swap(&feed, 1, "a");
    assert!(tokio::time::timeout(std::time::Duration::from_secs(5), waiting).await.unwrap().unwrap());
}
