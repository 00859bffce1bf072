//! Explanations are what packets get: for many worlds, verdicts and clients, both are asked.
//!
//! *Not here:* how an explanation is worded (`api`).

mod words;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use evenkeel::{
    compile::{Plan, PlannedName, PlannedZone, Settings},
    counters::Counters,
    dice::Roll,
    explain::{Answer, Candidate, Explanation, Nested, Question, explain},
    geo::{Country, Networks, Place, Prefix},
    health::{self, Kind, Outcome, ProbeSpec, Report, Status, Tcp, Told, Tree, Verdict},
    ids::{ProbeId, SteeredId},
    limits::UDP_REPLY_LEN_MAX,
    serve::{Client, Engine},
    snapshot::Snapshot,
    state::{Change, State},
    steer::{AllDown, By, Endpoint, Footing, Policy, Pool, Serves, Slack, Target},
    wire::{Family, Folded, Name, Rtype, Transport},
    zone::{Builder, Found},
};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::{
        RData,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};

const WORLDS: u64 = 50;
const ROUNDS: usize = 4;
const CLIENTS: usize = 50;
/// Draws per client: a candidate of two in five stays away from all once in a thousand million.
const DRAWS: usize = 40;
const NAMES: usize = 8;
const REGIONS: [&str; 4] = ["us", "eu", "ap", "sa"];
const COUNTRIES: [&str; 4] = ["US", "DE", "JP", "BR"];

#[test]
fn explain_and_packets_agree() {
    let mut triples = 0;
    for seed in 0..WORLDS {
        let mut world = World::new(seed);
        for _ in 0..ROUNDS {
            world.fail_some();
            for _ in 0..CLIENTS {
                let (name, subnet) = (world.any_name(), world.any_subnet());
                world.compare(&name, subnet, Rtype::A);
                triples += 1;
            }
            world.compare_what_if();
        }
    }
    assert!(10_000 <= triples, "{triples}");
}

#[test]
fn an_explanation_in_txt() {
    let mut world = World::new(7);
    let name = |text: &str| Name::parse(text, None).unwrap();
    let asker = IpAddr::from([192, 0, 2, 7]);
    let ask = |world: &mut World, text: &str, rtype: Rtype, asker: IpAddr, transport| {
        let packet = question(&name(text), rtype, "20.1.2.0/24".parse().unwrap());
        let mut reply = vec![0; 65_535];
        let client = Client { address: asker, transport };
        let mut engine = Engine::default();
        let len =
            engine.respond(&world.snapshot, &packet, client, &mut reply, &Counters::default());
        Message::from_vec(&reply[..len]).unwrap()
    };
    let tcp = Transport::Tcp;
    let texts = |message: &Message| -> Vec<String> {
        let text = |it: &RData| match it {
            RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data[0]).into_owned(),
            other => panic!("{other}"),
        };
        message.answers.iter().map(|it| text(&it.data)).collect()
    };

    let denied = ask(&mut world, "explain.n0.example.com.", Rtype::TXT, asker, tcp);
    assert_eq!(denied.metadata.response_code, ResponseCode::NXDomain, "nobody may ask");
    world.snapshot.explain_from = Arc::new(["192.0.2.0/24".parse().unwrap()]);
    let told = ask(&mut world, "explain.n0.example.com.", Rtype::TXT, asker, tcp);
    let lines = texts(&told);
    assert!(told.metadata.authoritative);
    assert!(told.answers.iter().all(|it| it.ttl == 0));
    assert_eq!(lines.len(), 12, "{lines:#?}");
    assert!(lines[0].starts_with("n0.example.com. A for 20.1.2.0"), "{}", lines[0]);
    let words = ["place", "match", "available", "tier", "near", "spill", "pick", "answer"];
    for (word, line) in words.into_iter().chain(["footing", "ttl", "scope"]).zip(&lines[1..]) {
        assert!(line.starts_with(&format!("{word}: ")), "{line}");
    }
    // From a wrapped address as well; the answer that is too long is asked for over TCP.
    let mapped = "::ffff:192.0.2.7".parse().unwrap();
    let cut = ask(&mut world, "explain.n0.example.com.", Rtype::TXT, mapped, Transport::Udp);
    assert!(cut.metadata.truncation || cut.answers.len() == lines.len());
    // Others get what the zone says, and so does who asks for something else.
    let check = |world: &mut World, text, rtype, asker, expect| {
        let code = ask(world, text, rtype, asker, tcp).metadata.response_code;
        assert_eq!(code, expect, "{text} {rtype} {asker}");
    };
    let other = IpAddr::from([198, 51, 100, 7]);
    check(&mut world, "explain.n0.example.com.", Rtype::TXT, other, ResponseCode::NXDomain);
    check(&mut world, "explain.n0.example.com.", Rtype::A, asker, ResponseCode::NXDomain);
    check(&mut world, "explain.fixed.example.com.", Rtype::TXT, asker, ResponseCode::NXDomain);
    check(&mut world, "explain.none.example.com.", Rtype::TXT, asker, ResponseCode::NXDomain);
    let six_to_four = "2002:c000:0207::1".parse().unwrap();
    check(&mut world, "explain.n0.example.com.", Rtype::TXT, six_to_four, ResponseCode::NXDomain);
    let own = ask(&mut world, "explain.n1.example.com.", Rtype::TXT, asker, tcp);
    assert_eq!(texts(&own), ["own"], "a name of the zone wins");
}

