//! What samples do to what is published.

use std::time::Duration;

use super::*;
use crate::{
    clock,
    geo::{Networks, Place},
};

const SETTINGS: LatencySettings =
    LatencySettings { samples_min: 20, half_life: Duration::from_hours(1), hysteresis_percent: 15 };

/// A table over regions `a`, `b` and `c`, where `10.1.0.0/16` is German, `10.2.0.0/16` German and
/// of `AS64500`, and `2001:db8::/32` French.
struct World {
    latencies: Latencies,
    geo: Geo,
    now: Instant,
    told: Measured,
}

impl World {
    fn new() -> Self {
        let mut networks = Networks::default();
        let mut place = |network: &str, country: &str, asn| {
            let country = country.parse().ok();
            let at = Coordinates::new(50.0, 8.0);
            let place = Place { country, asn, at, ..Place::NOWHERE };
            networks.insert(network.parse().unwrap(), place).unwrap();
        };
        place("10.1.0.0/16", "DE", None);
        place("10.2.0.0/16", "DE", Some(64500));
        place("2001:db8::/32", "FR", None);
        let mut latencies = Latencies::default();
        // `b` is a little nearer than `a`, and `c` is nowhere.
        let at = |lon| Coordinates::new(50.0, lon);
        latencies.set_regions([("a", at(12.0)), ("b", at(5.0)), ("c", None)]);
        let (geo, now) = (networks.geo(), clock::now());
        Self { latencies, geo, now, told: Measured::default() }
    }

    fn take(&mut self, client: &str, region: &str, ms: f64, samples: u32) -> Result<(), Refusal> {
        let sample = Sample::new(client, region, ms, samples)?;
        self.latencies.take(&sample, &self.geo, &SETTINGS, self.now)
    }

    fn took(&mut self, client: &str, region: &str, ms: f64, samples: u32) -> &mut Self {
        self.take(client, region, ms, samples).unwrap();
        self
    }

    fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// Whether there is anything new to tell.
    fn publish(&mut self) -> bool {
        let told = self.latencies.publish(self.now, &SETTINGS);
        let is_new = told.is_some();
        self.told = told.unwrap_or_else(|| self.told.clone());
        is_new
    }

    /// What a client is told of the regions, in tenths of a millisecond.
    #[track_caller]
    fn check(&self, client: &str, expect: &str) {
        let client = client.parse().unwrap();
        let place = self.geo.locate(client).place;
        let network = self.told.network(client);
        let rtt = |region: &&str| self.told.rtt_ms(network, place, region);
        let told = ["a", "b", "c"].iter().filter_map(|it| Some(format!("{it}={:.1}", rtt(it)?)));
        assert_eq!(told.collect::<Vec<_>>().join(" "), expect, "{client}");
    }
}

#[test]
fn samples_count_when_there_are_enough() {
    let mut world = World::new();
    world.took("10.1.1.7", "a", 30.0, 19);
    assert!(!world.publish());
    world.took("10.1.1.8", "a", 30.0, 1);
    assert!(world.publish());
    world.check("10.1.1.200", "a=30.0");
    // The country has as many, which is true of its other networks.
    world.check("10.2.0.1", "a=30.0");
    world.check("2001:db8::1", "");
    assert!(!world.publish(), "nothing is new");
}

#[test]
fn the_narrowest_level_that_differs_is_told() {
    let mut world = World::new();
    world.took("10.1.1.0/24", "a", 30.0, 1000).took("10.2.2.0/24", "a", 60.0, 1000);
    world.publish();
    world.check("10.1.1.1", "a=30.0");
    world.check("10.1.9.1", "a=60.0");
    world.check("10.2.9.1", "a=60.0");
    world.took("10.2.0.0/17", "b", 10.0, 100).took("10.2.3.0/24", "b", 20.0, 100);
    world.took("10.2.3.77", "a", 5.0, 1000);
    world.publish();
    assert_eq!(world.latencies.n_networks(), 4);
    world.check("10.2.3.1", "a=5.0 b=20.0");
    // What lies around has what was measured around; the system has a mean of both.
    let network = world.told.network("10.2.4.1".parse().unwrap());
    let b = world.told.networks[network as usize - 1]["b"];
    assert!((b - 10.0).abs() < 0.01, "{b}");
}

