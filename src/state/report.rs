//! What is known now, as it is told to people: every endpoint with its checks, and the regions.
//!
//! Not here: the form in which it is told (`api`).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::SystemTime,
};

use super::{Override, Place, Recent, Standing, State, Word, carry::all_names, operator::Said};
use crate::{
    compile::PlannedName,
    geo::Coordinates,
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
    /// Its share of the pool now, scaled by the region's dial and the pool's ramp.
    pub effective_weight: f64,
    /// How much of what it can take it reports to be given: 1 is all; none: it reports nothing.
    pub utilization: Option<f64>,
    /// The operator's word over the verdict.
    pub said: Option<Override>,
    /// Whether it is down and stays in, because enough of the name is out.
    pub over_budget: bool,
    /// How far its pool has come back, while it comes back in steps.
    pub ramp: Option<RampReport>,
    /// Each check of it.
    pub checks: Vec<CheckReport>,
}

/// Which endpoints are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerned {
    /// All of them.
    All,
    /// Those of a steered name.
    Name(Name),
    /// Those of the names of a zone.
    Zone(Name),
}

/// How far a pool has come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RampReport {
    /// The number of the step, from 1.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// Percent of its weight that the pool gets.
    pub percent: u8,
    /// When the next is due; none: something holds this one.
    pub next: Option<SystemTime>,
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
    /// What the latest executions came to, the oldest first.
    pub recent: Vec<Recent>,
}

/// A region.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionReport {
    /// Its name.
    pub name: Box<str>,
    /// Where it is.
    pub at: Option<Coordinates>,
    /// Percent of its normal traffic that the operator lets it have.
    pub dial: u8,
    /// What its endpoints are together.
    pub state: RegionState,
    /// What it can take now, its dial counted in, in the operator's unit; none: nobody says.
    pub capacity: Option<f64>,
    /// What it is given of the demand of names, in the same unit; none: no name has a demand.
    pub load: Option<f64>,
    /// How much of what it can take it reports to be given: 1 is all; none: it reports nothing.
    pub utilization: Option<f64>,
    /// How many pools come back in steps.
    pub returning: usize,
    /// How many endpoints are down and stay in.
    pub over_budget: usize,
}

