//! The operator: what overrides and dials make of what is known of endpoints, and whether they may be
//! set.
//!
//! Not here: what they are (`overrides`), and who sets them (`app`, `api`).

use super::{Endpoint as Meant, Override, Overrides, Place, State, Word, carry::all_names};
use crate::{
    compile::PlannedName,
    ids::{SteeredId, ZoneId},
    steer::{Class, Condition, Endpoint, Outcome, Pool, choose},
    wire::{Family, Name},
};

/// What the operators say of the endpoints of one name.
pub(super) struct Said<'s> {
    overrides: &'s Overrides,
    /// The name without its final dot.
    owner: String,
}

impl<'s> Said<'s> {
    pub(super) fn of(overrides: &'s Overrides, owner: &Name) -> Self {
        let text = if overrides.is_empty() { String::new() } else { owner.to_string() };
        Self { overrides, owner: bare(&text).to_owned() }
    }

    /// A condition, with the operator's word over it.
    pub(super) fn over(&self, pool: &Pool, endpoint: &Endpoint, seen: Condition) -> Condition {
        if self.overrides.is_empty() {
            return seen;
        }
        let dial = self.overrides.percent(pool.region.as_deref());
        match self.word(pool, endpoint).map(|it| it.word) {
            None => Condition { dial, ..seen },
            Some(Word::Up) => Condition { up: true, shaky: false, dial, ..seen },
            Some(Word::Down) => Condition { up: false, shaky: false, dial: 0, ..seen },
            Some(Word::Drain) => Condition { up: true, shaky: false, dial: 0, ..seen },
        }
    }

    /// The override that holds for an endpoint.
    pub(super) fn word(&self, pool: &Pool, endpoint: &Endpoint) -> Option<&'s Override> {
        if !self.overrides.has_words() {
            return None;
        }
        let address = endpoint.target.to_string();
        self.overrides.of(&self.meant(pool, &address))
    }

    /// Whether some override is about an endpoint because of the name that it is of.
    fn is_by_name(&self, pool: &Pool, endpoint: &Endpoint) -> bool {
        let address = endpoint.target.to_string();
        let meant = self.meant(pool, &address);
        self.overrides.iter().any(|it| it.target.means_by_name(&meant))
    }

    fn meant<'m>(&'m self, pool: &'m Pool, address: &'m str) -> Meant<'m> {
        let region = pool.region.as_deref();
        Meant { name: &self.owner, pool: &pool.name, region, address: bare(address) }
    }
}

impl State {
    /// What the operators say now.
    #[must_use]
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// The names with an endpoint of which the operators would say something else.
    #[must_use]
    pub fn concerned(&self, next: &Overrides) -> Vec<Name> {
        let concerned = self.concerned_places(next);
        concerned.into_iter().map(|place| self.name(place).owner.clone()).collect()
    }

    /// The names of which some clients would be left with nothing, whatever the verdicts say, and are
    /// not now.
    #[must_use]
    pub fn left_with_nothing(&self, next: &Overrides) -> Vec<Name> {
        let concerned = self.concerned_places(next).into_iter().map(|place| self.name(place));
        let is_left = |name: &&PlannedName| {
            self.leaves_nothing(name, next) && !self.leaves_nothing(name, &self.overrides)
        };
        concerned.filter(is_left).map(|name| name.owner.clone()).collect()
    }

    /// Whether a region is one that pools are in, or that is declared.
    #[must_use]
    pub fn has_region(&self, region: &str) -> bool {
        let pools = |it: &PlannedName| {
            it.policy.pools.iter().any(|it| it.region.as_deref() == Some(region))
        };
        self.plan().regions.iter().any(|it| **it == *region)
            || self.plan().zones.iter().flat_map(|zone| &zone.steered).any(pools)
    }

    /// Takes what the operators say.
    pub(super) fn hear(&mut self, next: Overrides) {
        let concerned = self.concerned_places(&next);
        let dials = |it: &Overrides| -> Vec<(String, u8)> {
            it.dials().map(|(region, it)| (region.to_owned(), it.percent)).collect()
        };
        if dials(&self.overrides) != dials(&next) {
            // A region may be able to take less whose endpoints nobody was given anyhow.
            self.spill.look_again();
        }
        self.apart = apart(all_names(&self.plan().zones), &next).collect();
        self.overrides = next;
        if let Some(names) = self.stale.names() {
            self.aliases.mark(&concerned, names);
        }
    }

    /// Where these names are.
    pub(super) fn concerned_places(&self, next: &Overrides) -> Vec<Place> {
        let mut concerned = Vec::new();
        for (zone, planned) in (0..).map(ZoneId).zip(&self.plan().zones) {
            for (id, name) in (0..).map(SteeredId).zip(&planned.steered) {
                let before = Said::of(&self.overrides, &name.owner);
                let after = Said::of(next, &name.owner);
                let differs = |pool: &Pool, endpoint: &Endpoint| {
                    let seen = Condition::seen(true, true);
                    before.over(pool, endpoint, seen) != after.over(pool, endpoint, seen)
                        || before.word(pool, endpoint).map(|it| it.id)
                            != after.word(pool, endpoint).map(|it| it.id)
                };
                let pools = name.policy.pools.iter();
                if pools.clone().any(|pool| pool.endpoints.iter().any(|it| differs(pool, it))) {
                    concerned.push((zone, id));
                }
            }
        }
        concerned
    }

    /// Whether some clients of a name get nothing of a family that it has, even if all were up.
    fn leaves_nothing(&self, name: &PlannedName, overrides: &Overrides) -> bool {
        let said = Said::of(overrides, &name.owner);
        let seen = Condition::seen(true, false);
        let conditions: Vec<Vec<Condition>> = name
            .policy
            .pools
            .iter()
            .map(|pool| pool.endpoints.iter().map(|it| said.over(pool, it, seen)).collect())
            .collect();
        let view = self.decider.view_of(&name.policy);
        let gets_nothing = |class: &Class, family: Family| {
            let choice = choose(&name.policy, class, &conditions, family, None);
            choice.decision.outcome == Outcome::NoReachableAuthority
        };
        let families = name.policy.families();
        view.classes().iter().any(|class| families.iter().any(|it| gets_nothing(class, *it)))
    }
}

/// Of these names those that the operators mean by their names: what they say of others that have the
/// same pools, they do not say of these.
pub(super) fn apart<'n>(
    names: impl Iterator<Item = (Place, &'n PlannedName)>,
    overrides: &Overrides,
) -> impl Iterator<Item = Place> {
    let is_apart = |(_, name): &(Place, &PlannedName)| {
        let said = Said::of(overrides, &name.owner);
        let is_meant = |pool: &Pool, it: &Endpoint| said.is_by_name(pool, it);
        let mut pools = name.policy.pools.iter();
        pools.any(|pool| pool.endpoints.iter().any(|it| is_meant(pool, it)))
    };
    // Nobody means any of them where nothing is said.
    let names = overrides.has_words().then_some(names).into_iter().flatten();
    names.filter(is_apart).map(|(place, _)| place)
}

/// A name without its final dot.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}
