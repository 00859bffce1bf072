//! Names that are pools of other names: what they lead to, and who is decided anew after them.

use std::{cell::OnceCell, collections::HashMap};

use super::{ByPlace, Place, Places};
use crate::{
    compile::Plan,
    ids::{SteeredId, ZoneId},
    steer::{Policy, Target},
    wire::{Folded, Name, Rtype},
    zone::Found,
};

/// The aliases of a plan.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    to: HashMap<Name, AliasTo>,
    /// The names that have this one as a pool.
    dependents: ByPlace<Vec<Place>>,
    /// The names that have any name as a pool.
    owners: Vec<Place>,
}

/// What an alias leads to.
#[derive(Debug, Clone, Copy)]
pub(super) enum AliasTo {
    /// Another steered name.
    Steered(Place),
    /// Fixed records.
    Fixed {
        /// A.
        v4: bool,
        /// AAAA.
        v6: bool,
    },
}

impl Aliases {
    pub(super) fn of(plan: &Plan) -> Self {
        // Most plans have no aliases.
        let apexes = OnceCell::new();
        let apexes_of = || {
            let zones = (0..).map(ZoneId).zip(&plan.zones);
            zones.map(|(id, it)| (it.zone.apex().clone(), id)).collect()
        };
        let mut aliases = Self::default();
        for (zone_idx, zone) in plan.zones.iter().enumerate() {
            for (name_idx, name) in zone.steered.iter().enumerate() {
                let place = (ZoneId::at(zone_idx), SteeredId::at(name_idx));
                for target in targets(&name.policy) {
                    aliases.owners.push(place);
                    let apexes = apexes.get_or_init(apexes_of);
                    let Some(to) = resolve(plan, apexes, target) else { continue };
                    aliases.to.insert(target.clone(), to);
                    if let AliasTo::Steered(target) = to {
                        aliases.dependents.entry(target).or_default().push(place);
                    }
                }
            }
        }
        aliases
    }

    /// What a name leads to, if it is the alias of some pool.
    pub(super) fn to(&self, name: &Name) -> Option<AliasTo> {
        self.to.get(name).copied()
    }

    /// The steered names that a policy's pools are.
    pub(super) fn targets(&self, policy: &Policy) -> Vec<(Name, Place)> {
        targets(policy)
            .filter_map(|name| match self.to(name) {
                Some(AliasTo::Steered(place)) => Some((name.clone(), place)),
                _ => None,
            })
            .collect()
    }

    /// The names that have another one as a pool.
    pub(super) fn owners(&self) -> &[Place] {
        &self.owners
    }

    /// Adds names to those that are decided anew, and whoever has them as a pool.
    pub(super) fn mark(&self, places: &[Place], stale: &mut Places) {
        let mut pending: Vec<Place> = places.to_vec();
        while let Some(place) = pending.pop() {
            if stale.insert(place) {
                pending.extend(self.dependents.get(&place).into_iter().flatten());
            }
        }
    }
}

/// Whether a pool of a policy is another name.
pub(super) fn has_alias(policy: &Policy) -> bool {
    targets(policy).next().is_some()
}

fn targets(policy: &Policy) -> impl Iterator<Item = &Name> {
    policy.pools.iter().flat_map(|pool| &pool.endpoints).filter_map(|it| match &it.target {
        Target::Alias(name) => Some(name),
        _ => None,
    })
}

fn resolve(plan: &Plan, apexes: &HashMap<Name, ZoneId>, name: &Name) -> Option<AliasTo> {
    let mut ancestors = std::iter::successors(Some(name.clone()), Name::parent);
    let id = ancestors.find_map(|it| apexes.get(&it).copied())?;
    let zone = &plan.zones[id.idx()].zone;
    let mut folded = Folded::default();
    folded.fold(name.as_wire()).expect("a name is valid");
    let has = |rtype| match zone.find(&folded, rtype) {
        Found::Steered(steered, _) => Err(steered),
        found => Ok(matches!(found, Found::Data(..))),
    };
    Some(match (has(Rtype::A), has(Rtype::AAAA)) {
        (Err(steered), _) | (_, Err(steered)) => AliasTo::Steered((id, steered)),
        (Ok(v4), Ok(v6)) => AliasTo::Fixed { v4, v6 },
    })
}