/// A plan of random policies, and what is known of its endpoints.
struct World {
    roll: Roll,
    state: State,
    probes: Vec<Arc<ProbeSpec>>,
    regions: Vec<&'static str>,
    snapshot: Snapshot,
    engine: Engine,
    counters: Counters,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut roll = Roll(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut plan = Plan {
            settings: Settings::default(),
            zones: Vec::new(),
            geo: geo(&mut roll).into(),
            regions: Vec::new(),
            places: std::collections::HashMap::new(),
            capacities: std::collections::HashMap::new(),
            probes: Vec::new(),
            checks: Vec::new(),
        };
        let apex = Name::parse("example.com.", None).unwrap();
        let mut builder = Builder::new(apex.clone());
        builder.record(&apex, Rtype::SOA, 300, &[0; 22]);
        let at = |label: &str| Name::parse(label, Some(&apex)).unwrap();
        builder.record(&at("fixed"), Rtype::A, 3, &[192, 0, 2, 200]);
        builder.record(&at("explain.n1"), Rtype::TXT, 60, b"\x03own");
        let mut steered = Vec::new();
        let mut regions = Vec::new();
        for idx in 0..NAMES {
            let owner = at(&format!("n{idx}"));
            builder.steer(&owner, SteeredId::at(idx), false);
            let policy = policy(&mut roll, idx, &apex);
            let mut probes = Vec::new();
            for pool in &policy.pools {
                let mut its: Vec<Tree> = Vec::new();
                for endpoint in &pool.endpoints {
                    let Target::Address(address) = endpoint.target else {
                        its.push(Tree::nothing());
                        continue;
                    };
                    its.push(Tree::Probe(ProbeId::at(plan.probes.len())));
                    plan.probes.push(Arc::new(spec(address)));
                    plan.checks.push("web".into());
                    let region = pool.region.as_deref();
                    regions.push(*REGIONS.iter().find(|it| Some(**it) == region).unwrap());
                }
                probes.push(its);
            }
            steered.push(PlannedName { owner, policy: Arc::new(policy), probes });
        }
        plan.zones.push(PlannedZone { zone: Arc::new(builder.finish()), steered }.into());
        let (mut state, effects) = State::begin(plan);
        state.apply(Change::WarmedUp);
        let snapshot = state.snapshot(UNIX_EPOCH).unwrap();
        let probes = effects.probes.unwrap();
        let (engine, counters) = (Engine::default(), Counters::default());
        Self { roll, state, probes, regions, snapshot, engine, counters }
    }

    fn any_name(&mut self) -> Name {
        let idx = self.roll.below(NAMES as u64);
        Name::parse(&format!("n{idx}.example.com."), None).unwrap()
    }

