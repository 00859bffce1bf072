//! Spill: how much every region can take and is given, and whose clients go elsewhere because of it.
//!
//! ```text
//!   what names with a demand give --\                   / loads of regions -> status
//!   capacities, dials, reports ------> steer::flood ---<  other weights    -> the snapshot
//!                                                       \ overloads        -> events
//! ```
//!
//! # Invariants
//!
//! - Where no name has a demand, nothing here is computed.
//! - What names give is poured anew when one of those with a demand gives something else, or a region
//!   can take something else, and only then.
//!
//! Not here: the pouring itself (`steer`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{ByPlace, Overrides, Place, State, decide::Decider, reported::Reported};
use crate::{
    compile::Plan,
    snapshot::Steered,
    steer::{Basin, Stream, flood},
};

/// A region began to be given more than it can take, or is so no more.
#[derive(Debug, Clone, PartialEq)]
pub struct Overload {
    /// The region as it is now.
    pub basin: Basin,
    /// Whether it is given too much.
    pub begins: bool,
}

/// What is known of loads.
#[derive(Debug, Default)]
pub(super) struct Spill {
    /// Those that are declared or that pools are in, in order; none where no name has a demand.
    regions: Vec<Box<str>>,
    /// The names with a demand.
    names: BTreeMap<Place, Given>,
    /// The regions, as they were poured into latest.
    basins: Arc<[Basin]>,
    /// Whether a region may be able to take something else since.
    is_due: bool,
    /// What is to be told.
    news: Vec<Overload>,
}

/// What a name gives.
#[derive(Debug)]
struct Given {
    /// Before anything spills.
    base: Arc<Steered>,
    /// After it.
    spilled: Arc<Steered>,
}

impl Spill {
    /// Goes over to other files, in which names may have a demand.
    pub(super) fn reload(&mut self, plan: &Plan, has_demand: bool) {
        self.names.clear();
        self.regions.clear();
        if has_demand {
            let names = plan.zones.iter().flat_map(|it| &it.steered);
            let pools = names.flat_map(|it| &it.policy.pools);
            let pools = pools.filter_map(|it| it.region.as_ref());
            let regions: BTreeSet<_> = pools.chain(&plan.regions).collect();
            self.regions = regions.into_iter().cloned().collect();
        }
    }

    /// The regions, as they were poured into latest.
    pub(super) fn basins(&self) -> &Arc<[Basin]> {
        &self.basins
    }

    /// Has the regions looked at again: one of them can take something else.
    pub(super) fn look_again(&mut self) {
        self.is_due = true;
    }

    /// Whether the regions are to be looked at again.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    /// What is to be told, once.
    pub(super) fn take_news(&mut self) -> Vec<Overload> {
        std::mem::take(&mut self.news)
    }

    /// Has what names give spill that were decided anew, and what others give because of that: `names`
    /// are the former before, and both after.
    pub(super) fn over(
        &mut self,
        names: &mut ByPlace<Arc<Steered>>,
        plan: &Plan,
        (overrides, reported): (&Overrides, &Reported),
        decider: &mut Decider,
    ) {
        self.is_due = false;
        let has_changed = self.take(names);
        let basins: Vec<Basin> =
            self.regions.iter().map(|it| basin(it, plan, overrides, reported)).collect();
        let is_like = |(one, other): (&Basin, &Basin)| {
            one.region == other.region && one.capacity == other.capacity
        };
        let is_same =
            basins.len() == self.basins.len() && basins.iter().zip(&*self.basins).all(is_like);
        if has_changed || !is_same {
            self.pour(names, basins, decider);
        }
    }

    /// What regions would be given if these names gave this before anything spills; `names` are then
    /// what they and all others with a demand would give.
    pub(super) fn foresee(
        &self,
        names: &mut ByPlace<Arc<Steered>>,
        plan: &Plan,
        (overrides, reported): (&Overrides, &Reported),
        decider: &mut Decider,
    ) -> Vec<Basin> {
        let basins = self.regions.iter().map(|it| basin(it, plan, overrides, reported));
        let mut basins: Vec<Basin> = basins.collect();
        let base = |(place, given): (&Place, &Given)| {
            (*place, Arc::clone(names.get(place).unwrap_or(&given.base)))
        };
        let bases: Vec<(Place, Arc<Steered>)> = self.names.iter().map(base).collect();
        let spilled = poured(bases.iter().map(|(_, it)| it), &mut basins, decider);
        for (place, base) in bases {
            names.insert(place, Arc::clone(&spilled[&Arc::as_ptr(&base).addr()]));
        }
        basins
    }

