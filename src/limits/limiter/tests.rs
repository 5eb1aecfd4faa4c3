#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use embedgate_policy::limits::{LimitKind, PartLimits};
use tokio::time::advance;

use super::*;
use crate::limits::usage::LimitReader;
use crate::notifications::notice::Notice;
use crate::telemetry::metrics::Metrics;
use LimitKind::{OpensPerDay, OpensPerMinute, Sessions};
use LimitPart::{Address, Embedder, Widget};

mod divided;
mod model;
mod threads;

const SITE: &str = "https://site.example";

/// Keeps notices.
#[derive(Default)]
struct Told(Mutex<Vec<Notice>>);

impl Notify for Told {
    fn tell(&self, notice: Notice) {
        self.0.lock().push(notice);
    }

    fn is_wanted(&self) -> bool {
        true
    }
}

impl Told {
    /// The limits that were reached, and by whom, since the last time.
    fn taken(&self) -> Vec<(LimitPart, LimitKind, LimitMode, String)> {
        let told = std::mem::take(&mut *self.0.lock()).into_iter();
        told.map(|notice| match notice {
            Notice::LimitReached { part, kind, mode, embedder, .. } => (part, kind, mode, embedder.unwrap()),
            other => panic!("{other:?}"),
        })
        .collect()
    }
}

fn limiter() -> (Arc<Limiter>, Arc<Told>) {
    let told = Arc::<Told>::default();
    (Limiter::new(told.clone(), Metrics::new().unwrap().limits), told)
}

fn limits(text: &str) -> Limits {
    serde_json::from_str(text).unwrap()
}

/// A WebSocket.
fn websocket(limits: &Limits) -> Opening<'_> {
    Opening {
        widget: "w",
        limits,
        embedder: SITE,
        is_listed: &|| true,
        address: Some(address(1)),
        is_open: true,
        is_session: true,
        may_wait: false,
    }
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(number))
}

fn admitted(opened: Opened) -> Charge {
    match opened {
        Opened::Admitted { mut charge, beyond: None } => {
            charge.keep();
            charge
        }
        other => panic!("{other:?}"),
    }
}