    fn any_subnet(&mut self) -> Prefix {
        let octets = self.roll.bits().to_be_bytes();
        let v4 = IpAddr::from([20, octets[0] % 4, octets[1], octets[2]]);
        let v6 = Ipv6Addr::from_bits(0x2600 << 112 | u128::from(self.roll.bits()) << 48);
        match octets[3] % 4 {
            0 => Prefix::around(v4, 32),
            1 => Prefix::around(v6.into(), 56),
            _ => Prefix::around(v4, 24),
        }
    }

    /// Gives each probe something to say, down for the most part in one round of four.
    fn fail_some(&mut self) {
        let share = [5, 5, 20, 90][usize::try_from(self.roll.below(4)).unwrap()];
        for idx in 0..self.probes.len() {
            let status = match self.roll.below(100) {
                it if it < share => Status { verdict: Verdict::Down, shaky: false },
                it if it < share + 8 => Status { verdict: Verdict::Up, shaky: true },
                _ => Status { verdict: Verdict::Up, shaky: false },
            };
            self.report(idx, status);
        }
        self.publish();
    }

    fn report(&mut self, idx: usize, status: Status) {
        let spec = self.probes[idx].clone();
        let report = Report {
            spec,
            status,
            outcome: Outcome::Good,
            told: Told::default(),
            took: Duration::ZERO,
            at: UNIX_EPOCH,
        };
        self.state.apply(Change::Probed(report));
    }

    fn publish(&mut self) {
        if let Some(snapshot) = self.state.snapshot(UNIX_EPOCH) {
            self.snapshot = snapshot;
        }
    }

    fn explain(&self, name: &Name, subnet: Prefix, qtype: Rtype, down: &[Box<str>]) -> Explanation {
        let client = [198, 51, 100, 1].into();
        let question = Question { name, qtype, subnet: Some(subnet), client, down };
        explain(&self.snapshot, &question).unwrap()
    }

    /// Explains, asks, and compares.
    fn compare(&mut self, name: &Name, subnet: Prefix, qtype: Rtype) {
        let told = self.explain(name, subnet, qtype, &[]);
        let expected = addresses(&told);
        let what = format!("{name} {subnet} {told:#?}");
        let mut seen: BTreeMap<Ipv4Addr, u32> = BTreeMap::new();
        let mut scopes = Vec::new();
        let packet = question(name, qtype, subnet);
        for _ in 0..DRAWS {
            let reply = self.ask(&packet);
            let code = match told.result {
                Answer::Records | Answer::NoData => ResponseCode::NoError,
                Answer::Unreachable | Answer::NotReady => ResponseCode::ServFail,
            };
            assert_eq!(reply.metadata.response_code, code, "{what}");
            scopes.push(scope(&reply));
            let ttls = reply.answers.iter().map(|it| (address(&it.data), it.ttl));
            for (address, ttl) in ttls.clone() {
                assert!((told.ttl..=told.ttl_max).contains(&ttl), "{ttl}: {what}");
                seen.insert(address, ttl);
            }
            // An answer lives as long as the shortest-lived of its endpoints.
            let least = ttls.clone().map(|(address, _)| expected[&address].0).min();
            assert!(ttls.clone().all(|(_, ttl)| Some(ttl) == least), "{what}");
        }
        assert!(seen.keys().all(|it| expected.contains_key(it)), "{seen:?}: {what}");
        for (address, (_, chance)) in &expected {
            assert!(*chance < 0.4 || seen.contains_key(address), "{address}: {what}");
        }
        assert!(scopes.iter().all(|it| *it <= told.scope), "{scopes:?} {what}");
        let nests = told.candidates.iter().any(|it| it.nested.is_some());
        assert!(nests || scopes.iter().all(|it| *it == told.scope), "{scopes:?} {what}");
        assert_eq!(told.result == Answer::Records, !seen.is_empty(), "{what}");
        if !nests {
            assert_eq!(told.footing, self.footing(name, subnet), "{what}");
        }
    }

    /// What the decision rests on that packets draw from.
    fn footing(&self, name: &Name, subnet: Prefix) -> Footing {
        let mut folded = Folded::default();
        folded.fold(name.as_wire()).unwrap();
        let served = self.snapshot.zone(&folded, Rtype::A).unwrap();
        let Found::Steered(id, _) = served.zone.find(&folded, Rtype::A) else { panic!() };
        let now = served.steered[id.idx()].family(Family::V4).unwrap();
        now.outlook.look(subnet.address()).0.footing
    }

