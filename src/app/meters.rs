//! Meters: what the control loop counts of its own work.
//!
//! Not here: what packet threads count (`counters`), and how it is told (`api::metrics`).

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    api::{OTHERS, PROBE_SECONDS, ProbeMeter},
    health::{Outcome, Report, Why},
    limits::METRICS_CHECKS_MAX,
};

/// What was counted.
#[derive(Debug)]
pub(super) struct Meters {
    /// By check; beyond a limit all others together.
    checks: HashMap<Arc<str>, ProbeMeter>,
    /// Reloads that were followed, and those that were refused.
    pub(super) reloads: [u64; 2],
    /// When the latest of them was.
    pub(super) reloaded_at: Option<SystemTime>,
    /// Whether that one was followed, or there was none.
    pub(super) reloaded: bool,
    /// When questions began to be counted, here or in the process before.
    pub(super) since: SystemTime,
    /// When this process began.
    pub(super) began: SystemTime,
    /// When the latest snapshot was published.
    pub(super) published_at: SystemTime,
}

impl Meters {
    /// Nothing happened yet but a first snapshot.
    pub(super) fn begin(since: SystemTime, began: SystemTime) -> Self {
        Self {
            checks: HashMap::new(),
            reloads: [0, 0],
            reloaded_at: None,
            reloaded: true,
            since,
            began,
            published_at: began,
        }
    }

    /// Counts an execution of a check.
    pub(super) fn probed(&mut self, check: &Arc<str>, report: &Report) {
        self.check(check).add(&report.outcome, report.took);
    }

    fn check(&mut self, check: &Arc<str>) -> &mut ProbeMeter {
        if self.checks.contains_key(check) || self.checks.len() < METRICS_CHECKS_MAX {
            return self.checks.entry(Arc::clone(check)).or_default();
        }
        self.checks.entry(OTHERS.into()).or_default()
    }

    /// Counts a reload.
    pub(super) fn reloaded(&mut self, is_followed: bool, at: SystemTime) {
        self.reloads[usize::from(!is_followed)] += 1;
        (self.reloaded, self.reloaded_at) = (is_followed, Some(at));
    }

    /// What the probes of each check came to, in the order of their names.
    pub(super) fn checks(&self) -> Vec<(Arc<str>, ProbeMeter)> {
        let checks = self.checks.iter().map(|(check, meter)| (Arc::clone(check), meter.clone()));
        let mut checks: Vec<_> = checks.collect();
        checks.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        checks
    }
}

impl ProbeMeter {
    fn add(&mut self, outcome: &Outcome, took: Duration) {
        let place = match outcome {
            Outcome::Good => 0,
            Outcome::Failed(Why::Timeout(_)) => 1,
            Outcome::Failed(_) => 2,
        };
        self.outcomes[place] += 1;
        let seconds = took.as_secs_f64();
        self.times[PROBE_SECONDS.partition_point(|it| *it < seconds)] += 1;
        self.seconds += seconds;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_beyond_the_limit_are_counted_together() {
        let mut meters = Meters::begin(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH);
        for check in 0..METRICS_CHECKS_MAX + 3 {
            let meter = meters.check(&format!("{check:04}").into());
            meter.add(&Outcome::Good, Duration::from_millis(30));
        }
        let timeout = Outcome::Failed(Why::Timeout(Duration::from_secs(20)));
        meters.check(&"0001".into()).add(&timeout, Duration::from_secs(20));
        let checks = meters.checks();
        assert_eq!(checks.len(), METRICS_CHECKS_MAX + 1);
        assert_eq!((&*checks[0].0, checks[0].1.outcomes), (OTHERS, [3, 0, 0]));
        assert_eq!((&*checks[2].0, checks[2].1.outcomes), ("0001", [1, 1, 0]));
        assert_eq!(checks[2].1.times, [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]);
    }
}
