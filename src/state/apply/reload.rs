//! A reload: what is known goes over to what the files say now.
//!
//! ```text
//!   plan before, plan now -> Carried: what differs -> that alone is followed, where it is little
//! ```
//!
//! # Invariants
//!
//! - What is known afterwards is what would be known had all been looked at.
//!
//! *Not here:* which zones are the same (`carry`), and what names give then (`names`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::{Stale, State};
use crate::{
    compile::{Plan, PlannedName, PlannedZone},
    geo::Coordinates,
    health::{ProbeSpec, Status, Verdict},
    ids::{ProbeId, ZoneId},
    state::{
        Place,
        alias::{Aliases, has_alias},
        carry::{Carried, all_names, names_in},
        gone::Gone,
        operator::apart,
        store::Known,
    },
};

impl State {
    /// Makes `plan` what is served, and gives the one before. What is known of what stays is kept, and
    /// where little changed, only that is looked at.
    pub(super) fn reload(&mut self, mut plan: Plan) -> Plan {
        let carried = Carried::of(&self.plan.zones, &plan.zones);
        let has_other_probes = self.follow_probes(&mut plan.probes);
        let is_elsewhere = plan.geo != *self.decider.geo();
        if is_elsewhere {
            self.decider.set_geo(Arc::clone(&plan.geo));
        }
        let has_other_regions = !has_same_regions(&self.plan, &plan, &carried);
        if has_other_regions {
            self.latencies.set_regions(regions(&plan));
        }
        let changed = Tally::of(names_in(&plan.zones, carried.fresh()));
        let gone = Tally::of(names_in(&self.plan.zones, carried.gone()));
        self.tally = self.tally.plus(changed).minus(gone);
        // Those with a demand bear on each other.
        let has_other_demand = !carried.is_in_place() || 0 < changed.demands + gone.demands;
        let pours_anew = 0 < self.tally.demands && (has_other_demand || has_other_regions);
        if pours_anew || self.tally.demands == 0 {
            self.spill.reload(&plan, pours_anew);
        }
        if has_other_demand || has_other_probes {
            self.reported.reload(&plan, 0 < self.tally.demands);
        }
        let has_aliases = 0 < self.tally.aliases;
        self.aliases = if has_aliases { Aliases::of(&plan) } else { Aliases::default() };
        self.likes = None;
        self.returns.reload(&carried, &self.plan, &plan);
        self.follow_apart(&carried, &plan);
        self.follow_users(&carried, &plan);
        self.stale = match &self.stale {
            Stale::Names(names) if !is_elsewhere => {
                let names = carried.stale(&plan.zones, &self.aliases, names, pours_anew);
                Stale::Zones(carried, names)
            }
            _ => Stale::All,
        };
        self.book.take_in(&self.plan.zones, &plan.zones);
        std::mem::replace(&mut self.plan, plan)
    }

    /// Goes over to other probes, and says whether they are others. What is known of one that stays
    /// is kept.
    fn follow_probes(&mut self, probes: &mut [Arc<ProbeSpec>]) -> bool {
        // Nearly all are the very specs of before, where they were; only the others are compared.
        let before = &self.plan.probes;
        let differs = |one: &[Arc<ProbeSpec>], other: &[Arc<ProbeSpec>]| -> Vec<usize> {
            let is_same =
                |idx: &usize| other.get(*idx).is_some_and(|it| Arc::ptr_eq(it, &one[*idx]));
            (0..one.len()).filter(|idx| !is_same(idx)).collect()
        };
        let (left, others) = (differs(before, probes), differs(probes, before));
        if left.is_empty() && others.is_empty() {
            return false;
        }
        let address = |spec: &Arc<ProbeSpec>| Arc::as_ptr(spec).addr();
        let same: HashSet<usize> = others.iter().map(|idx| address(&probes[*idx])).collect();
        let known = left.iter().filter(|idx| !same.contains(&address(&before[**idx])));
        let known: HashMap<&Arc<ProbeSpec>, usize> =
            known.map(|idx| (&before[*idx], *idx)).collect();
        let is_other = |it: &&Arc<ProbeSpec>| !self.places.contains_key(&address(it));
        let stay: HashSet<Arc<ProbeSpec>> =
            others.iter().map(|idx| &probes[*idx]).filter(is_other).cloned().collect();
        let gone = known.iter().filter(|(spec, _)| !stay.contains(**spec));
        let gone = Gone::of(gone.map(|(spec, idx)| (&***spec, self.statuses[*idx])));
        let mut now = Vec::with_capacity(others.len());
        for idx in &others {
            let spec = &mut probes[*idx];
            // The spec itself is kept as well, so that a report that is on its way finds it.
            let from = match (self.places.get(&address(spec)), known.get_key_value(spec)) {
                (Some(id), _) => Some(id.idx()),
                (None, Some((before, idx))) => {
                    *spec = Arc::clone(before);
                    Some(*idx)
                }
                (None, None) => None,
            };
            let outcome = from.and_then(|it| self.latest_outcomes[it].clone());
            now.push((from.map_or_else(|| gone.known(spec), |it| self.statuses[it]), outcome));
        }
        for idx in &left {
            self.places.remove(&address(&before[*idx]));
        }
        let nothing = (Status { verdict: Verdict::Unknown, shaky: false }, SystemTime::UNIX_EPOCH);
        self.statuses.resize(probes.len(), nothing);
        self.latest_outcomes.resize(probes.len(), None);
        for (idx, (status, outcome)) in others.into_iter().zip(now) {
            self.places.insert(address(&probes[idx]), ProbeId::at(idx));
            (self.statuses[idx], self.latest_outcomes[idx]) = (status, outcome);
        }
        assert_eq!(self.places.len(), probes.len(), "the probes of a plan are distinct");
        let is_unknown = |it: &&Known| it.0.verdict == Verdict::Unknown;
        self.unknown = self.statuses.iter().filter(is_unknown).count();
        true
    }

