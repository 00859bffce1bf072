//! What the answers of a simulated server may hold.
//!
//! - No endpoint that has been dead for longer than the bound, unless an operator says that it is up or
//!   the answer failed open; none that was withdrawn.
//! - No name is without an answer, unless its operator wants it so.
//! - Where clients are spread by weight alone, each pool has the share that its weight, its tier, its
//!   trickle and the dials give it, computed here anew, and each endpoint its TTL.
//! - What a packet is told is what the snapshot says, and the server's counters are what was asked.
//!
//! *Not here:* what a verdict has to be (`watch`).

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use evenkeel::{
    compile::PlannedName,
    dice::Roll,
    health::{Status, Tree, Verdict},
    serve::Client,
    snapshot::{FamilyNow, Snapshot},
    state::{self, Override, State, Word},
    steer::{AllDown, By, Decision, Footing, Outcome, Policy, Serves, Target},
    wire::{Family, Rtype, Transport},
};

use super::{
    Right,
    chance::{below, percent},
    watch::{Watch, said},
};
use crate::steering::world::question;

/// A pool's share of the clients, and its endpoints with their TTLs.
type Shares = BTreeMap<u16, (f64, BTreeMap<u16, u32>)>;

/// What is known of an endpoint, by other means than the state's own.
#[allow(clippy::struct_excessive_bools)] // Each says something else.
struct Known {
    family: Family,
    weight: f64,
    dead: bool,
    up: bool,
    shaky: bool,
    /// The operator's share of it, 0 to 1.
    share: f64,
    down_by_word: bool,
}

impl Watch {
    /// A snapshot took the place of another.
    pub(super) fn published(&mut self, before: &Snapshot, next: &Snapshot, state: &State) -> Right {
        self.tally.snapshots += 1;
        for idx in 0..state.plan().zones[0].steered.len() {
            let was = before.zones()[0].steered.get(idx);
            if was.is_none_or(|it| !Arc::ptr_eq(it, &next.zones()[0].steered[idx])) {
                self.look_at_name(idx, next, state)?;
            }
        }
        Ok(())
    }

    /// Looks at everything that a snapshot gives.
    pub(super) fn look_at(&mut self, snapshot: &Snapshot, state: &State) -> Right {
        (0..state.plan().zones[0].steered.len())
            .try_for_each(|idx| self.look_at_name(idx, snapshot, state))
    }

    fn look_at_name(&mut self, idx: usize, snapshot: &Snapshot, state: &State) -> Right {
        let name = &state.plan().zones[0].steered[idx];
        let steered = &snapshot.zones()[0].steered[idx];
        let known = self.known(name, state);
        for now in &steered.families {
            for decision in now.outlook.decisions() {
                let right = self.look_at_decision(name, &known, now, decision, state);
                right.map_err(|why| {
                    format!("{} {:?}: {why}: {decision:?}", name.owner, now.family)
                })?;
            }
        }
        Ok(())
    }

    fn known(&self, name: &PlannedName, state: &State) -> Vec<Vec<Known>> {
        let owner = name.owner.to_string();
        let owner = owner.trim_end_matches('.');
        let mut known = Vec::new();
        for (pool, trees) in name.policy.pools.iter().zip(&name.probes) {
            let region = pool.region.as_deref();
            let dial = f64::from(state.overrides().percent(region)) / 100.0;
            let of = |(endpoint, tree): (&evenkeel::steer::Endpoint, &Tree)| {
                let address = endpoint.target.to_string();
                let word = state.overrides().of(&state::Endpoint {
                    name: owner,
                    pool: &pool.name,
                    region,
                    address: address.trim_end_matches('.'),
                });
                let word = word.map(|it: &Override| it.word);
                let verdict = said(tree, &|id| self.status(id).verdict);
                let Status { shaky, .. } = tree.status(&|id| self.status(id));
                let withdrawn = matches!(word, Some(Word::Down | Word::Drain));
                Known {
                    family: match &endpoint.target {
                        Target::Address(IpAddr::V6(_)) => Family::V6,
                        _ => Family::V4,
                    },
                    weight: f64::from(endpoint.weight),
                    dead: word != Some(Word::Up) && self.is_dead_for_long(tree),
                    up: match word {
                        Some(Word::Up | Word::Drain) => true,
                        Some(Word::Down) => false,
                        None => verdict != Verdict::Down,
                    },
                    shaky: shaky && word.is_none(),
                    share: if withdrawn { 0.0 } else { dial },
                    down_by_word: word == Some(Word::Down),
                }
            };
            known.push(pool.endpoints.iter().zip(trees).map(of).collect());
        }
        known
    }

    fn look_at_decision(
        &mut self,
        name: &PlannedName,
        known: &[Vec<Known>],
        now: &FamilyNow,
        decision: &Decision,
        state: &State,
    ) -> Right {
        let policy = &*name.policy;
        let is_fenced = policy.pools.iter().any(|pool| pool.fence);
        let has_alias = has_alias(policy);
        let mut of_family = known.iter().flatten().filter(|it| it.family == now.family);
        let is_present = of_family.clone().next().is_some();
        let is_withdrawn = of_family.clone().any(|it| it.share == 0.0);
        let is_left = of_family.any(|it| 0.0 < it.share);
        let expect = shares(policy, known, now.family);
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
            Outcome::NotReady if !state.is_warm() => return Ok(()),
            _ => return wrong("it is empty"),
        }
        if !is_simple(policy) {
            return Ok(());
        }
        self.tally.weighed += 1;
        let given = given(decision);
        let is_healthy = decision.is_healthy();
        if is_healthy == expect.is_empty() || is_healthy && !is_like(&given, &expect) {
            return Err(format!("{expect:?} follows from weights, dials and verdicts"));
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

/// Whether all clients are spread by weight, over addresses.
fn is_simple(policy: &Policy) -> bool {
    policy.by == By::Weight && !has_alias(policy) && is_for_all(policy)
}

/// What follows from weights, dials and verdicts; nothing where nothing is up.
fn shares(policy: &Policy, known: &[Vec<Known>], family: Family) -> Shares {
    let is_available = |pool: &usize| {
        let has = known[*pool].iter().any(|it| it.family == family && it.up && 0.0 < it.share);
        let sum = |counts: &dyn Fn(&&Known) -> bool| -> f64 {
            known[*pool].iter().filter(counts).map(|it| it.weight).sum()
        };
        let up = sum(&|it| it.up && 0.0 < it.share);
        let all = sum(&|it| it.down_by_word || !it.up || 0.0 < it.share);
        has && policy.min_up_percent.is_none_or(|it| all * f64::from(it) <= up * 100.0)
    };
    let pools: Vec<usize> = (0..policy.pools.len()).filter(is_available).collect();
    let Some(lowest) = pools.iter().map(|it| policy.pools[*it].tier).min() else {
        return Shares::new();
    };
    let dial = |pool: usize| known[pool].iter().map(|it| it.share).fold(0.0, f64::max);
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
            if it.family == family && it.up && 0.0 < it.share {
                members.insert(place, if it.shaky { policy.ttl_min } else { policy.ttl });
            }
        }
        members
    };
    all.into_iter()
        .filter(|(_, share)| 0.0 < *share)
        .map(|(pool, share)| (u16::try_from(pool).unwrap(), (share, members(pool))))
        .collect()
}

/// The choices of clients one after the other, of these pools, and the part of what comes to each that
/// it keeps: its largest dial, over the largest of all.
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
