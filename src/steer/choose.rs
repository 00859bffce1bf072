//! The chooser: from a policy, a class of clients and the conditions of the endpoints to a decision.
//!
//! ```text
//!   all pools -> match -> available -> tier -> near --some left--> candidates
//!                  ^          |                  '--none left----> all_down
//!                  '-- none: the next wider level, unless fenced
//! ```
//!
//! # Match and available
//!
//! A pool is available when enough of it is up (`min_up`) and one of its endpoints of the family is.
//! The most specific level that has an available pool wins. A fence ends the search at its level:
//! what follows, `all_down` included, may give nothing but that level's pools.
//!
//! What the operator has withdrawn is in no stage, those of `all_down` included; a dial and a ramp
//! scale the weight of a pool.
//!
//! # Tier
//!
//! The lowest tier that has a pool left. A pool of weight 0 is a last resort: it counts only where
//! no other pool of its tier is left, and then as much as any other of weight 0. Pools of later
//! tiers keep their trickle, near or not.
//!
//! # Overflow
//!
//! Dials and ramps are shares of what a pool normally gets. Among the pools that are left together
//! they are relative, as long as one of them has its whole share: it takes what the others may not.
//! Where the largest share is less, they keep that much of the clients, and the rest goes to its
//! next choice: what the same stages leave when those pools are taken away.
//!
//! ```text
//!   all clients -> near, dial 60 %: keeps 60 of 100 --40--> next, ramp 25 %: keeps 10 --30--> ...
//! ```
//!
//! Where nobody in the whole chain has all of its share, shares count relative to the largest of
//! them: who could take more than the others takes what is left, and clients stay near when all come
//! back together.

use super::{
    AllDown, Candidate, Candidates, Class, Condition, Decision, Endpoint, Footing, Level, Member,
    Outcome, Policy, Pool, PoolSet, SHARE_WHOLE, Target,
};
use crate::{
    limits::{TRICKLE_WHOLE, WEIGHT_SUM_MAX},
    wire::{Family, name},
};

/// A decision, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What clients of the class get.
    pub decision: Decision,
    /// What each stage left.
    pub stages: Stages,
    /// What dials and ramps make of that, where they send clients on to their next choice.
    pub overflow: Option<Overflow>,
}

/// Clients that dials and ramps send on to their next choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow {
    /// What the stages left first.
    pub from: PoolSet,
    /// The part of the clients that those keep, of [`SHARE_WHOLE`].
    pub kept: u64,
    /// The next choices that the others go to.
    pub to: PoolSet,
    /// Whether nobody may have all that comes, so that shares count relative to the largest.
    pub is_short: bool,
}

/// The pools that each stage left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stages {
    /// The level at which the search ended; none: nothing serves the client.
    pub level: Option<Level>,
    /// Pools of that level.
    pub matched: PoolSet,
    /// Those of them that are available.
    pub available: PoolSet,
    /// Those of the lowest tier.
    pub tier: PoolSet,
    /// Those of later tiers that keep their trickle.
    pub trickle: PoolSet,
    /// Those of the tier that are near.
    pub near: PoolSet,
}

/// Runs the stages for one class and one family. `conditions[pool][endpoint]` is as the policy is;
/// `before` is the decision that this one replaces.
#[must_use]
pub fn choose(
    policy: &Policy,
    class: &Class,
    conditions: &[Vec<Condition>],
    family: Family,
    before: Option<&Decision>,
) -> Choice {
    assert_eq!(policy.pools.len(), conditions.len());
    let chooser = Chooser { policy, class, conditions, family };
    let present = chooser.present();
    if present.and(&chooser.reachable()).is_empty() {
        let decision = Decision { footing: Footing::Healthy, outcome: Outcome::NoData };
        return Choice { decision, stages: Stages::default(), overflow: None };
    }

    let up = PoolSet::where_(conditions.len(), |pool| chooser.is_up(pool));
    let allowed = present.filter(|pool| chooser.is_allowed(pool));
    let available = up.and(&allowed);
    let stages = chooser.stages(&available);
    let (decision, overflow) = if stages.near.is_empty() {
        chooser.all_down((&present, &allowed), &stages, before)
    } else {
        let chain = chooser.chain(stages.near, &available);
        let candidates = chooser.candidates(&chain, &stages, |it| chooser.ttl_healthy(it));
        let outcome = Outcome::Draw(candidates);
        (Decision { footing: Footing::Healthy, outcome }, chooser.overflow(&chain))
    };
    Choice { decision, stages, overflow }
}

