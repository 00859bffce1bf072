//! The ramp: a pool that comes back gets its clients in steps.
//!
//! ```text
//!             down                      down
//!    Full ------------> Out <----------------------.
//!     ^                  | up                      |
//!     |                  v                         |
//!     |   last step   Step 0 --every--> Step 1 --every--> ...
//!     '----------------------------------------------'
//!                      a failed probe holds the step, until `rise` good ones came
//! ```
//!
//! # Invariants
//!
//! - Pure over (state, what is known of the pool, now). The time is that of the wall, so that a restart
//!   goes on where the ramp stood; a clock that goes back holds the step and takes nothing away.
//! - Without a ramp a pool is full as soon as it is up.
//!
//! Not here: when a pool is up (`apply`), what its share does (`steer`).

use std::time::{Duration, SystemTime};

/// How a pool comes back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ramp {
    /// Percent of its weight, ascending; the last is 100.
    pub steps: Box<[u8]>,
    /// How long each step lasts.
    pub every: Duration,
}

/// Where a pool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It gets its whole share.
    Full,
    /// It is down.
    Out,
    /// It comes back: on this step, since then.
    Step(usize, SystemTime),
}

/// What is known of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is up.
    pub up: bool,
    /// Whether a probe of it failed, and not enough good ones came since.
    pub shaky: bool,
}

impl Standing {
    /// Where a pool stands after `seen` at `now`.
    #[must_use]
    pub fn after(self, ramp: Option<&Ramp>, seen: Seen, now: SystemTime) -> Self {
        let Some(ramp) = ramp else { return if seen.up { Self::Full } else { Self::Out } };
        if !seen.up {
            return Self::Out;
        }
        match self {
            Self::Full => Self::Full,
            Self::Out => ramp.at(0, now),
            // The step lasts anew when what holds it is over.
            Self::Step(step, _) if seen.shaky => ramp.at(step, now),
            Self::Step(step, since) => {
                let lasted = now.duration_since(since).unwrap_or_default();
                if lasted < ramp.every { ramp.at(step, since) } else { ramp.at(step + 1, now) }
            }
        }
    }

    /// Percent of its weight that a pool gets.
    #[must_use]
    pub fn percent(self, ramp: Option<&Ramp>) -> u8 {
        match (self, ramp) {
            (Self::Step(step, _), Some(ramp)) => ramp.steps.get(step).copied().unwrap_or(100),
            _ => 100,
        }
    }

    /// When the pool has to be looked at again, if nothing else happens.
    #[must_use]
    pub fn next(self, ramp: Option<&Ramp>) -> Option<SystemTime> {
        match (self, ramp) {
            (Self::Step(_, since), Some(ramp)) => Some(since + ramp.every),
            _ => None,
        }
    }
}

impl Ramp {
    /// On a step, or full on the last.
    fn at(&self, step: usize, since: SystemTime) -> Standing {
        match self.steps.get(step) {
            Some(percent) if *percent < 100 => Standing::Step(step, since),
            _ => Standing::Full,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a pool through what is seen of it, a character a second: `u` up, `s` up and shaky, `d`
    /// down; and compares its percents, 0 where it is out.
    #[track_caller]
    fn check(seen: &str, expect: &[u8]) {
        let ramp = Ramp { steps: [5, 25, 50, 100].into(), every: Duration::from_secs(2) };
        let mut standing = Standing::Full;
        let percents = (0..).zip(seen.chars()).map(|(second, seen)| {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            let seen = Seen { up: seen != 'd', shaky: seen == 's' };
            standing = standing.after(Some(&ramp), seen, now);
            if standing == Standing::Out { 0 } else { standing.percent(Some(&ramp)) }
        });
        assert_eq!(percents.collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_pool_comes_back_in_steps() {
        check("uuu", &[100, 100, 100]);
        check("uduuuuuuuu", &[100, 0, 5, 5, 25, 25, 50, 50, 100, 100]);
    }

    #[test]
    fn a_failed_probe_holds_the_step() {
        check("duuussuuuu", &[0, 5, 5, 25, 25, 25, 25, 50, 50, 100]);
    }

    #[test]
    fn a_down_verdict_starts_over() {
        check("duuuduuu", &[0, 5, 5, 25, 0, 5, 5, 25]);
    }

    #[test]
    fn without_a_ramp_it_is_back_at_once() {
        let seen = |up| Seen { up, shaky: false };
        let now = SystemTime::UNIX_EPOCH;
        assert_eq!(Standing::Full.after(None, seen(false), now), Standing::Out);
        assert_eq!(Standing::Out.after(None, seen(true), now), Standing::Full);
    }

    #[test]
    fn a_clock_that_goes_back_takes_nothing_away() {
        let ramp = Ramp { steps: [5, 100].into(), every: Duration::from_secs(10) };
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let seen = Seen { up: true, shaky: false };
        let standing = Standing::Step(0, at(100));
        assert_eq!(standing.after(Some(&ramp), seen, at(50)), standing);
        assert_eq!(standing.after(Some(&ramp), seen, at(110)), Standing::Full);
        assert_eq!(standing.next(Some(&ramp)), Some(at(110)));
    }
}