    /// Takes names that were decided anew. Those that give what they gave before spill as before.
    fn take(&mut self, names: &mut ByPlace<Arc<Steered>>) -> bool {
        let mut has_changed = false;
        // Many names may be the same.
        let mut compared: HashMap<(usize, usize), bool> = HashMap::new();
        let mut is_same = |one: &Arc<Steered>, other: &Arc<Steered>| {
            let key = (Arc::as_ptr(one).addr(), Arc::as_ptr(other).addr());
            *compared.entry(key).or_insert_with(|| one.is_same(other))
        };
        for (place, steered) in names.iter_mut().filter(|(_, it)| it.parts.is_some()) {
            match self.names.get(place) {
                Some(Given { base, spilled }) if is_same(base, steered) => {
                    *steered = Arc::clone(spilled);
                }
                _ => {
                    has_changed = true;
                    let (base, spilled) = (Arc::clone(steered), Arc::clone(steered));
                    self.names.insert(*place, Given { base, spilled });
                }
            }
        }
        has_changed
    }

    fn pour(
        &mut self,
        names: &mut ByPlace<Arc<Steered>>,
        mut basins: Vec<Basin>,
        decider: &mut Decider,
    ) {
        let bases = self.names.values().map(|it| &it.base);
        let spilled = poured(bases, &mut basins, decider);
        for (place, given) in &mut self.names {
            given.spilled = Arc::clone(&spilled[&Arc::as_ptr(&given.base).addr()]);
            names.insert(*place, Arc::clone(&given.spilled));
        }
        self.note(&basins);
        self.basins = basins.into();
    }

    /// Notes which regions are given more than they can take, and were not before, or the reverse.
    fn note(&mut self, basins: &[Basin]) {
        let overloaded = |basins: &[Basin]| -> BTreeSet<Box<str>> {
            let overloaded = basins.iter().filter(|it| it.is_overloaded());
            overloaded.map(|it| it.region.clone()).collect()
        };
        let before = overloaded(&self.basins);
        for basin in basins {
            let begins = basin.is_overloaded();
            if before.contains(&basin.region) != begins {
                self.news.push(Overload { basin: basin.clone(), begins });
            }
        }
        // What is no region any more cannot be given too much.
        let is_gone = |it: &&Basin| basins.iter().all(|now| now.region != it.region);
        for basin in self.basins.iter().filter(|it| it.is_overloaded()).filter(is_gone) {
            let basin = Basin { load: 0.0, ..basin.clone() };
            self.news.push(Overload { basin, begins: false });
        }
    }
}

/// Pours what names give before anything spills: the loads go to `basins`, and what they give after it
/// is found by the address of what they gave.
fn poured<'s>(
    all: impl Iterator<Item = &'s Arc<Steered>>,
    basins: &mut [Basin],
    decider: &mut Decider,
) -> HashMap<usize, Arc<Steered>> {
    let mut bases: Vec<Arc<Steered>> = Vec::new();
    let mut counts: HashMap<usize, usize> = HashMap::new();
    for base in all {
        let count = counts.entry(Arc::as_ptr(base).addr()).or_default();
        if *count == 0 {
            bases.push(Arc::clone(base));
        }
        *count += 1;
    }
    let count = |base: &Arc<Steered>| counts[&Arc::as_ptr(base).addr()];
    let streams: Vec<Stream<'_>> =
        bases.iter().map(|it| it.stream(count(it)).expect("it has a demand")).collect();
    let flood = flood(basins, &streams);
    drop(streams);
    let mut spilled: HashMap<usize, Arc<Steered>> = HashMap::with_capacity(bases.len());
    for (base, changed) in bases.iter().zip(flood.changed) {
        let is_as_before = changed.iter().all(Option::is_none);
        let it = if is_as_before { Arc::clone(base) } else { decider.respread(base, changed) };
        spilled.insert(Arc::as_ptr(base).addr(), it);
    }
    basins.iter_mut().zip(flood.loads).for_each(|(basin, load)| basin.load = load);
    spilled
}

impl State {
    /// What a region can take now, in the operator's unit; none: nobody says.
    pub(super) fn capacity(&self, region: &str) -> Option<f64> {
        self.capacity_if(region, self.overrides())
    }

    /// What it could take if the operators said this.
    pub(super) fn capacity_if(&self, region: &str, overrides: &Overrides) -> Option<f64> {
        basin(region, self.plan(), overrides, &self.reported).capacity
    }
}

fn basin(region: &str, plan: &Plan, overrides: &Overrides, reported: &Reported) -> Basin {
    let dial = overrides.percent(Some(region));
    let written = plan.capacities.get(region).map(|it| it * f64::from(dial) / 100.0);
    let capacity = written.into_iter().chain(reported.limit(region)).reduce(f64::min);
    Basin { region: region.into(), capacity, load: 0.0 }
}
