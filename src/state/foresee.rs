//! Foreseeing: what would follow if the operators said something else, before they do.
//!
//! The names that would be concerned are decided and poured by the same code as for a snapshot, and
//! then forgotten.
//!
//! Not here: whether it may be said (`operator`), and when it is (`apply`).

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use super::{ByPlace, Overrides, Place, Places, State};
use crate::{
    limits::FORESEEN_NAMES_MAX,
    snapshot::Steered,
    steer::Basin,
    wire::{Family, Name},
};

/// Shares that differ by less are the same.
const SHARE_SAME: f64 = 1e-9;

/// What something is, and what it would be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn<T> {
    /// What it is.
    pub before: T,
    /// What it would be.
    pub after: T,
}

/// What would follow.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreseen {
    /// Every region, in the order of their names.
    pub regions: Vec<RegionForeseen>,
    /// The names whose clients would be given something else, at most `FORESEEN_NAMES_MAX`.
    pub names: Vec<NameForeseen>,
    /// How many more there are.
    pub more_names: usize,
}

/// What would follow for a region.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionForeseen {
    /// Its name.
    pub region: Box<str>,
    /// Its share of the clients of the names that would give something else, each of which counts alike,
    /// from 0 to 1.
    pub share: Turn<f64>,
    /// What it is given of the demand of names; none: no name has a demand.
    pub load: Turn<Option<f64>>,
    /// What it can take; none: nobody says.
    pub capacity: Turn<Option<f64>>,
}

/// What would follow for a name.
#[derive(Debug, Clone, PartialEq)]
pub struct NameForeseen {
    /// The name.
    pub name: Name,
    /// By family and pool, the share of all clients.
    pub shares: Vec<(Family, Box<str>, Turn<f64>)>,
}

impl State {
    /// What would follow if the operators said this.
    pub fn foresee(&mut self, next: &Overrides, now: SystemTime) -> Foreseen {
        let mut concerned = Places::default();
        self.aliases.mark(&self.concerned_places(next), &mut concerned);
        let mut names = ByPlace::default();
        for place in &concerned {
            self.decide_if(*place, next, &concerned, &mut names, now);
        }
        let Self { spill, plan, reported, decider, .. } = self;
        let basins = spill.foresee(&mut names, plan, (next, reported), decider);
        let foreseen = self.compare(&names, &basins, next);
        self.decider.sweep();
        foreseen
    }

    /// What a name would give before anything spills.
    fn decide_if(
        &mut self,
        place: Place,
        next: &Overrides,
        concerned: &Places,
        names: &mut ByPlace<Arc<Steered>>,
        now: SystemTime,
    ) -> Arc<Steered> {
        if let Some(known) = names.get(&place) {
            return Arc::clone(known);
        }
        if !concerned.contains(&place) {
            return self.given(place);
        }
        let targets = self
            .aliases
            .targets(&self.name(place).policy)
            .into_iter()
            .map(|(name, target)| (name, self.decide_if(target, next, concerned, names, now)))
            .collect();
        let stood = self.returns.standings(place);
        let fell = self.returns.fallen(&self.name(place).owner);
        let ground = self.ground(place, &targets, (stood, fell), now, next);
        let before = self.good.get(&self.name(place).owner).cloned();
        let steered = self.decider.steered(
            &ground.policy,
            ground.conditions,
            ground.is_ready,
            before.as_deref(),
        );
        names.insert(place, Arc::clone(&steered));
        steered
    }

    /// What a name gives in the latest snapshot.
    fn given(&self, (zone, id): Place) -> Arc<Steered> {
        Arc::clone(&self.latest.zones()[zone.idx()].steered[id.idx()])
    }

    fn compare(
        &mut self,
        names: &ByPlace<Arc<Steered>>,
        basins: &[Basin],
        next: &Overrides,
    ) -> Foreseen {
        let names: BTreeMap<&Place, &Arc<Steered>> = names.iter().collect();
        let mut regions: BTreeMap<Box<str>, Turn<f64>> = BTreeMap::new();
        let (mut told, mut n_names) = (Vec::new(), 0_usize);
        for (place, after) in names {
            let before = self.given(*place);
            let shares = self.shares(&before, after);
            let differs =
                |(_, _, it): &(_, _, Turn<f64>)| SHARE_SAME < (it.after - it.before).abs();
            if !shares.iter().any(differs) {
                continue;
            }
            n_names += 1;
            let first = shares.first().map(|(family, ..)| *family);
            for (family, pool, turn) in &shares {
                let region = after.policy.pools[*pool].region.as_ref();
                if let Some(region) = region.filter(|_| Some(*family) == first) {
                    let sum =
                        regions.entry(region.clone()).or_insert(Turn { before: 0.0, after: 0.0 });
                    *sum = Turn { before: sum.before + turn.before, after: sum.after + turn.after };
                }
            }
            if told.len() < FORESEEN_NAMES_MAX {
                let pool = |(family, pool, turn): (Family, usize, Turn<f64>)| {
                    (family, after.policy.pools[pool].name.clone(), turn)
                };
                let shares = shares.into_iter().map(pool).collect();
                told.push(NameForeseen { name: self.name(*place).owner.clone(), shares });
            }
        }
        let regions = self.regions_foreseen(&regions, n_names, basins, next);
        Foreseen { regions, more_names: n_names - told.len(), names: told }
    }

    /// By family and pool of a name, the share of all clients that get it and would get it.
    fn shares(&mut self, before: &Steered, after: &Steered) -> Vec<(Family, usize, Turn<f64>)> {
        let n_pools = after.policy.pools.len();
        let parts = [self.decider.parts(&before.view), self.decider.parts(&after.view)];
        let mut shares = Vec::new();
        for (before, after) in before.families.iter().zip(&after.families) {
            let befores = before.outlook.shares(&parts[0], n_pools);
            let afters = after.outlook.shares(&parts[1], n_pools);
            for (pool, (before, after_share)) in befores.into_iter().zip(afters).enumerate() {
                shares.push((after.family, pool, Turn { before, after: after_share }));
            }
        }
        shares
    }

    fn regions_foreseen(
        &self,
        shares: &BTreeMap<Box<str>, Turn<f64>>,
        n_names: usize,
        basins: &[Basin],
        next: &Overrides,
    ) -> Vec<RegionForeseen> {
        #[allow(clippy::cast_precision_loss)] // It is a number of names.
        let n_names = n_names.max(1) as f64;
        let load = |basins: &[Basin], region: &str| {
            basins.iter().find(|it| *it.region == *region).map(|it| it.load)
        };
        let foreseen = |name: Box<str>| {
            let share = shares.get(&name).copied().unwrap_or(Turn { before: 0.0, after: 0.0 });
            RegionForeseen {
                share: Turn { before: share.before / n_names, after: share.after / n_names },
                load: Turn { before: load(self.spill.basins(), &name), after: load(basins, &name) },
                capacity: Turn {
                    before: self.capacity(&name),
                    after: self.capacity_if(&name, next),
                },
                region: name,
            }
        };
        self.regions().into_iter().map(|it| foreseen(it.name)).collect()
    }
}