/// The pools that a decision with this footing was made among, whatever the class: those that are
/// up, or, where all count as up, those that may be answered. Of the other footings there is no
/// choice.
#[must_use]
pub(super) fn among(
    policy: &Policy,
    conditions: &[Vec<Condition>],
    family: Family,
    footing: Footing,
) -> PoolSet {
    let class = &Class::none();
    let chooser = Chooser { policy, class, conditions, family };
    let allowed = chooser.present().filter(|pool| chooser.is_allowed(pool));
    match footing {
        Footing::Healthy => allowed.filter(|pool| chooser.is_up(pool)),
        Footing::FailedOpen => allowed,
        Footing::LastGood | Footing::Fallback => PoolSet::default(),
    }
}

/// Of some pools those that clients of a class may be sent to at all.
#[must_use]
pub(super) fn within_reach(policy: &Policy, class: &Class, among: &PoolSet) -> PoolSet {
    Chooser { policy, class, conditions: &[], family: Family::V4 }.reachable().and(among)
}

/// Of some pools those that the stages leave to clients of a class, without trickles.
#[must_use]
pub(super) fn next_choice(policy: &Policy, class: &Class, among: &PoolSet) -> PoolSet {
    Chooser { policy, class, conditions: &[], family: Family::V4 }.stages_of_all(among).near
}

/// A decision with the same footing, with other pools or weights. `weights` are above 0, of pools
/// with an endpoint of the family that may be answered; there is at least one.
#[must_use]
pub(super) fn respread(
    policy: &Policy,
    conditions: &[Vec<Condition>],
    family: Family,
    footing: Footing,
    weights: &[(usize, u64)],
) -> Decision {
    let class = &Class::none();
    let chooser = Chooser { policy, class, conditions, family };
    let ttl = |it: Condition| match footing {
        Footing::Healthy => chooser.ttl_healthy(it),
        _ => Some(policy.ttl_min),
    };
    let candidate = |(pool, weight): &(usize, u64)| chooser.candidate(*pool, *weight, ttl);
    let outcome = Outcome::Draw(chooser.drawn_from(weights.iter().map(candidate).collect()));
    Decision { footing, outcome }
}

struct Chooser<'a> {
    policy: &'a Policy,
    class: &'a Class,
    conditions: &'a [Vec<Condition>],
    family: Family,
}

