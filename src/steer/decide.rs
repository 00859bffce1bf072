//! The chooser: from a policy and the conditions of its endpoints to a decision.
//!
//! ```text
//!   pools of the family --> available --none left--> all_down
//!                               | some
//!                               v
//!                           candidates
//! ```
//!
//! # Available
//!
//! A pool is available when enough of it is up (`min_up`) and one of its endpoints of the family
//! is. A pool of weight 0 is a last resort: it counts only where no other pool is available, and
//! then as much as any other of weight 0.

use super::{
    AllDown, Candidate, Candidates, Condition, Decision, Endpoint, Footing, Member, Outcome,
    Policy, Pool, Target,
};
use crate::wire::Family;

/// Runs the stages for one family. `conditions[pool][endpoint]` is as the policy is.
#[must_use]
pub fn decide(policy: &Policy, conditions: &[Vec<Condition>], family: Family) -> Decision {
    assert_eq!(policy.pools.len(), conditions.len());
    if !policy.pools.iter().any(|pool| pool.endpoints.iter().any(|it| is_of(it, family))) {
        return Decision { footing: Footing::Healthy, outcome: Outcome::NoData };
    }

    let up = (0..).zip(&policy.pools).zip(conditions).filter_map(|((idx, pool), conditions)| {
        if !is_up(pool, conditions, policy.min_up_percent) {
            return None;
        }
        candidate(policy, idx, pool, family, |endpoint| {
            let Condition { up, shaky } = conditions[endpoint];
            up.then_some(if shaky { policy.ttl_min } else { policy.ttl })
        })
    });
    let candidates = last_resort(up.collect());
    if !candidates.is_empty() {
        return Decision { footing: Footing::Healthy, outcome: draw_from(policy, candidates) };
    }
    all_down(policy, family)
}

/// Nothing is left: what the operator wants then.
fn all_down(policy: &Policy, family: Family) -> Decision {
    // Short-lived, because the truth is due any moment.
    let whole = |idx: u16, pool| candidate(policy, idx, pool, family, |_| Some(policy.ttl_min));
    match policy.all_down {
        AllDown::ServeAll => {
            let all = (0..).zip(&policy.pools).filter_map(|(idx, pool)| whole(idx, pool));
            let outcome = draw_from(policy, last_resort(all.collect()));
            Decision { footing: Footing::FailedOpen, outcome }
        }
        AllDown::Refuse => {
            Decision { footing: Footing::Healthy, outcome: Outcome::NoReachableAuthority }
        }
        AllDown::Pool(idx) => {
            let outcome = match whole(idx, &policy.pools[usize::from(idx)]) {
                Some(candidate) => draw_from(policy, last_resort(vec![candidate])),
                None => Outcome::NoDataFor(policy.ttl_min),
            };
            Decision { footing: Footing::Fallback, outcome }
        }
    }
}

/// The pool with those endpoints of the family for which `ttl` gives a TTL, if there is one.
fn candidate(
    policy: &Policy,
    idx: u16,
    pool: &Pool,
    family: Family,
    ttl: impl Fn(usize) -> Option<u32>,
) -> Option<Candidate> {
    assert!(policy.ttl_min <= policy.ttl);
    let members: Box<[Member]> = (0_u16..)
        .zip(&pool.endpoints)
        .filter(|(_, endpoint)| is_of(endpoint, family))
        .filter_map(|(idx, endpoint)| {
            Some(Member {
                endpoint: idx,
                weight: u64::from(endpoint.weight),
                ttl: ttl(usize::from(idx))?,
                rdata: endpoint.target.rdata(),
            })
        })
        .collect();
    let weight_sum = members.iter().map(|member| member.weight).sum();
    let weight = u64::from(pool.weight);
    (!members.is_empty()).then_some(Candidate { pool: idx, weight, members, weight_sum })
}

/// Leaves the pools of weight 0 out, unless there is no other; then they count alike.
fn last_resort(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    if candidates.iter().any(|candidate| candidate.weight != 0) {
        candidates.retain(|candidate| candidate.weight != 0);
    } else {
        for candidate in &mut candidates {
            candidate.weight = 1;
        }
    }
    candidates
}

fn draw_from(policy: &Policy, pools: Vec<Candidate>) -> Outcome {
    assert!(!pools.is_empty());
    let weight_sum = pools.iter().map(|pool| pool.weight).sum();
    Outcome::Draw(Candidates { pools: pools.into(), weight_sum, answers: policy.answers })
}

