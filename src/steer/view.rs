//! A policy's view of the world: every address and its class.
//!
//! ```text
//!   Geo       | DE | FR        | US         |     places of addresses
//!   serves    |    192.0.2.0/24 |                 blocks that pools serve
//!   Measured  | n1 | n2 | n1                |     round trips of networks
//!   classes   | 0  |1|2 | 1    | 3          |     laid over each other
//! ```
//!
//! Built when the files, the places or the measurements change, and shared by all policies that see
//! the same.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{By, Class, ClassId, Policy, Pool, Serves, Slack, class};
use crate::geo::{
    Address, Bounds, Coordinates, Country, Geo, Place, PlaceId, Prefix, Ranges, Unwrapped,
    unwrapped,
};

/// Every address and its class.
pub struct View {
    v4: Ranges<u32, ClassId>,
    v6: Ranges<u128, ClassId>,
    classes: Box<[Class]>,
}

/// Round trips that were measured often enough to count, frozen.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// A number per network with measurements of its own; 0: none.
    pub v4: Ranges<u32, u32>,
    /// The same of IPv6.
    pub v6: Ranges<u128, u32>,
    /// By that number less one.
    pub networks: Vec<RegionRtts>,
    /// By ASN and country.
    pub systems: HashMap<(u32, Country), RegionRtts>,
    /// By country.
    pub countries: HashMap<Country, RegionRtts>,
}

/// Milliseconds to regions, by their names.
pub type RegionRtts = HashMap<Box<str>, f32>;

impl Default for Measured {
    /// Nothing.
    fn default() -> Self {
        Self {
            v4: Ranges::uniform(0),
            v6: Ranges::uniform(0),
            networks: Vec::new(),
            systems: HashMap::new(),
            countries: HashMap::new(),
        }
    }
}

impl Measured {
    /// The round trip from a network to a region, at the narrowest level that has it. `network` is
    /// the number on the lines.
    #[must_use]
    pub fn rtt_ms(&self, network: u32, place: &Place, region: &str) -> Option<f32> {
        let network = (network as usize).checked_sub(1).map(|idx| &self.networks[idx]);
        let system = place.asn.zip(place.country).and_then(|key| self.systems.get(&key));
        let country = place.country.and_then(|key| self.countries.get(&key));
        [network, system, country].into_iter().flatten().find_map(|rtts| rtts.get(region).copied())
    }

    /// The number of an address's network.
    #[must_use]
    pub fn network(&self, address: IpAddr) -> u32 {
        match unwrapped(address) {
            Unwrapped::V4 { address, .. } => self.v4.get(address).0,
            Unwrapped::V6(address) => self.v6.get(address).0,
        }
    }
}

/// What a policy's view depends on: policies of equal shape see the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shape {
    by: By,
    slack: Slack,
    pools: Box<[PoolShape]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PoolShape {
    region: Option<Box<str>>,
    at: Option<Coordinates>,
    serves: Box<[Serves]>,
    fence: bool,
}

impl Shape {
    /// Whether measured round trips count.
    #[must_use]
    pub fn counts_latency(&self) -> bool {
        self.by == By::Latency
    }

    /// The shape of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let counts_places = policy.by != By::Weight;
        let pool = |pool: &Pool| PoolShape {
            region: pool.region.clone().filter(|_| counts_places),
            at: pool.at.filter(|_| counts_places),
            serves: pool.serves.clone(),
            fence: pool.fence,
        };
        Self { by: policy.by, slack: policy.slack, pools: policy.pools.iter().map(pool).collect() }
    }
}

impl View {
    /// What a policy sees.
    #[must_use]
    pub fn new(policy: &Policy, geo: &Geo, measured: &Measured) -> Self {
        let serves = || policy.pools.iter().flat_map(|pool| &pool.serves);
        let is_uniform = policy.by == By::Weight && serves().all(|it| *it == Serves::Any);
        if is_uniform {
            let class = Class::of(policy, &Place::NOWHERE, &[], &unknown(policy));
            return Self {
                v4: Ranges::uniform(ClassId(0)),
                v6: Ranges::uniform(ClassId(0)),
                classes: Box::new([class]),
            };
        }
        let blocks = Blocks::of(policy);
        let mut classes = Classes {
            policy,
            geo,
            measured,
            blocks: &blocks,
            list: Vec::new(),
            by_class: HashMap::new(),
            by_spot: HashMap::new(),
        };
        let v4 = classes.line(&geo.v4, &blocks.v4, &measured.v4);
        let v6 = classes.line(&geo.v6, &blocks.v6, &measured.v6);
        Self { v4, v6, classes: classes.list.into() }
    }