impl Chooser<'_> {
    /// Pools with an endpoint of the family, up or not.
    fn present(&self) -> PoolSet {
        PoolSet::where_(self.policy.pools.len(), |pool| {
            let conditions = self.conditions[pool].iter();
            self.policy.pools[pool].endpoints.iter().zip(conditions).any(|it| self.is_of_family(it))
        })
    }

    fn is_of_family(&self, (endpoint, condition): (&Endpoint, &Condition)) -> bool {
        let is_so = match &endpoint.target {
            Target::Address(address) if address.is_ipv4() => self.family == Family::V4,
            Target::Address(_) => self.family == Family::V6,
            Target::Name(_) => self.family == Family::Name,
            Target::Alias(_) => self.family != Family::Name,
        };
        is_so && condition.present
    }

    /// Whether the operator lets an endpoint of the family of a pool be answered.
    fn is_allowed(&self, pool: usize) -> bool {
        let pairs = self.policy.pools[pool].endpoints.iter().zip(&self.conditions[pool]);
        pairs.into_iter().any(|it| !it.1.is_withdrawn() && self.is_of_family(it))
    }

    /// Pools that clients of the class may ever be sent to: those of all levels up to a fence. Whom
    /// nothing serves may be sent wherever there is no fence, when all is down.
    fn reachable(&self) -> PoolSet {
        if self.class.levels.is_empty() {
            return PoolSet::where_(self.policy.pools.len(), |idx| !self.policy.pools[idx].fence);
        }
        let levels = &self.class.levels;
        let fence = levels.iter().position(|level| level.fence);
        let open = &levels[..fence.map_or(levels.len(), |idx| idx + 1)];
        open.iter().fold(PoolSet::default(), |pools, level| pools.or(&level.pools))
    }

    /// Whether enough of a pool is up, by endpoint weight over both address families, and one
    /// endpoint of the family is.
    fn is_up(&self, pool: usize) -> bool {
        let (conditions, pool) = (&self.conditions[pool], &self.policy.pools[pool]);
        let mut pairs = pool.endpoints.iter().zip(conditions);
        enough_is_up(pool, conditions, self.policy.min_up_percent)
            && pairs.any(|it| it.1.up && !it.1.is_withdrawn() && self.is_of_family(it))
    }

    /// The stages from match to near, when `available` are.
    fn stages(&self, available: &PoolSet) -> Stages {
        let mut stages = Stages::default();
        for level in &self.class.levels {
            stages.level = Some(*level);
            stages.matched = level.pools;
            stages.available = level.pools.and(available);
            if level.fence || !stages.available.is_empty() {
                break;
            }
        }
        self.narrow(&mut stages);
        stages
    }

    /// The same, but for clients whom no pool serves: all that are not fenced do.
    fn stages_of_all(&self, available: &PoolSet) -> Stages {
        let mut stages = self.stages(available);
        if self.class.levels.is_empty() {
            stages.available = self.reachable().and(available);
            self.narrow(&mut stages);
        }
        stages
    }

    /// The stages tier and near, over what is available.
    fn narrow(&self, stages: &mut Stages) {
        let pools = &self.policy.pools;
        let lowest = stages.available.iter().map(|pool| pools[pool].tier).min();
        let tier = stages.available.filter(|pool| Some(pools[pool].tier) == lowest);
        let weighty = tier.filter(|pool| pools[pool].weight != 0);
        stages.tier = if weighty.is_empty() { tier } else { weighty };
        stages.trickle = stages
            .available
            .filter(|pool| Some(pools[pool].tier) != lowest && pools[pool].trickle != 0);
        stages.near = match &self.class.near {
            Some(near) => near.nearest_of(&stages.tier),
            None => stages.tier,
        };
    }

    /// The choices of the clients for whom the stages leave `near` first, each for what those before
    /// it may not have. The last has the largest share of all, and takes what comes to it.
    fn chain(&self, near: PoolSet, available: &PoolSet) -> Vec<PoolSet> {
        let (mut chain, mut latest, mut rest) = (vec![near], near, *available);
        while self.largest_share(&latest) < SHARE_WHOLE {
            rest = rest.filter(|pool| !latest.contains(pool));
            latest = self.stages_of_all(&rest).near;
            if latest.is_empty() {
                break;
            }
            chain.push(latest);
        }
        let largest = chain.iter().map(|it| self.largest_share(it)).max();
        let last = chain.iter().position(|it| Some(self.largest_share(it)) == largest);
        chain.truncate(last.map_or(1, |it| it + 1));
        chain
    }

    /// What a chain of choices says of who goes where.
    fn overflow(&self, chain: &[PoolSet]) -> Option<Overflow> {
        let (from, next) = chain.split_first()?;
        let whole = self.largest_share(next.last()?);
        Some(Overflow {
            from: *from,
            kept: self.largest_share(from) * SHARE_WHOLE / whole,
            to: next.iter().fold(PoolSet::default(), |pools, it| pools.or(it)),
            is_short: whole < SHARE_WHOLE,
        })
    }

    /// Nothing is left: what the operator wants then.
    fn all_down(
        &self,
        (present, allowed): (&PoolSet, &PoolSet),
        stages: &Stages,
        before: Option<&Decision>,
    ) -> (Decision, Option<Overflow>) {
        // Short-lived, because the truth is due any moment.
        let short = |_| Some(self.policy.ttl_min);
        let fence = stages.level.filter(|level| level.fence);
        match self.policy.all_down {
            AllDown::LastGood => match self.last_good(before) {
                Some(decision) => (decision, None),
                None => self.serve_all(allowed),
            },
            AllDown::ServeAll => self.serve_all(allowed),
            AllDown::Pool(pool) if fence.is_none_or(|it| it.pools.contains(usize::from(pool))) => {
                let only: PoolSet = [usize::from(pool)].into_iter().collect();
                let mut stages = Stages { available: only.and(allowed), ..*stages };
                self.narrow(&mut stages);
                let outcome = if only.and(present).is_empty() {
                    Outcome::NoDataFor(self.policy.ttl_min)
                } else if stages.near.is_empty() {
                    Outcome::NoReachableAuthority
                } else {
                    Outcome::Draw(self.candidates(&[stages.near], &stages, short))
                };
                (Decision { footing: Footing::Fallback, outcome }, None)
            }
            AllDown::Pool(_) | AllDown::Refuse => (refused(), None),
        }
    }

    /// What was answered while something was up, without what was withdrawn since; none: nothing was,
    /// or all of it was withdrawn.
    fn last_good(&self, before: Option<&Decision>) -> Option<Decision> {
        let before = before?;
        let Outcome::Draw(candidates) = &before.outcome else { return None };
        if !matches!(before.footing, Footing::Healthy | Footing::LastGood) {
            return None;
        }
        let is_allowed = |pool: u16, endpoint: u16| {
            let pool = self.conditions.get(usize::from(pool));
            let condition = pool.and_then(|it| it.get(usize::from(endpoint)));
            condition.is_some_and(|it| !it.is_withdrawn())
        };
        let mut pools: Vec<Candidate> = candidates.pools.to_vec();
        for pool in &mut pools {
            let kept = pool.members.iter().filter(|it| is_allowed(pool.pool, it.endpoint));
            let kept = kept.map(|it| Member { ttl: self.policy.ttl_min, ..it.clone() });
            pool.members = kept.collect();
            pool.weight_sum = pool.members.iter().map(|it| it.weight).sum();
        }
        pools.retain(|pool| !pool.members.is_empty());
        let weight_sum = pools.iter().map(|it| it.weight).sum();
        let candidates = Candidates { pools: pools.into(), weight_sum, ..candidates.clone() };
        let outcome = Outcome::Draw(candidates);
        (0 < weight_sum).then_some(Decision { footing: Footing::LastGood, outcome })
    }

    /// The stages as if all were up.
    fn serve_all(&self, allowed: &PoolSet) -> (Decision, Option<Overflow>) {
        let stages = self.stages_of_all(allowed);
        // The operator has withdrawn all of it.
        if stages.near.is_empty() {
            return (refused(), None);
        }
        let chain = self.chain(stages.near, allowed);
        let candidates = self.candidates(&chain, &stages, |_| Some(self.policy.ttl_min));
        let outcome = Outcome::Draw(candidates);
        (Decision { footing: Footing::FailedOpen, outcome }, self.overflow(&chain))
    }

    /// Seconds that an answer with an endpoint may be kept that is up; none: it is not.
    fn ttl_healthy(&self, it: Condition) -> Option<u32> {
        it.up.then_some(if it.shaky { self.policy.ttl_min } else { self.policy.ttl })
    }

    /// The candidates that a chain of choices and the trickles leave, each with those endpoints of the
    /// family for which `ttl` gives one.
    fn candidates(
        &self,
        chain: &[PoolSet],
        stages: &Stages,
        ttl: impl Fn(Condition) -> Option<u32>,
    ) -> Candidates {
        let mut weights = self.weights(chain);
        let chosen_sum: u64 = weights.iter().map(|(_, weight)| weight).sum();
        // A standby that comes back keeps the least trickle there is.
        let trickle = |pool: usize| {
            (u64::from(self.policy.pools[pool].trickle) * self.share(pool)).div_ceil(SHARE_WHOLE)
        };
        let trickle_sum: u64 = stages.trickle.iter().map(trickle).sum();
        assert!(trickle_sum < TRICKLE_WHOLE);
        if 0 < trickle_sum {
            // The chosen share what the trickles leave, so all weights are over `chosen_sum * WHOLE`.
            for (_, weight) in &mut weights {
                *weight *= TRICKLE_WHOLE - trickle_sum;
            }
        }
        for pool in stages.trickle.iter().filter(|pool| trickle(*pool) != 0) {
            let more = trickle(pool) * chosen_sum;
            match weights.iter_mut().find(|(it, _)| *it == pool) {
                Some((_, weight)) => *weight += more,
                None => weights.push((pool, more)),
            }
        }
        weights.sort_by_key(|(pool, _)| *pool);
        let candidate = |(pool, weight): (usize, u64)| self.candidate(pool, weight, &ttl);
        self.drawn_from(weights.into_iter().map(candidate).collect())
    }

    /// The weights of the pools of a chain of choices.
    fn weights(&self, chain: &[PoolSet]) -> Vec<(usize, u64)> {
        if let [only] = chain {
            return self.relative(only);
        }
        let links = chain.iter().map(|pools| (self.largest_share(pools), self.relative(pools)));
        chained(&links.collect::<Vec<_>>())
    }

    /// The weights of some pools beside each other, scaled by their shares.
    fn relative(&self, pools: &PoolSet) -> Vec<(usize, u64)> {
        // In lowest terms, so that weights are those of the file where all shares are equal.
        let unit = pools.iter().map(|pool| self.share(pool)).fold(0, gcd);
        let weight = |pool: usize| {
            u64::from(self.policy.pools[pool].weight.max(1)) * (self.share(pool) / unit.max(1))
        };
        pools.iter().map(|pool| (pool, weight(pool))).collect()
    }

    /// Candidates to be drawn from, in the order of the policy.
    fn drawn_from(&self, pools: Vec<Candidate>) -> Candidates {
        assert!(!pools.is_empty());
        Candidates {
            weight_sum: pools.iter().map(|pool| pool.weight).sum(),
            pools: pools.into(),
            // A name has one CNAME (RFC 2181 section 10.1).
            answers: if self.family == Family::Name { 1 } else { self.policy.answers },
            sticky: self.policy.sticky,
        }
    }

    /// The share of its weight that a pool may have, of [`SHARE_WHOLE`].
    fn share(&self, pool: usize) -> u64 {
        self.conditions[pool].iter().map(Condition::share).max().unwrap_or(0)
    }

    /// The largest share of some pools, of [`SHARE_WHOLE`].
    fn largest_share(&self, pools: &PoolSet) -> u64 {
        pools.iter().map(|pool| self.share(pool)).max().unwrap_or(0)
    }

    fn candidate(
        &self,
        pool: usize,
        weight: u64,
        ttl: impl Fn(Condition) -> Option<u32>,
    ) -> Candidate {
        assert!(self.policy.ttl_min <= self.policy.ttl);
        let Pool { name, endpoints, .. } = &self.policy.pools[pool];
        let members: Box<[Member]> = (0..)
            .zip(endpoints.iter().zip(&self.conditions[pool]))
            .filter(|(_, pair)| !pair.1.is_withdrawn() && self.is_of_family(*pair))
            .filter_map(|(endpoint, (it, condition))| {
                Some(Member {
                    endpoint,
                    weight: u64::from(it.weight),
                    ttl: ttl(*condition)?,
                    rdata: it.target.rdata(),
                })
            })
            .collect();
        assert!(!members.is_empty());
        Candidate {
            pool: u16::try_from(pool).expect("at most POOLS_MAX"),
            weight,
            key: name::hash_octets(name.as_bytes()),
            is_alias: matches!(endpoints[0].target, Target::Alias(_)),
            weight_sum: members.iter().map(|member| member.weight).sum(),
            members,
        }
    }
}

