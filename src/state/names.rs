//! Names: which are decided anew for the next snapshot, in what order, and what they rest on.
//!
//! ```text
//!   stale names -> the names that they lead to first -> conditions -> Decider -> what differs
//!                   '-- one of those that cannot but give the same: as it
//!
//!   conditions: what probes and aliases say -> the operator's word -> the budget -> the ramps
//! ```
//!
//! Not here: when a name is decided anew (`apply`), and how (`decide`).

use std::{collections::HashMap, sync::Arc, time::SystemTime};

use super::{
    ByPlace, Overrides, Place, Places, State,
    alias::{AliasTo, has_alias},
    apply::Stale,
    carry::Carried,
    decide::Conditions,
    operator::Said,
    returns::{Fallen, InPool, Standings, fallen_after, standings_after},
};
use crate::{
    compile::{Plan, PlannedName, PlannedZone},
    health::{Status, Tree, Verdict},
    ids::{SteeredId, ZoneId},
    limits::LIKES_NAMES_MIN,
    snapshot::{Served, Snapshot, Steered},
    steer::{AllDown, Condition, Decision, Endpoint, Outcome, Policy, Pool, Target, over_budget},
    wire::{Family, Name},
};

/// What was decided for the next snapshot.
#[derive(Debug)]
struct Fresh {
    now: SystemTime,
    /// What of the latest snapshot stays, where zones changed.
    carried: Option<Carried>,
    names: ByPlace<Arc<Steered>>,
    /// By the number that like names have in common, where their pools stood, and what had fallen.
    likes: HashMap<(u32, Standings, Fallen), Decided>,
    /// How many names were decided by themselves.
    n_decided: usize,
}

/// What was decided of a name.
#[derive(Debug, Clone)]
struct Decided {
    steered: Arc<Steered>,
    /// Where its pools stand.
    standings: Standings,
    /// What has to leave, as far as its budget goes.
    fallen: Fallen,
}

/// What a name is decided from.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) policy: Arc<Policy>,
    /// By family of the policy.
    pub(super) conditions: Vec<Conditions>,
    /// Whether it does not wait for its first probes.
    pub(super) is_ready: bool,
    standings: Standings,
    fallen: Fallen,
}

impl State {
    /// The snapshot that follows the latest, if anything in it differs.
    pub fn snapshot(&mut self, now: SystemTime) -> Option<Snapshot> {
        let stale = std::mem::replace(&mut self.stale, Stale::Names(Places::default()));
        let is_many = match &stale {
            Stale::All => true,
            Stale::Zones(_, names) | Stale::Names(names) => LIKES_NAMES_MIN <= names.len(),
        };
        if is_many && self.likes.is_none() {
            self.likes = Some(likes(&self.plan));
        }
        let (names, likes) = (ByPlace::default(), HashMap::new());
        let mut fresh = Fresh { now, carried: None, names, likes, n_decided: 0 };
        let mut next = match stale {
            Stale::All => {
                for place in self.places() {
                    self.decide(place, None, &mut fresh);
                }
                self.spill_over(&mut fresh);
                let zones = (0..self.plan.zones.len()).map(ZoneId::at);
                let zones = zones.map(|zone| self.serve(zone, &fresh)).collect();
                let mut next = Snapshot::new(self.latest.generation + 1, zones);
                next.geo = Arc::clone(self.decider.geo());
                next.explain_from = Arc::clone(&self.plan.settings.explain_from);
                Some(next)
            }
            Stale::Zones(carried, names) => {
                fresh.carried = Some(carried);
                for place in &names {
                    self.decide(*place, Some(&names), &mut fresh);
                }
                self.spill_over(&mut fresh);
                let carried = fresh.carried.take().expect("it was put there above");
                let mut next = carried.snapshot(
                    &self.plan.zones,
                    self.book.zones(),
                    &self.latest,
                    &fresh.names,
                );
                next.explain_from = Arc::clone(&self.plan.settings.explain_from);
                Some(next)
            }
            Stale::Names(names) => {
                for place in &names {
                    self.decide(*place, Some(&names), &mut fresh);
                }
                self.spill_over(&mut fresh);
                let changes = self.differing(&fresh);
                let is_new = !changes.is_empty() || self.latest.basins != *self.spill.basins();
                is_new.then(|| self.latest.with(changes))
            }
        };
        self.decider.sweep();
        self.n_decided = fresh.n_decided;
        if let Some(next) = &mut next {
            next.measured = Arc::clone(self.decider.measured());
            next.basins = Arc::clone(self.spill.basins());
            next.n_cells = self.book.n_cells();
            self.latest = next.clone();
        }
        next
    }

    /// The places of all names.
    fn places(&self) -> Vec<Place> {
        let zones = (0..).map(ZoneId).zip(&self.plan.zones);
        let ids = |it: &PlannedZone| (0..it.steered.len()).map(SteeredId::at);
        zones.flat_map(|(zone, it)| ids(it).map(move |id| (zone, id))).collect()
    }

