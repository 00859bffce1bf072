//! Going on from what another process knows, so that nothing changes for anybody when it leaves.
//!
//! *Not here:* how it comes over (`app::takeover`), and what survives a restart (`store`).

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Instant, SystemTime},
};

use super::{LatestOutcome, Stale, State};
use crate::{
    health::{Outcome, ProbeSpec, Sight, Verdict},
    ids::ProbeId,
    state::{
        Standing,
        store::{Known, Row},
    },
};

/// What is known of a probe.
#[derive(Debug, Clone)]
pub struct Learned {
    /// What it says, and since when its verdict is that.
    pub known: Known,
    /// What its latest execution came to, and when.
    pub latest: Option<(Outcome, SystemTime)>,
}

impl State {
    /// Goes on behind this generation, with what the prober thinks of itself, and with what is `known`
    /// of the probes of the plan, one after the other. To be called before anything is known
    /// otherwise.
    pub fn resume(&mut self, generation: u64, sight: Sight, known: Vec<Option<Learned>>) {
        assert_eq!(known.len(), self.statuses.len(), "as many as there are probes");
        self.latest.generation = generation;
        self.sight = sight;
        for (idx, known) in known.into_iter().enumerate() {
            let Some(Learned { known, latest }) = known else { continue };
            self.statuses[idx] = known;
            self.latest_outcomes[idx] =
                latest.map(|(outcome, at)| LatestOutcome { outcome, at, recent: VecDeque::new() });
        }
        let is_unknown = |it: &&Known| it.0.verdict == Verdict::Unknown;
        self.unknown = self.statuses.iter().filter(is_unknown).count();
        self.stale = Stale::All;
    }

    /// What tells each probe of the plan from most others to people, in any version of the server: its
    /// check, and what is asked of whom.
    pub fn titles(&self) -> impl Iterator<Item = String> {
        let probes = self.plan.checks.iter().zip(&self.plan.probes);
        probes.map(|(check, spec)| format!("{check} {spec}"))
    }

    /// What is known of a probe that was handed out, and its title.
    #[must_use]
    pub fn learned(&self, spec: &Arc<ProbeSpec>) -> Option<(String, Learned)> {
        let id: ProbeId = *self.places.get(&Arc::as_ptr(spec).addr())?;
        let latest = self.latest_outcome(id).map(|it| (it.outcome.clone(), it.at));
        let title = format!("{} {spec}", self.plan.checks[id.idx()]);
        Some((title, Learned { known: self.known(id), latest }))
    }

    /// Where pools stand that are not full, as they would be kept.
    #[must_use]
    pub fn ramps(&self) -> Vec<(String, Standing)> {
        self.returns.rows(&self.plan)
    }

    /// All rows of what was measured.
    pub fn latency_rows(&mut self, now: Instant, wall: SystemTime) -> Vec<Row> {
        self.latencies.rows(now, wall)
    }
}