/// Whether enough of a pool is up, by endpoint weight over both address families.
fn is_up(pool: &Pool, conditions: &[Condition], min_up_percent: Option<u8>) -> bool {
    assert_eq!(pool.endpoints.len(), conditions.len());
    let weight = |endpoint: &Endpoint| u64::from(endpoint.weight);
    let all: u64 = pool.endpoints.iter().map(weight).sum();
    let up: u64 = pool
        .endpoints
        .iter()
        .zip(conditions)
        .filter(|(_, it)| it.up)
        .map(|(it, _)| weight(it))
        .sum();
    0 < up && all * u64::from(min_up_percent.unwrap_or(0)) <= up * 100
}

fn is_of(endpoint: &Endpoint, family: Family) -> bool {
    match &endpoint.target {
        Target::Address(address) if address.is_ipv4() => family == Family::V4,
        Target::Address(_) => family == Family::V6,
        Target::Name(_) => family == Family::Name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decides for the pools in `pools` and compares what is left.
    ///
    /// A pool is its weight and its endpoints: `4` and `6` by family, each followed by `!` when it
    /// is down and `?` when it is shaky: `"60:4,6? 30:4!"`. The outcome is a line of pools, each
    /// with its weight and its members' places and TTLs.
    #[track_caller]
    fn check(pools: &str, all_down: AllDown, min_up: Option<u8>, family: Family, expect: &str) {
        let mut conditions = Vec::new();
        let pool = |text: &str, conditions: &mut Vec<Vec<Condition>>| {
            let (weight, endpoints) = text.split_once(':').unwrap();
            conditions.push(
                endpoints
                    .split(',')
                    .map(|it| Condition { up: !it.ends_with('!'), shaky: it.ends_with('?') })
                    .collect(),
            );
            let endpoint = |text: &str| Endpoint {
                target: match text.as_bytes()[0] {
                    b'4' => Target::Address([192, 0, 2, 1].into()),
                    _ => Target::Address(std::net::Ipv6Addr::LOCALHOST.into()),
                },
                weight: 1,
                label: None,
            };
            let endpoints = endpoints.split(',').map(endpoint).collect();
            Pool { name: text.into(), region: None, weight: weight.parse().unwrap(), endpoints }
        };
        let pools = pools.split(' ').map(|text| pool(text, &mut conditions)).collect();
        let policy =
            Policy { ttl: 20, ttl_min: 5, answers: 8, all_down, min_up_percent: min_up, pools };

        let decision = decide(&policy, &conditions, family);
        let left = match decision.outcome {
            Outcome::Draw(candidates) => {
                assert_eq!(
                    candidates.weight_sum,
                    candidates.pools.iter().map(|it| it.weight).sum::<u64>()
                );
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

    #[test]
    fn available_pools_keep_their_weights() {
        let check = |pools, expect| check(pools, AllDown::ServeAll, None, Family::V4, expect);
        check("60:4 30:4 10:4", "Healthy 0=60:0/20 1=30:0/20 2=10:0/20");
        check("60:4 30:4! 10:4", "Healthy 0=60:0/20 2=10:0/20");
        check("60:4,4!,4 30:6", "Healthy 0=60:0/20,2/20");
        check("60:4? 30:4", "Healthy 0=60:0/5 1=30:0/20");
    }

    #[test]
    fn weight_zero_is_the_last_resort() {
        let check = |pools, expect| check(pools, AllDown::ServeAll, None, Family::V4, expect);
        check("0:4 30:4", "Healthy 1=30:0/20");
        check("0:4 30:4!", "Healthy 0=1:0/20");
        check("0:4 0:4", "Healthy 0=1:0/20 1=1:0/20");
        // Failing open acts as if all were up, so the last resort is not needed.
        check("0:4! 30:4!", "FailedOpen 1=30:0/5");
    }

    #[test]
    fn nothing_left() {
        let check = |all_down, expect| check("60:4! 30:4!,6", all_down, None, Family::V4, expect);
        check(AllDown::ServeAll, "FailedOpen 0=60:0/5 1=30:0/5");
        check(AllDown::Refuse, "Healthy NoReachableAuthority");
        check(AllDown::Pool(1), "Fallback 1=30:0/5");
    }

    #[test]
    fn a_family_that_is_not_there_is_no_data() {
        check("60:4! 30:4", AllDown::Refuse, None, Family::V6, "Healthy NoData");
        check("60:4! 30:6!", AllDown::Pool(0), None, Family::V6, "Fallback NoDataFor(5)");
        check("60:4", AllDown::ServeAll, None, Family::Name, "Healthy NoData");
    }

    #[test]
    fn min_up_counts_the_whole_pool() {
        let check = |pools, percent, expect| {
            check(pools, AllDown::ServeAll, Some(percent), Family::V4, expect);
        };
        check("60:4,4! 30:4", 50, "Healthy 0=60:0/20 1=30:0/20");
        check("60:4,4! 30:4", 51, "Healthy 1=30:0/20");
        check("60:4,6! 30:4", 51, "Healthy 1=30:0/20");
    }
}
