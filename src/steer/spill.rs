//! Spill: no region is given more than its capacity while the clients in it could go to another one.
//!
//! Demand is water. Each flow of clients is poured onto what the stages leave it; what is above a
//! region's rim runs over, from all flows that stand there in the same proportion, to the next choice
//! of each flow, and there in proportion to the room left:
//!
//! ```text
//!   capacity   a |##########|    b |######    |    c |####      |
//!   a fails:     |          |      |######++++|      |####++++  |   its clients by room left
//! ```
//!
//! The next choice of a flow is what the same stages leave when the pools of full regions are taken
//! away: first the others of the same near ones, then the next nearest, the next tier, the next wider
//! level; never beyond a fence.
//!
//! # Full
//!
//! A full region takes no more, so that each round fills one at least. Those who can go nowhere else
//! stay, and those who can make room for them. What remains above a rim then is an overload: it is
//! spread over all choices of its flow in proportion to their capacity, evenly.
//!
//! # Coming back
//!
//! A pool that gets only a part of its traffic because of its ramp stands in its region and in the
//! region's *mouth*, where its load counts as much as it will when the ramp is over. So what runs over
//! elsewhere fills it no faster than its own clients come back. Where nobody knows the capacity,
//! nobody knows how much is too much: there it takes nothing of what runs over.
//!
//! # Invariants
//!
//! - Nothing is lost: the shares of a flow add up to its demand.
//! - A region is above its capacity only with flows that have no choice with room.
//! - The order of flows does not matter but for rounding.
//!
//! Not here: which pools are a client's choices (`choose`), and where demand and capacity come from
//! (`streams`).

use super::{
    Class, Policy, PoolSet,
    choose::{next_choice, within_reach},
};
use crate::limits::SPILL_PASSES_MAX;

/// Clients with the same choices.
#[derive(Debug)]
pub(super) struct Flow<'f> {
    /// Their load, in the unit of the capacities; finite, above 0.
    pub(super) demand: f64,
    pub(super) policy: &'f Policy,
    pub(super) class: &'f Class,
    /// The pools that may be answered from. None: they stay where they are.
    pub(super) among: PoolSet,
    /// The pools that the stages leave, with parts above 0 of whatever sum.
    pub(super) first: Vec<(usize, f64)>,
    /// By pool of the policy.
    pub(super) stands: &'f [Stand],
}

/// Where a pool stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Stand {
    /// Its region's place among the capacities; none: it has no bounds.
    pub(super) region: Option<usize>,
    /// The part of its traffic that its ramp lets it have, above 0; 1: it has none.
    pub(super) ramp: f64,
    /// The part that ramp and dial let it have together.
    pub(super) share: f64,
}

/// Where everything went.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Spilled {
    /// By flow: the load of each pool that has some.
    pub(super) shares: Vec<Vec<(usize, f64)>>,
    /// By region.
    pub(super) loads: Vec<f64>,
}

/// Loads closer to a capacity than this part of it count as equal to it.
const ROUNDING: f64 = 1e-9;

/// Pours the flows over regions with these capacities, infinite where nothing is said.
#[must_use]
pub(super) fn spill(capacities: &[f64], flows: &[Flow<'_>]) -> Spilled {
    let mut pour = Pour::begin(capacities, flows);
    pour.run_over();
    // Who is spread over full regions may make others there leave, and so has to be looked at again.
    for _ in 0..SPILL_PASSES_MAX {
        let counts = pour.spread_overload();
        pour.run_over();
        if !counts {
            break;
        }
    }
    let loads = pour.loads().of[..capacities.len()].to_vec();
    let shares = pour.standing.into_iter().map(|it| it.at).collect();
    Spilled { shares, loads }
}

struct Pour<'p> {
    /// Of the regions, then of their mouths.
    capacities: Vec<f64>,
    flows: &'p [Flow<'p>],
    /// By flow.
    standing: Vec<Standing>,
    /// By region, then by mouth.
    is_full: Vec<bool>,
}

/// A flow as it stands now.
struct Standing {
    /// Its load by pool.
    at: Vec<(usize, f64)>,
    /// The pools that it may ever be sent to.
    all: PoolSet,
    /// Those that the stages left latest.
    near: PoolSet,
}

/// Loads of the regions, then of their mouths.
struct Loads {
    of: Vec<f64>,
}

/// The vessels that the load of a pool is in, with how much of it counts there.
fn vessels(stand: Stand, n_regions: usize) -> impl Iterator<Item = (usize, f64)> {
    let region = stand.region.map(|it| (it, 1.0));
    let mouth = stand.region.filter(|_| stand.ramp < 1.0);
    region.into_iter().chain(mouth.map(|it| (n_regions + it, 1.0 / stand.ramp)))
}

