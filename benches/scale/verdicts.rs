//! How long a change of a verdict takes to be served with 100,000 steered names.
//!
//! ```text
//!   Probed -> State::apply -> State::snapshot -> Publisher::publish
//! ```
//!
//! From the report of a probe to the snapshot that packets are answered from; not the pause that
//! collects changes (`PUBLISH_PAUSE`), which comes on top. And the same of measured round trips.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::millis;
use evenkeel::{
    clock,
    compile::{Plan, PlannedName, PlannedZone, Settings, geoip::embedded},
    geo::{Coordinates, Geo},
    health::{self, Kind, ProbeSpec, Report, Status, Told, Tree, Verdict},
    ids::{ProbeId, SteeredId},
    limits::{LATENCY_NETWORKS_MAX, LATENCY_PUBLISH_PAUSE},
    state::{Change, Note, Overrides, Pattern, Publisher, State, Word, latency::Sample},
    steer::{By, Endpoint, Load, Measured, Policy, Pool, Ramp, Target, View},
    wire::{Name, Rtype},
    zone::Builder,
};

const NAMES: usize = 100_000;

const CHANGES: usize = 21;

pub(super) fn run() {
    let geo = Arc::new(embedded());
    println!("{NAMES} steered names; milliseconds until a change is served, median and worst");
    let nothing = Overrides::default();
    let own = |name: usize| (name, Policy::of(20, 5, pools(name, 0)));
    verdicts("one of them rests on the probe", plan(&geo, NAMES, own), &nothing);
    let shared = |_: usize| (0, Policy::of(20, 5, pools(0, 0)));
    verdicts("all rest on it, and have one policy", plan(&geo, NAMES, shared), &nothing);
    for (target, what) in [
        ("east", "and an override means a region"),
        ("n1*", "and an override means a tenth of the names"),
    ] {
        let mut said = Overrides::default();
        let target = Pattern::new(target).expect("a pattern");
        let (reason, author) = (String::new(), String::new());
        let note = Note { reason, author, since: SystemTime::UNIX_EPOCH, until: None };
        said.add(target, Word::Up, note);
        verdicts(what, plan(&geo, NAMES, shared), &said);
    }
    let ramped = |_: usize| {
        let mut pools = pools(0, 0);
        pools[0].ramp = Some(Ramp { steps: [5, 100].into(), every: Duration::from_mins(1) });
        (0, Policy::of(20, 5, pools))
    };
    verdicts("and the pool has a ramp", plan(&geo, NAMES, ramped), &nothing);
    let distant = |name: usize| {
        let policy = Policy::of(20, 5, pools(0, name % 100));
        (0, Policy { by: By::Distance, ..policy })
    };
    verdicts("all rest on it, 100 policies by distance", plan(&geo, NAMES, distant), &nothing);
    spilling(&geo);
    latencies(&geo);
}

/// A thousand names with a demand of their own, each in four regions that are the nearest to some
/// clients; the one that the probe is about is lost, and what the others cannot take spills.
fn spilling(geo: &Arc<Geo>) {
    const NAMES: usize = 1000;
    const AT: [(&str, f32, f32); 4] =
        [("us", 39.0, -77.0), ("eu", 50.0, 8.0), ("ap", 35.7, 139.7), ("sa", -23.5, -46.6)];
    let pools = |number: usize| {
        let pool = |(idx, (region, lat, lon)): (u8, (&str, f32, f32))| {
            let [.., high, low] = number.to_be_bytes();
            let address = IpAddr::from(Ipv4Addr::new(20 + idx, 0, high, low));
            let endpoint = Endpoint { target: Target::Address(address), weight: 1, label: None };
            let at = Coordinates::new(lat, lon);
            Pool { region: Some(region.into()), at, ..Pool::of(region, Box::new([endpoint])) }
        };
        (0..).zip(AT).map(pool).collect()
    };
    #[allow(clippy::cast_precision_loss)] // A thousand.
    let policy = |number: usize| Policy {
        by: By::Distance,
        demand: Load::new(1.0 + number as f64 / 1e4),
        ..Policy::of(20, 5, pools(number))
    };
    let classes = View::new(&policy(0), geo, &Measured::default()).classes().len();
    let mut plan = plan(geo, NAMES, |number| (0, policy(number)));
    plan.capacities = AT.iter().map(|(region, ..)| ((*region).into(), 400.0)).collect();
    verdicts(
        &format!("{NAMES} with a demand, {classes} classes each, and regions are full"),
        plan,
        &Overrides::default(),
    );
}

/// Two pools, each of one address; `turn` moves where the second is.
fn pools(number: usize, turn: usize) -> Box<[Pool]> {
    let address = |net: u32| {
        let number = u32::try_from(number).expect("there are few names");
        IpAddr::from(Ipv4Addr::from_bits((net << 24) + number))
    };
    let pool = |region: &str, net: u32, at: Coordinates| Pool {
        region: Some(region.into()),
        at: Some(at),
        ..Pool::of(
            region,
            Box::new([Endpoint { target: Target::Address(address(net)), weight: 1, label: None }]),
        )
    };
    #[allow(clippy::cast_precision_loss)] // Less than a hundred.
    let east = Coordinates::new(50.0, 8.0 + turn as f32).expect("a point of the globe");
    let west = Coordinates::new(39.0, -77.0).expect("a point of the globe");
    Box::new([pool("west", 20, west), pool("east", 21, east)])
}