fn refusal(opened: Opened) -> LimitRefusal {
    match opened {
        Opened::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

fn used(limiter: &Limiter, embedder: Option<&str>) -> [u32; 3] {
    LimitKind::ALL.map(|kind| limiter.used(&Budget { widget: "w", embedder, kind, is_newcomer: false }))
}

/// Every limit of every part, so that all use is told.
fn all() -> Limits {
    let most = r#"{"sessions": 1000000, "opens_per_minute": 1000000, "opens_per_day": 1000000}"#;
    limits(&format!(r#"{{"widget": {most}, "embedder": {most}, "address": {most}}}"#))
}

/// How much of each part is used, in the order of parts.
fn all_used(limiter: &Limiter) -> [[u32; 3]; 3] {
    let usage = limiter.usage("w", &all(), None);
    let of = |part| {
        LimitKind::ALL
            .map(|kind| usage.iter().find(|usage| (usage.part, usage.kind) == (part, kind)).unwrap().used)
    };
    LimitPart::ALL.map(of)
}

#[tokio::test(start_paused = true)]
async fn what_a_later_part_refuses_is_charged_to_none() {
    let (limiter, _) = limiter();
    let limits = limits(
        r#"{"widget": {"opens_per_minute": 2}, "embedder": {"opens_per_minute": 3}, "address": {"sessions": 9}}"#,
    );
    let kept = [
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
    ];
    for _ in 0..5 {
        let refusal = refusal(limiter.open(&websocket(&limits), OpenedAt::now()));
        assert_eq!((refusal.part, refusal.kind, refusal.limit.get()), (Widget, OpensPerMinute, 2));
        assert_eq!(refusal.retry_after, Duration::from_millis(60_001));
    }
    assert_eq!(all_used(&limiter), [[2, 2, 2]; 3]);
    drop(kept);
    // The sessions are over, the opens stay.
    assert_eq!(all_used(&limiter), [[0, 2, 2]; 3]);
    advance(Duration::from_millis(60_000)).await;
    assert_eq!(
        refusal(limiter.open(&websocket(&limits), OpenedAt::now())).retry_after,
        Duration::from_millis(1)
    );
    advance(Duration::from_millis(1)).await;
    admitted(limiter.open(&websocket(&limits), OpenedAt::now()));
    assert_eq!(all_used(&limiter), [[0, 1, 3]; 3]);
}

#[tokio::test(start_paused = true)]
async fn parts_are_asked_in_their_order() {
    let (limiter, _) = limiter();
    let one = r#"{"opens_per_day": 1}"#;
    let every = limits(&format!(r#"{{"widget": {one}, "embedder": {one}, "address": {one}}}"#));
    admitted(limiter.open(&websocket(&every), OpenedAt::now()));
    assert_eq!(refusal(limiter.open(&websocket(&every), OpenedAt::now())).part, Address);
    let elsewhere = Opening { address: Some(address(2)), ..websocket(&every) };
    assert_eq!(refusal(limiter.open(&elsewhere, OpenedAt::now())).part, Embedder);
    let other_site = Opening { embedder: "https://other.example", ..elsewhere };
    assert_eq!(refusal(limiter.open(&other_site, OpenedAt::now())).part, Widget);
    let unknown = Opening { address: None, ..other_site };
    assert_eq!(refusal(limiter.open(&unknown, OpenedAt::now())).part, Widget);
    admitted(limiter.open(&Opening { widget: "v", ..unknown }, OpenedAt::now()));
    assert_eq!(used(&limiter, None), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_charge_that_comes_to_nothing_gives_all_back() {
    let (limiter, _) = limiter();
    let limits = limits(r#"{"widget": {"opens_per_minute": 1, "sessions": 1}}"#);
    for _ in 0..3 {
        let Opened::Admitted { charge, .. } = limiter.open(&websocket(&limits), OpenedAt::now()) else {
            panic!()
        };
        assert_eq!(used(&limiter, None), [1, 1, 1]);
        drop(charge);
        assert_eq!(all_used(&limiter), [[0; 3]; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_opens_nothing_is_charged_nothing() {
    let (limiter, _) = limiter();
    let limits = all();
    admitted(
        limiter.open(&Opening { is_open: false, is_session: false, ..websocket(&limits) }, OpenedAt::now()),
    );
    let token = Opening { is_session: false, ..websocket(&limits) };
    drop(admitted(limiter.open(&token, OpenedAt::now())));
    assert_eq!(all_used(&limiter), [[0, 1, 1]; 3]);
    let stream = admitted(limiter.open(&Opening { is_open: false, ..websocket(&limits) }, OpenedAt::now()));
    assert_eq!(all_used(&limiter), [[1, 1, 1]; 3]);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_there_is_charged_whatever_the_limits_say() {
    let (limiter, _) = limiter();
    let limits = limits(r#"{"embedder": {"sessions": 1}}"#);
    let occupied = [limiter.occupy(&websocket(&limits)), limiter.occupy(&websocket(&limits))];
    assert_eq!(all_used(&limiter), [[2, 0, 0]; 3]);
    assert_eq!(refusal(limiter.open(&websocket(&limits), OpenedAt::now())).kind, Sessions);
    drop(occupied);
    assert_eq!(all_used(&limiter), [[0, 0, 0]; 3]);
    admitted(limiter.open(&websocket(&limits), OpenedAt::now()));
}

#[tokio::test(start_paused = true)]
async fn a_monitored_widget_lets_everything_through_and_says_what_passes() {
    let (limiter, told) = limiter();
    let limits = limits(r#"{"mode": "monitor", "address": {"sessions": 2}, "widget": {"opens_per_day": 3}}"#);
    let mut charges = Vec::new();
    let mut passed = Vec::new();
    for number in [1, 1, 1, 2, 3] {
        let opening = Opening { address: Some(address(number)), ..websocket(&limits) };
        let Opened::Admitted { mut charge, beyond } = limiter.open(&opening, OpenedAt::now()) else {
            panic!()
        };
        charge.keep();
        charges.push(charge);
        passed.push(beyond.map(|beyond| (beyond.part, beyond.kind, beyond.mode, beyond.limit.get())));
    }
    let monitor = LimitMode::Monitor;
    let expected =
        [None, None, Some((Address, Sessions, monitor, 2)), None, Some((Widget, OpensPerDay, monitor, 3))];
    assert_eq!(passed, expected);
    // The third is no open of the widget: its address would have been refused. Its session is there.
    assert_eq!((used(&limiter, Some(SITE)), used(&limiter, None)), ([5, 4, 4], [5, 4, 4]));
    let site = SITE.to_owned();
    assert_eq!(
        told.taken(),
        [(Address, Sessions, monitor, site.clone()), (Widget, OpensPerDay, monitor, site)]
    );
    // What comes to nothing gives back what it has taken, and no open of others.
    let opening = Opening { is_session: false, ..websocket(&limits) };
    let Opened::Admitted { charge, beyond: Some(_) } = limiter.open(&opening, OpenedAt::now()) else {
        panic!()
    };
    assert_eq!(all_used(&limiter)[0][1..], [4, 4]);
    drop(charge);
    assert_eq!((all_used(&limiter)[0][1..].to_vec(), used(&limiter, None)), (vec![3, 3], [5, 4, 4]));
    drop(charges);
    assert_eq!(used(&limiter, None), [0, 4, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_is_reached_is_told_once() {
    let (limiter, told) = limiter();
    let limits = limits(r#"{"address": {"opens_per_minute": 1}, "embedder": {"opens_per_minute": 3}}"#);
    let from = |number| Opening { address: Some(address(number)), ..websocket(&limits) };
    for number in 1..=3 {
        admitted(limiter.open(&from(number), OpenedAt::now()));
        refusal(limiter.open(&from(number), OpenedAt::now()));
    }
    // Many addresses are one notice, which names none.
    let (mode, site) = (LimitMode::Enforce, SITE.to_owned());
    assert_eq!(told.taken(), [(Address, OpensPerMinute, mode, site.clone())]);
    for number in 4..9 {
        refusal(limiter.open(&from(number), OpenedAt::now()));
    }
    assert_eq!(told.taken(), [(Embedder, OpensPerMinute, mode, site.clone())]);
    let other = Opening { embedder: "https://other.example", ..from(4) };
    admitted(limiter.open(&other, OpenedAt::now()));
    assert_eq!(told.taken(), []);
    advance(Duration::from_secs(61)).await;
    for number in 1..=5 {
        drop(limiter.open(&from(number), OpenedAt::now()));
        if let Opened::Admitted { mut charge, .. } = limiter.open(&from(number), OpenedAt::now()) {
            charge.keep();
        }
    }
    assert!(told.taken().contains(&(Embedder, OpensPerMinute, mode, site)));
}

#[tokio::test(start_paused = true)]
async fn embedders_that_anybody_can_make_up_are_told_of_together() {
    let (limiter, told) = limiter();
    let limits = limits(r#"{"embedder": {"opens_per_minute": 1}}"#);
    let names: Vec<String> = (0..50).map(|number| format!("https://n{number}.example")).collect();
    for name in &names {
        let opening = Opening { embedder: name, is_listed: &|| false, ..websocket(&limits) };
        admitted(limiter.open(&opening, OpenedAt::now()));
        refusal(limiter.open(&opening, OpenedAt::now()));
    }
    let mode = LimitMode::Enforce;
    assert_eq!(told.taken(), [(Embedder, OpensPerMinute, mode, names[0].clone())]);
    // One that an entry names is told of by itself.
    admitted(limiter.open(&websocket(&limits), OpenedAt::now()));
    refusal(limiter.open(&websocket(&limits), OpenedAt::now()));
    assert_eq!(told.taken(), [(Embedder, OpensPerMinute, mode, SITE.to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_counted() {
    let metrics = Metrics::new().unwrap();
    let limiter = Limiter::new(Arc::<Told>::default(), metrics.limits.clone());
    let limits = limits(r#"{"embedder": {"sessions": 1}}"#);
    let _open = admitted(limiter.open(&websocket(&limits), OpenedAt::now()));
    for _ in 0..3 {
        refusal(limiter.open(&websocket(&limits), OpenedAt::now()));
    }
    let monitored = Limits { mode: LimitMode::Monitor, ..limits };
    drop(limiter.open(&websocket(&monitored), OpenedAt::now()));
    limiter.sweep();
    let text = metrics.render().unwrap();
    for (mode, count) in [("enforce", 3), ("monitor", 1)] {
        let line = format!(
            "embedgate_limit_refusals_total{{kind=\"sessions\",mode=\"{mode}\",part=\"embedder\"}} {count}\n"
        );
        assert!(text.contains(&line), "{text}");
    }
    let bytes = text.lines().find_map(|line| line.strip_prefix("embedgate_limits_bytes ")).unwrap();
    assert!((200..2_000).contains(&bytes.parse::<u32>().unwrap()), "{bytes}");
}

#[tokio::test(start_paused = true)]
async fn usage_names_the_one_that_was_asked_about_or_whoever_has_used_most() {
    let (limiter, _) = limiter();
    let limits = limits(
        r#"{"embedder": {"sessions": 5, "opens_per_day": 9}, "widget": {"sessions": 7}, "address": {"opens_per_minute": 4}}"#,
    );
    let other =
        Opening { embedder: "https://other.example", address: Some(address(2)), ..websocket(&limits) };
    let _open = [
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
        admitted(limiter.open(&other, OpenedAt::now())),
        admitted(limiter.open(&other, OpenedAt::now())),
    ];
    let told = |embedder| {
        let usage = limiter.usage("w", &limits, embedder);
        usage
            .into_iter()
            .map(|usage| (usage.part, usage.kind, usage.limit, usage.used, usage.whose))
            .collect::<Vec<_>>()
    };
    let expected = |used, whose: &str| {
        vec![
            (Address, OpensPerMinute, 4, 2, None),
            (Embedder, Sessions, 5, used, Some(whose.to_owned())),
            (Embedder, OpensPerDay, 9, used, Some(whose.to_owned())),
            (Widget, Sessions, 7, 3, None),
        ]
    };
    assert_eq!(told(None), expected(2, "https://other.example"));
    assert_eq!(told(Some(SITE)), expected(1, SITE));
    assert_eq!(told(Some("https://third.example")), expected(0, "https://third.example"));
    // Those that name no page share a counter, which is nobody else's as long as there is room.
    let nameless = Opening { embedder: SHARED, is_listed: &|| false, ..websocket(&limits) };
    let _shared = [(); 3].map(|()| admitted(limiter.open(&nameless, OpenedAt::now())));
    let of_new = limiter.usage("w", &limits, Some("https://third.example"));
    let of_new: Vec<u32> =
        of_new.iter().filter(|usage| usage.part == Embedder).map(|usage| usage.used).collect();
    assert_eq!(of_new, [0, 0]);
    let usage = limiter.usage("unknown", &limits, None);
    assert!(usage.len() == 4 && usage.iter().all(|usage| usage.used == 0 && usage.whose.is_none()));
}