    /// The classes, indexed by [`ClassId`].
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The class of a client.
    #[must_use]
    pub fn class(&self, client: IpAddr) -> (ClassId, &Class) {
        let id = match unwrapped(client) {
            Unwrapped::V4 { address, .. } => self.v4.get(address).0,
            Unwrapped::V6(address) => self.v6.get(address).0,
        };
        (id, &self.classes[usize::from(id.0)])
    }

    /// An address of each class.
    #[must_use]
    pub fn samples(&self) -> Vec<IpAddr> {
        let mut samples = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED); self.classes.len()];
        for (run, class) in self.v6.runs() {
            samples[usize::from(class.0)] = Ipv6Addr::from_bits(run.first).into();
        }
        for (run, class) in self.v4.runs() {
            samples[usize::from(class.0)] = Ipv4Addr::from_bits(run.first).into();
        }
        samples
    }

    /// The classes of IPv4 addresses.
    #[must_use]
    pub fn v4(&self) -> &Ranges<u32, ClassId> {
        &self.v4
    }

    /// The classes of IPv6 addresses.
    #[must_use]
    pub fn v6(&self) -> &Ranges<u128, ClassId> {
        &self.v6
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({} classes)", self.classes.len())
    }
}

/// The costs of a policy to which places are all one.
fn unknown(policy: &Policy) -> Vec<f32> {
    vec![f32::INFINITY; policy.pools.len()]
}

/// The blocks that a policy's pools serve, as lines of numbers; 0: none.
struct Blocks {
    v4: Ranges<u32, u32>,
    v6: Ranges<u128, u32>,
    /// By number: the block and all blocks around it.
    around: Vec<Vec<Prefix>>,
}

impl Blocks {
    fn of(policy: &Policy) -> Self {
        let mut prefixes: Vec<Prefix> = policy
            .pools
            .iter()
            .flat_map(|pool| &pool.serves)
            .filter_map(|serves| if let Serves::Prefix(it) = serves { Some(*it) } else { None })
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let mut around = vec![Vec::new()];
        // A wider block is sorted before those in it, so the open ones are those around the next.
        let mut open: Vec<Prefix> = Vec::new();
        for (number, prefix) in (1..).zip(prefixes) {
            open.retain(|outer| outer.holds(&prefix));
            open.push(prefix);
            around.push(open.clone());
            match prefix.bounds() {
                Bounds::V4(run) => v4.push((run, number)),
                Bounds::V6(run) => v6.push((run, number)),
            }
        }
        Self { v4: Ranges::from_blocks(0, v4), v6: Ranges::from_blocks(0, v6), around }
    }
}

/// What the lines have at one address: a place, a block, a network with measurements.
type Spot = (PlaceId, u32, u32);

/// Classes found so far.
struct Classes<'a> {
    policy: &'a Policy,
    geo: &'a Geo,
    measured: &'a Measured,
    blocks: &'a Blocks,
    list: Vec<Class>,
    by_class: HashMap<Class, ClassId>,
    by_spot: HashMap<Spot, ClassId>,
}

impl Classes<'_> {
    /// The class of all addresses with this on the lines.
    fn of(&mut self, spot: Spot) -> ClassId {
        if let Some(id) = self.by_spot.get(&spot) {
            return *id;
        }
        let (place, block, network) = spot;
        let place = &self.geo.places[place.idx()];
        let rtt_ms = |region: &str| self.measured.rtt_ms(network, place, region);
        let costs = class::costs(self.policy, place, rtt_ms);
        let class = Class::of(self.policy, place, &self.blocks.around[block as usize], &costs);
        let id = *self.by_class.entry(class).or_insert_with_key(|class| {
            // A policy tells far fewer kinds of clients apart; were it not so, the last would be
            // taken for one another.
            let id = u16::try_from(self.list.len()).unwrap_or(u16::MAX);
            if self.list.len() == usize::from(id) {
                self.list.push(class.clone());
            }
            ClassId(id)
        });
        self.by_spot.insert(spot, id);
        id
    }

    fn line<A: Address>(
        &mut self,
        places: &Ranges<A, PlaceId>,
        blocks: &Ranges<A, u32>,
        networks: &Ranges<A, u32>,
    ) -> Ranges<A, ClassId> {
        let counts_networks = self.policy.by == By::Latency;
        if blocks.n_runs() == 1 && (!counts_networks || networks.n_runs() == 1) {
            // The most frequent case, and the places are in a small table.
            let by_place: Vec<ClassId> =
                (0..self.geo.places.len()).map(|it| self.of((PlaceId::at(it), 0, 0))).collect();
            return places.map(|place| by_place[place.idx()]);
        }
        let spots = places.overlay(blocks, |place, block| (place, block));
        if counts_networks {
            spots.overlay(networks, |(place, block), network| self.of((place, block, network)))
        } else {
            spots.map(|(place, block)| self.of((place, block, 0)))
        }
    }
}