fn spec(number: usize) -> Arc<ProbeSpec> {
    Arc::new(ProbeSpec {
        target: health::Target::Host(number.to_string().into()),
        port: 80,
        kind: Kind::Tcp(health::Tcp::default()),
        invert: false,
        flap: None,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        fall: 3,
        rise: 2,
    })
}

/// Names whose first pool rests on the probe that `of` numbers.
fn plan(geo: &Arc<Geo>, names: usize, of: impl Fn(usize) -> (usize, Policy)) -> Plan {
    let apex = Name::parse("example.com.", None).expect("a name");
    let mut builder = Builder::new(apex.clone());
    builder.record(&apex, Rtype::SOA, 300, &[0; 22]);
    let mut n_probes = 0;
    let mut policies: HashSet<Arc<Policy>> = HashSet::new();
    let name = |idx: usize| {
        let owner = Name::parse(&format!("n{idx}"), Some(&apex)).expect("a name");
        builder.steer(&owner, SteeredId::at(idx), false);
        let (probe, policy) = of(idx);
        n_probes = n_probes.max(probe + 1);
        let first = vec![Tree::Probe(ProbeId::at(probe))];
        let others = || vec![Tree::All(Box::default())];
        let probes = [first].into_iter().chain(std::iter::repeat_with(others));
        let probes = probes.take(policy.pools.len()).collect();
        // Names that differ in nothing have one policy, as `compile` sees to it.
        let policy = policies.get(&policy).cloned().unwrap_or_else(|| Arc::new(policy));
        policies.insert(Arc::clone(&policy));
        PlannedName { owner, policy, probes }
    };
    let steered = (0..names).map(name).collect();
    Plan {
        settings: Settings::default(),
        zones: vec![PlannedZone { zone: Arc::new(builder.finish()), steered }.into()],
        geo: Arc::clone(geo),
        probes: (0..n_probes).map(spec).collect(),
        checks: Vec::new(),
        regions: Vec::new(),
        places: std::collections::HashMap::new(),
        capacities: std::collections::HashMap::new(),
    }
}

fn verdicts(what: &str, plan: Plan, said: &Overrides) {
    let (mut state, effects) = State::begin(plan);
    let probes = effects.probes.expect("a new state says what is to be probed");
    state.apply(Change::Said(said.clone()));
    state.apply(Change::WarmedUp);
    let (first, start) = timed(|| state.snapshot(clock::wall()).expect("the first is new"));
    let mut publisher = Publisher::new(first);
    let times = (0..CHANGES).map(|turn| {
        let verdict = if turn % 2 == 0 { Verdict::Down } else { Verdict::Up };
        let status = Status { verdict, shaky: false };
        let outcome = health::Outcome::Failed(health::Why::Status(500));
        let report = Report {
            spec: Arc::clone(&probes[0]),
            status,
            outcome,
            told: Told::default(),
            took: Duration::ZERO,
            at: clock::wall(),
        };
        let (is_new, took) = timed(|| {
            state.apply(Change::Probed(report));
            let snapshot = state.snapshot(clock::wall());
            drop(state.take_turns());
            let is_new = snapshot.is_some();
            if let Some(snapshot) = snapshot {
                publisher.publish(snapshot);
            }
            is_new
        });
        assert!(is_new || verdict == Verdict::Up);
        took
    });
    say(what, times.collect());
    println!("{:>10} ms for the first snapshot", millis(start));
}

/// What full tables of round trips cost the control loop.
fn latencies(geo: &Arc<Geo>) {
    let by_latency = |name: usize| {
        let policy = Policy::of(20, 5, pools(0, name % 100));
        (0, Policy { by: By::Latency, ..policy })
    };
    let (mut state, _) = State::begin(plan(geo, NAMES, by_latency));
    state.apply(Change::WarmedUp);
    let mut publisher = Publisher::new(state.snapshot(clock::wall()).expect("the first is new"));
    let mut now = clock::now();
    let (mut taken, mut looked, mut served) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..3_u32 {
        let samples = (0..u32::try_from(LATENCY_NETWORKS_MAX).expect("a small number")).map(|it| {
            let client = Ipv4Addr::from_bits(0x5000_0000 + (it << 8)).to_string();
            let ms = f64::from(20 + 100 * ((it + turn) % 2));
            let region = if it % 3 == 0 { "east" } else { "west" };
            Sample::new(&client, region, ms, 100).expect("a sample")
        });
        let samples: Vec<Sample> = samples.collect();
        let ((), took) = timed(|| {
            for sample in &samples {
                state.sample(sample, now).expect("it is known");
            }
        });
        taken.push(took);
        now += LATENCY_PUBLISH_PAUSE;
        let (change, took) = timed(|| state.measure(now).expect("it is new"));
        looked.push(took);
        let ((), took) = timed(|| {
            state.apply(change);
            state.snapshot(clock::wall()).into_iter().for_each(|it| publisher.publish(it));
        });
        served.push(took);
    }
    say("100,000 samples taken in", taken);
    say("100,000 networks looked through", looked);
    say("and served, 100 policies by latency", served);
}

fn say(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{:>10} {:>10}   {what}", millis(median), millis(worst));
}

fn timed<T>(f: impl FnOnce() -> T) -> (T, Duration) {
    let start = clock::now();
    let value = f();
    (value, clock::now() - start)
}
