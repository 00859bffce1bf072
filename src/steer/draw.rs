//! The draw: from a decision and a roll to the endpoints of one answer.
//!
//! The candidates are laid end to end on a line, each as long as its weight. The roll is a point on
//! that line; the pool under it is taken. Its endpoints are drawn the same way, one after the other
//! and each at most once, so that the first of an answer follows the weights and the order varies.
//!
//! Clients that are sticky are not drawn: their network's number scores every candidate, and the best
//! wins ([`score`]).
//!
//! ```text
//!   pools  |---------- fra 60 ----------|---- ams 30 ----|-- lon 10 --|
//!   roll                                     ^  -> ams
//! ```

use super::{Candidate, Candidates, Member, PoolSet};
use crate::{
    dice::Roll,
    limits::{ANSWERS_MAX, POOL_ENDPOINTS_MAX},
    wire::name,
};

/// The endpoints of one answer: at least one, of one pool.
#[derive(Debug)]
pub struct Drawn<'d> {
    pool: &'d Candidate,
    /// Places in the pool, as many as `len`.
    members: [u8; ANSWERS_MAX],
    len: u8,
    /// Seconds the answer may be kept: as long as the endpoint of which that is least.
    pub ttl: u32,
}

impl Candidates {
    /// Draws the pool of one answer: by the roll, or for sticky clients by the number of their
    /// network.
    #[must_use]
    #[inline(always)]
    pub fn draw(&self, network: u64, roll: &mut Roll) -> &Candidate {
        self.pick(network, roll, self.weight_sum, |pool| pool.weight)
    }

    /// Draws one of the pools that were not `tried`; none: there is no other.
    #[must_use]
    pub fn draw_but(&self, tried: &PoolSet, network: u64, roll: &mut Roll) -> Option<&Candidate> {
        let weight = |it: &Candidate| {
            if tried.contains(usize::from(it.pool)) { 0 } else { it.weight }
        };
        let sum = self.pools.iter().map(weight).sum();
        (sum != 0).then(|| self.pick(network, roll, sum, weight))
    }

    /// Draws the endpoints of an answer from a pool, the same way.
    #[must_use]
    pub fn draw_members<'d>(
        &self,
        pool: &'d Candidate,
        network: u64,
        roll: &mut Roll,
    ) -> Drawn<'d> {
        let answers = usize::from(self.answers);
        let mut drawn = Drawn::of(pool);
        if self.sticky {
            drawn.fill_sticky(network, answers);
        } else {
            drawn.fill(answers, roll);
        }
        drawn
    }

    /// Picks one of the pools; their weights' sum is `sum`.
    #[inline(always)]
    fn pick(
        &self,
        network: u64,
        roll: &mut Roll,
        sum: u64,
        weight: impl Fn(&Candidate) -> u64,
    ) -> &Candidate {
        if !self.sticky {
            return &self.pools[under(roll, sum, self.pools.iter().map(weight))];
        }
        let scores = self.pools.iter().map(|pool| score(network, pool.key, weight(pool)));
        let best = scores.enumerate().min_by(|(_, one), (_, other)| one.total_cmp(other));
        &self.pools[best.expect("there is a candidate").0]
    }
}

impl Drawn<'_> {
    /// Draws so many endpoints, each at most once.
    fn fill(&mut self, answers: usize, roll: &mut Roll) {
        let members = &self.pool.members;
        let mut taken = [0_u64; POOL_ENDPOINTS_MAX / 64];
        let mut weight_left = self.pool.weight_sum;
        while usize::from(self.len) < members.len().min(answers) {
            let weights = members.iter().enumerate().map(|(idx, member)| {
                if taken[idx / 64] >> (idx % 64) & 1 == 0 { member.weight } else { 0 }
            });
            let idx = under(roll, weight_left, weights);
            taken[idx / 64] |= 1 << (idx % 64);
            weight_left -= members[idx].weight;
            self.push(idx);
        }
    }

    /// Takes those endpoints that have the best scores for the network.
    fn fill_sticky(&mut self, network: u64, answers: usize) {
        let members = &self.pool.members;
        let mut taken = f64::NEG_INFINITY;
        while usize::from(self.len) < members.len().min(answers) {
            // Scores are as good as distinct; were two the same, the later one would be left out.
            let next = members
                .iter()
                .map(|member| score(network, name::hash_octets(&member.rdata), member.weight))
                .enumerate()
                .filter(|(_, score)| taken < *score)
                .min_by(|(_, one), (_, other)| one.total_cmp(other));
            let Some((idx, score)) = next else { break };
            taken = score;
            self.push(idx);
        }
    }
}

/// The score of something with a weight for a network; the least wins (weighted rendezvous hashing).
///
/// Each is a sample of an exponential distribution whose rate is the weight: the least of several is
/// that of each in proportion to its weight, and a change of one weight moves only what it must.
fn score(network: u64, key: u64, weight: u64) -> f64 {
    let mixed = Roll(network ^ key.rotate_left(32)).bits();
    // Between 0 and 1, without either: 53 bits and a half.
    #[allow(clippy::cast_precision_loss)] // The bits are few enough.
    let uniform = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    #[allow(clippy::cast_precision_loss)] // A weight's low bits do not matter.
    let weight = weight as f64;
    -uniform.ln() / weight
}