    /// Goes over to who rests on the probes of another plan.
    fn follow_users(&mut self, carried: &Carried, plan: &Plan) {
        if !carried.is_little() {
            self.users = users(plan);
            return;
        }
        for (place, name) in names_in(&self.plan.zones, carried.gone()) {
            for_each_probe(name, |id| {
                let users = &mut self.users[id.idx()];
                if let Ok(at) = users.binary_search(&place) {
                    users.remove(at);
                }
            });
        }
        self.users.resize(plan.probes.len(), Vec::new());
        for (place, name) in names_in(&plan.zones, carried.fresh()) {
            for_each_probe(name, |id| {
                let users = &mut self.users[id.idx()];
                if let Err(at) = users.binary_search(&place) {
                    users.insert(at, place);
                }
            });
        }
    }

    /// Goes over to the names of another plan that the operators mean by their names.
    fn follow_apart(&mut self, carried: &Carried, plan: &Plan) {
        if !carried.is_in_place() {
            self.apart = apart(all_names(&plan.zones), &self.overrides).collect();
            return;
        }
        for (place, _) in names_in(&self.plan.zones, carried.gone()) {
            self.apart.remove(&place);
        }
        self.apart.extend(apart(names_in(&plan.zones, carried.fresh()), &self.overrides));
    }
}

/// How many names there are of some kinds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// With a demand.
    demands: usize,
    /// With other names for pools.
    aliases: usize,
}

impl Tally {
    fn of<'n>(names: impl Iterator<Item = (Place, &'n PlannedName)>) -> Self {
        let add = |tally: Self, (_, name): (_, &PlannedName)| {
            let PlannedName { policy, .. } = name;
            let (demands, aliases) = (policy.demand.is_some(), has_alias(policy));
            tally.plus(Self { demands: demands.into(), aliases: aliases.into() })
        };
        names.fold(Self::default(), add)
    }

    fn plus(self, other: Self) -> Self {
        let Self { demands, aliases } = other;
        Self { demands: self.demands + demands, aliases: self.aliases + aliases }
    }

    fn minus(self, other: Self) -> Self {
        let Self { demands, aliases } = other;
        Self { demands: self.demands - demands, aliases: self.aliases - aliases }
    }
}

/// Whether the pools of another plan are in the same regions, which are at the same places.
fn has_same_regions(before: &Plan, now: &Plan, carried: &Carried) -> bool {
    let of = |plan: &Plan, id: &ZoneId| -> Vec<_> {
        let located = |(name, at): (&str, _)| (Box::<str>::from(name), at);
        pool_regions(&plan.zones[id.idx()]).map(located).collect()
    };
    before.regions == now.regions
        && carried.is_one_for_one()
        && carried.fresh().iter().all(|id| of(before, id) == of(now, id))
}

/// The regions that pools are in, and where they are; then those that are only declared.
fn regions(plan: &Plan) -> impl Iterator<Item = (&str, Option<Coordinates>)> {
    let pools = plan.zones.iter().flat_map(|zone| pool_regions(zone));
    pools.chain(plan.regions.iter().map(|it| (&**it, None)))
}

fn pool_regions(zone: &PlannedZone) -> impl Iterator<Item = (&str, Option<Coordinates>)> {
    let pools = zone.steered.iter().flat_map(|name| &name.policy.pools);
    pools.filter_map(|pool| Some((pool.region.as_deref()?, pool.at)))
}

/// The names that rest on each probe of the plan, each once.
fn users(plan: &Plan) -> Vec<Vec<Place>> {
    let mut users: Vec<Vec<Place>> = vec![Vec::new(); plan.probes.len()];
    for (place, name) in all_names(&plan.zones) {
        for_each_probe(name, |id| {
            let users = &mut users[id.idx()];
            // Names come one after the other: if it is there, it is the last.
            if users.last() != Some(&place) {
                users.push(place);
            }
        });
    }
    users
}

fn for_each_probe(name: &PlannedName, mut each: impl FnMut(ProbeId)) {
    name.probes.iter().flatten().for_each(|tree| tree.for_each_probe(&mut each));
}
