//! What a policy sees of a client: at which levels its pools serve it, and how near they are.
//!
//! Many addresses are one class; a class is what the stages that depend on the client need, and
//! nothing of the state of the pools.

use super::{By, Policy, Pool, PoolSet, Serves, Slack};
use crate::geo::{Place, Prefix, rtt_estimate_ms};

/// A class's place in its view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClassId(pub u16);

/// Clients that a policy does not tell apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Class {
    /// The levels at which pools serve the client, the most specific first.
    pub levels: Box<[Level]>,
    /// How near the pools are; none: nothing is known of it, or it does not count.
    pub near: Option<Near>,
}

/// Pools that serve a client equally specifically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Level {
    /// How specifically.
    pub kind: LevelKind,
    /// The pools; at least one.
    pub pools: PoolSet,
    /// Whether the client may not go on to a wider level.
    pub fence: bool,
}

/// How specific a level is: the least is the most specific.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LevelKind {
    /// A block of addresses; the number is what its length lacks of 128.
    Prefix(u8),
    /// An autonomous system.
    Asn,
    /// A part of a country.
    Subdivision,
    /// A country.
    Country,
    /// A continent.
    Continent,
    /// All clients.
    Any,
}

/// The order of pools by how near they are to a client, and which of them count as equally near.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Near {
    /// Pools, the nearest first.
    order: Box<[u16]>,
    /// By pool: those within the slack when it is the nearest that is left.
    within: Box<[PoolSet]>,
}

impl Class {
    /// Clients of whom nothing is known, and whom nothing serves.
    pub(super) fn none() -> Self {
        Self { levels: Box::default(), near: None }
    }

    /// The class of a client at `place`, in the blocks `around` it (of those that the policy's pools
    /// serve), to which `costs` gives each pool's milliseconds or kilometres, infinite if unknown.
    #[must_use]
    pub fn of(policy: &Policy, place: &Place, around: &[Prefix], costs: &[f32]) -> Self {
        Self { levels: levels(policy, place, around), near: Near::of(policy, costs) }
    }
}

impl Near {
    fn of(policy: &Policy, costs: &[f32]) -> Option<Self> {
        assert_eq!(costs.len(), policy.pools.len());
        if policy.by == By::Weight || costs.iter().all(|cost| cost.is_infinite()) {
            return None;
        }
        let mut order: Vec<u16> = (0..).take(costs.len()).collect();
        let cost = |pool: u16| costs[usize::from(pool)];
        order.sort_by(|one, other| cost(*one).total_cmp(&cost(*other)));
        let within = costs
            .iter()
            .map(|best| {
                #[allow(clippy::cast_precision_loss)] // A few digits of a distance are enough.
                let limit = match policy.slack {
                    Slack::Absolute(thousandths) => best + thousandths as f32 / 1000.0,
                    Slack::Percent(percent) => best * (1.0 + f32::from(percent) / 100.0),
                };
                PoolSet::where_(costs.len(), |pool| costs[pool] <= limit)
            })
            .collect();
        Some(Self { order: order.into(), within })
    }

    /// Of some pools the nearest, and those within the slack of it.
    #[must_use]
    pub fn nearest_of(&self, pools: &PoolSet) -> PoolSet {
        let nearest =
            self.order.iter().map(|pool| usize::from(*pool)).find(|it| pools.contains(*it));
        nearest.map_or(PoolSet::default(), |pool| self.within[pool].and(pools))
    }
}

/// What lies between a client and a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Way {
    /// Kilometres of a great circle.
    Distance(f32),
    /// Milliseconds of a round trip, as they were measured.
    Measured(f32),
    /// Milliseconds of a round trip, as the distance lets expect them.
    Estimated(f32),
}

impl Way {
    /// What lies between a client at `place` and a pool, as far as that counts and is known.
    /// `rtt_ms` is what was measured from the client's network to a region.
    #[must_use]
    pub fn to(
        pool: &Pool,
        by: By,
        place: &Place,
        rtt_ms: impl Fn(&str) -> Option<f32>,
    ) -> Option<Self> {
        let distance = || place.at.zip(pool.at).map(|(from, to)| from.distance_km(&to));
        match by {
            By::Weight => None,
            By::Distance => distance().map(Self::Distance),
            By::Latency => {
                let measured = pool.region.as_deref().and_then(rtt_ms).map(Self::Measured);
                measured.or_else(|| distance().map(|km| Self::Estimated(rtt_estimate_ms(km))))
            }
        }
    }

    /// Its length, in its own unit.
    #[must_use]
    pub fn cost(self) -> f32 {
        let (Self::Distance(cost) | Self::Measured(cost) | Self::Estimated(cost)) = self;
        cost
    }
}

/// What each pool costs a client: milliseconds or kilometres as the policy wants, infinite where
/// nothing is known.
#[must_use]
pub(super) fn costs(
    policy: &Policy,
    place: &Place,
    rtt_ms: impl Fn(&str) -> Option<f32>,
) -> Vec<f32> {
    let way = |pool: &Pool| Way::to(pool, policy.by, place, &rtt_ms);
    policy.pools.iter().map(|pool| way(pool).map_or(f32::INFINITY, Way::cost)).collect()
}

fn levels(policy: &Policy, place: &Place, around: &[Prefix]) -> Box<[Level]> {
    let mut levels: Vec<Level> = Vec::new();
    for (idx, pool) in policy.pools.iter().enumerate() {
        for kind in pool.serves.iter().filter_map(|serves| level_of(*serves, place, around)) {
            match levels.iter_mut().find(|level| level.kind == kind) {
                Some(level) => {
                    level.pools.insert(idx);
                    level.fence |= pool.fence;
                }
                None => levels.push(Level {
                    kind,
                    pools: [idx].into_iter().collect(),
                    fence: pool.fence,
                }),
            }
        }
    }
    levels.sort_by_key(|level| level.kind);
    levels.into()
}

/// The level at which `serves` is true of a client, if it is.
fn level_of(serves: Serves, place: &Place, around: &[Prefix]) -> Option<LevelKind> {
    let (is_so, kind) = match serves {
        Serves::Prefix(prefix) => {
            (around.contains(&prefix), LevelKind::Prefix(128 - prefix.length()))
        }
        Serves::Asn(asn) => (place.asn == Some(asn), LevelKind::Asn),
        Serves::Subdivision(it) => (place.subdivision == Some(it), LevelKind::Subdivision),
        Serves::Country(it) => (place.country == Some(it), LevelKind::Country),
        Serves::Continent(it) => (place.continent == Some(it), LevelKind::Continent),
        Serves::Any => (true, LevelKind::Any),
    };
    is_so.then_some(kind)
}
