//! What is remembered of probes that a reload took away, for those that take their place.
//!
//! Not here: what a probe that stays keeps (`apply`).

use std::{
    collections::{HashMap, HashSet},
    time::SystemTime,
};

use super::store::Known;
use crate::health::{self, ProbeSpec, Status, Verdict};

/// What the probes said that a reload took away. What a check that stays says is its own.
#[derive(Default)]
pub(super) struct Gone<'s> {
    by_question: HashMap<health::Question<'s>, Known>,
    by_target: HashMap<(&'s health::Target, u16, Option<&'s str>), Known>,
    /// Targets whose latest probe failed.
    failing: HashSet<&'s health::Target>,
}

impl<'s> Gone<'s> {
    pub(super) fn of(probes: impl Iterator<Item = (&'s ProbeSpec, Known)>) -> Self {
        let mut gone = Self::default();
        for (spec, known) in probes {
            let (status, _) = known;
            let is_down = status.verdict == Verdict::Down;
            for last in [
                gone.by_question.entry(spec.question()).or_insert(known),
                gone.by_target.entry(asked(spec)).or_insert(known),
            ] {
                if is_down {
                    *last = known;
                }
            }
            if (is_down || status.shaky) && !matches!(spec.kind, health::Kind::Push(_)) {
                gone.failing.insert(&spec.target);
            }
        }
        gone
    }

    /// What is thought of a new probe until its first report. Where a check is changed, what the one
    /// before it said holds: who edits `every` in an outage does not bring what is down back. Else
    /// nothing is known, but that a change may be in sight if the target failed when something else
    /// was asked: an answer that holds a dead address again for a moment is not to be kept for long.
    pub(super) fn known(&self, spec: &ProbeSpec) -> Known {
        let shaky = self.failing.contains(&spec.target);
        let unknown = (Status { verdict: Verdict::Unknown, shaky }, SystemTime::UNIX_EPOCH);
        let same = self.by_question.get(&spec.question());
        same.or_else(|| self.by_target.get(&asked(spec))).copied().unwrap_or(unknown)
    }
}

/// Who is asked by a probe, however: an endpoint's port, or whoever sends the heartbeats of a check.
fn asked(spec: &ProbeSpec) -> (&health::Target, u16, Option<&str>) {
    let heartbeats = match &spec.kind {
        health::Kind::Push(push) => Some(&*push.check),
        _ => None,
    };
    (&spec.target, spec.port, heartbeats)
}