    /// What is said of a region that were down is what is said when it is.
    fn compare_what_if(&mut self) {
        let region = REGIONS[usize::try_from(self.roll.below(4)).unwrap()];
        let cases: Vec<(Name, Prefix)> =
            (0..20).map(|_| (self.any_name(), self.any_subnet())).collect();
        let say = |world: &Self, down: &[Box<str>]| -> Vec<Explanation> {
            let told = cases.iter().map(|(name, net)| world.explain(name, *net, Rtype::A, down));
            told.collect()
        };
        let before = say(self, &[region.into()]);
        for idx in 0..self.probes.len() {
            if self.regions[idx] == region {
                self.report(idx, Status { verdict: Verdict::Down, shaky: false });
            }
        }
        self.publish();
        for (before, after) in before.iter().zip(say(self, &[])) {
            assert_eq!(*before, after);
        }
    }

    fn ask(&mut self, packet: &[u8]) -> Message {
        let mut reply = [0; UDP_REPLY_LEN_MAX];
        let client = Client { address: [198, 51, 100, 1].into(), transport: Transport::Udp };
        let Self { snapshot, engine, counters, .. } = self;
        let len = engine.respond(snapshot, packet, client, &mut reply, counters);
        Message::from_vec(&reply[..len]).unwrap()
    }
}

/// A few networks, each in a country and somewhere.
fn geo(roll: &mut Roll) -> evenkeel::geo::Geo {
    let mut networks = Networks::default();
    for idx in 0_u8..12 {
        let country: Country = COUNTRIES[usize::from(idx) % 4].parse().unwrap();
        let at = ["40,-75", "50,8", "35,139", "-23,-46"][usize::from(idx) % 4].parse().ok();
        let asn = Some(64_500 + u32::from(idx % 3));
        let place = Place { country: Some(country), asn, at, ..Place::NOWHERE };
        let len = 16 + u8::try_from(roll.below(9)).unwrap();
        let octet = u8::try_from(roll.below(256)).unwrap();
        let _ = networks.insert(Prefix::around([20, idx % 4, octet, 0].into(), len), place);
    }
    let v6 = Prefix::around("2600::".parse().unwrap(), 18);
    let place = Place { country: "DE".parse().ok(), at: "50,8".parse().ok(), ..Place::NOWHERE };
    networks.insert(v6, place).unwrap();
    networks.geo()
}

#[allow(clippy::cast_possible_truncation)] // The numbers are small.
fn policy(roll: &mut Roll, idx: usize, apex: &Name) -> Policy {
    let mut below = |it: u64| roll.below(it);
    let by = [By::Weight, By::Weight, By::Distance, By::Latency][below(4) as usize];
    let fence = below(4) == 0;
    let mut pools: Vec<Pool> = Vec::new();
    for (region, country) in (0..=below(3) as usize).map(|it| (it, COUNTRIES[it])) {
        let n_endpoints = 1 + below(3);
        let alias = match below(8) {
            0 if 0 < idx => Some(format!("n{}", below(idx as u64))),
            1 => Some("fixed".to_owned()),
            _ => None,
        };
        let target = |endpoint: u64| match &alias {
            Some(label) => Target::Alias(Name::parse(label, Some(apex)).unwrap()),
            None => Target::Address(IpAddr::from([10, idx as u8, region as u8, endpoint as u8])),
        };
        let count = if alias.is_some() { 1 } else { n_endpoints };
        let endpoints = (0..count).map(|endpoint| Endpoint {
            target: target(endpoint),
            weight: 1 + endpoint as u32,
            label: None,
        });
        let mut pool = Pool::of(REGIONS[region], endpoints.collect());
        // A pool that is another name is where that name's pools are.
        pool.region = alias.is_none().then(|| REGIONS[region].into());
        pool.at = ["40,-75", "50,8", "35,139", "-23,-46"][region].parse().ok();
        pool.weight = below(4) as u32;
        pool.tier = if region == 0 { 1 } else { 1 + (below(4) / 3) as u16 };
        pool.trickle = if 1 < pool.tier && below(2) == 0 { 500 } else { 0 };
        let serves = match below(4) {
            0 => Serves::Country(country.parse().unwrap()),
            1 => Serves::Asn(64_500 + below(3) as u32),
            2 => Serves::Prefix(Prefix::around([20, region as u8, 0, 0].into(), 17)),
            _ => Serves::Any,
        };
        pool.serves = if below(2) == 0 { [serves, Serves::Any].into() } else { [serves].into() };
        pool.fence = fence && !pool.serves.contains(&Serves::Any);
        pools.push(pool);
    }
    // Pools that serve the same are fenced alike.
    for idx in 0..pools.len() {
        let other = pools.iter().position(|it| it.serves[0] == pools[idx].serves[0]);
        pools[idx].fence = pools[other.unwrap()].fence;
    }
    let all_down = match below(4) {
        0 => AllDown::Refuse,
        1 => AllDown::LastGood,
        2 => AllDown::Pool(below(pools.len() as u64) as u16),
        _ => AllDown::ServeAll,
    };
    let slack = [Slack::Absolute(0), Slack::Percent(50)][below(2) as usize];
    Policy {
        answers: 1 + below(4) as u8,
        by,
        slack,
        sticky: below(3) == 0,
        all_down,
        min_up_percent: (below(3) == 0).then_some(60),
        ..Policy::of(20, 5, pools.into())
    }
}

