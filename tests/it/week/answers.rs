//! What the answers of a simulated server may hold.
//!
//! - No endpoint that has been dead for longer than the bound, unless an operator says that it is up or
//!   the answer failed open; none that was withdrawn.
//! - No name is without an answer, unless its operator wants it so.
//! - What is known of an endpoint is what its probes, the operators and the budget say.
//! - Where clients are spread by weight alone and no full region concerns them, each pool has the share
//!   that its weight, its tier, its trickle, the dials and its ramp give it, computed here anew, and each
//!   endpoint its TTL.
//! - What a packet is told is what the snapshot says, and the server's counters are what was asked.
//!
//! *Not here:* what a verdict has to be (`watch`), how pools come back and what stays in (`returns`),
//! and what full regions make of it (`loads`).

use std::{collections::BTreeMap, net::IpAddr, sync::Arc, time::Duration};

use evenkeel::{
    compile::PlannedName,
    dice::Roll,
    health::{Status, Tree, Verdict},
    serve::Client,
    snapshot::{FamilyNow, Snapshot},
    state::{self, Override, State, Word},
    steer::{AllDown, By, Condition, Decision, Endpoint, Footing, Outcome, Policy, Serves, Target},
    wire::{Family, Rtype, Transport},
};

use super::{
    Right,
    chance::{below, percent},
    loads::may_run_over,
    watch::{Watch, said},
};
use crate::steering::world::question;

/// A pool's share of the clients, and its endpoints with their TTLs.
type Shares = BTreeMap<u16, (f64, BTreeMap<u16, u32>)>;

/// What is known of an endpoint for a family, by other means than the state's own.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // Each says something else.
pub(super) struct Known {
    /// Whether it may be in answers of the family.
    is_of_family: bool,
    /// Whether it has anything at all: an alias may not.
    pub(super) present: bool,
    pub(super) weight: f64,
    dead: bool,
    /// Down, and not by the operator's word.
    is_down: bool,
    /// Whether it may be answered: it is not down, or stays in.
    pub(super) up: bool,
    pub(super) shaky: bool,
    /// The operator's share of it, 0 to 1.
    pub(super) share: f64,
    pub(super) word: Option<Word>,
    pub(super) over_budget: bool,
    /// The part of its weight that its pool has come back to.
    ramp: f64,
}

impl Known {
    /// Whether health alone says that it has to leave.
    pub(super) fn is_ejected(&self) -> bool {
        self.present && self.is_down && 0.0 < self.share
    }
}

/// A snapshot, and when it is looked at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'s> {
    pub(super) snapshot: &'s Snapshot,
    pub(super) state: &'s State,
    pub(super) now: Duration,
}

impl Watch {
    /// A snapshot took the place of another.
    pub(super) fn published(&mut self, before: &Snapshot, sight: Sight<'_>) -> Right {
        self.tally.snapshots += 1;
        let served = &sight.snapshot.zones()[0].steered;
        for (idx, now) in served.iter().enumerate() {
            let was = before.zones()[0].steered.get(idx);
            if was.is_none_or(|it| !Arc::ptr_eq(it, now)) {
                self.look_at_name(idx, sight)?;
            }
        }
        self.look_at_loads(sight)
    }

    /// Looks at everything that a snapshot gives.
    pub(super) fn look_at(&mut self, sight: Sight<'_>) -> Right {
        (0..sight.state.plan().zones[0].steered.len())
            .try_for_each(|idx| self.look_at_name(idx, sight))?;
        self.look_at_loads(sight)
    }

    fn look_at_name(&mut self, idx: usize, sight: Sight<'_>) -> Right {
        let name = &sight.state.plan().zones[0].steered[idx];
        let steered = &sight.snapshot.zones()[0].steered[idx];
        let known: Vec<Vec<Vec<Known>>> =
            steered.families.iter().map(|now| self.known(name, now, sight)).collect();
        for (family, now) in steered.families.iter().enumerate() {
            let in_name = |why| format!("{} {:?}: {why}", name.owner, now.family);
            conditions_are(&known[family], now).map_err(in_name)?;
            self.look_at_budget(name, family, &known[family]).map_err(in_name)?;
            for decision in now.outlook.decisions() {
                let right = self.look_at_decision(name, &known[family], decision, sight);
                right.map_err(|why| in_name(format!("{why}: {decision:?}")))?;
            }
        }
        self.look_at_stays(name, steered);
        self.look_at_ramps(name, steered, &known, sight.now)
    }

