//! What the regions of a simulated server are given, where names have a demand.
//!
//! - What a region can take is what the file says, times its dial.
//! - The load of each region is what the answers send there, and the demand of all names that have an
//!   answer is somewhere.
//! - No region is given more than it can take by clients who could go to another one that has room.
//! - That it begins and that it ends is told once.
//!
//! *Not here:* the shares of names that no full region concerns (`answers`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use evenkeel::{
    snapshot::{Snapshot, Steered},
    state::Overload,
    steer::{Basin, Candidate, ClassId, Footing, Load, Outcome, Policy},
};

use super::{
    Right,
    answers::{Known, Sight, available, is_simple, part},
    watch::Watch,
};

/// Parts of a load that do not count.
const NEAR: f64 = 1e-4;

impl Watch {
    /// Looks at the loads of all regions.
    pub(super) fn look_at_loads(&mut self, sight: Sight<'_>) -> Right {
        let basins = &sight.snapshot.basins;
        let demand = Self::look_at_basins(sight)?;
        self.look_at_overloads(sight)?;
        let served = &sight.snapshot.zones()[0].steered;
        let mut loads = BTreeMap::new();
        let mut demand_answered = 0.0;
        for steered in served.iter() {
            match loads_of(steered) {
                Some(of_name) => of_name.into_iter().for_each(|(region, load)| {
                    demand_answered += load;
                    *loads.entry(region).or_insert(0.0) += load;
                }),
                // Older files may say where these clients are.
                None => return Ok(()),
            }
        }
        if demand * (1.0 + NEAR) < demand_answered {
            return Err(format!("{demand_answered} is answered of a demand of {demand}"));
        }
        for it in basins.iter() {
            let load = loads.get(&Some(it.region.clone())).copied().unwrap_or_default();
            if demand * NEAR < (it.load - load).abs() {
                return Err(format!("{it:?}, and the answers send {load} there"));
            }
        }
        Ok(())
    }

    /// Regions that are given too much cannot help it, and that is told.
    fn look_at_overloads(&mut self, sight: Sight<'_>) -> Right {
        let basins = &sight.snapshot.basins;
        let over: BTreeSet<Box<str>> =
            basins.iter().filter(|it| it.is_overloaded()).map(|it| it.region.clone()).collect();
        self.tally.overloads += over.len() as u64;
        self.tally.full += basins.iter().filter(|it| it.is_full()).count() as u64;
        if !over.is_empty() {
            self.look_for_room(&over, sight)?;
        }
        for it in over.symmetric_difference(&self.overloaded) {
            self.to_flood.push((it.clone(), over.contains(it)));
        }
        self.overloaded = over;
        Ok(())
    }

    /// The regions are those of the file, with what they can take; and the demand of all names.
    fn look_at_basins(sight: Sight<'_>) -> Result<f64, String> {
        let Sight { snapshot, state, .. } = sight;
        let names = &state.plan().zones[0].steered;
        let demand: f64 = names.iter().filter_map(|it| it.policy.demand).map(Load::amount).sum();
        if snapshot.basins.is_empty() != (demand == 0.0) {
            return Err(format!("a demand of {demand}, and {:?}", snapshot.basins));
        }
        for it in &*snapshot.basins {
            let dial = f64::from(state.overrides().percent(Some(&it.region))) / 100.0;
            let expect = state.plan().capacities.get(&it.region).map(|capacity| capacity * dial);
            if it.capacity != expect {
                return Err(format!("{it:?} can take {expect:?}"));
            }
        }
        Ok(demand)
    }

    /// Nobody is in a region that has too much and could be in one that has room.
    fn look_for_room(&mut self, over: &BTreeSet<Box<str>>, sight: Sight<'_>) -> Right {
        let names = sight.state.plan().zones[0].steered.iter();
        let ramped = regions_with_ramps(sight.snapshot);
        for (name, steered) in names.zip(&*sight.snapshot.zones()[0].steered) {
            let policy = &*steered.policy;
            if policy.demand.is_none() || !is_simple(policy) {
                continue;
            }
            for now in &steered.families {
                let decision = now.outlook.of_class(ClassId(0));
                let Outcome::Draw(candidates) = &decision.outcome else { continue };
                // The least weight there is stands for less.
                let counts = |it: &&Candidate| candidates.weight_sum < it.weight * 10_000;
                let is_there = candidates.pools.iter().filter(counts).any(|it| {
                    let region = policy.pools[usize::from(it.pool)].region.as_ref();
                    region.is_some_and(|it| over.contains(it))
                });
                if decision.footing != Footing::Healthy || !is_there {
                    continue;
                }
                self.tally.no_room += 1;
                let known = self.known(name, now, sight);
                let mut others = available(policy, &known).into_iter();
                if let Some(pool) = others.find(|pool| {
                    has_room(policy, &known, *pool, sight.snapshot)
                        && !policy.pools[*pool]
                            .region
                            .as_ref()
                            .is_some_and(|it| ramped.contains(it))
                }) {
                    let Snapshot { basins, .. } = sight.snapshot;
                    let (owner, pool) = (&name.owner, &policy.pools[pool].name);
                    return Err(format!("{owner} has room in {pool}: {basins:?} {decision:?}"));
                }
            }
        }
        Ok(())
    }

