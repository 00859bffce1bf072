//! Blindness: whether it is the prober that is dead, and not all its targets.
//!
//! ```text
//!            a failure, and the evidence is there
//!   Sighted ---------------------------------------> Blind
//!      ^ ^                                            | |
//!      | '------------- no evidence ------------------' | for `blind_for`
//!      |                                                v
//!      '--- something was good, and all is clear ---- Spent
//! ```
//!
//! *Blind*: a failure does not count (`judge`), so nothing is taken out. *Spent*: it has been so for
//! as long as it may be; failures count again, and another blindness takes a good probe first.
//! *Clear*: at most half of what is counted fails. Until then a blindness that ended has only
//! paused, and goes on with what is left of its time: a target that comes and goes at the edge of
//! the share cannot make many blindnesses of one.
//!
//! # Evidence
//!
//! With control targets: the latest probe of each of them failed. They alone decide.
//!
//! Without: of the targets that were up before their latest probe, at least four, at least
//! `blind_above` failed it. What counts is the first failure of a target, and not its verdict: so
//! the evidence is complete within one `every` of the loss, and before the first target has failed
//! `fall` times. What was down before says nothing of a loss, and is not counted. A target is an
//! address or a host name; where it has several probes, it failed when those all failed that found
//! it up before: an application that breaks on many hosts is not a network that is lost.
//!
//! A target that is good before and after says nothing of whether `Spent` may end: where nine of ten
//! are truly dead, the tenth would have their verdicts frozen for ever. So it ends when all is clear
//! as well, as it is when the nine are down.
//!
//! # Invariants
//!
//! - Pure: a sight follows from the one before, the evidence, the latest outcome and the time.
//! - A blindness begins with a failure, never with a reload, and lasts at most `blind_for`.
//! - An outcome costs the same for any number of targets.
//!
//! *Not here:* what a failure does to a target meanwhile (`judge`), and who probes the control
//! targets (`prober`).

use std::{collections::HashMap, fmt, mem::discriminant, sync::Arc, time::Duration};

use super::{ProbeSpec, Target, Verdict};
use crate::limits::BLIND_TARGETS_MIN;

/// When a prober is to doubt itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanity {
    /// What is always there as long as the prober's own network is; none: the targets decide.
    pub control: Arc<[Arc<ProbeSpec>]>,
    /// The share of targets, in percent, whose failure is its own.
    pub blind_above_percent: u8,
    /// How long it doubts itself at most.
    pub blind_for: Duration,
}

/// What a prober thinks of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Its failures count.
    Sighted {
        /// Until when a blindness may last that ended before all was clear.
        paused: Option<Duration>,
    },
    /// They do not.
    Blind {
        /// Until when, on the schedule's clock.
        until: Duration,
    },
    /// They do again, because they did not for long enough.
    Spent,
}

/// What is known of the network by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// Targets that were up before their latest probe; with control targets, those.
    pub counted: usize,
    /// Those of them that failed it.
    pub failed: usize,
    /// Whether they are control targets.
    pub control: bool,
}

/// What others are told when a sight changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blinded {
    /// What the prober thinks of itself from now on.
    pub sight: Sight,
    /// Why.
    pub evidence: Evidence,
}

impl Sanity {
    /// Whether the network is likelier to be lost than the targets.
    fn doubts(&self, evidence: Evidence) -> bool {
        let Evidence { counted, failed, control } = evidence;
        assert!(failed <= counted);
        if control {
            return 0 < counted && failed == counted;
        }
        BLIND_TARGETS_MIN <= counted
            && counted * usize::from(self.blind_above_percent) <= failed * 100
    }
}

impl Evidence {
    /// Whether nothing is left of a doubt.
    fn is_clear(self) -> bool {
        self.failed * 2 <= self.counted
    }
}

impl Default for Sight {
    fn default() -> Self {
        Self::Sighted { paused: None }
    }
}

impl Default for Sanity {
    fn default() -> Self {
        Self { control: Arc::default(), blind_above_percent: 80, blind_for: Duration::from_mins(5) }
    }
}

impl Sight {
    /// What the prober thinks of itself with this evidence, after an outcome that was good or not;
    /// none: only time has passed.
    #[must_use]
    pub fn after(
        self,
        good: Option<bool>,
        evidence: Evidence,
        sanity: &Sanity,
        now: Duration,
    ) -> Self {
        let is_evident = sanity.doubts(evidence);
        match self {
            Self::Sighted { paused } if is_evident && good == Some(false) => {
                let until = paused.unwrap_or(now + sanity.blind_for);
                if now < until { Self::Blind { until } } else { Self::Spent }
            }
            Self::Sighted { .. } if evidence.is_clear() => Self::default(),
            Self::Blind { until } if !is_evident => {
                Self::Sighted { paused: (!evidence.is_clear()).then_some(until) }
            }
            Self::Blind { until } if until <= now => Self::Spent,
            Self::Spent if evidence.is_clear() && good == Some(true) => Self::default(),
            same => same,
        }
    }