    pub(super) fn known(
        &self,
        name: &PlannedName,
        now: &FamilyNow,
        sight: Sight<'_>,
    ) -> Vec<Vec<Known>> {
        let overrides = sight.state.overrides();
        let owner = name.owner.to_string();
        let owner = owner.trim_end_matches('.');
        let mut known = Vec::new();
        let pools = name.policy.pools.iter().zip(&name.probes).zip(now.conditions.iter());
        for ((pool, trees), conditions) in pools {
            let region = pool.region.as_deref();
            let dial = f64::from(overrides.percent(region)) / 100.0;
            let of = |((endpoint, tree), condition): ((&Endpoint, &Tree), &Condition)| {
                let word = overrides.has_words().then(|| endpoint.target.to_string());
                let word = word.and_then(|address| {
                    overrides.of(&state::Endpoint {
                        name: owner,
                        pool: &pool.name,
                        region,
                        address: address.trim_end_matches('.'),
                    })
                });
                let word = word.map(|it: &Override| it.word);
                let (is_of_family, present, gives) = has(&endpoint.target, now.family, sight);
                let verdict = said(tree, &|id| self.status(id).verdict);
                let Status { shaky, .. } = tree.status(&|id| self.status(id));
                let is_down = verdict == Verdict::Down || !gives;
                let withdrawn = matches!(word, Some(Word::Down | Word::Drain));
                let up = match word {
                    Some(Word::Up | Word::Drain) => true,
                    Some(Word::Down) => false,
                    None => !is_down,
                };
                Known {
                    is_of_family,
                    present,
                    weight: f64::from(endpoint.weight),
                    dead: !condition.over_budget
                        && word != Some(Word::Up)
                        && self.is_dead_for_long(tree),
                    is_down: !up,
                    up: up || condition.over_budget,
                    shaky: shaky && word.is_none() || condition.over_budget,
                    share: if withdrawn { 0.0 } else { dial },
                    word,
                    over_budget: condition.over_budget,
                    ramp: f64::from(condition.ramp) / 100.0,
                }
            };
            known.push(pool.endpoints.iter().zip(trees).zip(conditions).map(of).collect());
        }
        known
    }

    fn look_at_decision(
        &mut self,
        name: &PlannedName,
        known: &[Vec<Known>],
        decision: &Decision,
        sight: Sight<'_>,
    ) -> Right {
        let policy = &*name.policy;
        let is_fenced = policy.pools.iter().any(|pool| pool.fence);
        let has_alias = has_alias(policy);
        let mut of_family = known.iter().flatten().filter(|it| it.is_of_family);
        let is_present = of_family.clone().next().is_some();
        let is_withdrawn = of_family.clone().any(|it| it.share == 0.0);
        let is_left = of_family.any(|it| 0.0 < it.share);
        let expect = shares(policy, known);
        let wrong = |why: &str| Err(why.to_owned());
        match &decision.outcome {
            Outcome::Draw(candidates) => {
                if decision.footing == Footing::FailedOpen {
                    self.tally.failed_open += 1;
                }
                if candidates.pools.is_empty() || candidates.weight_sum == 0 {
                    return wrong("there is nothing to draw from");
                }
                let sum: u64 = candidates.pools.iter().map(|it| it.weight).sum();
                if sum != candidates.weight_sum {
                    return wrong("the weights do not add up");
                }
                for pool in &candidates.pools {
                    let sum: u64 = pool.members.iter().map(|it| it.weight).sum();
                    if sum != pool.weight_sum || sum == 0 || pool.weight == 0 {
                        return wrong("the weights of a pool do not add up");
                    }
                    if pool.is_alias {
                        continue;
                    }
                    for member in &pool.members {
                        let it = &known[usize::from(pool.pool)][usize::from(member.endpoint)];
                        if it.share == 0.0 {
                            return wrong("it holds what was withdrawn");
                        }
                        if decision.footing == Footing::Healthy && it.dead {
                            return wrong("it holds what has been dead for longer than the bound");
                        }
                        if decision.footing == Footing::Healthy && !it.up {
                            return wrong("it holds what is down");
                        }
                    }
                }
            }
            // Some are served by pools that others are not.
            Outcome::NoData if has_alias || !is_for_all(policy) || !is_present => return Ok(()),
            Outcome::NoReachableAuthority if is_fenced || has_alias || !is_left => return Ok(()),
            // All that serves some clients may be withdrawn, by force.
            Outcome::NoReachableAuthority if !is_for_all(policy) && is_withdrawn => return Ok(()),
            Outcome::NoReachableAuthority if policy.all_down == AllDown::Refuse => {}
            Outcome::NotReady if !sight.state.is_warm() => return Ok(()),
            _ => return wrong("it is empty"),
        }
        let pools: Vec<usize> = expect.keys().map(|it| usize::from(*it)).collect();
        if !is_simple(policy) || may_run_over(policy, &pools, sight.snapshot) {
            return Ok(());
        }
        self.tally.weighed += 1;
        let given = given(decision);
        let is_healthy = decision.is_healthy();
        if is_healthy == expect.is_empty() || is_healthy && !is_like(&given, &expect) {
            let basins = &sight.snapshot.basins;
            return Err(format!("{expect:?} follows from weights and so on, and {basins:?}"));
        }
        Ok(())
    }

