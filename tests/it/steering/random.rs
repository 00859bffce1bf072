//! Random worlds: places, policies, measurements and clients.
//!
//! Few values, close to each other and to the ends, so that they meet.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use evenkeel::{
    dice::Roll,
    geo::{Address, Bounds, Coordinates, Geo, Networks, Place, Prefix, Ranges},
    limits::POOLS_MAX,
    steer::{AllDown, By, Measured, Policy, Pool, RegionRtts, Serves, Slack},
};

use super::world::{below, endpoint, one_of, percent};

pub(super) const COUNTRIES: [&str; 6] = ["DE", "FR", "US", "JP", "BR", "ZA"];
const CONTINENTS: [&str; 5] = ["EU", "NA", "AS", "SA", "AF"];
const POINTS: [(f32, f32); 6] =
    [(51.0, 9.0), (47.0, 2.5), (39.0, -98.0), (36.0, 138.0), (-10.0, -53.0), (-29.0, 25.0)];
const REGIONS: [&str; 5] = ["r0", "r1", "r2", "r3", "r4"];

/// A block of either family, mostly within few others.
pub(super) fn block(roll: &mut Roll) -> Prefix {
    let bits = roll.bits();
    if percent(roll, 60) {
        let base = one_of(roll, &[0x0808_0000_u32, 0x5000_0000, 0xC100_0000, 0xDFFF_0000]);
        let address = base ^ (u32::try_from(bits >> 32).unwrap() & 0x0003_FFFF);
        let len = one_of(roll, &[6, 8, 13, 15, 16, 17, 20, 23, 24, 25, 31, 32]);
        return Prefix::around(Ipv4Addr::from_bits(address).into(), len);
    }
    let base = one_of(roll, &[0x2606_4700_u128 << 96, 0x2A00_1450 << 96, 0x2400_0000 << 96]);
    let address = base ^ (u128::from(bits & 0x3F) << 76) ^ (u128::from(bits >> 62) << 62);
    let len = one_of(roll, &[12, 19, 32, 44, 47, 48, 49, 56, 63, 64, 128]);
    let prefix = Prefix::around(Ipv6Addr::from_bits(address).into(), len);
    assert_eq!(prefix.unwrapped(), prefix);
    prefix
}

/// Networks here and there.
pub(super) fn geo(roll: &mut Roll) -> Geo {
    let mut networks = Networks::default();
    for _ in 0..below(roll, 60) {
        let idx = below(roll, COUNTRIES.len());
        let (lat, lon) = POINTS[idx];
        let place = Place {
            country: percent(roll, 90).then(|| COUNTRIES[idx].parse().unwrap()),
            subdivision: None,
            continent: percent(roll, 70).then(|| one_of(roll, &CONTINENTS).parse().unwrap()),
            asn: percent(roll, 40).then(|| 64500 + u32::try_from(below(roll, 3)).unwrap()),
            at: if percent(roll, 80) { Coordinates::new(lat, lon) } else { None },
        };
        // One that is there already stays as it is.
        let _ = networks.insert(block(roll), place);
    }
    networks.geo()
}

pub(super) fn policy(roll: &mut Roll) -> Policy {
    let n_pools = 1 + below(roll, REGIONS.len());
    let pools: Vec<Pool> = (0..n_pools).map(|idx| pool(roll, idx)).collect();
    assert!(pools.len() <= POOLS_MAX);
    let all_down = match below(roll, 4) {
        0 => AllDown::Refuse,
        1 => AllDown::Pool(u16::try_from(below(roll, n_pools)).unwrap()),
        _ => AllDown::ServeAll,
    };
    let slack = match below(roll, 3) {
        0 => Slack::Absolute(0),
        1 => Slack::Absolute(u32::try_from(below(roll, 2_000_000)).unwrap()),
        _ => Slack::Percent(u16::try_from(below(roll, 200)).unwrap()),
    };
    Policy {
        answers: one_of(roll, &[1, 2, 8]),
        by: one_of(roll, &[By::Weight, By::Latency, By::Distance]),
        slack,
        sticky: percent(roll, 20),
        all_down,
        min_up_percent: percent(roll, 20).then_some(60),
        ..Policy::of(20, 5, pools.into())
    }
}