/// Whether as much of a pool is up as has to be, by endpoint weight over both address families.
#[must_use]
pub fn enough_is_up(pool: &Pool, conditions: &[Condition], min_up_percent: Option<u8>) -> bool {
    assert_eq!(pool.endpoints.len(), conditions.len());
    let sum_of = |counts: fn(&Condition) -> bool| -> u64 {
        let counted = pool.endpoints.iter().zip(conditions).filter(|it| counts(it.1));
        counted.map(|(it, _)| u64::from(it.weight)).sum()
    };
    // What is drained is no failure: the pool is as if it were not in it.
    let all = sum_of(|it| !it.up || !it.is_withdrawn());
    let up = sum_of(|it| it.up && !it.is_withdrawn());
    all * u64::from(min_up_percent.unwrap_or(0)) <= up * 100
}

/// The weights of a chain of choices in lowest terms: each keeps its share, of that of the last, of
/// what comes to it, spread by its weights, and the rest goes on to the next.
fn chained(links: &[(u64, Vec<(usize, u64)>)]) -> Vec<(usize, u64)> {
    let whole = links.last().expect("a chain has a link").0;
    let mut weights = Vec::<(usize, u128)>::new();
    for (share, link) in links.iter().rev() {
        let link_sum: u128 = link.iter().map(|(_, weight)| u128::from(*weight)).sum();
        let later_sum: u128 = weights.iter().map(|(_, weight)| weight).sum();
        for (_, weight) in &mut weights {
            *weight *= u128::from(whole - share) * link_sum;
        }
        let kept = if weights.is_empty() { 1 } else { u128::from(*share) * later_sum };
        weights.extend(link.iter().map(|(pool, weight)| (*pool, u128::from(*weight) * kept)));
        reduce(&mut weights);
    }
    let weight = |it: u128| u64::try_from(it).expect("it is reduced");
    weights.into_iter().map(|(pool, it)| (pool, weight(it))).collect()
}

/// Puts weights in lowest terms, or near them, so that they add up to little enough to go on with.
fn reduce(weights: &mut [(usize, u128)]) {
    let unit = weights.iter().fold(0, |unit, (_, weight)| gcd(unit, *weight));
    let sum = weights.iter().map(|(_, weight)| weight).sum::<u128>() / unit;
    let most = u128::from(WEIGHT_SUM_MAX);
    for (_, weight) in weights {
        let reduced = if sum <= most { *weight / unit } else { *weight / unit * most / sum };
        *weight = reduced.max(1);
    }
}

/// The greatest common divisor; that of 0 and a number is the number.
fn gcd<T: Copy + Default + PartialEq + std::ops::Rem<Output = T>>(one: T, other: T) -> T {
    if other == T::default() { one } else { gcd(other, one % other) }
}

/// Nothing may be answered.
fn refused() -> Decision {
    Decision { footing: Footing::Healthy, outcome: Outcome::NoReachableAuthority }
}

#[cfg(test)]
mod tests;