    fn serve(&self, zone: ZoneId, fresh: &Fresh) -> Served {
        let ids = (0..self.plan.zones[zone.idx()].steered.len()).map(SteeredId::at);
        let steered = ids.map(|id| Arc::clone(&fresh.names[&(zone, id)])).collect();
        let cells = Arc::clone(&self.book.zones()[zone.idx()]);
        Served { zone: Arc::clone(&self.plan.zones[zone.idx()].zone), steered, cells }
    }

    /// Has what was decided spill, where regions cannot take it.
    fn spill_over(&mut self, fresh: &mut Fresh) {
        let Self { spill, plan, overrides, reported, decider, .. } = self;
        spill.over(&mut fresh.names, plan, (overrides, reported), decider);
    }

    /// Those names that give something else than they did. Many names may have changed in the same
    /// way: what gave way to what is compared once.
    fn differing(&self, fresh: &Fresh) -> Vec<(ZoneId, SteeredId, Arc<Steered>)> {
        let mut compared: HashMap<(usize, usize), bool> = HashMap::new();
        let mut differs = |zone: ZoneId, id: SteeredId, now: &Arc<Steered>| {
            let before = &self.latest.zones()[zone.idx()].steered[id.idx()];
            let key = (Arc::as_ptr(before).addr(), Arc::as_ptr(now).addr());
            *compared.entry(key).or_insert_with(|| !before.is_same(now))
        };
        let changes = fresh.names.iter().map(|((zone, id), it)| (*zone, *id, Arc::clone(it)));
        changes.filter(|(zone, id, it)| differs(*zone, *id, it)).collect()
    }

    /// What a name gives under the conditions of now; the names that it leads to are decided first.
    /// Those that are not `stale` give what they gave; none: all are.
    fn decide(&mut self, place: Place, stale: Option<&Places>, fresh: &mut Fresh) -> Arc<Steered> {
        if let Some(steered) = fresh.names.get(&place) {
            return Arc::clone(steered);
        }
        if stale.is_some_and(|names| !names.contains(&place)) {
            let (zone, id) = place;
            let given = || Arc::clone(&self.latest.zones()[zone.idx()].steered[id.idx()]);
            let carried = fresh.carried.as_ref();
            let given = carried.map_or_else(|| Some(given()), |it| it.given(&self.latest, place));
            return given.expect("the names of a new zone are stale");
        }
        let stood = self.returns.standings(place);
        let fell = self.returns.fallen(&self.name(place).owner);
        let like = self.likes.as_ref().and_then(|it| it[place.0.idx()][place.1.idx()]);
        // An operator may mean one name and not its likes.
        let like = like
            .filter(|_| !self.apart.contains(&place))
            .map(|it| (it, stood.clone(), fell.clone()));
        if let Some(decided) = like.as_ref().and_then(|it| fresh.likes.get(it)).cloned() {
            return self.take_down(place, decided, fresh);
        }
        let targets: HashMap<Name, Arc<Steered>> = self
            .aliases
            .targets(&self.name(place).policy)
            .into_iter()
            .map(|(name, target)| (name, self.decide(target, stale, fresh)))
            .collect();
        let decided = self.decide_one(place, &targets, (stood, fell), fresh.now);
        fresh.n_decided += 1;
        if let Some(like) = like {
            fresh.likes.insert(like, decided.clone());
        }
        self.take_down(place, decided, fresh)
    }

    /// Takes down what was decided of a name, be it for another like it.
    fn take_down(&mut self, place: Place, decided: Decided, fresh: &mut Fresh) -> Arc<Steered> {
        let Decided { steered, standings, fallen } = decided;
        let zone = &self.plan.zones[place.0.idx()];
        let name = &zone.steered[place.1.idx()];
        self.returns.stand(place, zone, standings, fresh.now);
        self.returns.fall(&name.owner, fallen);
        self.returns.keep_in(name, &steered);
        fresh.names.insert(place, Arc::clone(&steered));
        steered
    }

    fn decide_one(
        &mut self,
        place: Place,
        targets: &HashMap<Name, Arc<Steered>>,
        (stood, fell): (Standings, Fallen),
        now: SystemTime,
    ) -> Decided {
        let ground = self.ground(place, targets, (stood, fell), now, &self.overrides);
        let Ground { policy, conditions, is_ready, standings, fallen } = ground;
        let owner = self.name(place).owner.clone();
        let before = self.good.get(&owner).cloned();
        let steered = self.decider.steered(&policy, conditions, is_ready, before.as_deref());
        if policy.all_down == AllDown::LastGood {
            self.good.insert(owner, Arc::clone(&steered));
        }
        Decided { steered, standings, fallen }
    }

