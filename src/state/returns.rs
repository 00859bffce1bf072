//! Returns: by which step of their ramps pools come back, and which endpoints that are down stay in.
//!
//! ```text
//!   decided anew (names) -> Standing::after -> the ramp's part of the conditions
//!        ^                        |
//!        '---- a step is over ----'--> Turns: events to be told, rows to be kept
//! ```
//!
//! Where a pool stands follows from what is published, and not from each report: a pool that is down
//! and up again before anybody could be told has never left.
//!
//! # Invariants
//!
//! - Only what is not full is remembered, and only of pools with a ramp.
//! - A pool that a reload adds to a name comes back as if it had been down. One that a start of the
//!   server finds, or that comes together with its name, is full: nobody had another pool before.
//! - What leads to no change of a share is no event.
//! - Who fell before others did is remembered for as long as he is down. What the probes say is not
//!   enough: where several of one endpoint fail, the first may recover, and it is down as before.
//!
//! *Not here:* the steps themselves (`ramp`), the budget (`steer`), and that rows survive (`store`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::{
    ByPlace, Place, Seen, Standing, Word,
    carry::{Carried, all_names, names_in},
    decide::Conditions,
    journal::{Kind, Transition},
    operator::Said,
    store::pool_key,
};
use crate::{
    compile::{Plan, PlannedName, PlannedZone},
    ids::{SteeredId, ZoneId},
    limits::EVENTS_PER_CHANGE_MAX,
    snapshot::Steered,
    steer::{Condition, Endpoint, Policy, Pool, Ramp, Target, enough_is_up},
    wire::Name,
};

/// By pool of a name; none: all are full.
pub(super) type Standings = Option<Arc<[Standing]>>;

/// What health says of a name has to leave, by family: pools and endpoints, the first that fell first.
/// None: nothing has to, or the name has no budget.
pub(super) type Fallen = Option<Arc<[Vec<InPool>]>>;

/// An endpoint, and the pool that it is of.
pub(super) type InPool = (Box<str>, Target);

/// What happened while names were decided, and is to be told and kept outside.
#[derive(Debug, Default)]
pub struct Turns {
    /// What is to be told, of the first `EVENTS_PER_CHANGE_MAX`.
    pub events: Vec<Transition>,
    /// Of how many more the same could be told.
    pub more_events: usize,
    /// Where pools stand now.
    pub ramps: Vec<Stand>,
    /// The [`pool_key`]s of pools that there are no more.
    pub gone: Vec<String>,
}

/// Where a pool stands now.
#[derive(Debug, Clone)]
pub struct Stand {
    zone: Arc<PlannedZone>,
    name: SteeredId,
    pool: usize,
    /// Where it stands.
    pub standing: Standing,
}

impl Stand {
    /// How the pool is called among the ramps. It is made when it is needed: a verdict may have a
    /// hundred thousand pools return, and clients do not wait for what they are called.
    #[must_use]
    pub fn key(&self) -> String {
        let PlannedName { owner, policy, .. } = &self.zone.steered[self.name.idx()];
        pool_key(owner, &policy.pools[self.pool].name)
    }
}

/// Where pools stand, and what stays in that is down.
#[derive(Debug, Default)]
pub(super) struct Returns {
    standings: ByPlace<Arc<[Standing]>>,
    /// By owner: pools and endpoints over budget.
    over_budget: HashMap<Name, Vec<InPool>>,
    /// By owner.
    fallen: HashMap<Name, Arc<[Vec<InPool>]>>,
    turns: Turns,
}

impl Returns {
    /// Where the pools of a name stand.
    pub(super) fn standings(&self, place: Place) -> Standings {
        self.standings.get(&place).cloned()
    }

    /// What of a name had to leave latest.
    pub(super) fn fallen(&self, name: &Name) -> Fallen {
        self.fallen.get(name).cloned()
    }

