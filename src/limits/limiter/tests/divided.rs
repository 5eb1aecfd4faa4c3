//! Limits of which this edge has a share.

use super::*;

/// Shares of the same size of every budget.
struct SameShares {
    share: Mutex<u32>,
    asked: Mutex<Vec<(Option<String>, LimitKind, u32)>>,
    has_more: bool,
}

impl Shares for SameShares {
    fn share(&self, _: &Budget<'_>, limit: u32, _: u32, _: u32) -> u32 {
        limit.min(*self.share.lock())
    }

    fn more(&self, budget: &Budget<'_>, _: u32, used: u32, _: u32) -> Option<ShareWait> {
        self.asked.lock().push((budget.embedder.map(str::to_owned), budget.kind, used));
        self.has_more.then(|| ShareWait(Box::pin(std::future::ready(()))))
    }
}

fn divided(share: u32, has_more: bool) -> (Arc<Limiter>, Arc<SameShares>) {
    let (limiter, _) = limiter();
    let shares = Arc::new(SameShares { share: Mutex::new(share), asked: Mutex::default(), has_more });
    limiter.divide(shares.clone());
    (limiter, shares)
}

#[tokio::test(start_paused = true)]
async fn a_spent_share_is_waited_for_and_charged_nothing() {
    let (limiter, shares) = divided(2, true);
    let limits = limits(r#"{"embedder": {"opens_per_minute": 10}, "address": {"sessions": 10}}"#);
    let opening = Opening { may_wait: true, ..websocket(&limits) };
    let _open = [
        admitted(limiter.open(&opening, OpenedAt::now())),
        admitted(limiter.open(&opening, OpenedAt::now())),
    ];
    let Opened::Waits(ShareWait(wait)) = limiter.open(&opening, OpenedAt::now()) else { panic!() };
    assert_eq!(all_used(&limiter), [[2, 2, 2]; 3]);
    assert_eq!(*shares.asked.lock(), [(Some(SITE.to_owned()), OpensPerMinute, 2)]);
    wait.await;
    *shares.share.lock() = 3;
    let _third = admitted(limiter.open(&opening, OpenedAt::now()));
    advance(Duration::from_secs(10)).await;
    let refusal = refusal(limiter.open(&Opening { may_wait: false, ..opening }, OpenedAt::now()));
    assert_eq!((refusal.part, refusal.kind, refusal.limit.get()), (Embedder, OpensPerMinute, 10));
    assert_eq!(refusal.retry_after, Duration::from_millis(50_001));
    assert_eq!(all_used(&limiter), [[3, 3, 3]; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_had_is_refused_and_the_whole_limit_without_asking() {
    let (limiter, shares) = divided(2, false);
    let limits = limits(r#"{"widget": {"sessions": 5}}"#);
    let opening = Opening { may_wait: true, ..websocket(&limits) };
    let _open = [
        admitted(limiter.open(&opening, OpenedAt::now())),
        admitted(limiter.open(&opening, OpenedAt::now())),
    ];
    let refusal_ = refusal(limiter.open(&opening, OpenedAt::now()));
    assert_eq!((refusal_.part, refusal_.kind, refusal_.limit.get()), (Widget, Sessions, 5));
    assert_eq!(*shares.asked.lock(), [(None, Sessions, 2)]);
    // All of the limit is used here, so no edge has more.
    *shares.share.lock() = 5;
    let _more = [(); 3].map(|()| admitted(limiter.open(&opening, OpenedAt::now())));
    refusal(limiter.open(&opening, OpenedAt::now()));
    assert_eq!(shares.asked.lock().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_share_without_room_is_told_once_until_sessions_are_fewer() {
    let (limiter, told) = limiter();
    let share = SameShares { share: Mutex::new(2), asked: Mutex::default(), has_more: false };
    limiter.divide(Arc::new(share));
    let limits = limits(r#"{"widget": {"sessions": 5}}"#);
    let mut open = vec![
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
    ];
    for _ in 0..3 {
        refusal(limiter.open(&websocket(&limits), OpenedAt::now()));
        advance(Duration::from_secs(61)).await;
    }
    assert_eq!(told.taken().len(), 1, "no session has ended");
    drop(open.pop());
    open.push(admitted(limiter.open(&websocket(&limits), OpenedAt::now())));
    refusal(limiter.open(&websocket(&limits), OpenedAt::now()));
    assert_eq!(told.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn shares_of_a_monitored_widget_are_told_and_not_enforced() {
    let (limiter, _) = divided(1, false);
    let limits = limits(r#"{"mode": "monitor", "widget": {"sessions": 5}}"#);
    let Opened::Admitted { charge: _first, beyond: None } =
        limiter.open(&websocket(&limits), OpenedAt::now())
    else {
        panic!()
    };
    let Opened::Admitted { charge: _second, beyond } = limiter.open(&websocket(&limits), OpenedAt::now())
    else {
        panic!()
    };
    assert_eq!(beyond.map(|beyond| (beyond.part, beyond.limit.get())), Some((Widget, 5)));
    assert_eq!(used(&limiter, None), [2, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_monitored_widget_waits_for_no_share_and_passes_no_limit_of_which_there_is_more() {
    let (limiter, shares) = divided(1, true);
    let limits = limits(r#"{"mode": "monitor", "widget": {"sessions": 5}}"#);
    let opening = Opening { may_wait: true, ..websocket(&limits) };
    let _open = [
        admitted(limiter.open(&opening, OpenedAt::now())),
        admitted(limiter.open(&opening, OpenedAt::now())),
    ];
    assert_eq!(shares.asked.lock().len(), 1, "more is asked for");
}

#[tokio::test(start_paused = true)]
async fn addresses_are_not_divided() {
    let (limiter, shares) = divided(0, false);
    let limits = limits(r#"{"address": {"sessions": 2}}"#);
    let _open = [
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
        admitted(limiter.open(&websocket(&limits), OpenedAt::now())),
    ];
    assert_eq!(refusal(limiter.open(&websocket(&limits), OpenedAt::now())).part, Address);
    assert!(shares.asked.lock().is_empty());
}
