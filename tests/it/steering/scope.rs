//! The scope of an answer: the widest prefix within which every client gets the same.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use evenkeel::{
    compile::geoip::embedded,
    dice::Roll,
    geo::{Address, Bounds, Geo, Prefix, Ranges, Unwrapped, rtt_estimate_ms, unwrapped, wrappers},
    limits::{STICKY_V4_LEN, STICKY_V6_LEN},
    state::Change,
    steer::{By, Class, ClassId, Decision, Measured, Outcome, Outlook, Policy, Serves},
    wire::{Family, Rtype},
};

use super::{
    random,
    world::{World, below, conditions, percent},
};

/// One random name in a random world.
struct Trial {
    world: World,
    geo: Arc<Geo>,
    measured: Arc<Measured>,
    policy: Policy,
}

impl Trial {
    fn new(roll: &mut Roll, geo: Arc<Geo>) -> Self {
        let policy = random::policy(roll);
        let measured = Arc::new(random::measured(roll));
        let mut world = World::new(&geo, vec![policy.clone()]);
        world.state.apply(Change::Measured(Arc::clone(&measured)));
        let verdicts = roll.bits();
        let mostly_up = percent(roll, 50);
        world.set_all(0, |pool, endpoint| {
            mostly_up && pool != 0 || verdicts >> (4 * pool + endpoint) & 1 != 0
        });
        world.renew();
        Self { world, geo, measured, policy }
    }

    /// What a client gets, found without any line but those that places and measurements came on.
    fn model(&self, client: IpAddr, family: Family) -> Decision {
        let place = self.geo.locate(client).place;
        let address = match unwrapped(client) {
            Unwrapped::V4 { address, .. } => IpAddr::V4(Ipv4Addr::from_bits(address)),
            Unwrapped::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address)),
        };
        let serves = self.policy.pools.iter().flat_map(|pool| &pool.serves);
        let prefixes = serves.filter_map(|it| match it {
            Serves::Prefix(prefix) => Some(*prefix),
            _ => None,
        });
        let around: Vec<Prefix> = prefixes.filter(|it| it.holds(&address.into())).collect();
        let network = self.measured.network(client);
        let pools = self.policy.pools.iter();
        let costs = pools.map(|pool| {
            let km = place.at.zip(pool.at).map(|(from, to)| from.distance_km(&to));
            let region = pool.region.as_deref();
            let rtt = region.and_then(|it| self.measured.rtt_ms(network, place, it));
            let cost = match self.policy.by {
                By::Weight => None,
                By::Distance => km,
                By::Latency => rtt.or(km.map(rtt_estimate_ms)),
            };
            cost.unwrap_or(f32::INFINITY)
        });
        let costs: Vec<f32> = costs.collect();
        let class = Class::of(&self.policy, place, &around, &costs);
        let conditions = conditions(&self.world.steered(0), family);
        evenkeel::steer::choose(&self.policy, &class, &conditions, family, None).decision
    }

    fn check(&mut self, roll: &mut Roll, n_clients: usize) {
        for turn in 0..n_clients {
            let client = random::client(roll, &self.geo, &self.policy);
            let family = if turn % 4 == 0 { Family::V6 } else { Family::V4 };
            self.check_client(roll, client, family);
            if turn % 16 == 0 {
                self.check_packet(roll, client);
            }
        }
    }

    fn check_client(&self, roll: &mut Roll, client: IpAddr, family: Family) {
        let steered = self.world.steered(0);
        let outlook = &steered.family(family).unwrap().outlook;
        let (decision, scope_len) = outlook.look(client);
        assert_eq!(*decision, self.model(client, family), "{client} {:#?}", self.policy);
        let scope = Prefix::around(client, scope_len);
        for turn in 0..16 {
            let other = inside(roll, &scope);
            assert_eq!(outlook.look(other).0, decision, "{other} in {scope}");
            if turn == 0 {
                assert_eq!(self.model(other, family), *decision, "{other} in {scope}");
            }
        }
        if 0 < scope_len {
            self.check_wider(outlook, decision, &Prefix::around(client, scope_len - 1));
        }
    }

    /// Somebody in the prefix gets something else.
    fn check_wider(&self, outlook: &Outlook, decision: &Decision, wider: &Prefix) {
        // Each decision is there once.
        let differs = |class: ClassId| !std::ptr::eq(outlook.of_class(class), decision);
        let view = &self.world.steered(0).view;
        let found = match wider.unwrapped().bounds() {
            Bounds::V4(run) => has(view.v4(), run.first, run.last, differs),
            Bounds::V6(run) => {
                let inner = wrappers().filter(|it| run.first <= it.first && it.last <= run.last);
                let inner: Vec<_> = inner.collect();
                let mut next = run.first;
                let apart = inner.iter().any(|block| {
                    let from = std::mem::replace(&mut next, block.last + 1);
                    has(view.v6(), from, block.first - 1, differs)
                });
                apart
                    || has(view.v6(), next, run.last, differs)
                    || !inner.is_empty() && has(view.v4(), 0, u32::MAX, differs)
            }
        };
        assert!(found, "nobody in {wider} gets anything but {decision:?}");
    }

    /// A packet gets what the outlook says, and its scope.
    fn check_packet(&mut self, roll: &mut Roll, client: IpAddr) {
        let len_max = if client.is_ipv4() { 32 } else { 128 };
        let subnet = Prefix::around(client, 1 + u8::try_from(below(roll, len_max)).unwrap());
        let steered = self.world.steered(0);
        let outlook = &steered.family(Family::V4).unwrap().outlook;
        let (address, is_named) = if self.geo.is_usable(&subnet) {
            (subnet.address(), true)
        } else {
            ("127.0.0.1".parse().unwrap(), false)
        };
        let (decision, scope_len) = outlook.look(address);
        let told = self.world.ask(0, Rtype::A, Some(subnet));
        let mut expect = if is_named { scope_len } else { 0 };
        match &decision.outcome {
            Outcome::Draw(candidates) => {
                let pool = candidates.pools.iter().find(|pool| {
                    let data: Vec<&[u8]> = pool.members.iter().map(|it| &*it.rdata).collect();
                    let octets = |it: &IpAddr| match it {
                        IpAddr::V4(it) => it.octets(),
                        IpAddr::V6(_) => panic!("an A record"),
                    };
                    told.addresses.iter().all(|it| data.contains(&&octets(it)[..]))
                });
                assert!(pool.is_some() && !told.addresses.is_empty(), "{told:?} of {decision:?}");
                if candidates.sticky && is_named {
                    expect = expect.max(sticky_len(address));
                }
            }
            Outcome::NoData => assert_eq!((told.rcode, told.addresses.len()), (0, 0)),
            _ => assert_eq!((told.rcode, told.addresses.len()), (2, 0)),
        }
        assert_eq!(told.scope, Some(expect), "{subnet} {decision:?}");
    }
}

