//! The ejection budget: how much of a name health alone may keep out at one time.
//!
//! For those who fear a bad check more than a bad region. Endpoints that are down leave in the order
//! in which they went down, each with its part of the name's weight; from the first that does not fit
//! on, they stay in.
//!
//! # Invariants
//!
//! - Pure: what is down, and in which order it went down, are arguments.
//! - What health keeps out is never more than the budget. What falls with an endpoint, because a pool
//!   is down that has less than `min_up`, is counted with it.
//! - What is out stays out for as long as it is down, whatever recovers or fails besides: those that
//!   are out are the first of the order, and later failures come behind them.
//! - The operator's word is no health: what it keeps out is not counted, and what it lets in is not
//!   down.
//!
//! *Not here:* in which order endpoints went down (`state`). That it is answered with the short TTL is what any
//! endpoint is with a change in sight (`choose`).

use super::{Condition, Policy, choose::enough_is_up};

/// The places, pool and endpoint, of those that are down and stay in; `order` says which of two went
/// down first. Of those that went down at once the first of the policy is the first.
pub fn over_budget<T: Ord>(
    policy: &Policy,
    conditions: &[Vec<Condition>],
    order: impl Fn(usize, usize) -> T,
) -> Vec<(usize, usize)> {
    let Some(percent) = policy.eject_max_percent else { return Vec::new() };
    let mut down: Vec<(usize, usize)> = Vec::new();
    for (pool, conditions) in conditions.iter().enumerate() {
        let places = conditions.iter().enumerate().filter(|(_, it)| it.is_ejected());
        down.extend(places.map(|(endpoint, _)| (pool, endpoint)));
    }
    if down.is_empty() {
        return down;
    }
    down.sort_by_cached_key(|(pool, endpoint)| order(*pool, *endpoint));

    // As if all of them stayed in.
    let mut kept = conditions.to_vec();
    for (pool, endpoint) in &down {
        kept[*pool][*endpoint].up = true;
    }
    // A last resort has a part only where all pools are.
    let weights = policy.pools.iter().map(|it| it.weight);
    let is_even = weights.clone().all(|it| it == 0);
    let weights: Vec<f64> = weights.map(|it| if is_even { 1.0 } else { f64::from(it) }).collect();
    let budget = weights.iter().sum::<f64>() * f64::from(percent) / 100.0;
    let out = |pool: usize, kept: &[Vec<Condition>]| {
        weights[pool] * out_of_pool(policy, pool, &conditions[pool], &kept[pool])
    };
    let mut used = 0.0;
    for (n_out, (pool, endpoint)) in down.iter().enumerate() {
        let before = out(*pool, &kept);
        kept[*pool][*endpoint].up = false;
        used += out(*pool, &kept) - before;
        // A hair of rounding must not keep a region in that fits the budget exactly.
        if budget * (1.0 + 1e-9) < used {
            return down.split_off(n_out);
        }
    }
    Vec::new()
}

