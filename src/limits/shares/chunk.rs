//! How much of a limit is taken at once.

/// How much to take. `need`: the least; `held`: what the edge has; `free`: what nobody has, which is more than nothing.
///
/// Who holds much takes more, so that few writes do. Nobody takes much of what is left for all, and what an edge that is
/// killed holds and has not used is lost for as long as the limit counts: so never much more than was used.
pub(super) fn chunk(limit: u32, held: u32, free: u32, need: u32, edges: u32) -> u32 {
    let step = (limit / 64).max(held / 4).max(1);
    let fair = free.div_ceil(edges.max(1).saturating_mul(2)).max(1);
    step.min(fair).max(need).min(free)
}

/// Whether so little is left that more is fetched before it is used up.
pub(super) fn runs_low(limit: u32, held: u32, used: u32) -> bool {
    let ahead = (limit / 64).max(held / 4).max(1) / 2;
    held.saturating_sub(used) <= ahead
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_taken_is_free_and_enough_if_it_can_be(
            limit in 1..=u32::MAX, held in 0..=u32::MAX, free in 1..=u32::MAX, need in 0..=u32::MAX, edges in 0..=u32::MAX,
        ) {
            let taken = chunk(limit, held, free, need, edges);
            prop_assert!((1..=free).contains(&taken));
            prop_assert!(taken >= need.min(free));
        }

        #[test]
        fn one_edge_alone_takes_everything_in_few_steps(limit in 1_u32..1_000_000, edges in 1_u32..10) {
            let (mut held, mut steps) = (0, 0);
            while held < limit {
                held += chunk(limit, held, limit - held, 1, edges);
                steps += 1;
            }
            // Growth by a quarter, and then what is left shrinks by a share of it each time.
            prop_assert!(steps <= 64 + 20 + 14 * 2 * edges, "{steps} steps");
        }
    }
}