    /// What a name is decided from, if the operators say this.
    pub(super) fn ground(
        &self,
        place: Place,
        targets: &HashMap<Name, Arc<Steered>>,
        (stood, fell): (Standings, Fallen),
        now: SystemTime,
        overrides: &Overrides,
    ) -> Ground {
        let name = self.name(place);
        let policy = Arc::clone(&name.policy);
        let said = Said::of(overrides, &name.owner);
        let of_family = |family: &Family| self.conditions(name, *family, &said, targets);
        let mut conditions: Vec<Conditions> = policy.families().iter().map(of_family).collect();
        let since = |pool, endpoint| self.down_since(name, pool, endpoint);
        let fallen = fallen_after(&policy, &conditions, &fell, since);
        for (conditions, fallen) in conditions.iter_mut().zip(fallen.iter().flat_map(|it| &**it)) {
            keep_in(&policy, conditions, fallen);
        }
        let is_known = |probes: &Tree| self.verdict(probes).verdict != Verdict::Unknown;
        let is_ready = !self.warming
            || name.probes.iter().flatten().all(is_known)
                && !targets.values().any(|it| it.is_waiting());
        let standings = match (policy.has_ramp(), is_ready) {
            (false, _) => None,
            // Nobody was given anything yet.
            (true, false) => stood,
            (true, true) => standings_after(name, &said, &conditions, stood.as_deref(), now),
        };
        for pools in &mut conditions {
            for (pool, standing) in pools.iter_mut().zip(standings.iter().flat_map(|it| &**it)) {
                for it in pool {
                    it.ramp = standing.percent();
                }
            }
        }
        Ground { policy, conditions, is_ready, standings, fallen }
    }

    /// What is known of the endpoints of a name for a family, with the operator's word over it.
    fn conditions(
        &self,
        name: &PlannedName,
        family: Family,
        said: &Said<'_>,
        targets: &HashMap<Name, Arc<Steered>>,
    ) -> Conditions {
        let pools = name.policy.pools.iter().zip(&name.probes);
        let of_pool = |(pool, probes): (&Pool, &Vec<Tree>)| {
            let of_endpoint = |(endpoint, probes): (&Endpoint, &Tree)| {
                let status = self.verdict(probes);
                let seen = self.condition(&endpoint.target, family, status, targets);
                said.over(pool, endpoint, seen)
            };
            pool.endpoints.iter().zip(probes).map(of_endpoint).collect()
        };
        pools.map(of_pool).collect()
    }

    /// Since when an endpoint is down; one that is another name, since the last of that was.
    fn down_since(&self, name: &PlannedName, pool: usize, endpoint: usize) -> SystemTime {
        let always = SystemTime::UNIX_EPOCH;
        let Target::Alias(target) = &name.policy.pools[pool].endpoints[endpoint].target else {
            let known = |id| {
                let (status, since) = self.known(id);
                (status.verdict, since)
            };
            return name.probes[pool][endpoint].verdict_since(always, &known).1;
        };
        let Some(AliasTo::Steered(place)) = self.aliases.to(target) else { return always };
        let target = self.name(place);
        let pools = target.policy.pools.iter().enumerate();
        let places = pools.flat_map(|(pool, it)| (0..it.endpoints.len()).map(move |at| (pool, at)));
        let since = places.map(|(pool, endpoint)| self.down_since(target, pool, endpoint));
        since.max().unwrap_or(always)
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
            return Condition::seen(is_up, shaky);
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
        Condition { present, ..Condition::seen(up && is_up, shaky) }
    }
}

/// Has those stay in that do not fit the budget of a name, when these have to leave, the first first.
fn keep_in(policy: &Policy, conditions: &mut Conditions, fallen: &[InPool]) {
    let order: HashMap<(&str, &Target), usize> =
        fallen.iter().zip(0..).map(|(it, at)| ((&*it.0, &it.1), at)).collect();
    let order = |pool: usize, endpoint: usize| {
        let Pool { name, endpoints, .. } = &policy.pools[pool];
        order[&(&**name, &endpoints[endpoint].target)]
    };
    for (pool, endpoint) in over_budget(policy, conditions, order) {
        let it = &mut conditions[pool][endpoint];
        *it = Condition { up: true, shaky: true, over_budget: true, ..*it };
    }
}

fn is_present(decision: &Decision) -> bool {
    decision.outcome != Outcome::NoData
}

/// The numbers that names have in common which cannot but give the same. What a name gave before, or
/// another name gives, makes it one by itself.
fn likes(plan: &Plan) -> Vec<Vec<Option<u32>>> {
    let mut numbers = HashMap::new();
    let mut likes = Vec::with_capacity(plan.zones.len());
    for zone in &plan.zones {
        let mut zone_likes = Vec::with_capacity(zone.steered.len());
        for PlannedName { policy, probes, .. } in &zone.steered {
            let is_single = has_alias(policy) || policy.all_down == AllDown::LastGood;
            zone_likes.push((!is_single).then(|| {
                let next = u32::try_from(numbers.len()).expect("fewer than 2^32 names");
                *numbers.entry((Arc::as_ptr(policy).addr(), probes)).or_insert(next)
            }));
        }
        likes.push(zone_likes);
    }
    likes
}