/// How much of a pool is out when those that are `kept` are up, from 0 to 1: of what the operator lets
/// in, and all of it when not enough is up.
fn out_of_pool(policy: &Policy, pool: usize, all: &[Condition], kept: &[Condition]) -> f64 {
    let pool = &policy.pools[pool];
    let weight = |counts: &dyn Fn(usize) -> bool| -> f64 {
        let counted = pool.endpoints.iter().enumerate().filter(|(idx, _)| counts(*idx));
        counted.map(|(_, it)| f64::from(it.weight)).sum()
    };
    let is_in = |idx: usize| all[idx].present && !all[idx].is_withdrawn();
    let whole = weight(&|_| true);
    if enough_is_up(pool, kept, policy.min_up_percent) {
        weight(&|idx| is_in(idx) && !kept[idx].up) / whole
    } else {
        weight(&is_in) / whole
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;
    use crate::steer::{Endpoint, Pool, Target};

    /// Pools of these weights with so many endpoints each, and that many percent for the budget.
    fn policy(pools: &[(u32, usize)], percent: u8) -> Policy {
        let endpoint = |_| Endpoint {
            target: Target::Address(Ipv4Addr::LOCALHOST.into()),
            weight: 1,
            label: None,
        };
        let pool = |(weight, count): &(u32, usize)| Pool {
            weight: *weight,
            ..Pool::of("a", (0..*count).map(endpoint).collect())
        };
        let pools = pools.iter().map(pool).collect();
        Policy { eject_max_percent: Some(percent), ..Policy::of(20, 5, pools) }
    }

    fn all_up(policy: &Policy) -> Vec<Vec<Condition>> {
        let up = |pool: &Pool| vec![Condition::seen(true, false); pool.endpoints.len()];
        policy.pools.iter().map(up).collect()
    }

    fn take_out(conditions: &mut [Vec<Condition>], places: &[(usize, usize)]) {
        for (pool, endpoint) in places {
            conditions[*pool][*endpoint].up = false;
        }
    }

    /// Which stay in of those that went down in this order.
    fn stay(policy: &Policy, down: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let mut conditions = all_up(policy);
        take_out(&mut conditions, down);
        over_budget(policy, &conditions, |pool, endpoint| {
            down.iter().position(|it| *it == (pool, endpoint))
        })
    }

    #[test]
    fn the_last_come_stay_in() {
        let check = |weights: [u32; 3], percent, down: &[usize], expect: &[usize]| {
            let policy = policy(&weights.map(|it| (it, 1)), percent);
            let down: Vec<_> = down.iter().map(|pool| (*pool, 0)).collect();
            let expect: Vec<_> = expect.iter().map(|pool| (*pool, 0)).collect();
            assert_eq!(stay(&policy, &down), expect, "{weights:?} {percent} {down:?}");
        };
        check([40, 30, 30], 60, &[], &[]);
        check([40, 30, 30], 60, &[1, 2], &[]);
        check([40, 30, 30], 60, &[1, 2, 0], &[0]);
        check([40, 30, 30], 60, &[2, 0, 1], &[0, 1]);
        check([1, 1, 1], 60, &[0, 1], &[1]);
        check([1, 1, 1], 66, &[0, 1], &[1]);
        check([1, 1, 1], 67, &[0, 1, 2], &[2]);
        check([100, 0, 0], 60, &[0], &[0]);
        // A last resort has no part of the weight.
        check([100, 0, 0], 60, &[1, 2], &[]);
        check([0, 0, 0], 60, &[2, 1], &[1]);
        check([1, 1, 1], 100, &[0, 1, 2], &[]);
    }

    #[test]
    fn endpoints_have_their_part_of_the_pool() {
        let policy = policy(&[(50, 2), (50, 4)], 50);
        assert_eq!(stay(&policy, &[(0, 0), (1, 3), (1, 0), (1, 1)]), [(1, 1)]);
    }

    #[test]
    fn what_falls_with_an_endpoint_is_counted_with_it() {
        let policy = Policy { min_up_percent: Some(60), ..policy(&[(60, 2), (40, 2)], 50) };
        // Half of the pool is down, and with it all of its 60 %.
        assert_eq!(stay(&policy, &[(0, 0)]), [(0, 0)]);
        assert_eq!(stay(&policy, &[(1, 0), (1, 1), (0, 0)]), [(0, 0)]);
    }

    #[test]
    fn the_operators_word_is_no_health() {
        let policy = policy(&[(1, 1), (1, 1), (1, 1)], 40);
        let mut conditions = all_up(&policy);
        conditions[0][0].dial = 0;
        conditions[1][0].up = false;
        conditions[2][0] = Condition { up: false, dial: 0, ..conditions[2][0] };
        assert_eq!(over_budget(&policy, &conditions, |pool, _| pool), []);
    }

    proptest! {
        /// Whatever goes down and comes back in whatever order: what is out fits, stays out while it is
        /// down, and nothing that is older than what is out stays in.
        #[test]
        fn what_is_out_fits_and_stays_out(
            pools in prop::collection::vec((0_u32..50, 1_usize..4), 1..5),
            percent in 1_u8..=100,
            min_up in prop::option::of(1_u8..=100),
            turns in prop::collection::vec(any::<prop::sample::Index>(), 1..40),
        ) {
            let policy = Policy { min_up_percent: min_up, ..policy(&pools, percent) };
            let places: Vec<(usize, usize)> = (pools.iter().enumerate())
                .flat_map(|(pool, it)| (0..it.1).map(move |endpoint| (pool, endpoint)))
                .collect();
            let mut down: Vec<(usize, usize)> = Vec::new();
            let mut out_before: Vec<(usize, usize)> = Vec::new();
            for turn in turns {
                let place = *turn.get(&places);
                match down.iter().position(|it| *it == place) {
                    Some(idx) => drop(down.remove(idx)),
                    None => down.push(place),
                }
                let stays = stay(&policy, &down);
                let out: Vec<_> = down.iter().filter(|it| !stays.contains(it)).copied().collect();
                prop_assert!(down.starts_with(&out));
                prop_assert!(out_before.iter().all(|it| out.contains(it) || !down.contains(it)));
                let mut conditions = all_up(&policy);
                take_out(&mut conditions, &out);
                let is_even = pools.iter().all(|it| it.0 == 0);
                let weight = |pool: &(u32, usize)| if is_even { 1.0 } else { f64::from(pool.0) };
                let whole: f64 = pools.iter().map(weight).sum();
                let up_part: f64 = conditions.iter().enumerate().map(|(idx, its)| {
                    let is_up = enough_is_up(&policy.pools[idx], its, min_up);
                    let up: f64 = its.iter().map(|it| f64::from(u8::from(it.up && is_up))).sum();
                    weight(&pools[idx]) * up / its.iter().map(|_| 1.0).sum::<f64>()
                }).sum();
                prop_assert!(whole - up_part <= whole * f64::from(percent) / 100.0 + 1e-6);
                out_before = out;
            }
        }
    }
}
