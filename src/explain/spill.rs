//! The stage that looks at all names: which regions are full, and where their clients go instead.

use super::{Told, text};
use crate::steer::{Basin, Candidates, Decision, Outcome, Pool, PoolSet};

/// Parts of clients that differ by less are told as the same.
const NEAR: f64 = 1e-6;

impl Told<'_> {
    /// The pools that are left, of those that the stages before left.
    pub(super) fn spilled(&self, near: &PoolSet) -> PoolSet {
        match (self.moved().is_empty(), drawn(self.decision)) {
            (false, Some(candidates)) => {
                candidates.pools.iter().map(|it| usize::from(it.pool)).collect()
            }
            _ => *near,
        }
    }

    pub(super) fn why_spill(&self) -> String {
        if self.steered.policy.demand.is_none() {
            return "not configured: passes everything on".to_owned();
        }
        if self.basins.iter().all(|it| it.capacity.is_none()) {
            return "no region has a `capacity`: passes everything on".to_owned();
        }
        let Some(candidates) = drawn(self.decision) else {
            return "there is none left".to_owned();
        };
        let moved = self.moved();
        let is_there = |pool: &Pool| {
            candidates.pools.iter().any(|it| self.pools()[usize::from(it.pool)].name == pool.name)
        };
        let lost =
            |idx: usize| moved.iter().any(|(pool, before, now)| *pool == idx && now < before);
        let pools = self.pools().iter().enumerate();
        let concerned = pools.filter(|(idx, it)| is_there(it) || lost(*idx));
        let mut regions: Vec<&Basin> = concerned.filter_map(|(_, it)| self.basin(it)).collect();
        regions.dedup_by(|one, other| one.region == other.region);
        let loads: Vec<String> =
            regions.iter().filter(|it| it.capacity.is_some()).map(|it| load(it)).collect();
        let loads =
            if loads.is_empty() { "no capacity is said".to_owned() } else { loads.join(", ") };
        let over = if regions.iter().any(|it| it.is_overloaded()) {
            "; there is no room elsewhere for what is above a capacity, so that all are given more"
        } else {
            ""
        };
        if moved.is_empty() {
            return format!("passes everything on: {loads}{over}");
        }
        let told: Vec<String> = moved
            .iter()
            .map(|(pool, before, now)| {
                let (now, before) = (text::percent(*now), text::percent(*before));
                format!("{} gets {now} instead of {before}", self.pools()[*pool].name)
            })
            .collect();
        format!("{}, because of capacity: {loads}{over}", told.join(", "))
    }

    /// The pools whose part of the clients is another because a region is full: with the part that
    /// it would be and the part that it is.
    fn moved(&self) -> Vec<(usize, f64, f64)> {
        let (Some(base), Some(now)) = (drawn(self.base), drawn(self.decision)) else {
            return Vec::new();
        };
        if self.steered.policy.demand.is_none() || self.base.footing != self.decision.footing {
            return Vec::new();
        }
        let parts = (0..self.pools().len()).map(|it| (it, part(base, it), part(now, it)));
        parts.filter(|(_, before, now)| NEAR < (before - now).abs()).collect()
    }

    fn basin(&self, pool: &Pool) -> Option<&Basin> {
        let region = pool.region.as_ref()?;
        self.basins.iter().find(|it| it.region == *region)
    }
}

fn drawn(decision: &Decision) -> Option<&Candidates> {
    match &decision.outcome {
        Outcome::Draw(candidates) => Some(candidates),
        _ => None,
    }
}

/// The part of the clients that a pool gets.
fn part(candidates: &Candidates, pool: usize) -> f64 {
    let weight = candidates.pools.iter().find(|it| usize::from(it.pool) == pool);
    #[allow(clippy::cast_precision_loss)] // A weight's last digits do not matter.
    let part = |weight: u64| weight as f64 / candidates.weight_sum as f64;
    weight.map_or(0.0, |it| part(it.weight))
}

/// `us-east-1 is given 100 of 100`.
fn load(basin: &Basin) -> String {
    let Basin { region, load, capacity, .. } = basin;
    let full = if basin.is_full() && !basin.is_overloaded() { " and is full" } else { "" };
    format!("{region} is given {} of {}{full}", number(*load), number(capacity.unwrap_or(0.0)))
}

/// A load with as many digits as anyone reads.
fn number(load: f64) -> String {
    let text = format!("{load:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
