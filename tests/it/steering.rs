//! What holds of steering whatever the policy, the client and the verdicts.

mod random;
mod scope;
pub(crate) mod world;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use evenkeel::{
    clock,
    dice::Roll,
    geo::{Coordinates, Geo, Networks, Place, Prefix},
    limits::LATENCY_PUBLISH_PAUSE,
    state::latency::Sample,
    steer::{AllDown, By, Footing, Outcome, Policy, Pool, Serves},
    wire::{Family, Rtype},
};
use world::{Told, World, conditions, endpoint, percent, pool};

/// German, French and American networks.
fn three_countries() -> Arc<Geo> {
    let mut networks = Networks::default();
    for (network, country, lat, lon) in [
        ("20.0.0.0/8", "DE", 50.0, 8.0),
        ("30.0.0.0/8", "FR", 48.0, 2.0),
        ("40.0.0.0/8", "US", 39.0, -77.0),
    ] {
        let (country, at) = (country.parse().ok(), Coordinates::new(lat, lon));
        let place = Place { country, at, ..Place::NOWHERE };
        networks.insert(network.parse().unwrap(), place).unwrap();
    }
    Arc::new(networks.geo())
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

#[test]
fn nothing_that_is_down_or_of_weight_zero_is_answered_without_need() {
    for seed in 0..300 {
        let mut roll = Roll(seed);
        let geo = Arc::new(random::geo(&mut roll));
        let policy = random::policy(&mut roll);
        let mut world = World::new(&geo, vec![policy.clone()]);
        for _ in 0..8 {
            let verdicts = roll.bits();
            world.set_all(0, |pool, endpoint| verdicts >> (4 * pool + endpoint) & 1 != 0);
            world.renew();
            let steered = world.steered(0);
            for family in [Family::V4, Family::V6] {
                let conditions = conditions(&steered, family);
                for decision in steered.family(family).unwrap().outlook.decisions() {
                    let Outcome::Draw(candidates) = &decision.outcome else { continue };
                    if decision.footing != Footing::Healthy {
                        continue;
                    }
                    let weightless = |pool: u16| policy.pools[usize::from(pool)].weight == 0;
                    let tier = |pool: u16| policy.pools[usize::from(pool)].tier;
                    for candidate in &candidates.pools {
                        let conditions = &conditions[usize::from(candidate.pool)];
                        let is_up = |it: u16| conditions[usize::from(it)].up;
                        assert!(candidate.members.iter().all(|it| is_up(it.endpoint)));
                        // The last resort of a tier is alone with its like; a trickle is no weight.
                        let peers = candidates.pools.iter();
                        let mut peers = peers.filter(|it| tier(it.pool) == tier(candidate.pool));
                        let trickles = policy.pools[usize::from(candidate.pool)].trickle != 0;
                        assert!(
                            !weightless(candidate.pool)
                                || trickles
                                || peers.all(|it| weightless(it.pool))
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn a_fenced_client_stays_inside_whatever_fails() {
    let fenced = |name: &str, numbers: [usize; 2]| {
        let address = |number| endpoint(&format!("192.0.2.{number}"));
        let endpoints = Box::new(numbers.map(address));
        let serves = Box::new([Serves::Country("DE".parse().unwrap())]);
        Pool { serves, fence: true, ..Pool::of(name, endpoints) }
    };
    let others = [pool("us", 30), pool("fr", 40)];
    for all_down in [AllDown::ServeAll, AllDown::LastGood, AllDown::Refuse, AllDown::Pool(2)] {
        for by in [By::Weight, By::Distance] {
            let pools = [fenced("de1", [11, 12]), fenced("de2", [21, 22])].into_iter();
            let pools = pools.chain(others.clone()).collect();
            let policy = Policy { all_down, by, ..Policy::of(20, 5, pools) };
            check_fence(&policy);
        }
    }
}

/// All verdicts of the six endpoints of IPv4.
fn check_fence(policy: &Policy) {
    let inside: BTreeSet<IpAddr> = ["192.0.2.11", "192.0.2.12", "192.0.2.21", "192.0.2.22"]
        .map(|it| it.parse().unwrap())
        .into();
    let mut world = World::new(&three_countries(), vec![policy.clone()]);
    for verdicts in 0..64_u32 {
        let is_up = |pool: usize, endpoint: usize| match pool {
            0 | 1 => verdicts >> (2 * pool + endpoint) & 1 != 0,
            _ => verdicts >> (2 + pool) & 1 != 0,
        };
        world.set_all(0, is_up);
        world.renew();
        for _ in 0..4 {
            let german = world.ask(0, Rtype::A, Some(prefix("20.1.2.0/24")));
            assert!(german.addresses.iter().all(|it| inside.contains(it)), "{german:?}");
            let other = world.ask(0, Rtype::A, Some(prefix("30.1.2.0/24")));
            let is_fallback = !is_up(2, 0) && !is_up(3, 0) && policy.all_down == AllDown::Pool(0);
            assert!(is_fallback || other.addresses.iter().all(|it| !inside.contains(it)));
            // Those who are up are answered.
            let any_inside = [(0, 0), (0, 1), (1, 0), (1, 1)].iter().any(|it| is_up(it.0, it.1));
            assert!(!any_inside || german.rcode == 0 && !german.addresses.is_empty());
        }
        // A client without a place of its own is not German.
        let lost = world.ask(0, Rtype::A, None);
        assert!(lost.addresses.iter().all(|it| !inside.contains(it)), "{lost:?}");
    }
}

// ---- Sticky ----

const NETWORKS: u32 = 5000;

fn sticky_world() -> World {
    let pools: Vec<Pool> = (1..=5).map(|it| pool(&format!("r{it}"), it)).collect();
    let sticky = |pools: Vec<Pool>| Policy { sticky: true, ..Policy::of(20, 5, pools.into()) };
    let mut grown = pools.clone();
    grown[2].weight = 2;
    World::new(&three_countries(), vec![sticky(pools), sticky(grown)])
}

/// What each of many networks is told by a name.
fn homes(world: &mut World, name: usize) -> Vec<Told> {
    let network =
        |it: u32| Prefix::around(IpAddr::from((0x1400_0000 + (it << 8)).to_be_bytes()), 24);
    (0..NETWORKS).map(|it| world.ask(name, Rtype::A, Some(network(it)))).collect()
}

#[test]
fn sticky_clients_keep_their_answer() {
    let mut world = sticky_world();
    let before = homes(&mut world, 0);
    assert_eq!(before, homes(&mut world, 0));
    let told = world.ask(0, Rtype::A, Some(prefix("20.0.7.0/24")));
    for host in ["20.0.7.1/32", "20.0.7.128/25", "20.0.7.255/32", "::ffff:20.0.7.9/128"] {
        let other = world.ask(0, Rtype::A, Some(prefix(host)));
        assert_eq!(other.addresses, told.addresses);
    }
    assert_eq!(told.scope, Some(24));
    // A resolver that says nothing of its client is a client.
    let mut ask = |address: &str| world.ask_from(address.parse().unwrap(), 0, Rtype::A, None);
    assert_eq!(ask("20.0.7.1"), ask("20.0.7.200"));
    assert_eq!(ask("20.0.7.1").addresses, told.addresses);
    assert_eq!(ask("2001:db8:0:1::1"), ask("2001:db8:0:ff::1"));
}

#[test]
fn a_region_that_fails_moves_its_own_clients_and_nobody_else() {
    let mut world = sticky_world();
    let before = homes(&mut world, 0);
    let gone: IpAddr = "192.0.2.4".parse().unwrap();
    world.set_all(0, |pool, _| pool != 3);
    world.renew();
    let after = homes(&mut world, 0);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.addresses == [gone], before != after);
        assert_ne!(after.addresses, [gone]);
    }
    let share = before.iter().filter(|it| it.addresses == [gone]).count();
    assert!((900..=1100).contains(&share), "{share}");
    world.set_all(0, |_, _| true);
    world.renew();
    assert_eq!(homes(&mut world, 0), before, "and they come back");
}

#[test]
fn a_weight_that_grows_moves_the_difference() {
    let mut world = sticky_world();
    let (before, after) = (homes(&mut world, 0), homes(&mut world, 1));
    let grown: IpAddr = "192.0.2.3".parse().unwrap();
    let moved: Vec<&Told> =
        before.iter().zip(&after).filter(|(one, other)| one != other).map(|it| it.1).collect();
    assert!(moved.iter().all(|it| it.addresses == [grown]));
    // From a fifth to a third: 13.3 %, to a point.
    let per_mille = 1000 * moved.len() / NETWORKS as usize;
    assert!((123..=143).contains(&per_mille), "{per_mille}");
}

// ---- Latency ----

#[test]
fn clients_go_where_it_was_measured_to_be_nearest() {
    let near = |name: &str, number, lat, lon| Pool {
        at: Coordinates::new(lat, lon),
        ..pool(name, number)
    };
    let pools = Box::new([near("de", 1, 50.0, 8.5), near("us", 2, 39.0, -77.5)]);
    let policy = Policy { by: By::Latency, ..Policy::of(20, 5, pools) };
    let mut world = World::new(&three_countries(), vec![policy]);
    let (de, us) = ([IpAddr::from([192, 0, 2, 1])], [IpAddr::from([192, 0, 2, 2])]);
    let client = prefix("20.1.2.0/24");
    assert_eq!(world.ask(0, Rtype::A, Some(client)).addresses, de);

    let now = clock::now();
    let mut roll = Roll(1);
    for turn in 0..60 {
        let (region, ms) = if turn % 2 == 0 { ("de", 180.0) } else { ("us", 60.0) };
        let ms = if percent(&mut roll, 50) { ms * 1.1 } else { ms * 0.9 };
        let host = format!("20.1.2.{turn}");
        let sample = Sample::new(&host, region, ms, 1).unwrap();
        world.state.sample(&sample, now).unwrap();
    }
    let change = world.state.measure(now).expect("there is something to tell");
    world.state.apply(change);
    world.renew();
    let told = world.ask(0, Rtype::A, Some(client));
    assert_eq!(told.addresses, us);
    // The whole country was measured by this network; the others are as they were.
    let whole = world.ask(0, Rtype::A, Some(prefix("20.9.0.0/16")));
    assert_eq!((whole.addresses, whole.scope), (us.to_vec(), Some(8)));
    assert_eq!(world.ask(0, Rtype::A, Some(prefix("30.1.2.0/24"))).addresses, de);

    // Another network of the country says otherwise, and is told so.
    let later = now + LATENCY_PUBLISH_PAUSE;
    for (region, ms) in [("de", 10.0), ("us", 100.0)] {
        let sample = Sample::new("20.7.7.0/24", region, ms, 25).unwrap();
        world.state.sample(&sample, later).unwrap();
    }
    let change = world.state.measure(later).expect("there is something to tell");
    world.state.apply(change);
    world.renew();
    let other = world.ask(0, Rtype::A, Some(prefix("20.7.7.0/24")));
    assert_eq!(other.addresses, de);
    assert_eq!(world.ask(0, Rtype::A, Some(client)).addresses, us);
}