#[test]
fn old_samples_fade() {
    let mut world = World::new();
    world.took("10.1.1.7", "a", 30.0, 40);
    assert!(world.publish());
    // What was published stays until half of what it takes is left.
    world.wait(Duration::from_mins(119));
    assert!(!world.publish());
    world.wait(Duration::from_mins(2));
    assert!(world.publish());
    world.check("10.1.1.7", "");
    world.wait(Duration::from_hours(5));
    world.publish();
    assert_eq!(world.latencies.n_networks(), 0);
    assert!(world.latencies.systems.is_empty() && world.latencies.countries.is_empty());
}

#[test]
fn new_samples_outweigh_old_ones_and_outliers_do_not() {
    let mut world = World::new();
    world.took("10.1.1.7", "a", 30.0, 20).wait(Duration::from_hours(2));
    world.took("10.1.1.7", "a", 60.0, 45);
    world.publish();
    world.check("10.1.1.7", "a=57.0");
    world.took("10.1.1.7", "a", 10_000.0, 1).publish();
    world.check("10.1.1.7", "a=57.0");
}

#[test]
fn a_small_difference_is_none() {
    let mut world = World::new();
    world.took("10.1.1.7", "a", 30.0, 1000);
    world.publish();
    world.took("10.1.1.7", "a", 34.4, 1000);
    assert!(!world.publish());
    world.took("10.1.1.7", "a", 34.6, 1000);
    assert!(world.publish());
    world.check("10.1.1.7", "a=35.0");
}

#[test]
fn the_order_changes_only_for_something_better() {
    let mut world = World::new();
    // `b` is expected to be nearer, and stays so though it is measured a little slower.
    world.took("10.1.1.7", "a", 30.0, 1000).took("10.1.1.7", "b", 32.0, 1000);
    world.publish();
    world.check("10.1.1.7", "a=32.0 b=32.0");
    let network = world.told.countries[&"DE".parse().unwrap()].clone();
    assert!(network["b"] < network["a"]);
    world.took("10.1.1.7", "b", 36.0, 1000);
    assert!(world.publish());
    world.check("10.1.1.7", "a=32.0 b=32.1");
    // And back only by as much.
    world.took("10.1.1.7", "b", 27.0, 1000);
    assert!(!world.publish());
    world.took("10.1.1.7", "b", 26.0, 1000);
    assert!(world.publish());
    world.check("10.1.1.7", "a=32.0 b=26.0");
}

#[test]
fn what_is_no_sample_is_refused() {
    let mut world = World::new();
    let mut check = |client, region, ms, samples, expect| {
        assert_eq!(world.take(client, region, ms, samples), Err(expect), "{client} {ms}");
    };
    check("", "a", 1.0, 1, Refusal::Client);
    check("10.1.1.1/24", "a", 1.0, 1, Refusal::Client);
    check("8.0.0.0/7", "a", 1.0, 1, Refusal::Wide);
    check("::ffff:0:0/100", "a", 1.0, 1, Refusal::Wide);
    check("192.168.1.1", "a", 1.0, 1, Refusal::SpecialUse);
    check("10.1.1.1", "d", 1.0, 1, Refusal::Region);
    for ms in [0.0, -1.0, f64::NAN, f64::INFINITY, 10_000.1] {
        check("10.1.1.1", "a", ms, 1, Refusal::Milliseconds);
    }
    check("10.1.1.1", "a", 1.0, 0, Refusal::Samples);
    check("10.1.1.1", "a", 1.0, 1_000_001, Refusal::Samples);
    assert_eq!(world.latencies.n_networks(), 0);
    world.took("::ffff:10.1.1.1", "a", 1e-300, 1).took("10.1.1.9", "b", 10_000.0, 1);
    assert_eq!(world.latencies.n_networks(), 1, "wrapped addresses are what they wrap");
    world.took("2001:db8:0:1::1", "a", 1.0, 1).took("2001:db8:0:2::1", "a", 1.0, 1);
    assert_eq!(world.latencies.n_networks(), 2);
}

