//! A state made of policies instead of files, and packets that ask it.
//!
//! *Not here:* what is expected (each test).

use std::{net::IpAddr, sync::Arc, time::Duration};

use evenkeel::{
    clock,
    compile::{Plan, PlannedName, PlannedZone, Settings},
    counters::Counters,
    dice::Roll,
    geo::{Geo, Prefix},
    health::{self, Kind, ProbeSpec, Report, Status, Tcp, Tree, Verdict},
    ids::{ProbeId, SteeredId},
    serve::{Client, Engine},
    snapshot::{Snapshot, Steered},
    state::{Change, State},
    steer::{Condition, Endpoint, Policy, Pool, Target},
    wire::{Name, Rtype, Transport},
    zone::Builder,
};
use hickory_proto::{
    op::Message,
    rr::{
        RData,
        rdata::opt::{EdnsCode, EdnsOption},
    },
};

/// Names `n0`, `n1`, ... of `example.com`, each with a policy. Every endpoint has a probe of its own.
pub(super) struct World {
    pub(super) state: State,
    pub(super) snapshot: Snapshot,
    /// By name, pool and endpoint.
    probes: Vec<Vec<Vec<Arc<ProbeSpec>>>>,
    engine: Engine,
    counters: Counters,
}

/// What a packet was told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Told {
    pub(super) rcode: u16,
    pub(super) addresses: Vec<IpAddr>,
    /// Of the ECS option, if there was one.
    pub(super) scope: Option<u8>,
}

impl World {
    /// All endpoints are up.
    pub(super) fn new(geo: &Arc<Geo>, policies: Vec<Policy>) -> Self {
        let apex = Name::parse("example.com.", None).unwrap();
        let mut builder = Builder::new(apex.clone());
        builder.record(&apex, Rtype::SOA, 300, &[0; 22]);
        let (mut specs, mut steered) = (Vec::new(), Vec::new());
        for (idx, policy) in policies.into_iter().enumerate() {
            let owner = Name::parse(&format!("n{idx}"), Some(&apex)).unwrap();
            builder.steer(&owner, SteeredId::at(idx), false);
            let mut probe = || {
                specs.push(spec(specs.len()));
                Tree::Probe(ProbeId::at(specs.len() - 1))
            };
            let pools = policy.pools.iter();
            let probes = pools.map(|it| it.endpoints.iter().map(|_| probe()).collect()).collect();
            steered.push(PlannedName { owner, policy: Arc::new(policy), probes });
        }
        let of = |name: &PlannedName| -> Vec<Vec<Arc<ProbeSpec>>> {
            let of = |trees: &Vec<Tree>| {
                let mut of = Vec::new();
                let mut add = |id: ProbeId| of.push(Arc::clone(&specs[id.idx()]));
                for tree in trees {
                    tree.for_each_probe(&mut add);
                }
                of
            };
            name.probes.iter().map(of).collect()
        };
        let probes = steered.iter().map(of).collect();
        let plan = Plan {
            settings: Settings::default(),
            zones: vec![PlannedZone { zone: Arc::new(builder.finish()), steered }.into()],
            geo: Arc::clone(geo),
            regions: Vec::new(),
            places: std::collections::HashMap::new(),
            capacities: std::collections::HashMap::new(),
            checks: specs.iter().map(|_| "web".into()).collect(),
            probes: specs,
        };
        let (mut state, _) = State::begin(plan);
        let snapshot = state.snapshot(clock::wall()).unwrap();
        let (engine, counters) = (Engine::default(), Counters::default());
        let mut world = Self { state, snapshot, probes, engine, counters };
        for name in 0..world.probes.len() {
            world.set_all(name, |_, _| true);
        }
        world.renew();
        world
    }

    /// Makes every endpoint of a name up or down.
    pub(super) fn set_all(&mut self, name: usize, is_up: impl Fn(usize, usize) -> bool) {
        let pools = self.probes[name].clone();
        for (pool, endpoints) in pools.iter().enumerate() {
            for (endpoint, spec) in endpoints.iter().enumerate() {
                let verdict = if is_up(pool, endpoint) { Verdict::Up } else { Verdict::Down };
                let status = Status { verdict, shaky: false };
                let outcome = health::Outcome::Failed(health::Why::Status(500));
                let report = Report {
                    spec: Arc::clone(spec),
                    status,
                    outcome,
                    told: health::Told::default(),
                    took: Duration::ZERO,
                    at: clock::wall(),
                };
                self.state.apply(Change::Probed(report));
            }
        }
    }

    /// Takes the snapshot that follows.
    pub(super) fn renew(&mut self) {
        if let Some(snapshot) = self.state.snapshot(clock::wall()) {
            self.snapshot = snapshot;
        }
    }

