//! Load that targets report with their health, and what it says of their regions.
//!
//! ```text
//!   probes --readings--> endpoints -> pools (by weight) -> region (the fullest) -> gauge -> limit
//! ```
//!
//! # Invariants
//!
//! - A reading holds for `LOAD_REPORT_PERIODS` times `every` of its check; a later one replaces it.
//! - Only pools of names with a demand count: of others nobody knows what they are given.
//!
//! Not here: how a report reads (`health`), and what is concluded from it (`gauge`).

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{State, gauge::Gauge};
use crate::{
    compile::Plan,
    health::{ProbeSpec, Tree, Utilization},
    limits::LOAD_REPORT_PERIODS,
    steer::Basin,
};

/// What is known of what targets report.
#[derive(Debug, Default)]
pub(super) struct Reported {
    /// By the address of the spec.
    readings: HashMap<usize, Reading>,
    /// The regions that pools of names with a demand are in.
    regions: BTreeMap<Box<str>, Region>,
    /// When the first reading was looked at; gauges count from here.
    began: Option<Instant>,
}

#[derive(Debug)]
struct Reading {
    spec: Arc<ProbeSpec>,
    utilization: Utilization,
    /// When it was first looked at.
    at: Option<Instant>,
}

#[derive(Debug, Default)]
struct Region {
    /// Its pools, each once.
    pools: HashSet<Pool>,
    /// How long clients take to follow a change, and a probe after that to see it.
    settle: Duration,
    gauge: Gauge,
}

/// By endpoint: its weight, and the addresses of the specs that it rests on.
type Pool = Vec<(u32, Vec<usize>)>;

impl Reported {
    /// Goes over to other files, in which names may have a demand. What is known of what stays is
    /// kept.
    pub(super) fn reload(&mut self, plan: &Plan, has_demand: bool) {
        let spec = |id: crate::ids::ProbeId| &plan.probes[id.idx()];
        let mut regions: BTreeMap<Box<str>, Region> = BTreeMap::new();
        let zones = plan.zones.iter().filter(|_| has_demand);
        let names = zones.flat_map(|zone| &zone.steered);
        for name in names.filter(|it| it.policy.demand.is_some()) {
            for (pool, probes) in name.policy.pools.iter().zip(&name.probes) {
                let Some(region) = &pool.region else { continue };
                let region = regions.entry(region.clone()).or_default();
                let mut every = Duration::ZERO;
                let endpoint = |(endpoint, probes): (&crate::steer::Endpoint, &Tree)| {
                    let mut specs = Vec::new();
                    probes.for_each_probe(&mut |id| {
                        specs.push(Arc::as_ptr(spec(id)).addr());
                        every = every.max(spec(id).every);
                    });
                    (endpoint.weight, specs)
                };
                region.pools.insert(pool.endpoints.iter().zip(probes).map(endpoint).collect());
                let ttl = Duration::from_secs(name.policy.ttl.into());
                region.settle = region.settle.max(ttl + every);
            }
        }
        for (name, region) in &mut regions {
            region.gauge = self.regions.get(name).map(|it| it.gauge).unwrap_or_default();
        }
        self.regions = regions;
        if self.readings.is_empty() {
            return;
        }
        let stay: HashSet<usize> = plan.probes.iter().map(|it| Arc::as_ptr(it).addr()).collect();
        self.readings.retain(|address, _| stay.contains(address));
    }

    /// Takes what a target of the plan reports.
    pub(super) fn take(&mut self, spec: &Arc<ProbeSpec>, utilization: Utilization) {
        let reading = Reading { spec: Arc::clone(spec), utilization, at: None };
        self.readings.insert(Arc::as_ptr(spec).addr(), reading);
    }

    /// What a target reports, by the address of the spec.
    pub(super) fn of(&self, spec: usize) -> Option<f64> {
        self.readings.get(&spec).map(|it| it.utilization.part())
    }

    /// What a region reports: as much as the fullest of its pools, which is as full as its endpoints
    /// are by their weights, as far as they report anything.
    pub(super) fn of_region(&self, region: &str) -> Option<f64> {
        let pools = self.regions.get(region)?.pools.iter();
        pools.filter_map(|it| self.of_pool(it)).reduce(f64::max)
    }

    fn of_pool(&self, pool: &Pool) -> Option<f64> {
        let (mut sum, mut weights) = (0.0, 0.0);
        for (weight, specs) in pool {
            let fullest = specs.iter().filter_map(|it| self.of(*it)).reduce(f64::max);
            if let Some(part) = fullest {
                sum += part * f64::from(*weight);
                weights += f64::from(*weight);
            }
        }
        (0.0 < weights).then(|| sum / weights)
    }

    /// What a region can take, by what it reports, in the operator's unit; none: it does not say that
    /// anything is too much.
    pub(super) fn limit(&self, region: &str) -> Option<f64> {
        self.regions.get(region)?.gauge.limit
    }

    /// Concludes what can be by `now`; whether a limit changed.
    fn weigh(&mut self, basins: &[Basin], now: Instant) -> bool {
        if self.readings.is_empty() && self.regions.values().all(|it| it.gauge.limit.is_none()) {
            return false;
        }
        let began = *self.began.get_or_insert(now);
        self.readings.retain(|_, it| {
            let holds = it.spec.every * LOAD_REPORT_PERIODS;
            now.duration_since(*it.at.get_or_insert(now)) <= holds
        });
        let mut has_changed = false;
        for basin in basins {
            let utilization = self.of_region(&basin.region);
            let Some(region) = self.regions.get_mut(&basin.region) else { continue };
            let at = now.duration_since(began);
            let next = region.gauge.after(basin.load, utilization, at, region.settle);
            has_changed |= next.limit != region.gauge.limit;
            region.gauge = next;
        }
        has_changed
    }
}

impl State {
    /// Concludes by `now` what targets report of their load. To be called about once a second.
    pub fn weigh(&mut self, now: Instant) {
        let has_changed = self.reported.weigh(self.spill.basins(), now);
        if has_changed {
            self.spill.look_again();
        }
    }
}