fn pool(roll: &mut Roll, idx: usize) -> Pool {
    let mut endpoints = vec![endpoint(&format!("192.0.2.{}", 10 * idx + 1))];
    if percent(roll, 50) {
        endpoints.push(endpoint(&format!("192.0.2.{}", 10 * idx + 2)));
    }
    if percent(roll, 50) {
        endpoints.push(endpoint(&format!("2001:db8::{}", 10 * idx + 1)));
    }
    let (lat, lon) = POINTS[below(roll, POINTS.len())];
    let tier = if percent(roll, 25) { 2 } else { 1 };
    Pool {
        region: percent(roll, 90).then(|| REGIONS[idx].into()),
        at: if percent(roll, 90) { Coordinates::new(lat, lon) } else { None },
        weight: one_of(roll, &[0, 1, 1, 50, 65_535]),
        tier,
        trickle: if tier == 2 && percent(roll, 50) { 500 } else { 0 },
        serves: (0..=below(roll, 3)).map(|_| serves(roll)).collect(),
        fence: percent(roll, 20),
        ..Pool::of(REGIONS[idx], endpoints.into())
    }
}

fn serves(roll: &mut Roll) -> Serves {
    match below(roll, 7) {
        0 | 1 => Serves::Prefix(block(roll)),
        2 => Serves::Country(one_of(roll, &COUNTRIES).parse().unwrap()),
        3 => Serves::Continent(one_of(roll, &CONTINENTS).parse().unwrap()),
        4 => Serves::Asn(64500 + u32::try_from(below(roll, 3)).unwrap()),
        _ => Serves::Any,
    }
}

pub(super) fn measured(roll: &mut Roll) -> Measured {
    let rtts = |roll: &mut Roll| -> RegionRtts {
        let mut region = |it: &str| (it.into(), one_of(roll, &[10.0, 11.0, 40.0, 90.0]));
        REGIONS.iter().map(|it| region(it)).take(3).collect()
    };
    let n_networks = u32::try_from(below(roll, 12)).unwrap();
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for number in 1..=n_networks {
        match block(roll).bounds() {
            Bounds::V4(run) => v4.push((run, number)),
            Bounds::V6(run) => v6.push((run, number)),
        }
    }
    Measured {
        v4: Ranges::from_blocks(0, v4),
        v6: Ranges::from_blocks(0, v6),
        networks: (0..n_networks).map(|_| rtts(roll)).collect(),
        systems: HashMap::from([((64500, "DE".parse().unwrap()), rtts(roll))]),
        countries: HashMap::from([("FR".parse().unwrap(), rtts(roll))]),
    }
}

/// A client near an end of something, or anywhere, sometimes wrapped.
pub(super) fn client(roll: &mut Roll, geo: &Geo, policy: &Policy) -> IpAddr {
    let prefixes = policy.pools.iter().flat_map(|pool| &pool.serves).filter_map(|it| match it {
        Serves::Prefix(prefix) => Some(prefix.bounds()),
        _ => None,
    });
    let prefixes: Vec<Bounds> = prefixes.collect();
    let bounds = match below(roll, 4) {
        0 if !prefixes.is_empty() => one_of(roll, &prefixes),
        0 | 1 => block(roll).bounds(),
        _ if percent(roll, 50) => {
            Bounds::V4(run_of(roll, &geo.v4, u32::try_from(roll.clone().bits() >> 32).unwrap()))
        }
        _ => Bounds::V6(run_of(roll, &geo.v6, u128::from(roll.clone().bits()) << 64)),
    };
    match bounds {
        Bounds::V4(run) => {
            let inside = u32::try_from(roll.bits() >> 32).unwrap() % (run.last - run.first).max(1);
            let ends = [
                run.first,
                run.last,
                run.first.wrapping_sub(1),
                run.last.wrapping_add(1),
                run.first + inside,
            ];
            let address = one_of(roll, &ends);
            wrapped(roll, address)
        }
        Bounds::V6(run) => {
            let inside = u128::from(roll.bits()) << 32;
            let inside = inside % (run.last - run.first).max(1);
            let ends = [
                run.first,
                run.last,
                run.first.wrapping_sub(1),
                run.last.wrapping_add(1),
                run.first + inside,
            ];
            Ipv6Addr::from_bits(one_of(roll, &ends)).into()
        }
    }
}

/// A run of the line: the one that holds an address, which on a short line is too often the same.
fn run_of<A: Address, V: Copy + PartialEq>(
    roll: &mut Roll,
    line: &Ranges<A, V>,
    address: A,
) -> evenkeel::geo::Run<A> {
    if line.n_runs() < 1000 {
        let idx = below(roll, line.n_runs());
        return line.runs().nth(idx).unwrap().0;
    }
    roll.bits();
    line.get(address).1
}

fn wrapped(roll: &mut Roll, v4: u32) -> IpAddr {
    let v4_bits = u128::from(v4);
    match below(roll, 10) {
        0 => Ipv6Addr::from_bits(0xFFFF << 32 | v4_bits).into(),
        1 => Ipv6Addr::from_bits(0x0064_FF9B << 96 | v4_bits).into(),
        2 => Ipv6Addr::from_bits(0x2002 << 112 | v4_bits << 80 | u128::from(roll.bits())).into(),
        _ => Ipv4Addr::from_bits(v4).into(),
    }
}
