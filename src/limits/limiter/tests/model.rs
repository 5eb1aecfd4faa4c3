//! The limiter beside a model that keeps each open by itself.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Passes(u64),
    /// What is opened by which site, from which address; whether it comes to nothing.
    Opens {
        site: usize,
        address: u32,
        is_open: bool,
        is_session: bool,
        is_dropped: bool,
    },
    /// The session at this place ends.
    Ends(usize),
}

/// What the model has counted of one widget, site or address.
#[derive(Default)]
struct Listed {
    opens: Vec<u64>,
    sessions: u32,
}

const SITES: [&str; 3] = ["https://a.example", "https://b.example", "https://c.example"];

type ListKey = (LimitPart, u32);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let opens = (0..SITES.len(), 0..4_u32, any::<bool>(), any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(site, address, is_open, is_session, is_dropped)| Step::Opens {
            site,
            address,
            is_open,
            is_session,
            is_dropped,
        },
    );
    let step = prop_oneof![
        6 => opens,
        2 => prop_oneof![0..50_u64, Just(20_000), Just(60_000), Just(60_001)].prop_map(Step::Passes),
        1 => (0..10_usize).prop_map(Step::Ends),
    ];
    prop::collection::vec(step, 1..120)
}

fn part() -> impl Strategy<Value = PartLimits> {
    let limit = || prop::option::of((1..6_u32).prop_map(|limit| NonZeroU32::new(limit).unwrap()));
    (limit(), limit(), limit()).prop_map(|(sessions, opens_per_minute, opens_per_day)| PartLimits {
        sessions,
        opens_per_minute,
        opens_per_day,
    })
}

/// The first part and kind that the model has no room for.
fn refused(
    lists: &HashMap<ListKey, Listed>,
    limits: &Limits,
    keys: &[ListKey; 3],
    is_open: bool,
    now: u64,
) -> Option<(LimitPart, LimitKind)> {
    let empty = Listed::default();
    keys.iter().find_map(|key| {
        let (part, listed) = (key.0, lists.get(key).unwrap_or(&empty));
        let limits = limits.of(part);
        let minute = listed.opens.iter().filter(|at| now - **at <= 60_000).count() as u32;
        let spent = |kind, used| limits.of(kind).is_some_and(|limit| used >= limit.get());
        let kinds =
            [(OpensPerDay, listed.opens.len() as u32), (OpensPerMinute, minute), (Sessions, listed.sessions)];
        let asked = kinds.into_iter().filter(|(kind, _)| is_open || *kind == Sessions);
        asked.into_iter().find(|(kind, used)| spent(*kind, *used)).map(|(kind, _)| (part, kind))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn it_decides_as_a_list_of_all_opens_does(
        steps in steps(), widget in part(), embedder in part(), address in part(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (limiter, _) = limiter();
            let limits = Limits { widget, embedder, address, ..Limits::default() };
            let mut lists: HashMap<ListKey, Listed> = HashMap::new();
            let mut open: Vec<([ListKey; 3], Charge)> = Vec::new();
            let mut now = 0;
            for step in steps {
                match step {
                    Step::Passes(ms) => {
                        now += ms;
                        advance(Duration::from_millis(ms)).await;
                    }
                    Step::Ends(place) => {
                        if !open.is_empty() {
                            let (keys, _ended) = open.swap_remove(place % open.len());
                            for key in keys {
                                lists.get_mut(&key).unwrap().sessions -= 1;
                            }
                        }
                    }
                    Step::Opens { is_open: false, is_session: false, .. } => {}
                    Step::Opens { site, address, is_open, is_session, is_dropped } => {
                        let keys = [(Address, address), (Embedder, site as u32), (Widget, 0)];
                        let opening = Opening {
                            embedder: SITES[site],
                            is_listed: &|| site == 0,
                            address: Some(super::address(address)),
                            is_open,
                            is_session,
                            ..websocket(&limits)
                        };
                        let expected = refused(&lists, &limits, &keys, is_open, now);
                        match limiter.open(&opening, OpenedAt::now()) {
                            Opened::Refused(refusal) => {
                                prop_assert_eq!(Some((refusal.part, refusal.kind)), expected);
                            }
                            Opened::Admitted { mut charge, beyond: None } => {
                                prop_assert_eq!(None, expected);
                                if is_dropped {
                                    continue;
                                }
                                charge.keep();
                                for key in &keys {
                                    let listed = lists.entry(*key).or_default();
                                    listed.opens.extend(is_open.then_some(now));
                                    listed.sessions += u32::from(is_session);
                                }
                                if is_session {
                                    open.push((keys, charge));
                                }
                            }
                            other => prop_assert!(false, "{other:?}"),
                        }
                    }
                }
                limiter.sweep();
            }
            Ok(())
        })?;
    }
}
