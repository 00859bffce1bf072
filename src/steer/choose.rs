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

use super::{
    AllDown, Candidate, Candidates, Class, Condition, Decision, Endpoint, Footing, Level, Member,
    Outcome, Policy, Pool, PoolSet, SHARE_WHOLE, Target,
};
use crate::{
    limits::TRICKLE_WHOLE,
    wire::{Family, name},
};

/// A decision, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What clients of the class get.
    pub decision: Decision,
    /// What each stage left.
    pub stages: Stages,
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
        return Choice { decision, stages: Stages::default() };
    }

    let up = PoolSet::where_(conditions.len(), |pool| chooser.is_up(pool));
    let allowed = present.filter(|pool| chooser.is_allowed(pool));
    let stages = chooser.stages(&up.and(&allowed));
    if !stages.near.is_empty() {
        let outcome = Outcome::Draw(chooser.candidates(&stages, |it| chooser.ttl_healthy(it)));
        return Choice { decision: Decision { footing: Footing::Healthy, outcome }, stages };
    }
    Choice { decision: chooser.all_down((&present, &allowed), &stages, before), stages }
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

    /// Nothing is left: what the operator wants then.
    fn all_down(
        &self,
        (present, allowed): (&PoolSet, &PoolSet),
        stages: &Stages,
        before: Option<&Decision>,
    ) -> Decision {
        // Short-lived, because the truth is due any moment.
        let short = |_| Some(self.policy.ttl_min);
        let fence = stages.level.filter(|level| level.fence);
        match self.policy.all_down {
            AllDown::LastGood => self.last_good(before).unwrap_or_else(|| self.serve_all(allowed)),
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
                    Outcome::Draw(self.candidates(&stages, short))
                };
                Decision { footing: Footing::Fallback, outcome }
            }
            AllDown::Pool(_) | AllDown::Refuse => refused(),
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
    fn serve_all(&self, allowed: &PoolSet) -> Decision {
        let stages = self.stages_of_all(allowed);
        // The operator has withdrawn all of it.
        if stages.near.is_empty() {
            return refused();
        }
        let outcome = Outcome::Draw(self.candidates(&stages, |_| Some(self.policy.ttl_min)));
        Decision { footing: Footing::FailedOpen, outcome }
    }

    /// Seconds that an answer with an endpoint may be kept that is up; none: it is not.
    fn ttl_healthy(&self, it: Condition) -> Option<u32> {
        it.up.then_some(if it.shaky { self.policy.ttl_min } else { self.policy.ttl })
    }

    /// The candidates that the stages left, each with those endpoints of the family for which `ttl`
    /// gives one.
    fn candidates(&self, stages: &Stages, ttl: impl Fn(Condition) -> Option<u32>) -> Candidates {
        // In lowest terms, so that weights are those of the file where all shares are equal.
        let unit = stages.near.iter().map(|pool| self.share(pool)).fold(0, gcd).max(1);
        let weight = |pool: usize| {
            u64::from(self.policy.pools[pool].weight.max(1)) * (self.share(pool) / unit)
        };
        let near_sum: u64 = stages.near.iter().map(weight).sum();
        // A standby that comes back keeps the least trickle there is.
        let trickle = |pool: usize| {
            (u64::from(self.policy.pools[pool].trickle) * self.share(pool)).div_ceil(SHARE_WHOLE)
        };
        let trickle_sum: u64 = stages.trickle.iter().map(trickle).sum();
        assert!(trickle_sum < TRICKLE_WHOLE);
        // The near share what the trickles leave, so all weights are over `near_sum * WHOLE`.
        let scale = if stages.trickle.is_empty() { 1 } else { TRICKLE_WHOLE - trickle_sum };
        let near = stages.near.iter().map(|pool| (pool, weight(pool) * scale));
        let later = stages.trickle.iter().map(|pool| (pool, trickle(pool) * near_sum));
        let later = later.filter(|(_, weight)| *weight != 0);
        let mut pools: Vec<Candidate> =
            near.chain(later).map(|(pool, weight)| self.candidate(pool, weight, &ttl)).collect();
        pools.sort_by_key(|candidate| candidate.pool);
        self.drawn_from(pools)
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

/// The greatest common divisor; that of 0 and a number is the number.
fn gcd(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { gcd(other, one % other) }
}

/// Nothing may be answered.
fn refused() -> Decision {
    Decision { footing: Footing::Healthy, outcome: Outcome::NoReachableAuthority }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        geo::{Place, Prefix},
        steer::{By, Serves, Slack, class::costs},
    };

    /// Decides for a client and compares what is left.
    ///
    /// A pool is a word: weight and endpoints, then marks. An endpoint is its family, `4` or `6`, and
    /// `!` when it is down, `?` when it is shaky; marks are `@lat,lon`, `:serves`, `#tier`, `%trickle`
    /// in hundredths of a percent, and `^` for a fence: `60=4,6?#2%500`. What is left is a line of
    /// pools, each with its weight and its endpoints' places and TTLs.
    struct Case {
        policy: Policy,
        conditions: Vec<Vec<Condition>>,
        family: Family,
        place: Place,
        around: Vec<Prefix>,
        before: Option<Decision>,
    }

    fn case(pools: &str) -> Case {
        let (pools, conditions) = pools.split(' ').map(pool).unzip::<_, _, Vec<_>, Vec<_>>();
        Case {
            policy: Policy::of(20, 5, pools.into()),
            conditions,
            family: Family::V4,
            place: Place::NOWHERE,
            around: Vec::new(),
            before: None,
        }
    }

    fn pool(text: &str) -> (Pool, Vec<Condition>) {
        let (weight, rest) = text.split_once('=').unwrap();
        let marks_at = rest.find(['@', ':', '#', '%', '^']).unwrap_or(rest.len());
        let (endpoints, mut marks) = rest.split_at(marks_at);
        let condition = |it: &str| Condition::seen(!it.ends_with('!'), it.ends_with('?'));
        let endpoint = |text: &str| Endpoint {
            target: match text.as_bytes()[0] {
                b'4' => Target::Address([192, 0, 2, 1].into()),
                _ => Target::Address(std::net::Ipv6Addr::LOCALHOST.into()),
            },
            weight: 1,
            label: None,
        };
        let conditions = endpoints.split(',').map(condition).collect();
        let mut pool = Pool::of(text, endpoints.split(',').map(endpoint).collect());
        pool.weight = weight.parse().unwrap();
        while let Some(mark) = marks.chars().next() {
            let end = marks[1..].find(['@', ':', '#', '%', '^']).map_or(marks.len(), |it| it + 1);
            let value = &marks[1..end];
            match mark {
                '@' => pool.at = Some(value.parse().unwrap()),
                ':' => pool.serves = value.split('+').map(serves).collect(),
                '#' => pool.tier = value.parse().unwrap(),
                '%' => pool.trickle = value.parse().unwrap(),
                _ => pool.fence = true,
            }
            marks = &marks[end..];
        }
        (pool, conditions)
    }

    fn serves(text: &str) -> Serves {
        match text {
            "*" => Serves::Any,
            "EU" => Serves::Continent("EU".parse().unwrap()),
            "64500" => Serves::Asn(64500),
            _ if text.contains('/') => Serves::Prefix(text.parse().unwrap()),
            _ if text.contains('-') => Serves::Subdivision(text.parse().unwrap()),
            _ => Serves::Country(text.parse().unwrap()),
        }
    }

    impl Case {
        fn with(mut self, edit: impl FnOnce(&mut Self)) -> Self {
            edit(&mut self);
            self
        }

        fn decide(&self) -> Decision {
            let costs = costs(&self.policy, &self.place, |_| None);
            let class = Class::of(&self.policy, &self.place, &self.around, &costs);
            choose(&self.policy, &class, &self.conditions, self.family, self.before.as_ref())
                .decision
        }

        #[track_caller]
        fn check(&self, expect: &str) {
            let decision = self.decide();
            let left = match decision.outcome {
                Outcome::Draw(candidates) => {
                    let sum: u64 = candidates.pools.iter().map(|it| it.weight).sum();
                    assert_eq!(candidates.weight_sum, sum);
                    let member = |it: &Member| format!("{}/{}", it.endpoint, it.ttl);
                    let line = |it: &Candidate| {
                        let members: Vec<_> = it.members.iter().map(member).collect();
                        format!("{}={}:{}", it.pool, it.weight, members.join(","))
                    };
                    candidates.pools.iter().map(line).collect::<Vec<_>>().join(" ")
                }
                outcome => format!("{outcome:?}"),
            };
            assert_eq!(format!("{:?} {left}", decision.footing), expect);
        }
    }

    #[test]
    fn available_pools_keep_their_weights() {
        let check = |pools, expect| case(pools).check(expect);
        check("60=4 30=4 10=4", "Healthy 0=60:0/20 1=30:0/20 2=10:0/20");
        check("60=4 30=4! 10=4", "Healthy 0=60:0/20 2=10:0/20");
        check("60=4,4!,4 30=6", "Healthy 0=60:0/20,2/20");
        check("60=4? 30=4", "Healthy 0=60:0/5 1=30:0/20");
    }

    #[test]
    fn weight_zero_is_the_last_resort_of_its_tier() {
        let check = |pools, expect| case(pools).check(expect);
        check("0=4 30=4", "Healthy 1=30:0/20");
        check("0=4 30=4!", "Healthy 0=1:0/20");
        check("0=4 0=4", "Healthy 0=1:0/20 1=1:0/20");
        check("0=4 30=4! 50=4#2", "Healthy 0=1:0/20");
        // Failing open acts as if all were up, so the last resort is not needed.
        check("0=4! 30=4!", "FailedOpen 1=30:0/5");
    }

    #[test]
    fn nothing_left() {
        let check = |all_down, expect| {
            case("60=4! 30=4!,6").with(|it| it.policy.all_down = all_down).check(expect);
        };
        check(AllDown::ServeAll, "FailedOpen 0=60:0/5 1=30:0/5");
        check(AllDown::Refuse, "Healthy NoReachableAuthority");
        check(AllDown::Pool(1), "Fallback 1=30:0/5");
        check(AllDown::LastGood, "FailedOpen 0=60:0/5 1=30:0/5");
    }

    #[test]
    fn last_good_is_what_was_answered_while_something_was_up() {
        let last_good = |it: &mut Case| it.policy.all_down = AllDown::LastGood;
        let healthy = case("60=4 30=4!").with(last_good).decide();
        let down = case("60=4! 30=4!").with(last_good).with(|it| it.before = Some(healthy));
        down.check("LastGood 0=60:0/5");
        // And it stays so, for as long as it lasts.
        let still = down.decide();
        case("60=4! 30=4!")
            .with(last_good)
            .with(|it| it.before = Some(still))
            .check("LastGood 0=60:0/5");
    }

    #[test]
    fn a_family_that_is_not_there_is_no_data() {
        let check = |pools, all_down, family, expect| {
            let edit = |it: &mut Case| (it.policy.all_down, it.family) = (all_down, family);
            case(pools).with(edit).check(expect);
        };
        check("60=4! 30=4", AllDown::Refuse, Family::V6, "Healthy NoData");
        check("60=4! 30=6!", AllDown::Pool(0), Family::V6, "Fallback NoDataFor(5)");
        check("60=4", AllDown::ServeAll, Family::Name, "Healthy NoData");
    }

    #[test]
    fn min_up_counts_the_whole_pool() {
        let check = |pools, percent, expect| {
            case(pools).with(|it| it.policy.min_up_percent = Some(percent)).check(expect);
        };
        check("60=4,4! 30=4", 50, "Healthy 0=60:0/20 1=30:0/20");
        check("60=4,4! 30=4", 51, "Healthy 1=30:0/20");
        check("60=4,6! 30=4", 51, "Healthy 1=30:0/20");
    }

    #[test]
    fn the_most_specific_level_with_an_available_pool_wins() {
        let client = |it: &mut Case| {
            it.place = Place {
                country: Some("DE".parse().unwrap()),
                subdivision: Some("DE-BE".parse().unwrap()),
                continent: Some("EU".parse().unwrap()),
                asn: Some(64500),
                at: None,
            };
            it.around = vec!["192.0.2.0/24".parse().unwrap(), "192.0.0.0/16".parse().unwrap()];
        };
        let check = |pools, expect| case(pools).with(client).check(expect);
        check("1=4:* 2=4:EU 3=4:DE 4=4:DE-BE 5=4:64500", "Healthy 4=5:0/20");
        check("1=4:* 2=4:EU 3=4:DE 4=4:DE-BE 5=4!:64500", "Healthy 3=4:0/20");
        check("1=4:* 2=4:EU 3=4:DE 4=4!:DE-BE", "Healthy 2=3:0/20");
        check("1=4:* 2=4:EU 3=4:FR", "Healthy 1=2:0/20");
        check("1=4:* 3=4:FR+US", "Healthy 0=1:0/20");
        check("1=4:64500 2=4:192.0.0.0/16 3=4:192.0.2.0/24", "Healthy 2=3:0/20");
        check("1=4:64500 2=4:192.0.0.0/16 3=4!:192.0.2.0/24", "Healthy 1=2:0/20");
        check("1=4:64500 3=4:198.51.100.0/24", "Healthy 0=1:0/20");
        // At a wider level all that serve it are candidates, be they down at a narrower one or not.
        check("1=4!:DE 2=4:DE+EU 3=4:EU", "Healthy 1=2:0/20");
        check("1=4!:DE 2=4:EU 3=4:EU", "Healthy 1=2:0/20 2=3:0/20");
        // Nobody serves the client: when all is down anyway, everybody does.
        check("1=4:US 2=4:FR", "FailedOpen 0=1:0/5 1=2:0/5");
    }

    #[test]
    fn clients_of_a_fence_go_nowhere_else() {
        let german = |it: &mut Case| it.place.country = Some("DE".parse().unwrap());
        let check = |pools, all_down, expect| {
            case(pools).with(german).with(|it| it.policy.all_down = all_down).check(expect);
        };
        check("1=4:DE^ 2=4:*", AllDown::ServeAll, "Healthy 0=1:0/20");
        check("1=4!:DE^ 2=4:*", AllDown::ServeAll, "FailedOpen 0=1:0/5");
        check("1=4!:DE^ 2=4:*", AllDown::Refuse, "Healthy NoReachableAuthority");
        check("1=4!:DE^ 2=4:*", AllDown::Pool(1), "Healthy NoReachableAuthority");
        check("1=4!:DE^ 2=4:*", AllDown::Pool(0), "Fallback 0=1:0/5");
        check("1=6:DE^ 2=4:*", AllDown::ServeAll, "Healthy NoData");
        // Others are kept out of it.
        let check = |pools, expect| case(pools).check(expect);
        check("1=4:DE^ 2=4!:*", "FailedOpen 1=2:0/5");
        check("1=4:DE^ 2=4!:FR", "FailedOpen 1=2:0/5");
    }

    #[test]
    fn a_later_tier_waits_but_for_its_trickle() {
        let check = |pools, expect| case(pools).check(expect);
        check("1=4 2=4#2", "Healthy 0=1:0/20");
        check("1=4! 2=4#2 3=4#3", "Healthy 1=2:0/20");
        // Five percent of three is what it gets of three hundred.
        check("1=4 2=4 7=4#2%500", "Healthy 0=9500:0/20 1=19000:0/20 2=1500:0/20");
        check("1=4 2=4 7=4!#2%500", "Healthy 0=1:0/20 1=2:0/20");
        check("1=4! 2=4! 7=4#2%500", "Healthy 2=7:0/20");
    }

    #[test]
    fn dials_and_ramps_scale_weights_in_lowest_terms() {
        let check = |pools, scaled: &[(u8, u8)], expect| {
            let scale = |it: &mut Case| {
                for (conditions, (dial, ramp)) in it.conditions.iter_mut().zip(scaled) {
                    for it in conditions {
                        (it.dial, it.ramp) = (*dial, *ramp);
                    }
                }
            };
            case(pools).with(scale).check(expect);
        };
        check("60=4 40=4", &[(100, 25)], "Healthy 0=60:0/20 1=160:0/20");
        check("60=4 40=4", &[(1, 1)], "Healthy 0=60:0/20 1=400000:0/20");
        check("60=4 40=4", &[(50, 100), (100, 50)], "Healthy 0=60:0/20 1=40:0/20");
        check("60=4 40=4", &[(0, 5), (7, 5)], "Healthy 1=40:0/20");
        // Five percent of a trickle of five percent, and never less than the least there is.
        check("1=4 7=4#2%500", &[(100, 100), (100, 5)], "Healthy 0=9975:0/20 1=25:0/20");
        check("1=4 7=4#2%1", &[(100, 100), (1, 5)], "Healthy 0=9999:0/20 1=1:0/20");
        check("1=4 7=4#2%500", &[(100, 5), (100, 100)], "Healthy 0=9500:0/20 1=500:0/20");
    }

    #[test]
    fn the_nearest_and_those_within_the_slack() {
        let pools = "1=4@50,8 2=4@52,13 3=4@40,-74";
        let at = |it: &mut Case| it.place.at = Some("50.1,8.7".parse().unwrap());
        let by = |by, slack| move |it: &mut Case| (it.policy.by, it.policy.slack) = (by, slack);
        let check = |pools, how: (By, Slack), expect| {
            case(pools).with(at).with(by(how.0, how.1)).check(expect);
        };
        let none = Slack::Absolute(0);
        check(pools, (By::Distance, none), "Healthy 0=1:0/20");
        check(pools, (By::Distance, Slack::Absolute(500_000)), "Healthy 0=1:0/20 1=2:0/20");
        check("1=4!@50,8 2=4@52,13 3=4@40,-74", (By::Distance, none), "Healthy 1=2:0/20");
        // 51 km and 370 km are 14.4 ms and 19.9 ms.
        check(pools, (By::Latency, none), "Healthy 0=1:0/20");
        check(pools, (By::Latency, Slack::Absolute(5_000)), "Healthy 0=1:0/20");
        check(pools, (By::Latency, Slack::Percent(40)), "Healthy 0=1:0/20 1=2:0/20");
        // Where the client is not known, the stage passes everything on.
        case(pools).with(by(By::Distance, none)).check("Healthy 0=1:0/20 1=2:0/20 2=3:0/20");
        // A tier comes before what is near.
        check("1=4@50,8#2 2=4@52,13 3=4@40,-74", (By::Distance, none), "Healthy 1=2:0/20");
    }
}
