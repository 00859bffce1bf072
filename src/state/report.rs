//! What is known now, as it is told to people: every endpoint with its checks, and the regions.
//!
//! Not here: the form in which it is told (`api`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::{Override, State, Word, operator::Said};
use crate::{
    compile::PlannedName,
    health::{Outcome, Tree, Verdict},
    ids::ProbeId,
    steer::{Condition, Endpoint, Pool, Target},
    wire::Name,
};

/// An endpoint of a steered name.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointReport {
    /// The steered name.
    pub name: Name,
    /// Its pool.
    pub pool: Box<str>,
    /// The pool's region.
    pub region: Option<Box<str>>,
    /// What is handed out.
    pub target: Target,
    /// What its checks say together.
    pub verdict: Verdict,
    /// Whether it is up and its latest probe failed.
    pub shaky: bool,
    /// Its share of the pool, as its operator wrote it.
    pub weight: u32,
    /// Its share of the pool now, scaled by the region's dial.
    pub effective_weight: f64,
    /// The operator's word over the verdict.
    pub said: Option<Override>,
    /// Each check of it.
    pub checks: Vec<CheckReport>,
}

/// A check of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckReport {
    /// The check.
    pub check: Arc<str>,
    /// What it asks of whom.
    pub target: String,
    /// What it says.
    pub verdict: Verdict,
    /// What its latest execution came to, and when; none: there was none yet.
    pub latest: Option<(Outcome, SystemTime)>,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionReport {
    /// Its name.
    pub name: Box<str>,
    /// Percent of its normal traffic that the operator lets it have.
    pub dial: u8,
    /// What its endpoints are together.
    pub state: RegionState,
}

/// Endpoints of a region.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    up: usize,
    drained: usize,
    all: usize,
}

/// What the endpoints of a region are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionState {
    /// All are up.
    Up,
    /// None is.
    Down,
    /// Some are.
    Mixed,
    /// The operator has withdrawn all of them.
    Drain,
}

impl State {
    /// Every endpoint, or those of one name.
    #[must_use]
    pub fn endpoints(&self, only: Option<&Name>) -> Vec<EndpointReport> {
        let mut reports = Vec::new();
        for name in self.names().filter(|it| only.is_none_or(|only| it.owner == *only)) {
            let pools = name.policy.pools.iter().zip(&name.probes);
            for (pool, probes) in pools {
                for (endpoint, probes) in pool.endpoints.iter().zip(probes) {
                    reports.push(self.endpoint(name, pool, endpoint, probes));
                }
            }
        }
        reports
    }

    /// Every region that is declared or that a pool is in, in the order of their names.
    #[must_use]
    pub fn regions(&self) -> Vec<RegionReport> {
        let declared = self.plan().regions.iter().map(|it| (&**it, Counts::default()));
        let mut counts: BTreeMap<&str, Counts> = declared.collect();
        for name in self.names() {
            let said = Said::of(self.overrides(), &name.owner);
            for (pool, probes) in name.policy.pools.iter().zip(&name.probes) {
                let Some(region) = &pool.region else { continue };
                let counts = counts.entry(region).or_default();
                for (endpoint, probes) in pool.endpoints.iter().zip(probes) {
                    let up = self.verdict(probes).verdict != Verdict::Down;
                    let seen = Condition { present: true, up, shaky: false, share: 100 };
                    let word = said.word(pool, endpoint).map(|it| it.word);
                    counts.up += usize::from(said.over(pool, endpoint, seen).up);
                    counts.drained += usize::from(word == Some(Word::Drain));
                    counts.all += 1;
                }
            }
        }
        let report = |(name, Counts { up, drained, all }): (&str, Counts)| RegionReport {
            name: name.into(),
            dial: self.overrides().percent(Some(name)),
            state: match up {
                _ if 0 < all && drained == all => RegionState::Drain,
                _ if up == all => RegionState::Up,
                0 => RegionState::Down,
                _ => RegionState::Mixed,
            },
        };
        counts.into_iter().map(report).collect()
    }

    fn names(&self) -> impl Iterator<Item = &PlannedName> {
        self.plan().zones.iter().flat_map(|zone| &zone.steered)
    }

    fn endpoint(
        &self,
        name: &PlannedName,
        pool: &Pool,
        endpoint: &Endpoint,
        probes: &Tree,
    ) -> EndpointReport {
        let status = self.verdict(probes);
        let mut ids = Vec::new();
        probes.for_each_probe(&mut |id| ids.push(id));
        // Several checks may be made of the same one.
        let mut told = HashSet::new();
        ids.retain(|id| told.insert(*id));
        let up = status.verdict != Verdict::Down;
        let said = Said::of(self.overrides(), &name.owner);
        let seen = Condition { present: true, up, shaky: status.shaky, share: 100 };
        let over = said.over(pool, endpoint, seen);
        EndpointReport {
            name: name.owner.clone(),
            pool: pool.name.clone(),
            region: pool.region.clone(),
            target: endpoint.target.clone(),
            verdict: status.verdict,
            shaky: status.shaky,
            weight: endpoint.weight,
            effective_weight: if over.up {
                f64::from(endpoint.weight) * f64::from(over.share) / 100.0
            } else {
                0.0
            },
            said: said.word(pool, endpoint).cloned(),
            checks: ids.into_iter().map(|id| self.check(id)).collect(),
        }
    }

    fn check(&self, id: ProbeId) -> CheckReport {
        let latest = self.latest_outcome(id);
        CheckReport {
            check: Arc::clone(&self.plan().checks[id.idx()]),
            target: self.plan().probes[id.idx()].to_string(),
            verdict: self.status(id).verdict,
            latest: latest.map(|it| (it.outcome.clone(), it.at)),
        }
    }
}