    /// Takes down what of a name has to leave now.
    pub(super) fn fall(&mut self, name: &Name, now: Fallen) {
        if let Some(now) = now {
            self.fallen.insert(name.clone(), now);
        } else if !self.fallen.is_empty() {
            self.fallen.remove(name);
        }
    }

    /// Whether an endpoint is down and stays in.
    pub(super) fn is_over_budget(&self, name: &Name, pool: &str, target: &Target) -> bool {
        let its = self.over_budget.get(name);
        its.is_some_and(|its| its.iter().any(|it| *it.0 == *pool && it.1 == *target))
    }

    /// What happened since this was asked for last.
    pub(super) fn take_turns(&mut self) -> Turns {
        std::mem::take(&mut self.turns)
    }

    /// Goes over from one plan to the next: in zones that are not the same, pools stand by their names
    /// where they stood.
    pub(super) fn reload(&mut self, carried: &Carried, before: &Plan, after: &Plan) {
        let stood = self.leave(carried, before);
        let old: HashMap<&Name, (Place, &PlannedName)> = names_in(&before.zones, carried.gone())
            .map(|(place, name)| (&name.owner, (place, name)))
            .collect();
        let mut kept: HashSet<(Place, usize)> = HashSet::new();
        let fresh = names_in(&after.zones, carried.fresh());
        for (place, name) in fresh.filter(|(_, it)| it.policy.has_ramp()) {
            let Some((old_place, old_name)) = old.get(&name.owner) else { continue };
            let standing = |pool: &Pool| {
                let idx = old_name.policy.pools.iter().position(|it| it.name == pool.name);
                match (idx, &pool.ramp) {
                    (_, None) => Standing::Full,
                    (None, Some(_)) => Standing::Out,
                    (Some(idx), Some(_)) => {
                        kept.insert((*old_place, idx));
                        stood.get(old_place).map_or(Standing::Full, |it| it[idx])
                    }
                }
            };
            let standings: Vec<Standing> = name.policy.pools.iter().map(standing).collect();
            let is_new = |pool: &Pool| old_name.policy.pools.iter().all(|it| it.name != pool.name);
            let zone = &after.zones[place.0.idx()];
            for (idx, pool) in name.policy.pools.iter().enumerate() {
                if pool.ramp.is_some() && is_new(pool) {
                    let (zone, standing) = (Arc::clone(zone), Standing::Out);
                    self.turns.ramps.push(Stand { zone, name: place.1, pool: idx, standing });
                }
            }
            self.set(place, remembered(standings));
        }
        for (place, standings) in stood {
            let (zone, name) = (&before.zones[place.0.idx()], place.1);
            for (pool, standing) in standings.iter().enumerate() {
                if *standing != Standing::Full && !kept.contains(&(place, pool)) {
                    let (zone, standing) = (Arc::clone(zone), Standing::Full);
                    self.turns.ramps.push(Stand { zone, name, pool, standing });
                }
            }
        }
        if !(self.over_budget.is_empty() && self.fallen.is_empty()) {
            let stays: HashSet<&Name> =
                names_in(&after.zones, carried.fresh()).map(|(_, it)| &it.owner).collect();
            let gone = old.keys().filter(|it| !stays.contains(**it));
            for name in gone {
                self.over_budget.remove(*name);
                self.fallen.remove(*name);
            }
        }
    }

    /// Takes out where pools stood in zones that are not the same any more; the others are found by
    /// their places of now.
    fn leave(&mut self, carried: &Carried, before: &Plan) -> ByPlace<Arc<[Standing]>> {
        if carried.is_in_place() {
            let gone = names_in(&before.zones, carried.gone());
            let taken = gone.filter_map(|(place, _)| self.standings.remove_entry(&place));
            return taken.collect();
        }
        let mut stood = std::mem::take(&mut self.standings);
        if !stood.is_empty() {
            let now: HashMap<ZoneId, ZoneId> = carried.kept().collect();
            stood.retain(|(zone, id), standings| {
                let now = now.get(zone);
                now.map(|now| self.standings.insert((*now, *id), Arc::clone(standings))).is_none()
            });
        }
        stood
    }

