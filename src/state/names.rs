//! Names: which are decided anew for the next snapshot, in what order, and what they rest on.
//!
//! ```text
//!   stale names -> the names that they lead to first -> conditions -> Decider -> what differs
//!                   '-- one of those that cannot but give the same: as it
//! ```
//!
//! Not here: when a name is decided anew (`apply`), and how (`decide`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{Place, State, alias::AliasTo, apply::Stale, decide::Conditions, operator::Said};
use crate::{
    compile::{Plan, PlannedName},
    health::{Status, Tree, Verdict},
    ids::{SteeredId, ZoneId},
    snapshot::{Served, Snapshot, Steered},
    steer::{self, AllDown, Condition, Decision, Outcome, Target},
    wire::{Family, Name},
};

/// What was decided for the next snapshot.
#[derive(Debug, Default)]
struct Fresh {
    names: HashMap<Place, Arc<Steered>>,
    /// By the number that like names have in common.
    likes: HashMap<u32, Arc<Steered>>,
}

impl State {
    /// The snapshot that follows the latest, if anything in it differs.
    pub fn snapshot(&mut self) -> Option<Snapshot> {
        let stale = std::mem::replace(&mut self.stale, Stale::Names(HashSet::new()));
        let mut fresh = Fresh::default();
        let mut next = match stale {
            Stale::All => {
                let zones = (0..self.plan.zones.len()).map(ZoneId::at);
                let zones = zones.map(|zone| self.serve(zone, &mut fresh)).collect();
                let mut next = Snapshot::new(self.latest.generation + 1, zones);
                next.geo = Arc::clone(self.decider.geo());
                next.explain_from = Arc::clone(&self.plan.settings.explain_from);
                Some(next)
            }
            Stale::Names(names) => {
                for place in &names {
                    self.decide(*place, Some(&names), &mut fresh);
                }
                let changes = self.differing(fresh);
                (!changes.is_empty()).then(|| self.latest.with(changes))
            }
        };
        self.decider.sweep();
        if let Some(next) = &mut next {
            next.measured = Arc::clone(self.decider.measured());
            self.latest = next.clone();
        }
        next
    }

    fn serve(&mut self, zone: ZoneId, fresh: &mut Fresh) -> Served {
        let ids = (0..self.plan.zones[zone.idx()].steered.len()).map(SteeredId::at);
        let steered = ids.map(|id| self.decide((zone, id), None, fresh)).collect();
        Served { zone: Arc::clone(&self.plan.zones[zone.idx()].zone), steered }
    }

    /// Those names that give something else than they did. Many names may have changed in the same
    /// way: what gave way to what is compared once.
    fn differing(&self, fresh: Fresh) -> Vec<(ZoneId, SteeredId, Arc<Steered>)> {
        let mut compared: HashMap<(usize, usize), bool> = HashMap::new();
        let mut differs = |zone: ZoneId, id: SteeredId, now: &Arc<Steered>| {
            let before = &self.latest.zones()[zone.idx()].steered[id.idx()];
            let key = (Arc::as_ptr(before).addr(), Arc::as_ptr(now).addr());
            *compared.entry(key).or_insert_with(|| !before.is_same(now))
        };
        let changes = fresh.names.into_iter().map(|((zone, id), it)| (zone, id, it));
        changes.filter(|(zone, id, it)| differs(*zone, *id, it)).collect()
    }

    /// What a name gives under the conditions of now; the names that it leads to are decided first.
    /// Those that are not `stale` give what they gave; none: all are.
    fn decide(
        &mut self,
        place: Place,
        stale: Option<&HashSet<Place>>,
        fresh: &mut Fresh,
    ) -> Arc<Steered> {
        if let Some(steered) = fresh.names.get(&place) {
            return Arc::clone(steered);
        }
        if stale.is_some_and(|names| !names.contains(&place)) {
            let (zone, id) = place;
            return Arc::clone(&self.latest.zones()[zone.idx()].steered[id.idx()]);
        }
        // An operator may mean one name and not its likes.
        let like = self.likes[place.0.idx()][place.1.idx()].filter(|_| self.overrides.is_empty());
        if let Some(steered) = like.and_then(|it| fresh.likes.get(&it)).cloned() {
            fresh.names.insert(place, Arc::clone(&steered));
            return steered;
        }
        let targets: HashMap<Name, Arc<Steered>> = self
            .aliases
            .targets(&self.name(place).policy)
            .into_iter()
            .map(|(name, target)| (name, self.decide(target, stale, fresh)))
            .collect();
        let steered = self.decide_one(place, &targets);
        fresh.names.insert(place, Arc::clone(&steered));
        if let Some(like) = like {
            fresh.likes.insert(like, Arc::clone(&steered));
        }
        steered
    }