    /// Asks for every name, as clients do.
    pub(super) fn ask(&mut self, snapshot: &Snapshot, state: &State, roll: &mut Roll) -> Right {
        for (idx, name) in state.plan().zones[0].steered.iter().enumerate() {
            let rtype = if percent(roll, 70) { Rtype::A } else { Rtype::AAAA };
            let family = if rtype == Rtype::A { Family::V4 } else { Family::V6 };
            let address = match below(roll, 3) {
                0 => "20.1.2.3".parse().unwrap(),
                1 => "20.9.2.3".parse().unwrap(),
                _ => "192.0.2.7".parse::<IpAddr>().unwrap(),
            };
            let owner = name.owner.to_string();
            let label = owner.split('.').next().unwrap();
            let packet = question(label, rtype, None);
            let mut reply = [0; 1232];
            let client = Client { address, transport: Transport::Udp };
            let counters = Arc::clone(&self.registry.sets()[0]);
            let len = self.engine.respond(snapshot, &packet, client, &mut reply, &counters);
            assert!(12 <= len);
            self.tally.answers += 1;
            let rcode = usize::from(reply[3] & 0xF);
            self.rcodes[rcode] += 1;
            let n_answers = u16::from_be_bytes([reply[6], reply[7]]);
            let steered = &snapshot.zones()[0].steered[idx];
            let Some(now) = steered.family(family) else { continue };
            let decision = now.outlook.look(address).0;
            let (expect, some) = match &decision.outcome {
                // What only other names can give, they may not have.
                Outcome::Draw(it) if it.pools.iter().all(|pool| pool.is_alias) => continue,
                Outcome::Draw(it) if it.pools.iter().any(|pool| pool.is_alias) => {
                    (0, n_answers != 0)
                }
                Outcome::Draw(_) => (0, true),
                Outcome::NoData | Outcome::NoDataFor(_) => (0, false),
                Outcome::NoReachableAuthority | Outcome::NotReady => (2, false),
            };
            if rcode != expect || some != (n_answers != 0) {
                return Err(format!(
                    "{owner} {rtype:?} for {address}: rcode {rcode}, {n_answers} answers: {decision:?}"
                ));
            }
        }
        Ok(())
    }
}

fn has_alias(policy: &Policy) -> bool {
    let mut endpoints = policy.pools.iter().flat_map(|pool| &pool.endpoints);
    endpoints.any(|it| matches!(it.target, Target::Alias(_)))
}

fn is_for_all(policy: &Policy) -> bool {
    policy.pools.iter().all(|pool| *pool.serves == [Serves::Any])
}

/// Whether all clients are spread by weight.
pub(super) fn is_simple(policy: &Policy) -> bool {
    policy.by == By::Weight && is_for_all(policy)
}

/// What an address or an alias has of a family: whether it is of it, whether it has anything, and
/// whether that may be given.
fn has(target: &Target, family: Family, sight: Sight<'_>) -> (bool, bool, bool) {
    match target {
        Target::Address(address) => (address.is_ipv4() == (family == Family::V4), true, true),
        Target::Alias(name) => {
            let names = &sight.state.plan().zones[0].steered;
            let is_it = |it: &PlannedName| -> bool { it.owner == *name };
            let idx = names.iter().position(is_it).expect("aliases lead to steered names here");
            let steered = &sight.snapshot.zones()[0].steered[idx];
            let decisions = steered.family(family).map_or(&[][..], |it| it.outlook.decisions());
            let present = decisions.iter().any(|it| it.outcome != Outcome::NoData);
            (present, present, decisions.iter().any(Decision::is_healthy))
        }
        Target::Name(_) => unreachable!("there are none"),
    }
}

/// The conditions of endpoints are what is known of them.
fn conditions_are(known: &[Vec<Known>], now: &FamilyNow) -> Right {
    for (known, conditions) in known.iter().zip(now.conditions.iter()) {
        for (known, it) in known.iter().zip(conditions) {
            let share = f64::from(it.dial) / 100.0;
            if (it.up, it.shaky, it.present) != (known.up, known.shaky, known.present)
                || (share - known.share).abs() > 1e-9
            {
                return Err(format!("{it:?}, and known is {known:?}"));
            }
        }
    }
    Ok(())
}