    /// Goes on from where the pools of a plan stood before a restart.
    pub(super) fn restore(&mut self, rows: Vec<(String, Standing)>, plan: &Plan) {
        let mut rows: HashMap<String, Standing> = rows.into_iter().collect();
        if !rows.is_empty() {
            for (place, name) in all_names(&plan.zones).filter(|(_, it)| it.policy.has_ramp()) {
                let mut standing = |pool: &Pool| {
                    let row = pool
                        .ramp
                        .as_ref()
                        .and_then(|_| rows.remove(&pool_key(&name.owner, &pool.name)));
                    row.unwrap_or(Standing::Full)
                };
                let standings = name.policy.pools.iter().map(&mut standing).collect();
                self.set(place, remembered(standings));
            }
        }
        // There is no such pool any more, or it has no ramp.
        self.turns.gone.extend(rows.into_keys());
    }

    /// Where pools stand that are not full.
    pub(super) fn rows(&self, plan: &Plan) -> Vec<(String, Standing)> {
        let rows = |((zone, id), standings): (&Place, &Arc<[Standing]>)| {
            let PlannedName { owner, policy, .. } = &plan.zones[zone.idx()].steered[id.idx()];
            let pools = policy.pools.iter().zip(&**standings);
            let row = |(pool, it): (&Pool, &Standing)| (pool_key(owner, &pool.name), *it);
            pools.filter(|(_, it)| **it != Standing::Full).map(row).collect::<Vec<_>>()
        };
        self.standings.iter().flat_map(rows).collect()
    }

    /// The names of which a pool has to be looked at by `now`.
    pub(super) fn due(&self, now: SystemTime, plan: &Plan) -> Vec<Place> {
        let is_due = |(place, standings): &(&Place, &Arc<[Standing]>)| {
            let pools = plan.zones[place.0.idx()].steered[place.1.idx()].policy.pools.iter();
            let mut next =
                pools.zip(&***standings).filter_map(|(pool, it)| it.next(pool.ramp.as_ref()));
            next.any(|next| next <= now)
        };
        self.standings.iter().filter(is_due).map(|(place, _)| *place).collect()
    }

    /// Takes down where the pools of a name stand now.
    pub(super) fn stand(
        &mut self,
        place: Place,
        zone: &Arc<PlannedZone>,
        next: Standings,
        now: SystemTime,
    ) {
        let name = &zone.steered[place.1.idx()];
        if !name.policy.has_ramp() && self.standings.is_empty() {
            return;
        }
        let before = self.standings.get(&place).cloned();
        if before == next {
            return;
        }
        for (idx, pool) in name.policy.pools.iter().enumerate() {
            let at =
                |standings: &Standings| standings.as_ref().map_or(Standing::Full, |it| it[idx]);
            let (from, to) = (at(&before), at(&next));
            let (Some(ramp), true) = (&pool.ramp, from != to) else { continue };
            let (zone, name, standing) = (Arc::clone(zone), place.1, to);
            let stand = Stand { zone, name, pool: idx, standing };
            if is_told(from, to) {
                self.tell(|| Transition {
                    kind: Kind::Ramp,
                    subject: stand.key(),
                    from: share(from),
                    to: share(to),
                    why: why(ramp, from, to, now),
                });
            }
            self.turns.ramps.push(stand);
        }
        self.set(place, next);
    }