impl<'p> Pour<'p> {
    fn begin(capacities: &[f64], flows: &'p [Flow<'p>]) -> Self {
        let stand = |flow: &Flow<'_>| {
            let sum: f64 = flow.first.iter().map(|(_, part)| part).sum();
            Standing {
                at: flow
                    .first
                    .iter()
                    .map(|(pool, part)| (*pool, flow.demand * part / sum))
                    .collect(),
                all: within_reach(flow.policy, flow.class, &flow.among),
                near: next_choice(flow.policy, flow.class, &flow.among),
            }
        };
        Self {
            capacities: [capacities, capacities].concat(),
            flows,
            standing: flows.iter().map(stand).collect(),
            is_full: vec![false; 2 * capacities.len()],
        }
    }

    fn n_regions(&self) -> usize {
        self.capacities.len() / 2
    }

    fn loads(&self) -> Loads {
        let mut of = vec![0.0; self.capacities.len()];
        for (flow, standing) in self.flows.iter().zip(&self.standing) {
            for (pool, load) in &standing.at {
                for (vessel, factor) in vessels(flow.stands[*pool], self.n_regions()) {
                    of[vessel] += load * factor;
                }
            }
        }
        Loads { of }
    }

    fn is_over(&self, vessel: usize, loads: &Loads) -> bool {
        self.capacities[vessel] * (1.0 + ROUNDING) < loads.of[vessel]
    }

    /// Whether a pool takes what runs over elsewhere.
    fn is_open(&self, stand: Stand) -> bool {
        let is_bound = stand.region.is_some_and(|it| self.capacities[it].is_finite());
        let has_room = vessels(stand, self.n_regions()).all(|(vessel, _)| !self.is_full[vessel]);
        has_room && (is_bound || 1.0 <= stand.share)
    }

    /// The pools with room that a flow may be sent to.
    fn open(&self, flow: usize) -> PoolSet {
        let stands = self.flows[flow].stands;
        self.standing[flow].all.filter(|pool| self.is_open(stands[pool]))
    }

    /// Has what is above the rims run over, until nothing that is above one can go elsewhere.
    fn run_over(&mut self) {
        let loads = self.loads();
        let is_at_rim = |(capacity, load): (&f64, &f64)| capacity * (1.0 - ROUNDING) <= *load;
        self.is_full = self.capacities.iter().zip(&loads.of).map(is_at_rim).collect();
        // Each round but the first fills a vessel, or is the last.
        for _ in 0..self.capacities.len() + 2 {
            let (regions, mouths) = (0..self.n_regions(), self.n_regions()..self.capacities.len());
            // The mouths first: what runs over there leaves the region, which may be full no more.
            if !self.run_over_of(mouths) && !self.run_over_of(regions) {
                return;
            }
        }
    }

    /// One round of some vessels; whether anything moved.
    fn run_over_of(&mut self, vessels_now: std::ops::Range<usize>) -> bool {
        let loads = self.loads();
        let over: Vec<usize> = vessels_now.filter(|it| self.is_over(*it, &loads)).collect();
        if over.is_empty() {
            return false;
        }
        for vessel in &over {
            self.is_full[*vessel] = true;
        }
        let is_there = |standing: &Standing, stands: &[Stand]| {
            let mut vessels =
                standing.at.iter().flat_map(|(it, _)| vessels(stands[*it], loads.of.len() / 2));
            vessels.any(|(vessel, _)| over.contains(&vessel))
        };
        let flows = self.flows.iter().zip(&self.standing).enumerate();
        let concerned = flows.filter(|(_, (flow, standing))| is_there(standing, flow.stands));
        let open: Vec<(usize, PoolSet)> = concerned
            .map(|(idx, _)| (idx, self.open(idx)))
            .filter(|(_, open)| !open.is_empty())
            .collect();
        let pending = self.take_out(&over, &open, &loads);
        for ((flow, open), amount) in open.iter().zip(&pending) {
            self.pass_on(*flow, open, *amount, &loads);
        }
        pending.iter().any(|it| 0.0 < *it)
    }

    /// Takes from vessels what is above their rims, of flows that can go elsewhere; how much of each.
    fn take_out(
        &mut self,
        over: &[usize],
        movable: &[(usize, PoolSet)],
        loads: &Loads,
    ) -> Vec<f64> {
        let n_regions = self.n_regions();
        let mut pending = vec![0.0; movable.len()];
        for vessel in over {
            let counted = |flow: &Flow<'_>, (pool, load): &(usize, f64)| -> f64 {
                let mut vessels = vessels(flow.stands[*pool], n_regions);
                vessels.find(|(it, _)| it == vessel).map_or(0.0, |(_, factor)| load * factor)
            };
            let there = movable.iter().flat_map(|(idx, _)| {
                self.standing[*idx].at.iter().map(|it| counted(&self.flows[*idx], it))
            });
            let there: f64 = there.sum();
            let excess = loads.of[*vessel] - self.capacities[*vessel];
            if there <= 0.0 {
                continue;
            }
            let kept = (1.0 - excess / there).max(0.0);
            for ((idx, _), pending) in movable.iter().zip(&mut pending) {
                for it in &mut self.standing[*idx].at {
                    if 0.0 < counted(&self.flows[*idx], it) {
                        *pending += it.1 * (1.0 - kept);
                        it.1 *= kept;
                    }
                }
            }
        }
        pending
    }

    /// Gives what a flow has left to its next choice that has room.
    fn pass_on(&mut self, flow: usize, open: &PoolSet, amount: f64, loads: &Loads) {
        if amount <= 0.0 {
            return;
        }
        let Flow { policy, class, stands, .. } = self.flows[flow];
        let mut targets = self.standing[flow].near.and(open);
        if targets.is_empty() {
            targets = next_choice(policy, class, open);
            self.standing[flow].near = targets;
        }
        let is_boundless =
            |pool: usize| stands[pool].region.is_none_or(|it| self.capacities[it].is_infinite());
        let boundless = targets.filter(is_boundless);
        let parts: Vec<(usize, f64)> = if boundless.is_empty() {
            by_region(stands, &targets, |stand| self.room(stand, loads))
        } else {
            let weight = |pool: usize| (pool, f64::from(policy.pools[pool].weight.max(1)));
            boundless.iter().map(weight).collect()
        };
        self.add(flow, amount, &parts);
    }

    /// How much a pool's region can still take of what comes to the pool.
    fn room(&self, stand: Stand, loads: &Loads) -> f64 {
        let room =
            |(vessel, factor): (usize, f64)| (self.capacities[vessel] - loads.of[vessel]) / factor;
        let room = vessels(stand, self.n_regions()).map(room).fold(f64::INFINITY, f64::min);
        // A region at its rim has a drop of room, so that the parts never add up to nothing.
        let capacity = stand.region.map_or(0.0, |it| self.capacities[it]);
        room.max(capacity * ROUNDING).max(f64::MIN_POSITIVE)
    }

    /// Adds to a flow at some pools by their parts.
    fn add(&mut self, flow: usize, amount: f64, parts: &[(usize, f64)]) {
        let at = &mut self.standing[flow].at;
        let sum: f64 = parts.iter().map(|(_, part)| part).sum();
        for (pool, part) in parts {
            let more = amount * part / sum;
            match at.iter_mut().find(|(it, _)| it == pool) {
                Some((_, load)) => *load += more,
                None => at.push((*pool, more)),
            }
        }
    }

    /// Spreads what is above the rims over all choices of its flow by their capacity; whether that
    /// moved anything that counts.
    fn spread_overload(&mut self) -> bool {
        let loads = self.loads();
        let n_regions = self.n_regions();
        let mut moved = 0.0_f64;
        for (idx, flow) in self.flows.iter().enumerate() {
            let full = self.standing[idx].all.filter(|pool| flow.stands[pool].region.is_some());
            let capacity = |stand: Stand| {
                let capacity = stand.region.map_or(0.0, |it| self.capacities[it] * stand.ramp);
                if capacity.is_finite() { capacity } else { 0.0 }
            };
            let parts = by_region(flow.stands, &full, capacity);
            let mut over = Vec::new();
            for (at, (pool, load)) in self.standing[idx].at.iter().enumerate() {
                // The fuller of the two vessels counts.
                let kept = vessels(flow.stands[*pool], n_regions)
                    .filter(|(vessel, _)| self.is_over(*vessel, &loads))
                    .map(|(vessel, _)| self.capacities[vessel] / loads.of[vessel]);
                let kept = kept.fold(1.0, f64::min);
                if kept < 1.0 {
                    over.push((at, load * (1.0 - kept)));
                }
            }
            let amount: f64 = over.iter().map(|(_, amount)| amount).sum();
            if amount <= 0.0 || parts.iter().all(|(_, part)| *part <= 0.0) {
                continue;
            }
            let before = self.standing[idx].at.clone();
            for (at, amount) in over {
                self.standing[idx].at[at].1 -= amount;
            }
            self.add(idx, amount, &parts);
            let was = |pool: usize| before.iter().find(|it| it.0 == pool).map_or(0.0, |it| it.1);
            let change = self.standing[idx].at.iter().map(|(pool, load)| (load - was(*pool)).abs());
            moved = moved.max(change.sum::<f64>() / flow.demand);
        }
        1e-6 < moved
    }
}

/// Parts of pools by something that those of one region have together.
fn by_region(stands: &[Stand], pools: &PoolSet, part: impl Fn(Stand) -> f64) -> Vec<(usize, f64)> {
    let is_alike = |one: usize, other: usize| stands[one].region == stands[other].region;
    let count = |pool: usize| pools.iter().filter(|it| is_alike(*it, pool)).count();
    #[allow(clippy::cast_precision_loss)] // At most POOLS_MAX.
    let split = |pool: usize| (pool, part(stands[pool]) / count(pool) as f64);
    pools.iter().map(split).collect()
}

#[cfg(test)]
mod tests;