    /// What is told of regions that are given too much has to be what happened.
    pub(super) fn flooded(&mut self, news: &[Overload]) -> Right {
        let mut expect = std::mem::take(&mut self.to_flood);
        let mut told: Vec<(Box<str>, bool)> =
            news.iter().map(|it| (it.basin.region.clone(), it.begins)).collect();
        expect.sort();
        told.sort();
        if told == expect {
            Ok(())
        } else {
            Err(format!("told was {told:?} of overloads, and {expect:?} happened"))
        }
    }
}

/// Whether full regions may send clients of these pools elsewhere: a region that is full, or seems to
/// be for as long as pools in it come back, or when what is too much is spread over it.
pub(super) fn may_run_over(policy: &Policy, pools: &[usize], snapshot: &Snapshot) -> bool {
    let is_overloaded = snapshot.basins.iter().any(Basin::is_overloaded);
    policy.demand.is_some()
        && pools.iter().any(|pool| {
            let Some(basin) = basin(policy, *pool, snapshot) else { return false };
            let seems_full =
                || is_overloaded || regions_with_ramps(snapshot).contains(&basin.region);
            basin.capacity.is_some_and(|it| it * 0.98 <= basin.load || seems_full())
        })
}

/// Whether a pool could take more.
fn has_room(policy: &Policy, known: &[Vec<Known>], pool: usize, snapshot: &Snapshot) -> bool {
    match basin(policy, pool, snapshot).map(|it| (it.capacity, it.load)) {
        Some((Some(capacity), load)) => load < capacity * 0.99,
        _ => 1.0 <= part(&known[pool]),
    }
}

fn basin<'s>(policy: &Policy, pool: usize, snapshot: &'s Snapshot) -> Option<&'s Basin> {
    let region = policy.pools[pool].region.as_ref()?;
    snapshot.basins.iter().find(|it| it.region == *region)
}

/// Those that have less room than they seem to, because pools of them come back.
fn regions_with_ramps(snapshot: &Snapshot) -> BTreeSet<Box<str>> {
    let mut regions = BTreeSet::new();
    for steered in &*snapshot.zones()[0].steered {
        for now in &steered.families {
            let pools = steered.policy.pools.iter().zip(now.conditions.iter());
            let returning = pools.filter(|(_, its)| its.iter().any(|it| it.ramp < 100));
            regions.extend(returning.filter_map(|(pool, _)| pool.region.clone()));
        }
    }
    regions
}

/// Where the answers of a name send its demand; none: nobody knows.
#[allow(clippy::cast_precision_loss)] // Weights are small here.
fn loads_of(steered: &Arc<Steered>) -> Option<BTreeMap<Option<Box<str>>, f64>> {
    let Steered { policy, view, parts, families } = &**steered;
    let mut loads = BTreeMap::new();
    let (Some(demand), Some(parts)) = (policy.demand, parts) else { return Some(loads) };
    for (class, part) in (0..).map(ClassId).zip(&**parts) {
        let decisions = || families.iter().map(|it| it.outlook.of_class(class));
        let drawn = || decisions().filter(|it| matches!(it.outcome, Outcome::Draw(_)));
        for decision in drawn() {
            let Outcome::Draw(candidates) = &decision.outcome else { continue };
            if decision.footing == Footing::LastGood {
                return None;
            }
            let load = demand.amount() * part / drawn().count() as f64;
            for it in &candidates.pools {
                let region = policy.pools[usize::from(it.pool)].region.clone();
                let share = it.weight as f64 / candidates.weight_sum as f64;
                *loads.entry(region).or_insert(0.0) += load * share;
            }
        }
    }
    assert_eq!(view.classes().len(), parts.len());
    Some(loads)
}