    /// Takes down what stays in now of a name although it is down.
    pub(super) fn keep_in(&mut self, name: &PlannedName, steered: &Steered) {
        let Some(percent) = name.policy.eject_max_percent.map(u32::from).or_else(|| {
            // It had a budget until now.
            self.over_budget.contains_key(&name.owner).then_some(100)
        }) else {
            return;
        };
        let mut now: Vec<InPool> = Vec::new();
        let mut is_up: HashMap<(&str, &Target), bool> = HashMap::new();
        for (pool, endpoint, conditions) in endpoints(&name.policy, steered) {
            is_up.insert((&pool.name, &endpoint.target), conditions.iter().all(|it| it.up));
            if conditions.iter().any(|it| it.over_budget) {
                now.push((pool.name.clone(), endpoint.target.clone()));
            }
        }
        let before = self.over_budget.remove(&name.owner).unwrap_or_default();
        let subject = |(pool, target): &InPool| format!("{}/{pool}/{target}", name.owner);
        for it in now.iter().filter(|it| !before.contains(it)) {
            self.tell(|| Transition {
                kind: Kind::OverBudget,
                subject: subject(it),
                from: "down".to_owned(),
                to: "over budget".to_owned(),
                why: format!("it stays in: with it more than {percent} % of the name would be out"),
            });
        }
        for it in before.iter().filter(|it| !now.contains(it)) {
            let (to, why) = match is_up.get(&(&*it.0, &it.1)) {
                Some(false) => {
                    ("down", "it leaves: the budget has room, or the operator's word counts")
                }
                Some(true) => ("up", "it is up again"),
                None => ("gone", "a reload took it away"),
            };
            self.tell(|| Transition {
                kind: Kind::OverBudget,
                subject: subject(it),
                from: "over budget".to_owned(),
                to: to.to_owned(),
                why: why.to_owned(),
            });
        }
        if !now.is_empty() {
            self.over_budget.insert(name.owner.clone(), now);
        }
    }

    fn set(&mut self, place: Place, standings: Standings) {
        match standings {
            Some(standings) => drop(self.standings.insert(place, standings)),
            None => drop(self.standings.remove(&place)),
        }
    }

    fn tell(&mut self, event: impl FnOnce() -> Transition) {
        if self.turns.events.len() < EVENTS_PER_CHANGE_MAX {
            self.turns.events.push(event());
        } else {
            self.turns.more_events += 1;
        }
    }
}

/// Where the pools of a name stand by these conditions, one for each family.
pub(super) fn standings_after(
    name: &PlannedName,
    said: &Said<'_>,
    conditions: &[Conditions],
    before: Option<&[Standing]>,
    now: SystemTime,
) -> Standings {
    let policy = &name.policy;
    let standing = |(idx, pool): (usize, &Pool)| {
        let is_up = |it: &Endpoint| said.word(pool, it).map(|it| it.word) == Some(Word::Up);
        if pool.endpoints.iter().all(is_up) {
            // The operator knows better than the ramp.
            return Standing::Full;
        }
        let before = before.map_or(Standing::Full, |it| it[idx]);
        before.after(pool.ramp.as_ref(), seen(policy, idx, conditions), now)
    };
    remembered(policy.pools.iter().enumerate().map(standing).collect())
}

/// What of a name has to leave by these conditions, one for each family; of those that fell at one
/// time, `since` says who was the first.
pub(super) fn fallen_after<T: Ord>(
    policy: &Policy,
    conditions: &[Conditions],
    before: &Fallen,
    since: impl Fn(usize, usize) -> T,
) -> Fallen {
    policy.eject_max_percent?;
    let of_family = |(family, conditions): (usize, &Conditions)| {
        // Other files may have given the name other families.
        let before = before.as_deref().and_then(|it| it.get(family));
        let before = before.map_or(&[][..], Vec::as_slice);
        let order: HashMap<(&str, &Target), usize> =
            before.iter().zip(0..).map(|(it, at)| ((&*it.0, &it.1), at)).collect();
        let pools = policy.pools.iter().enumerate();
        let places = pools.flat_map(|(at, pool)| {
            pool.endpoints.iter().enumerate().map(move |(idx, it)| (at, idx, &pool.name, it))
        });
        let has_to_leave = |(pool, idx, ..): &(usize, usize, _, _)| -> bool {
            let it: &Condition = &conditions[*pool][*idx];
            it.is_ejected()
        };
        let mut fallen: Vec<_> = places.filter(has_to_leave).collect();
        fallen.sort_by_cached_key(|(pool, idx, name, it)| {
            let known = order.get(&(&***name, &it.target)).copied();
            (known.unwrap_or(usize::MAX), since(*pool, *idx))
        });
        fallen.into_iter().map(|(.., name, it)| (name.clone(), it.target.clone())).collect()
    };
    let fallen: Vec<Vec<_>> = conditions.iter().enumerate().map(of_family).collect();
    fallen.iter().any(|it| !it.is_empty()).then(|| fallen.into())
}