/// Whether enough of a pool is up.
pub(super) fn is_enough(policy: &Policy, known: &[Known]) -> bool {
    let sum = |counts: &dyn Fn(&&Known) -> bool| -> f64 {
        known.iter().filter(counts).map(|it| it.weight).sum()
    };
    let up = sum(&|it| it.up && 0.0 < it.share);
    let all = sum(&|it| !it.up || 0.0 < it.share);
    policy.min_up_percent.is_none_or(|it| all * f64::from(it) <= up * 100.0)
}

/// The pools of a policy that are up.
pub(super) fn available(policy: &Policy, known: &[Vec<Known>]) -> Vec<usize> {
    let is_available = |pool: &usize| {
        let mut its = known[*pool].iter();
        its.any(|it| it.is_of_family && it.up && 0.0 < it.share) && is_enough(policy, &known[*pool])
    };
    (0..policy.pools.len()).filter(is_available).collect()
}

/// The part of its weight that a pool may have.
pub(super) fn part(known: &[Known]) -> f64 {
    known.iter().map(|it| it.share * it.ramp).fold(0.0, f64::max)
}

/// What follows from weights, dials, ramps and verdicts; nothing where nothing is up.
fn shares(policy: &Policy, known: &[Vec<Known>]) -> Shares {
    let pools = available(policy, known);
    let Some(lowest) = pools.iter().map(|it| policy.pools[*it].tier).min() else {
        return Shares::new();
    };
    let dial = |pool: usize| part(&known[pool]);
    let trickle = |pool: usize| f64::from(policy.pools[pool].trickle) / 10_000.0 * dial(pool);
    let later = || pools.iter().copied().filter(|it| policy.pools[*it].tier != lowest);
    let trickles: f64 = later().map(trickle).sum();
    let mut all: BTreeMap<usize, f64> = later().map(|it| (it, trickle(it))).collect();
    let mut left = 1.0 - trickles;
    for (link, kept) in choices(policy, pools, dial) {
        let weight = |it: usize| f64::from(policy.pools[it].weight.max(1)) * dial(it);
        let sum: f64 = link.iter().map(|it| weight(*it)).sum();
        for pool in link {
            *all.entry(pool).or_default() += left * kept * weight(pool) / sum;
        }
        left *= 1.0 - kept;
    }
    let members = |pool: usize| {
        let endpoints = (0..).zip(&known[pool]);
        let mut members = BTreeMap::new();
        for (place, it) in endpoints {
            if it.is_of_family && it.up && 0.0 < it.share {
                members.insert(place, if it.shaky { policy.ttl_min } else { policy.ttl });
            }
        }
        members
    };
    all.into_iter()
        // What is left of a whole is no more than rounding.
        .filter(|(_, share)| 1e-9 < *share)
        .map(|(pool, share)| (u16::try_from(pool).unwrap(), (share, members(pool))))
        .collect()
}

/// The choices of clients one after the other, of these pools, and the part of what comes to each that
/// it keeps: its largest share, over the largest of all.
fn choices(
    policy: &Policy,
    mut pools: Vec<usize>,
    dial: impl Fn(usize) -> f64,
) -> Vec<(Vec<usize>, f64)> {
    let mut choices = Vec::new();
    while let Some(lowest) = pools.iter().map(|it| policy.pools[*it].tier).min() {
        let tier = || pools.iter().copied().filter(|it| policy.pools[*it].tier == lowest);
        let mut link: Vec<usize> = tier().filter(|it| policy.pools[*it].weight != 0).collect();
        if link.is_empty() {
            link = tier().collect();
        }
        pools.retain(|it| !link.contains(it));
        let kept = link.iter().map(|it| dial(*it)).fold(0.0, f64::max);
        choices.push((link, kept));
    }
    let most = choices.iter().map(|it| it.1).fold(0.0, f64::max);
    let last = choices.iter().position(|it| most <= it.1).unwrap_or_default();
    choices.truncate(last + 1);
    choices.into_iter().map(|(link, kept)| (link, kept / most)).collect()
}

/// What a decision gives.
#[allow(clippy::cast_precision_loss)] // Weights are small here.
fn given(decision: &Decision) -> Shares {
    let Outcome::Draw(candidates) = &decision.outcome else { return Shares::new() };
    let pools = candidates.pools.iter();
    pools
        .map(|pool| {
            let share = pool.weight as f64 / candidates.weight_sum as f64;
            let members = pool.members.iter().map(|it| (it.endpoint, it.ttl)).collect();
            (pool.pool, (share, members))
        })
        .collect()
}

fn is_like(one: &Shares, other: &Shares) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(
            |((pool, (share, members)), (pool_2, (share_2, members_2)))| {
                pool == pool_2 && (share - share_2).abs() < 1e-3 && members == members_2
            },
        )
}
