//! What goes where: cases by hand, and what must hold for any.

use proptest::prelude::*;

use super::*;
use crate::{
    geo::{Coordinates, Place},
    steer::{By, Pool, Serves, class::costs},
};

/// What flows are made of, so that these can refer to it.
#[derive(Debug)]
struct World {
    capacities: Vec<f64>,
    names: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    demand: f64,
    policy: Policy,
    class: Class,
    stands: Vec<Stand>,
    among: PoolSet,
}

/// A name of some demand with pools as `0=60#2:DE^`: region and weight, tier, whom it serves, fence;
/// `/0.05` is its ramp, `-` for the region is none. They are the farther from the client the later
/// they come, if the name begins with `near`.
fn name(demand: f64, text: &str) -> Named {
    let is_near = text.starts_with("near ");
    let words: Vec<&str> = text.trim_start_matches("near ").split(' ').collect();
    let (mut pools, mut stands) = (Vec::new(), Vec::new());
    for (idx, word) in words.iter().enumerate() {
        let (region, rest) = word.split_once('=').unwrap();
        let end = rest.find(['#', ':', '^', '/']).unwrap_or(rest.len());
        let mut pool = Pool::of(word, Box::default());
        pool.weight = rest[..end].parse().unwrap();
        #[allow(clippy::cast_precision_loss)]
        let lon = idx as f32 * 10.0;
        pool.at = Coordinates::new(0.0, lon);
        let mut ramp = 1.0;
        for mark in rest[end..].split_inclusive(|_: char| false) {
            let mut rest = mark;
            while let Some(kind) = rest.chars().next() {
                let end = rest[1..].find(['#', ':', '^', '/']).map_or(rest.len(), |it| it + 1);
                let value = &rest[1..end];
                match kind {
                    '#' => pool.tier = value.parse().unwrap(),
                    ':' => pool.serves = Box::new([Serves::Country(value.parse().unwrap())]),
                    '/' => ramp = value.parse().unwrap(),
                    _ => pool.fence = true,
                }
                rest = &rest[end..];
            }
        }
        pools.push(pool);
        stands.push(Stand { region: region.parse().ok(), ramp, share: ramp });
    }
    let mut policy = Policy::of(20, 5, pools.into());
    policy.by = if is_near { By::Distance } else { By::Weight };
    let place = Place {
        country: Some("DE".parse().unwrap()),
        at: Coordinates::new(0.0, 0.0),
        ..Place::NOWHERE
    };
    let class = Class::of(&policy, &place, &[], &costs(&policy, &place, |_| None));
    let among = PoolSet::where_(policy.pools.len(), |_| true);
    Named { demand, policy, class, stands, among }
}

impl World {
    fn flows(&self) -> Vec<Flow<'_>> {
        let flow = |it: &'_ Named| {
            let (mut first, mut rest, mut among) = (Vec::new(), 1.0, it.among);
            while 0.0 < rest {
                let near = next_choice(&it.policy, &it.class, &among);
                if near.is_empty() {
                    break;
                }
                let share = |pool: usize| it.stands[pool].share;
                let part =
                    |pool: usize| f64::from(it.policy.pools[pool].weight.max(1)) * share(pool);
                let sum: f64 = near.iter().map(part).sum();
                let most = near.iter().map(share).fold(0.0, f64::max);
                first.extend(near.iter().map(|pool| (pool, rest * most * part(pool) / sum)));
                rest *= 1.0 - most;
                among = among.filter(|pool| !near.contains(pool));
            }
            first
        };
        self.names
            .iter()
            .map(|it| Flow {
                demand: it.demand,
                policy: &it.policy,
                class: &it.class,
                among: it.among,
                first: flow(it),
                stands: &it.stands,
            })
            .collect()
    }

    fn spill(&self) -> Spilled {
        spill(&self.capacities, &self.flows())
    }
}

/// The loads that regions with `capacities` have when `names` are poured over them.
#[track_caller]
fn check(capacities: &[f64], names: &[(f64, &str)], expect: &[f64]) {
    let names = names.iter().map(|(demand, text)| name(*demand, text)).collect();
    let world = World { capacities: capacities.to_vec(), names };
    let spilled = world.spill();
    let near = |one: f64, other: f64| (one - other).abs() < 1e-3;
    assert!(
        spilled.loads.iter().zip(expect).all(|(it, expect)| near(*it, *expect)),
        "{spilled:?}, expected {expect:?}"
    );
}

const FREE: f64 = f64::INFINITY;