/// Endpoints of a region.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    up: usize,
    drained: usize,
    all: usize,
    returning: usize,
    over_budget: usize,
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
    /// These endpoints.
    #[must_use]
    pub fn endpoints(&self, concerned: &Concerned) -> Vec<EndpointReport> {
        let mut reports = Vec::new();
        for (place, name) in self.names() {
            let is_concerned = match concerned {
                Concerned::All => true,
                Concerned::Name(owner) => name.owner == *owner,
                Concerned::Zone(apex) => self.plan().zones[place.0.idx()].zone.apex() == apex,
            };
            if !is_concerned {
                continue;
            }
            let standings = self.returns.standings(place);
            for (idx, (pool, probes)) in name.policy.pools.iter().zip(&name.probes).enumerate() {
                let ramp = standings.as_ref().and_then(|it| RampReport::of(pool, it[idx]));
                for (endpoint, probes) in pool.endpoints.iter().zip(probes) {
                    reports.push(self.endpoint(name, pool, (endpoint, probes), ramp.clone()));
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
        for (place, name) in self.names() {
            let said = Said::of(self.overrides(), &name.owner);
            let standings = self.returns.standings(place);
            for (idx, (pool, probes)) in name.policy.pools.iter().zip(&name.probes).enumerate() {
                let Some(region) = &pool.region else { continue };
                let counts = counts.entry(region).or_default();
                let ramp = standings.as_ref().and_then(|it| RampReport::of(pool, it[idx]));
                counts.returning += usize::from(ramp.is_some());
                for (endpoint, probes) in pool.endpoints.iter().zip(probes) {
                    let up = self.verdict(probes).verdict != Verdict::Down;
                    let seen = Condition::seen(up, false);
                    let word = said.word(pool, endpoint).map(|it| it.word);
                    counts.up += usize::from(said.over(pool, endpoint, seen).up);
                    counts.drained += usize::from(word == Some(Word::Drain));
                    let over_budget =
                        self.returns.is_over_budget(&name.owner, &pool.name, &endpoint.target);
                    counts.over_budget += usize::from(over_budget);
                    counts.all += 1;
                }
            }
        }
        let basins = self.spill.basins();
        let load = |name: &str| basins.iter().find(|it| *it.region == *name).map(|it| it.load);
        let report = |(name, counts): (&str, Counts)| RegionReport {
            name: name.into(),
            at: self.plan().places.get(name).copied(),
            dial: self.overrides().percent(Some(name)),
            capacity: self.capacity(name),
            load: load(name),
            utilization: self.reported.of_region(name),
            state: match counts {
                Counts { drained, all, .. } if 0 < all && drained == all => RegionState::Drain,
                Counts { up, all, .. } if up == all => RegionState::Up,
                Counts { up: 0, .. } => RegionState::Down,
                _ => RegionState::Mixed,
            },
            returning: counts.returning,
            over_budget: counts.over_budget,
        };
        counts.into_iter().map(report).collect()
    }

    /// Endpoints by region, in the order of their names (empty: none), and by verdict: up, down,
    /// unknown.
    #[must_use]
    pub fn verdict_counts(&self) -> Vec<(Box<str>, [usize; 3])> {
        let mut counts: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
        for (_, name) in self.names() {
            for (pool, probes) in name.policy.pools.iter().zip(&name.probes) {
                let counts = counts.entry(pool.region.as_deref().unwrap_or_default()).or_default();
                for probes in probes {
                    counts[match self.verdict(probes).verdict {
                        Verdict::Up => 0,
                        Verdict::Down => 1,
                        Verdict::Unknown => 2,
                    }] += 1;
                }
            }
        }
        counts.into_iter().map(|(region, counts)| (region.into(), counts)).collect()
    }

    fn names(&self) -> impl Iterator<Item = (Place, &PlannedName)> {
        all_names(&self.plan().zones)
    }

    fn endpoint(
        &self,
        name: &PlannedName,
        pool: &Pool,
        (endpoint, probes): (&Endpoint, &Tree),
        ramp: Option<RampReport>,
    ) -> EndpointReport {
        let status = self.verdict(probes);
        let mut ids = Vec::new();
        probes.for_each_probe(&mut |id| ids.push(id));
        // Several checks may be made of the same one.
        let mut told = HashSet::new();
        ids.retain(|id| told.insert(*id));
        let up = status.verdict != Verdict::Down;
        let said = Said::of(self.overrides(), &name.owner);
        let seen = Condition::seen(up, status.shaky);
        let over = said.over(pool, endpoint, seen);
        let over_budget = self.returns.is_over_budget(&name.owner, &pool.name, &endpoint.target);
        let percent = ramp.as_ref().map_or(100, |it| it.percent);
        EndpointReport {
            name: name.owner.clone(),
            pool: pool.name.clone(),
            region: pool.region.clone(),
            target: endpoint.target.clone(),
            verdict: status.verdict,
            shaky: status.shaky,
            weight: endpoint.weight,
            effective_weight: if over.up || over_budget {
                let share = u32::from(over.dial) * u32::from(percent);
                f64::from(endpoint.weight) * f64::from(share) / 10_000.0
            } else {
                0.0
            },
            utilization: ids.iter().filter_map(|id| self.reported_by(*id)).reduce(f64::max),
            said: said.word(pool, endpoint).cloned(),
            over_budget,
            ramp,
            checks: ids.into_iter().map(|id| self.check(id)).collect(),
        }
    }

    fn reported_by(&self, id: ProbeId) -> Option<f64> {
        self.reported.of(Arc::as_ptr(&self.plan().probes[id.idx()]).addr())
    }

    fn check(&self, id: ProbeId) -> CheckReport {
        let latest = self.latest_outcome(id);
        CheckReport {
            check: Arc::clone(&self.plan().checks[id.idx()]),
            target: self.plan().probes[id.idx()].to_string(),
            verdict: self.status(id).verdict,
            latest: latest.map(|it| (it.outcome.clone(), it.at)),
            recent: latest.map_or_else(Vec::new, |it| it.recent.iter().copied().collect()),
        }
    }
}

impl RampReport {
    /// None: the pool is not on its way back.
    fn of(pool: &Pool, standing: Standing) -> Option<Self> {
        let ramp = pool.ramp.as_ref()?;
        let (Standing::Step(percent, _) | Standing::Held(percent)) = standing else { return None };
        Some(Self {
            step: ramp.step(percent),
            steps: ramp.steps.len(),
            percent,
            next: standing.next(pool.ramp.as_ref()),
        })
    }
}
