//! The draw: from a decision and a roll to the endpoints of one answer.
//!
//! The candidates are laid end to end on a line, each as long as its weight. The roll is a point on
//! that line; the pool under it is taken. Its endpoints are drawn the same way, one after the other
//! and each at most once, so that the first of an answer follows the weights and the order varies.
//!
//! ```text
//!   pools  |---------- fra 60 ----------|---- ams 30 ----|-- lon 10 --|
//!   roll                                     ^  -> ams
//! ```

use super::{Candidate, Candidates, Member};
use crate::{
    dice::Roll,
    limits::{ANSWERS_MAX, POOL_ENDPOINTS_MAX},
};

/// The endpoints of one answer: at least one, of one pool.
#[derive(Debug)]
pub struct Drawn<'d> {
    /// The pool they are of.
    pub pool: &'d Candidate,
    members: [u16; ANSWERS_MAX],
    len: usize,
}

impl Candidates {
    /// Draws one answer.
    #[must_use]
    pub fn draw(&self, roll: &mut Roll) -> Drawn<'_> {
        let weights = self.pools.iter().map(|pool| pool.weight);
        let pool = &self.pools[under(roll, self.weight_sum, weights)];

        let mut drawn = Drawn { pool, members: [0; ANSWERS_MAX], len: 0 };
        let mut taken = [0_u64; POOL_ENDPOINTS_MAX / 64];
        let mut weight_left = pool.weight_sum;
        while drawn.len < pool.members.len().min(usize::from(self.answers)) {
            let weights = pool.members.iter().enumerate().map(|(idx, member)| {
                if taken[idx / 64] >> (idx % 64) & 1 == 0 { member.weight } else { 0 }
            });
            let idx = under(roll, weight_left, weights);
            taken[idx / 64] |= 1 << (idx % 64);
            weight_left -= pool.members[idx].weight;
            drawn.members[drawn.len] = u16::try_from(idx).expect("at most POOL_ENDPOINTS_MAX");
            drawn.len += 1;
        }
        drawn
    }
}

impl<'d> Drawn<'d> {
    /// The endpoints, in the order of the answer.
    pub fn members(&self) -> impl Iterator<Item = &'d Member> {
        self.members[..self.len].iter().map(|idx| &self.pool.members[usize::from(*idx)])
    }

    /// The data of the first.
    #[must_use]
    pub fn first(&self) -> &'d [u8] {
        &self.pool.members[usize::from(self.members[0])].rdata
    }

    /// Seconds the answer may be kept: as long as the endpoint of which that is least.
    #[must_use]
    pub fn ttl(&self) -> u32 {
        self.members().map(|member| member.ttl).min().expect("at least one is drawn")
    }
}

/// The place of the weight under the next point of the line; the weights' sum is `sum`.
fn under(roll: &mut Roll, sum: u64, weights: impl ExactSizeIterator<Item = u64>) -> usize {
    if weights.len() == 1 {
        return 0;
    }
    let mut point = roll.below(sum);
    for (idx, weight) in weights.enumerate() {
        if point < weight {
            return idx;
        }
        point -= weight;
    }
    unreachable!("the line is as long as the weights on it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    fn candidate(pool: u16, weight: u64, members: &[u64]) -> Candidate {
        let member = |(endpoint, weight): (u16, &u64)| Member {
            endpoint,
            weight: *weight,
            ttl: 20 + u32::from(endpoint),
            rdata: Box::new([192, 0, 2, 1]),
        };
        let members: Box<[Member]> = (0..).zip(members).map(member).collect();
        let weight_sum = members.iter().map(|it| it.weight).sum();
        Candidate { pool, weight, members, weight_sum }
    }

    fn candidates(pools: Vec<Candidate>, answers: u8) -> Candidates {
        let weight_sum = pools.iter().map(|pool| pool.weight).sum();
        Candidates { pools: pools.into(), weight_sum, answers }
    }

    /// The chi-square of a million draws against the weights, which for the few degrees of freedom
    /// here stays below 40 but once in ten million runs.
    #[track_caller]
    fn check_shares(weights: &[u64], mut draw: impl FnMut(&mut Roll) -> usize) {
        const DRAWS: u32 = 1_000_000;
        let mut dice = Dice::from_os();
        let mut hits = vec![0_u32; weights.len()];
        for _ in 0..DRAWS {
            hits[draw(&mut dice.roll())] += 1;
        }
        let sum: u64 = weights.iter().sum();
        #[allow(clippy::cast_precision_loss)] // The weights here are small.
        let chi_square: f64 = hits
            .iter()
            .zip(weights)
            .filter(|(_, weight)| **weight != 0)
            .map(|(hits, weight)| {
                let expected = f64::from(DRAWS) * *weight as f64 / sum as f64;
                (f64::from(*hits) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_square < 40.0, "{hits:?}");
        assert!(hits.iter().zip(weights).all(|(hits, weight)| *weight != 0 || *hits == 0));
    }

    #[test]
    fn pools_come_by_weight() {
        let weights = [60, 30, 10];
        let pools =
            (0..).zip(&weights).map(|(idx, weight)| candidate(idx, *weight, &[1])).collect();
        let candidates = candidates(pools, 8);
        check_shares(&weights, |roll| usize::from(candidates.draw(roll).pool.pool));
    }

    #[test]
    fn the_first_endpoint_comes_by_weight() {
        let weights = [1, 3, 65_535, 7];
        for answers in [1, 3, 8] {
            let candidates = candidates(vec![candidate(0, 1, &weights)], answers);
            check_shares(&weights, |roll| {
                usize::from(candidates.draw(roll).members().next().unwrap().endpoint)
            });
        }
    }

    #[test]
    fn an_answer_holds_each_endpoint_once() {
        let mut dice = Dice::from_os();
        for (n_members, answers, expect) in [(1, 8, 1), (5, 3, 3), (256, 32, 32), (8, 8, 8)] {
            let candidates = candidates(vec![candidate(0, 1, &vec![2; n_members])], answers);
            let drawn = candidates.draw(&mut dice.roll());
            let mut endpoints: Vec<_> = drawn.members().map(|it| it.endpoint).collect();
            endpoints.sort_unstable();
            endpoints.dedup();
            assert_eq!(endpoints.len(), expect);
            assert_eq!(drawn.ttl(), 20 + u32::from(endpoints[0]));
        }
    }
}