#[test]
fn the_loss_of_one_of_three_regions() {
    check(&[100.0; 3], &[(180.0, "0=1 1=1 2=1")], &[60.0; 3]);
    check(&[100.0; 3], &[(180.0, "0=1 1=1")], &[90.0, 90.0, 0.0]);
    // At 80 % each the two that are left cannot take it: evenly over both.
    check(&[100.0; 3], &[(240.0, "0=1 1=1")], &[120.0, 120.0, 0.0]);
    check(&[100.0, 50.0], &[(240.0, "0=1 1=1")], &[160.0, 80.0]);
    // Whatever they stood in before.
    check(&[100.0, 50.0], &[(200.0, "near 0=1 1=1"), (40.0, "1=1 0=1")], &[160.0, 80.0]);
}

#[test]
fn what_runs_over_goes_to_the_next_choice_by_the_room_left() {
    check(&[100.0, 100.0, 50.0], &[(160.0, "0=1 1=0 2=0")], &[100.0, 40.0, 20.0]);
    // Other clients are there already, and are not pushed away.
    let names = [(160.0, "0=1 1=0 2=0"), (50.0, "1=1")];
    check(&[100.0, 100.0, 50.0], &names, &[100.0, 80.0, 30.0]);
    // The others of the first choice come first.
    check(&[10.0, 100.0, 100.0], &[(60.0, "0=1 1=1 2=1#2")], &[10.0, 50.0, 0.0]);
    // From near to far, from tier to tier.
    check(&[10.0, 10.0, 100.0], &[(50.0, "near 0=1 1=1 2=1")], &[10.0, 10.0, 30.0]);
    check(&[10.0, 10.0, 100.0], &[(50.0, "0=1 1=1#2 2=1#3")], &[10.0, 10.0, 30.0]);
    // Two pools of a region have its room together.
    check(&[10.0, 100.0, 50.0], &[(70.0, "0=1 1=0 1=0 2=0")], &[10.0, 40.0, 20.0]);
}

#[test]
fn a_wider_level_but_never_through_a_fence() {
    check(&[10.0, 100.0], &[(50.0, "0=1:DE 1=1")], &[10.0, 40.0]);
    check(&[10.0, 100.0], &[(50.0, "0=1:DE^ 1=1")], &[50.0, 0.0]);
    // Who can leave makes room for those who cannot, before they are too many.
    check(&[50.0, 100.0], &[(40.0, "0=1:DE^ 1=1"), (40.0, "near 0=1 1=1")], &[50.0, 30.0]);
    check(&[50.0, 100.0], &[(60.0, "0=1:DE^ 1=1"), (40.0, "near 0=1 1=1")], &[60.0, 40.0]);
    // Also when they come by being spread.
    let names = [(90.0, "near 0=1 1=1"), (50.0, "near 1=1 2=1")];
    check(&[30.0, 40.0, 200.0], &names, &[38.571, 51.429, 50.0]);
}

#[test]
fn without_a_capacity_there_is_always_room() {
    check(&[10.0, FREE], &[(50.0, "0=1 1=1")], &[10.0, 40.0]);
    check(&[FREE; 2], &[(50.0, "0=1 1=1")], &[25.0; 2]);
    check(&[10.0, 10.0], &[(50.0, "0=1 1=1 -=1")], &[10.0, 10.0]);
}

#[test]
fn a_pool_that_comes_back_is_not_flooded() {
    // It gets what its ramp lets it have; the others stay above their rim until it can take more.
    check(&[100.0; 3], &[(240.0, "0=1 1=1 2=1/0.05")], &[117.073, 117.073, 5.854]);
    check(&[100.0; 3], &[(240.0, "0=1 1=1 2=1/0.5")], &[96.0, 96.0, 48.0]);
    // Nor does what runs over elsewhere fill it faster.
    check(&[100.0; 3], &[(150.0, "0=1 1=0 2=0/0.1")], &[100.0, 45.455, 4.545]);
    // Beside it in the region, others have the rest of the room.
    let names = [(150.0, "0=1 1=0/0.1"), (30.0, "1=1")];
    check(&[100.0, 100.0], &names, &[136.364, 43.636]);
    // Where nobody knows how much is too much, it takes nothing.
    check(&[100.0, FREE], &[(150.0, "0=1 1=0/0.1")], &[150.0, 0.0]);
}

fn pools() -> impl Strategy<Value = String> {
    let pool = (0..5_usize, 0..4_u32, 1..3_u16, 0..4_u8, 0..4_u8);
    (any::<bool>(), prop::collection::vec(pool, 1..5)).prop_map(|(is_near, pools)| {
        let word = |(region, weight, tier, level, ramp): (usize, u32, u16, u8, u8)| {
            let level = match level {
                0 => ":DE",
                1 => ":FR",
                _ => "",
            };
            let ramp = if ramp == 0 { "/0.25" } else { "" };
            // The last stands in no region.
            let region = if region == 4 { "-".to_owned() } else { region.to_string() };
            format!("{region}={weight}#{tier}{level}{ramp}")
        };
        let near = if is_near { "near " } else { "" };
        format!("{near}{}", pools.into_iter().map(word).collect::<Vec<_>>().join(" "))
    })
}