    /// Whether it is the same to others.
    pub(super) fn is_like(self, other: Self) -> bool {
        discriminant(&self) == discriminant(&other)
    }

    /// Whether failures do not count.
    #[must_use]
    pub fn is_blind(self) -> bool {
        matches!(self, Self::Blind { .. })
    }
}

impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sighted { .. } => "sighted",
            Self::Blind { .. } => "blind",
            Self::Spent => "blind for too long",
        })
    }
}

impl fmt::Display for Evidence {
    /// `47 of 50 targets that were up fail`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counted, failed, control } = self;
        let what = if *control { "control targets" } else { "targets that were up" };
        write!(f, "{failed} of {counted} {what} fail")
    }
}

/// The latest outcomes, counted.
#[derive(Debug, Default)]
pub(super) struct Tally {
    targets: HashMap<Target, Counts>,
    counted: usize,
    failed: usize,
}

/// What a probe's latest outcome says for the evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sign {
    /// Nothing: there is none yet, or the target was not up before.
    #[default]
    None,
    /// The target was up, and is there.
    There,
    /// The target was up, and failed.
    Failed,
}

/// The signs of a target's probes.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    there: usize,
    failed: usize,
}

impl Counts {
    fn of_sign(&mut self, sign: Sign) -> Option<&mut usize> {
        match sign {
            Sign::None => None,
            Sign::There => Some(&mut self.there),
            Sign::Failed => Some(&mut self.failed),
        }
    }

    /// What it adds to the tally: to those counted, and to those failed.
    fn adds(self) -> (usize, usize) {
        let counts = 0 < self.there + self.failed;
        (usize::from(counts), usize::from(counts && self.there == 0))
    }
}

impl Sign {
    /// The sign of an outcome of what was `before` and is `after` it.
    pub(super) fn of(good: bool, before: Verdict, after: Verdict) -> Self {
        match (good, before, after) {
            (false, Verdict::Up, _) => Self::Failed,
            (true, Verdict::Up, _) | (true, _, Verdict::Up) => Self::There,
            _ => Self::None,
        }
    }
}

impl Sign {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::There => "there",
            Self::Failed => "failed",
        }
    }

    pub(super) fn of_text(text: &str) -> Option<Self> {
        [Self::None, Self::There, Self::Failed].into_iter().find(|it| it.as_str() == text)
    }
}

impl Tally {
    /// A probe of `target` shows another sign than `before`.
    pub(super) fn replace(&mut self, target: &Target, before: Sign, now: Sign) {
        if before == now {
            return;
        }
        if !self.targets.contains_key(target) {
            self.targets.insert(target.clone(), Counts::default());
        }
        let counts = self.targets.get_mut(target).expect("it is there now");
        let (counted, failed) = counts.adds();
        self.counted -= counted;
        self.failed -= failed;
        if let Some(count) = counts.of_sign(before) {
            *count = count.checked_sub(1).expect("what is replaced was counted");
        }
        if let Some(count) = counts.of_sign(now) {
            *count += 1;
        }
        let (counted, failed) = counts.adds();
        self.counted += counted;
        self.failed += failed;
        if counted == 0 {
            self.targets.remove(target);
        }
        assert!(self.failed <= self.counted);
    }