/// What is seen of a pool: an alias is up when it is for any family.
fn seen(policy: &Policy, pool: usize, conditions: &[Conditions]) -> Seen {
    let of_family = |family: &Conditions| family[pool].clone();
    let merged = conditions.iter().map(of_family).reduce(|mut one, other| {
        for (one, other) in one.iter_mut().zip(other) {
            one.up |= other.up;
            one.shaky |= other.shaky;
        }
        one
    });
    let merged = merged.unwrap_or_default();
    let is_answered = |it: &Condition| it.up && !it.is_withdrawn();
    // Withdrawn is no failure: such a pool waits.
    let is_withdrawn = merged.iter().all(|it| it.up && it.is_withdrawn());
    let is_enough = enough_is_up(&policy.pools[pool], &merged, policy.min_up_percent);
    Seen {
        up: is_withdrawn || is_enough && merged.iter().any(is_answered),
        held: is_withdrawn || merged.iter().any(|it| it.shaky),
    }
}

/// What has to be remembered of where pools stand.
fn remembered(standings: Vec<Standing>) -> Standings {
    let is_full = standings.iter().all(|it| *it == Standing::Full);
    (!is_full).then(|| standings.into())
}

/// Whether a share changed, and the verdict does not say it all.
fn is_told(from: Standing, to: Standing) -> bool {
    match (from, to) {
        (Standing::Full | Standing::Out, Standing::Full | Standing::Out) => false,
        (Standing::Out, _) | (_, Standing::Out | Standing::Full) => true,
        (from, to) => from.percent() != to.percent(),
    }
}

/// Why a share changed.
fn why(ramp: &Ramp, from: Standing, to: Standing, now: SystemTime) -> String {
    let count = ramp.steps.len();
    let lasted = ramp.every.as_secs_f64();
    match (from, to) {
        (_, Standing::Out) => "the pool is down again, and starts over".to_owned(),
        (Standing::Out, to) => {
            format!("the pool is up: step {} of {count}", ramp.step(to.percent()))
        }
        (Standing::Step(_, since), Standing::Full) if since + ramp.every <= now => {
            format!("nothing failed for {lasted} s, and it was the last step")
        }
        (_, Standing::Full) => "an operator says that the pool is up".to_owned(),
        (_, to) => {
            format!("nothing failed for {lasted} s: step {} of {count}", ramp.step(to.percent()))
        }
    }
}

fn share(standing: Standing) -> String {
    match standing {
        Standing::Out => "out".to_owned(),
        standing => format!("{} %", standing.percent()),
    }
}

/// The endpoints of a policy with their conditions, one for each family.
fn endpoints<'p>(
    policy: &'p Policy,
    steered: &'p Steered,
) -> impl Iterator<Item = (&'p Pool, &'p Endpoint, Vec<Condition>)> {
    policy.pools.iter().enumerate().flat_map(move |(pool_idx, pool)| {
        pool.endpoints.iter().enumerate().map(move |(idx, endpoint)| {
            let conditions = steered.families.iter().map(|it| it.conditions[pool_idx][idx]);
            (pool, endpoint, conditions.collect())
        })
    })
}