fn world() -> impl Strategy<Value = World> {
    let capacity = prop_oneof![4 => 1.0..100.0_f64, 1 => Just(FREE)];
    let names = prop::collection::vec((0.1..100.0_f64, pools()), 1..8);
    (prop::collection::vec(capacity, 4), names).prop_map(|(capacities, names)| {
        let names = names.iter().map(|(demand, text)| name(*demand, text));
        // Whom nothing serves has nowhere to go.
        let names = names.filter(|it| !next_choice(&it.policy, &it.class, &it.among).is_empty());
        World { capacities, names: names.collect() }
    })
}

/// Loads that are the same but for rounding.
fn is_near(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * (1.0 + one.abs())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_is_lost(world in world()) {
        let spilled = world.spill();
        for (flow, shares) in world.flows().iter().zip(&spilled.shares) {
            let sum: f64 = shares.iter().map(|(_, load)| load).sum();
            prop_assert!(is_near(sum, flow.demand), "{shares:?}");
            prop_assert!(shares.iter().all(|(_, load)| 0.0 <= *load), "{shares:?}");
            let all = within_reach(flow.policy, flow.class, &flow.among);
            prop_assert!(shares.iter().all(|(pool, _)| all.contains(*pool)));
        }
    }

    /// A region is above its capacity only with those who have no choice with room.
    #[test]
    fn nobody_is_over_without_need(world in world()) {
        let spilled = world.spill();
        let flows = world.flows();
        let mut mouths = [0.0; 4];
        for (flow, shares) in flows.iter().zip(&spilled.shares) {
            for (pool, load) in shares {
                let Stand { region: Some(region), ramp, .. } = flow.stands[*pool] else { continue };
                mouths[region] += if ramp < 1.0 { load / ramp } else { 0.0 };
            }
        }
        let is_over = |it: usize| world.capacities[it] * (1.0 + 1e-6) < spilled.loads[it];
        let has_room = |stand: Stand| match stand.region {
            Some(it) if world.capacities[it].is_finite() => {
                let mouth = if stand.ramp < 1.0 { mouths[it] } else { 0.0 };
                spilled.loads[it].max(mouth) < world.capacities[it] * (1.0 - 1e-6)
            }
            _ => 1.0 <= stand.share,
        };
        for (flow, shares) in flows.iter().zip(&spilled.shares) {
            let is_above = |(pool, load): &(usize, f64)| {
                1e-6 * flow.demand < *load && flow.stands[*pool].region.is_some_and(is_over)
            };
            if shares.iter().any(is_above) {
                let all = within_reach(flow.policy, flow.class, &flow.among);
                prop_assert!(!all.iter().any(|pool| has_room(flow.stands[pool])), "{shares:?} {:?}", spilled.loads);
            }
        }
    }

    #[test]
    fn without_need_nothing_moves(world in world()) {
        let flows = world.flows();
        let mut before = [0.0; 4];
        let mut is_ramping = false;
        for flow in &flows {
            let sum: f64 = flow.first.iter().map(|(_, part)| part).sum();
            for (pool, part) in &flow.first {
                is_ramping |= flow.stands[*pool].ramp < 1.0;
                if let Some(region) = flow.stands[*pool].region {
                    before[region] += flow.demand * part / sum;
                }
            }
        }
        if !is_ramping && (0..4).all(|it| before[it] <= world.capacities[it]) {
            prop_assert_eq!(&world.spill().loads[..], before);
        }
    }

    #[test]
    fn the_order_of_names_does_not_matter(mut world in world()) {
        let loads = world.spill().loads;
        world.names.reverse();
        let reversed = world.spill().loads;
        for (one, other) in loads.iter().zip(&reversed) {
            prop_assert!((one - other).abs() <= 1e-3 * (1.0 + one), "{loads:?} {reversed:?}");
        }
    }

    /// Who has more capacity in all regions is not overloaded more.
    #[test]
    fn more_capacity_is_no_more_overload(
        capacity in 1.0..100.0_f64, more in 0.0..50.0_f64, demand in 1.0..400.0_f64,
        pools in pools(),
    ) {
        let over = |capacity: f64| {
            let named = name(demand, &pools);
            if next_choice(&named.policy, &named.class, &named.among).is_empty() {
                return 0.0;
            }
            let world = World { capacities: vec![capacity; 4], names: vec![named] };
            world.spill().loads.iter().map(|it| (it - capacity).max(0.0)).sum::<f64>()
        };
        prop_assert!(over(capacity + more) <= over(capacity) + 1e-3);
    }
}