    fn decide_one(&mut self, place: Place, targets: &HashMap<Name, Arc<Steered>>) -> Arc<Steered> {
        let name = self.name(place);
        let policy = Arc::clone(&name.policy);
        let conditions = |family: &Family| -> Conditions {
            let said = Said::of(&self.overrides, &name.owner);
            let pools = policy.pools.iter().zip(&name.probes);
            pools
                .map(|(pool, probes)| {
                    let endpoints = pool.endpoints.iter().zip(probes);
                    endpoints
                        .map(|(endpoint, probes)| {
                            let target = &endpoint.target;
                            let status = self.verdict(probes);
                            let condition = self.condition(target, *family, status, targets);
                            said.over(pool, endpoint, condition)
                        })
                        .collect()
                })
                .collect()
        };
        let conditions = policy.families().iter().map(conditions).collect();
        let is_known = |probes: &Tree| self.verdict(probes).verdict != Verdict::Unknown;
        let is_ready = !self.warming || name.probes.iter().flatten().all(is_known);
        let owner = name.owner.clone();
        let before = self.good.get(&owner).cloned();
        let steered = self.decider.steered(&policy, conditions, is_ready, before.as_deref());
        if policy.all_down == AllDown::LastGood {
            self.good.insert(owner, Arc::clone(&steered));
        }
        steered
    }

    /// What is known of an endpoint for a family: of an alias, whether its name has anything healthy.
    fn condition(
        &self,
        target: &Target,
        family: Family,
        Status { verdict, shaky }: Status,
        targets: &HashMap<Name, Arc<Steered>>,
    ) -> Condition {
        let is_up = verdict != Verdict::Down;
        let Target::Alias(name) = target else {
            return Condition { present: true, up: is_up, shaky, share: 100 };
        };
        let (present, up) = match (targets.get(name), self.aliases.to(name)) {
            (Some(steered), _) => steered.family(family).map_or((false, false), |it| {
                let has = |is: fn(&Decision) -> bool| it.outlook.decisions().iter().any(is);
                (has(is_present), has(Decision::is_healthy))
            }),
            (None, Some(AliasTo::Fixed { v4, v6 })) => {
                let has = if family == Family::V4 { v4 } else { v6 };
                (has, has)
            }
            (None, _) => (false, false),
        };
        Condition { present, up: up && is_up, shaky, share: 100 }
    }
}

fn is_present(decision: &Decision) -> bool {
    decision.outcome != Outcome::NoData
}

/// The numbers that names have in common which cannot but give the same. What a name gave before, or
/// another name gives, makes it one by itself.
pub(super) fn likes(plan: &Plan) -> Vec<Vec<Option<u32>>> {
    let mut numbers = HashMap::new();
    let mut likes = Vec::with_capacity(plan.zones.len());
    for zone in &plan.zones {
        let mut zone_likes = Vec::with_capacity(zone.steered.len());
        for PlannedName { policy, probes, .. } in &zone.steered {
            let is_alias = |it: &steer::Endpoint| matches!(it.target, Target::Alias(_));
            let has_alias = policy.pools.iter().any(|pool| pool.endpoints.iter().any(is_alias));
            let is_single = has_alias || policy.all_down == AllDown::LastGood;
            zone_likes.push((!is_single).then(|| {
                let next = u32::try_from(numbers.len()).expect("fewer than 2^32 names");
                *numbers.entry((Arc::as_ptr(policy).addr(), probes)).or_insert(next)
            }));
        }
        likes.push(zone_likes);
    }
    likes
}
