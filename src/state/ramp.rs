//! The ramp: a pool that comes back gets its clients in steps.
//!
//! ```text
//!              down                       down
//!    Full -------------> Out <-----------------------------------.
//!      ^                  | up                                   |
//!      |                  v                                      |
//!      |                Step 1 --every--> Step 2 --every--> ... -'
//!      |                | ^               | ^                |
//!      |           held v | good     held v | good           |
//!      |                Held              Held               |
//!      '-------------------------the last step---------------'
//! ```
//!
//! # Invariants
//!
//! - Pure over (where it stands, what is seen of the pool, now). The time is that of the wall, so that
//!   a restart goes on where the ramp stood; a clock that goes back begins the step anew and takes
//!   nothing away.
//! - A pool goes from one step to the next and skips none, however late it is looked at.
//! - A step is known by its share: who changes the steps meanwhile moves nobody, and the pool goes on
//!   from the share that it has.
//! - Without a ramp a pool is always full.
//!
//! *Not here:* when a pool is up (`names`), and what its share does (`steer`).

use std::time::SystemTime;

use crate::steer::Ramp;

/// Where a pool stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It gets its whole share.
    Full,
    /// It is down.
    Out,
    /// It comes back, with so many percent of its weight, below 100, since then.
    Step(u8, SystemTime),
    /// So does it, and waits until nothing speaks against it.
    Held(u8),
}

/// What is seen of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is up.
    pub up: bool,
    /// Whether something speaks against giving it more: a probe of it failed and not enough good ones
    /// came since, or it is withdrawn and so shows nothing.
    pub held: bool,
}

impl Standing {
    /// Where a pool stands after `seen` at `now`.
    #[must_use]
    pub fn after(self, ramp: Option<&Ramp>, seen: Seen, now: SystemTime) -> Self {
        let Some(ramp) = ramp else { return Self::Full };
        if !seen.up {
            return Self::Out;
        }
        let at = |percent| if seen.held { Self::Held(percent) } else { Self::Step(percent, now) };
        match self {
            Self::Full => Self::Full,
            Self::Out => at(ramp.steps[0]),
            // The step lasts anew when what holds it is over.
            Self::Held(percent) => at(percent),
            Self::Step(percent, _) if seen.held => Self::Held(percent),
            Self::Step(percent, since) => {
                let lasted = now.duration_since(since).unwrap_or_default();
                if lasted < ramp.every {
                    return Self::Step(percent, since.min(now));
                }
                match ramp.steps.iter().find(|it| percent < **it) {
                    Some(next) if *next < 100 => Self::Step(*next, now),
                    _ => Self::Full,
                }
            }
        }
    }

    /// Percent of its weight that a pool gets if it is up.
    #[must_use]
    pub fn percent(self) -> u8 {
        match self {
            Self::Full | Self::Out => 100,
            Self::Step(percent, _) | Self::Held(percent) => percent,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn ramp(steps: &[u8], every_s: u64) -> Ramp {
        Ramp { steps: steps.into(), every: Duration::from_secs(every_s) }
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    fn seen(letter: char) -> Seen {
        Seen { up: letter != 'd', held: letter == 's' }
    }

    /// Follows a pool through what is seen of it, a character a second: `u` up, `s` up and held, `d`
    /// down; and compares its percents, 0 where it is out.
    #[track_caller]
    fn check(letters: &str, expect: &[u8]) {
        let ramp = ramp(&[5, 25, 50, 100], 2);
        let mut standing = Standing::Full;
        let percents = (0..).zip(letters.chars()).map(|(second, letter)| {
            standing = standing.after(Some(&ramp), seen(letter), at(second));
            if standing == Standing::Out { 0 } else { standing.percent() }
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
        check("duuussuuuu", &[0, 5, 5, 25, 25, 25, 25, 25, 50, 50]);
        check("dsssuuu", &[0, 5, 5, 5, 5, 5, 25]);
        // What has its whole share keeps it.
        check("usu", &[100, 100, 100]);
    }

    #[test]
    fn a_down_verdict_starts_over() {
        check("duuuduuu", &[0, 5, 5, 25, 0, 5, 5, 25]);
        check("duuusdu", &[0, 5, 5, 25, 25, 0, 5]);
    }

    #[test]
    fn without_a_ramp_it_is_back_at_once() {
        assert_eq!(Standing::Full.after(None, seen('d'), at(0)), Standing::Full);
        assert_eq!(Standing::Step(5, at(0)).after(None, seen('u'), at(0)), Standing::Full);
        assert_eq!(Standing::Step(5, at(0)).next(None), None);
    }

    #[test]
    fn a_clock_that_goes_back_begins_the_step_anew() {
        let ramp = ramp(&[5, 100], 10);
        let standing = Standing::Step(5, at(100)).after(Some(&ramp), seen('u'), at(50));
        assert_eq!(standing, Standing::Step(5, at(50)));
        assert_eq!(standing.next(Some(&ramp)), Some(at(60)));
        assert_eq!(standing.after(Some(&ramp), seen('u'), at(60)), Standing::Full);
    }

    #[test]
    fn other_steps_go_on_from_the_share_that_there_is() {
        let check = |steps: &[u8], expect| {
            let before = Standing::Step(25, at(0));
            assert_eq!(before.after(Some(&ramp(steps, 1)), seen('u'), at(1)), expect, "{steps:?}");
        };
        check(&[5, 25, 50, 100], Standing::Step(50, at(1)));
        check(&[10, 40, 100], Standing::Step(40, at(1)));
        check(&[10, 100], Standing::Full);
    }

    proptest! {
        /// Whatever is seen when: a share grows by one step at a time, each lasts at least `every`
        /// without a failure, and a pool that was down begins with the first.
        #[test]
        fn a_share_grows_one_step_at_a_time(
            steps in prop::collection::btree_set(1_u8..100, 1..6),
            every in 1_u64..20,
            sights in prop::collection::vec((0_u64..30, prop::sample::select(vec!['u', 'u', 's', 'd'])), 1..60),
        ) {
            let steps: Vec<u8> = steps.into_iter().chain([100]).collect();
            let ramp = ramp(&steps, every);
            let (mut now, mut standing) = (0, Standing::Full);
            // Since when it has been up, with the share it has, and nothing was held.
            let mut quiet_since = 0;
            let mut was_out = false;
            for (pause, letter) in sights {
                now += pause;
                let before = standing;
                standing = standing.after(Some(&ramp), seen(letter), at(now));
                prop_assert_eq!(standing == Standing::Out, letter == 'd');
                let (from, to) = (before.percent(), standing.percent());
                match letter {
                    'd' => was_out = true,
                    _ if was_out => {
                        prop_assert_eq!(to, steps[0]);
                        was_out = false;
                        quiet_since = now;
                    }
                    's' => prop_assert_eq!(from, to),
                    _ if from == to => {}
                    _ => {
                        let place = steps.iter().position(|it| *it == from).unwrap();
                        prop_assert_eq!(to, steps[place + 1]);
                        prop_assert!(quiet_since + every <= now, "{} {}", quiet_since, now);
                        quiet_since = now;
                    }
                }
                if letter == 's' || matches!(before, Standing::Held(_)) {
                    quiet_since = now;
                }
            }
        }
    }
}