fn spec(address: IpAddr) -> ProbeSpec {
    ProbeSpec {
        target: health::Target::Address(address),
        port: 80,
        kind: Kind::Tcp(Tcp::default()),
        invert: false,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        fall: 3,
        rise: 2,
        flap: None,
    }
}

/// Everything that a client may get, with the seconds it may be kept, and how often it comes first.
fn addresses(told: &Explanation) -> BTreeMap<Ipv4Addr, (u32, f64)> {
    let mut addresses = BTreeMap::new();
    for candidate in told.candidates.iter().filter(|it| 0.0 < it.probability) {
        for (address, ttl, chance) in of_candidate(candidate) {
            let entry = addresses.entry(address).or_insert((ttl, 0.0));
            entry.1 += candidate.probability * chance;
        }
    }
    addresses
}

#[allow(clippy::cast_precision_loss)] // The numbers are small.
fn of_candidate(candidate: &Candidate) -> Vec<(Ipv4Addr, u32, f64)> {
    let own = candidate.endpoints[0].ttl;
    match &candidate.nested {
        None => {
            let sum: u64 = candidate.endpoints.iter().map(|it| it.weight).sum();
            let of = |it: &evenkeel::explain::Endpoint| {
                (it.target.parse().unwrap(), it.ttl, it.weight as f64 / sum as f64)
            };
            candidate.endpoints.iter().map(of).collect()
        }
        Some(Nested::Fixed(ttl)) => vec![(Ipv4Addr::new(192, 0, 2, 200), own.min(*ttl), 1.0)],
        Some(Nested::Nothing) => Vec::new(),
        Some(Nested::Steered(told)) => {
            let all = addresses(told).into_iter();
            all.map(|(address, (ttl, chance))| (address, ttl.min(own), chance)).collect()
        }
    }
}

/// A question with the client's network.
fn question(name: &Name, rtype: Rtype, subnet: Prefix) -> Vec<u8> {
    let mut packet = vec![0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
    packet.extend(name.as_wire());
    packet.extend(rtype.0.to_be_bytes());
    packet.extend([0, 1]);
    let (family, octets) = match subnet.address() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let octets = &octets[..usize::from(subnet.length().div_ceil(8))];
    let len = u8::try_from(octets.len()).unwrap() + 4;
    packet.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, len + 4, 0, 8, 0, len]);
    packet.extend([0, family, subnet.length(), 0]);
    packet.extend(octets);
    packet
}

fn scope(reply: &Message) -> u8 {
    let edns = reply.edns.as_ref().expect("it was sent");
    match edns.option(EdnsCode::Subnet) {
        Some(EdnsOption::Subnet(subnet)) => subnet.scope_prefix(),
        other => panic!("{other:?}"),
    }
}

fn address(data: &RData) -> Ipv4Addr {
    match data {
        RData::A(address) => address.0,
        other => panic!("{other}"),
    }
}