    pub(super) fn steered(&self, name: usize) -> Arc<Steered> {
        Arc::clone(&self.snapshot.zones()[0].steered[name])
    }

    /// Asks for the addresses of a name from a client of the loopback network, with or without ECS.
    pub(super) fn ask(&mut self, name: usize, rtype: Rtype, subnet: Option<Prefix>) -> Told {
        self.ask_from("127.0.0.1".parse().unwrap(), name, rtype, subnet)
    }

    pub(super) fn ask_from(
        &mut self,
        address: IpAddr,
        name: usize,
        rtype: Rtype,
        subnet: Option<Prefix>,
    ) -> Told {
        let packet = question(&format!("n{name}"), rtype, subnet);
        let mut reply = [0; 1232];
        let client = Client { address, transport: Transport::Udp };
        let len = self.engine.respond(&self.snapshot, &packet, client, &mut reply, &self.counters);
        let message = Message::from_vec(&reply[..len]).unwrap();
        let address = |data: &RData| match data {
            RData::A(it) => Some(IpAddr::V4(it.0)),
            RData::AAAA(it) => Some(IpAddr::V6(it.0)),
            _ => None,
        };
        let option = message.edns.as_ref().and_then(|it| it.option(EdnsCode::Subnet));
        let scope = option.map(|it| match it {
            EdnsOption::Subnet(it) => it.scope_prefix(),
            other => panic!("{other:?}"),
        });
        Told {
            rcode: u16::from(reply[3] & 0xF),
            addresses: message.answers.iter().filter_map(|it| address(&it.data)).collect(),
            scope,
        }
    }
}

fn spec(number: usize) -> Arc<ProbeSpec> {
    Arc::new(ProbeSpec {
        target: health::Target::Host(format!("h{number}").into()),
        port: 80,
        kind: Kind::Tcp(Tcp::default()),
        invert: false,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(3),
        fall: 3,
        rise: 2,
        flap: None,
    })
}

pub(crate) fn question(label: &str, rtype: Rtype, subnet: Option<Prefix>) -> Vec<u8> {
    let mut packet = b"\0\0\0\0\0\x01\0\0\0\0\0\x01".to_vec();
    for label in [label, "example", "com", ""] {
        packet.push(u8::try_from(label.len()).unwrap());
        packet.extend_from_slice(label.as_bytes());
    }
    packet.extend_from_slice(&rtype.0.to_be_bytes());
    packet.extend_from_slice(b"\0\x01\0\0\x29\x04\xD0\0\0\0\0");
    let option = subnet.map_or(Vec::new(), |it| ecs(&it));
    packet.extend_from_slice(&u16::try_from(option.len()).unwrap().to_be_bytes());
    packet.extend_from_slice(&option);
    packet
}

fn ecs(subnet: &Prefix) -> Vec<u8> {
    let (family, octets) = match subnet.address() {
        IpAddr::V4(it) => (1_u16, it.octets().to_vec()),
        IpAddr::V6(it) => (2, it.octets().to_vec()),
    };
    let octets = &octets[..usize::from(subnet.length().div_ceil(8))];
    let len = u16::try_from(4 + octets.len()).unwrap();
    let head = [8_u16.to_be_bytes(), len.to_be_bytes(), family.to_be_bytes()].concat();
    [&head, &[subnet.length(), 0][..], octets].concat()
}

// ---- Chance ----

pub(super) fn below(roll: &mut Roll, len: usize) -> usize {
    usize::try_from(roll.below(len as u64)).unwrap()
}

pub(super) fn one_of<T: Copy>(roll: &mut Roll, of: &[T]) -> T {
    of[below(roll, of.len())]
}

pub(super) fn percent(roll: &mut Roll, chance: u64) -> bool {
    roll.below(100) < chance
}

// ---- Policies ----

pub(super) fn endpoint(address: &str) -> Endpoint {
    Endpoint { target: Target::Address(address.parse().unwrap()), weight: 1, label: None }
}

/// A pool in the region of its name, with the endpoint `192.0.2.<number>` and `2001:db8::<number>`.
pub(super) fn pool(name: &str, number: usize) -> Pool {
    let v4 = endpoint(&format!("192.0.2.{number}"));
    let v6 = endpoint(&format!("2001:db8::{number}"));
    Pool { region: Some(name.into()), ..Pool::of(name, Box::new([v4, v6])) }
}

/// The conditions of a name for one family, as they are in the snapshot.
pub(super) fn conditions(steered: &Steered, family: evenkeel::wire::Family) -> Vec<Vec<Condition>> {
    steered.family(family).unwrap().conditions.to_vec()
}