#[test]
fn a_flood_of_networks_displaces_its_like() {
    let mut world = World::new();
    world.took("10.1.1.7", "a", 30.0, 20);
    world.publish();
    for number in 0..u32::try_from(2 * LATENCY_NETWORKS_MAX).unwrap() {
        let client = std::net::Ipv4Addr::from_bits(0x0B00_0000 + (number << 8)).to_string();
        world.took(&client, "a", 80.0, 1);
        assert!(world.latencies.n_networks() <= LATENCY_NETWORKS_MAX);
    }
    world.publish();
    world.check("10.1.1.7", "a=30.0");
}

#[test]
fn regions_come_and_go() {
    let mut world = World::new();
    world.took("10.1.1.7", "b", 30.0, 100).took("10.1.1.7", "c", 40.0, 100);
    world.publish();
    world.latencies.set_regions([("c", None), ("aa", None), ("c", None)]);
    assert!(world.publish());
    world.check("10.1.1.7", "c=40.0");
    assert_eq!(world.take("10.1.1.7", "b", 1.0, 1), Err(Refusal::Region));
}

#[test]
fn publication_is_bounded_in_rate() {
    let mut world = World::new();
    assert!(!world.latencies.is_due(world.now + LATENCY_AGE_EVERY) || world.latencies.has_news);
    world.took("10.1.1.7", "a", 30.0, 1).publish();
    let due = |world: &World, after| world.latencies.is_due(world.now + after);
    assert!(!due(&world, LATENCY_PUBLISH_PAUSE));
    assert!(due(&world, LATENCY_AGE_EVERY));
    world.took("10.1.1.7", "a", 30.0, 1);
    assert!(!due(&world, LATENCY_PUBLISH_PAUSE / 2));
    assert!(due(&world, LATENCY_PUBLISH_PAUSE));
}

/// The region that a client is sent to: the published best, else the one that is expected to be.
fn home(world: &World, client: &str) -> &'static str {
    let client = client.parse().unwrap();
    let place = world.geo.locate(client).place;
    let network = world.told.network(client);
    let rtt = |region: &str| world.told.rtt_ms(network, place, region).unwrap_or(f32::INFINITY);
    if rtt("a") < rtt("b") { "a" } else { "b" }
}

/// How many of 300 networks change their region within a simulated day in which both regions are
/// equally far and samples scatter by 20 %.
fn movers(seed: u64, every: Duration) -> usize {
    const NETWORKS: usize = 300;
    let mut world = World::new();
    let clients: Vec<String> = (0..NETWORKS).map(|it| format!("10.1.{}.1", it % 256)).collect();
    let clients: Vec<String> = clients
        .into_iter()
        .enumerate()
        .map(|(idx, it)| if idx < 256 { it } else { format!("10.2.{}.1", idx - 256) })
        .collect();
    // Knuth's MMIX; its upper bits are good enough for noise.
    let mut bits = seed;
    let mut noise = || {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f64::from(u32::try_from(bits >> 33).unwrap()) / f64::from(1_u32 << 31) * 0.4
    };
    let mut homes = vec!["b"; NETWORKS];
    let mut has_moved = vec![false; NETWORKS];
    let rounds = Duration::from_hours(24).as_secs() / every.as_secs();
    for _ in 0..rounds {
        world.wait(every);
        for client in &clients {
            for region in ["a", "b"] {
                world.took(client, region, 50.0 * (0.8 + noise()), 1);
            }
        }
        world.publish();
        for (idx, client) in clients.iter().enumerate() {
            let now = home(&world, client);
            has_moved[idx] |= now != homes[idx];
            homes[idx] = now;
        }
    }
    has_moved.iter().filter(|it| **it).count()
}

#[test]
fn noise_moves_nobody() {
    for (seed, every) in [(1, 120), (2, 240)] {
        let movers = movers(seed, Duration::from_secs(every));
        assert!(movers < 3, "{movers} of 300 moved, with a sample every {every} s");
    }
}