impl<'d> Drawn<'d> {
    /// Nothing yet.
    fn of(pool: &'d Candidate) -> Self {
        Self { pool, members: [0; ANSWERS_MAX], len: 0, ttl: u32::MAX }
    }

    fn push(&mut self, member: usize) {
        self.members[usize::from(self.len)] =
            u8::try_from(member).expect("at most POOL_ENDPOINTS_MAX");
        self.len += 1;
        self.ttl = self.ttl.min(self.pool.members[member].ttl);
    }

    /// The endpoints, in the order of the answer.
    #[must_use]
    pub fn members(&self) -> impl ExactSizeIterator<Item = &'d Member> {
        let members = &self.members[..usize::from(self.len)];
        members.iter().map(|idx| &self.pool.members[usize::from(*idx)])
    }
}

/// The place of the weight under the next point of the line; the weights' sum is `sum`.
#[inline(always)]
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

const _: () = assert!(POOL_ENDPOINTS_MAX <= 1 << 8 && ANSWERS_MAX < 1 << 8);

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
        Candidate { pool, weight, key: u64::from(pool) + 1, is_alias: false, members, weight_sum }
    }

    fn candidates(pools: Vec<Candidate>, answers: u8) -> Candidates {
        let weight_sum = pools.iter().map(|pool| pool.weight).sum();
        Candidates { pools: pools.into(), weight_sum, answers, sticky: false }
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
        check_shares(&weights, |roll| usize::from(candidates.draw(0, roll).pool));
    }

    #[test]
    fn what_was_tried_is_not_drawn_again() {
        let mut dice = Dice::from_os();
        let pools = || vec![candidate(0, 60, &[1]), candidate(3, 30, &[1]), candidate(7, 10, &[1])];
        for sticky in [false, true] {
            let candidates = Candidates { sticky, ..candidates(pools(), 8) };
            let mut tried = PoolSet::default();
            let mut drawn = Vec::new();
            while let Some(next) = candidates.draw_but(&tried, 7, &mut dice.roll()) {
                tried.insert(usize::from(next.pool));
                drawn.push(next.pool);
            }
            drawn.sort_unstable();
            assert_eq!(drawn, [0, 3, 7]);
        }
    }

    #[test]
    fn the_first_endpoint_comes_by_weight() {
        let weights = [1, 3, 65_535, 7];
        for answers in [1, 3, 8] {
            let candidates = candidates(vec![candidate(0, 1, &weights)], answers);
            check_shares(&weights, |roll| {
                let drawn = candidates.draw_members(&candidates.pools[0], 0, roll);
                usize::from(drawn.members().next().unwrap().endpoint)
            });
        }
    }

    #[test]
    fn an_answer_holds_each_endpoint_once() {
        let mut dice = Dice::from_os();
        for (n_members, answers, expect) in [(1, 8, 1), (5, 3, 3), (256, 32, 32), (8, 8, 8)] {
            let candidates = candidates(vec![candidate(0, 1, &vec![2; n_members])], answers);
            let pool = &candidates.pools[0];
            let drawn = candidates.draw_members(pool, 0, &mut dice.roll());
            let mut endpoints: Vec<_> = drawn.members().map(|it| it.endpoint).collect();
            endpoints.sort_unstable();
            endpoints.dedup();
            assert_eq!(endpoints.len(), expect);
            assert_eq!(drawn.ttl, 20 + u32::from(endpoints[0]));
        }
    }

    /// Where each of many networks goes.
    fn homes(weights: &[u64]) -> Vec<u16> {
        let pools = (0..).zip(weights).filter(|(_, weight)| **weight != 0);
        let pools = pools.map(|(idx, weight)| candidate(idx, *weight, &[1])).collect();
        let candidates = Candidates { sticky: true, ..candidates(pools, 8) };
        (0..100_000_u64)
            .map(|network| candidates.draw(Roll(network).bits(), &mut Roll(0)).pool)
            .collect()
    }

    #[test]
    fn sticky_clients_move_only_when_they_must() {
        let five = homes(&[1, 1, 1, 1, 1]);
        let four = homes(&[1, 1, 0, 1, 1]);
        assert!(five.iter().zip(&four).all(|(before, now)| before == now || *before == 2));
        for pool in 0..5 {
            let share = five.iter().filter(|it| **it == pool).count();
            assert!((19_500..=20_500).contains(&share), "{share}");
        }

        // From a fifth to a third: two fifteenths move, all of them to the pool that grew.
        let grown = homes(&[1, 1, 2, 1, 1]);
        let moved: Vec<_> = five.iter().zip(&grown).filter(|(before, now)| before != now).collect();
        assert!(moved.iter().all(|(_, now)| **now == 2));
        assert!((12_333..=14_333).contains(&moved.len()), "{}", moved.len());
    }
}