    /// What it comes to.
    pub(super) fn evidence(&self) -> Evidence {
        Evidence { counted: self.counted, failed: self.failed, control: false }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SIGHTED: Sight = Sight::Sighted { paused: None };

    fn evidence(failed: usize, counted: usize) -> Evidence {
        Evidence { counted, failed, control: false }
    }

    fn control(failed: usize, counted: usize) -> Evidence {
        Evidence { counted, failed, control: true }
    }

    #[test]
    fn evidence_is_a_share_of_four_or_more_or_all_of_the_control_targets() {
        let check = |evidence: Evidence, expect: bool| {
            assert_eq!(Sanity::default().doubts(evidence), expect, "{evidence:?}");
        };
        check(evidence(0, 0), false);
        check(evidence(3, 3), false);
        check(evidence(3, 4), false);
        check(evidence(4, 4), true);
        check(evidence(4, 5), true);
        check(evidence(79, 100), false);
        check(evidence(80, 100), true);
        check(control(0, 1), false);
        check(control(1, 2), false);
        check(control(1, 1), true);
        check(control(2, 2), true);
        // Nothing is known of them yet.
        check(control(0, 0), false);
    }

    #[test]
    fn what_is_evident_is_said() {
        assert_eq!(evidence(4, 5).to_string(), "4 of 5 targets that were up fail");
        assert_eq!(control(2, 2).to_string(), "2 of 2 control targets fail");
    }

    #[test]
    fn a_target_fails_when_all_its_probes_fail_that_found_it_up() {
        let target = |it: &str| Target::Host(it.into());
        let mut tally = Tally::default();
        let (one, other) = (target("one"), target("other"));
        tally.replace(&one, Sign::None, Sign::There);
        tally.replace(&one, Sign::None, Sign::There);
        tally.replace(&other, Sign::None, Sign::There);
        assert_eq!(tally.evidence(), evidence(0, 2));
        tally.replace(&one, Sign::There, Sign::Failed);
        assert_eq!(tally.evidence(), evidence(0, 2));
        tally.replace(&one, Sign::There, Sign::Failed);
        assert_eq!(tally.evidence(), evidence(1, 2));
        // Fallen for good: neither counts.
        tally.replace(&one, Sign::Failed, Sign::None);
        assert_eq!(tally.evidence(), evidence(1, 2));
        tally.replace(&one, Sign::Failed, Sign::None);
        assert_eq!(tally.evidence(), evidence(0, 1));
        tally.replace(&other, Sign::There, Sign::None);
        assert!(tally.targets.is_empty(), "nothing is kept of what is not counted");
    }

    #[test]
    fn the_dead_do_not_stay_for_the_sake_of_one_that_lives() {
        // Nine of ten are dead indeed, and the tenth goes on being good.
        let sanity = Sanity::default();
        let blind = SIGHTED.after(Some(false), evidence(9, 10), &sanity, SECOND);
        assert_eq!(blind, Sight::Blind { until: SECOND + sanity.blind_for });
        let still = blind.after(Some(true), evidence(9, 10), &sanity, 300 * SECOND);
        assert_eq!(still, blind);
        let spent = blind.after(Some(true), evidence(9, 10), &sanity, 301 * SECOND);
        assert_eq!(spent, Sight::Spent);
        assert_eq!(spent.after(Some(true), evidence(9, 10), &sanity, 310 * SECOND), Sight::Spent);
        // They have fallen, and are not counted any more.
        assert_eq!(spent.after(Some(false), evidence(0, 1), &sanity, 400 * SECOND), Sight::Spent);
        assert_eq!(spent.after(Some(true), evidence(0, 1), &sanity, 400 * SECOND), SIGHTED);
    }

    #[test]
    fn control_targets_that_are_gone_for_good_blind_once() {
        let sanity = Sanity::default();
        let blind = SIGHTED.after(Some(false), control(2, 2), &sanity, SECOND);
        let spent = blind.after(None, control(2, 2), &sanity, 301 * SECOND);
        assert_eq!(spent, Sight::Spent);
        for good in [Some(true), Some(false), None] {
            assert_eq!(spent.after(good, control(2, 2), &sanity, 999 * SECOND), Sight::Spent);
        }
        assert_eq!(spent.after(Some(true), control(1, 2), &sanity, 999 * SECOND), SIGHTED);
    }

    #[test]
    fn at_the_edge_of_the_share_a_blindness_pauses() {
        let sanity = Sanity::default();
        let blind = SIGHTED.after(Some(false), evidence(8, 10), &sanity, SECOND);
        let paused = blind.after(Some(true), evidence(7, 10), &sanity, 100 * SECOND);
        assert_eq!(paused, Sight::Sighted { paused: Some(301 * SECOND) });
        assert_eq!(paused.after(Some(false), evidence(8, 10), &sanity, 200 * SECOND), blind);
        assert_eq!(paused.after(Some(false), evidence(8, 10), &sanity, 301 * SECOND), Sight::Spent);
        // A loss that is over is over.
        assert_eq!(paused.after(Some(true), evidence(5, 10), &sanity, 200 * SECOND), SIGHTED);
    }

    proptest! {
        #[test]
        fn blind_with_evidence_alone_and_never_for_too_long(
            steps in prop::collection::vec(
                (prop::option::of(any::<bool>()), 0_usize..12, 0_usize..12, 0_u64..100), 1..80),
        ) {
            let sanity = Sanity { blind_for: 120 * SECOND, ..Sanity::default() };
            let mut sight = Sight::default();
            let mut now = Duration::ZERO;
            let mut began = None;
            for (good, counted, failed, seconds) in steps {
                now += Duration::from_secs(seconds);
                let evidence = evidence(failed.min(counted), counted);
                let before = sight;
                sight = sight.after(good, evidence, &sanity, now);
                prop_assert!(!sight.is_blind() || sanity.doubts(evidence));
                if sight.is_blind() && !before.is_blind() {
                    let Sight::Sighted { paused } = before else { panic!("{before:?}") };
                    prop_assert_eq!(good, Some(false));
                    if paused.is_none() {
                        began = Some(now);
                    }
                }
                if sight.is_blind() {
                    prop_assert!(now < began.unwrap() + sanity.blind_for);
                }
                if before == Sight::Spent && sight != Sight::Spent {
                    prop_assert_eq!((sight, good), (SIGHTED, Some(true)));
                    prop_assert!(evidence.is_clear());
                }
            }
        }
    }
}