fn sticky_len(address: IpAddr) -> u8 {
    match unwrapped(address) {
        Unwrapped::V4 { before, .. } => before + STICKY_V4_LEN,
        Unwrapped::V6(_) => STICKY_V6_LEN,
    }
}

/// Whether a run between two addresses is such.
fn has<A: Address>(
    line: &Ranges<A, ClassId>,
    first: A,
    last: A,
    is_such: impl Fn(ClassId) -> bool,
) -> bool {
    let mut at = Some(first);
    while let Some(address) = at.filter(|it| *it <= last) {
        let (class, run) = line.get(address);
        if is_such(class) {
            return true;
        }
        at = run.last.after();
    }
    false
}

fn inside(roll: &mut Roll, prefix: &Prefix) -> IpAddr {
    match prefix.address() {
        IpAddr::V4(it) => {
            let host = u32::MAX.checked_shr(u32::from(prefix.length())).unwrap_or(0);
            let bits = u32::try_from(roll.bits() >> 32).unwrap();
            Ipv4Addr::from_bits(it.to_bits() | bits & host).into()
        }
        IpAddr::V6(it) => {
            let host = u128::MAX.checked_shr(u32::from(prefix.length())).unwrap_or(0);
            let bits = u128::from(roll.bits()) << 64 | u128::from(roll.bits());
            Ipv6Addr::from_bits(it.to_bits() | bits & host).into()
        }
    }
}

#[test]
fn the_scope_is_the_widest_that_is_true_in_generated_worlds() {
    for seed in 0..190 {
        let mut roll = Roll(seed);
        let geo = Arc::new(random::geo(&mut roll));
        Trial::new(&mut roll, geo).check(&mut roll, 500);
    }
}

#[test]
fn the_scope_is_the_widest_that_is_true_of_the_countries() {
    let geo = Arc::new(embedded());
    for seed in 1000..1005 {
        let mut roll = Roll(seed);
        Trial::new(&mut roll, Arc::clone(&geo)).check(&mut roll, 1000);
    }
}
