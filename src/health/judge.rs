//! The judge: what a row of outcomes says of a target.
//!
//! ```text
//!                      good                        failed, fall = 1
//!   Unknown ------------------------> Up ---------------------------------.
//!      |                             ^  |                                 |
//!      |            good, the rise-th|  |failed                           |
//!      |               in a row      |  v                                 |
//!      |                            Shaky --failed, the fall-th in a row->|
//!      |                           (verdict up)                           v
//!      '------------failed---------------------------------------------> Down
//!                                    Up <---good, the rise-th in a row----'
//!
//!   with `flap`, where the verdict has changed `changes` times within `window`:
//!
//!      Down, after the last of them --------------------------------> Held (verdict down)
//!      Down --good, the rise-th in a row, which would be the last---> Held
//!      Held --good for `hold`, and at least the rise-th in a row----> Up, and nothing is remembered
//! ```
//!
//! The first outcome decides alone. A target that was never seen good has no standing that `fall`
//! failures would have to wear down, and steered names are not served before the first round is
//! over: answering from it has to be answering from facts.
//!
//! *Shaky* is up with a change in sight: an answer that holds such an endpoint is to be kept only
//! shortly, so that the caches are empty when the verdict comes.
//!
//! # Blindness
//!
//! While the prober is blind (`blind`), a failure says nothing of the target. It makes what is up
//! shaky, and counts for nothing: what is up stays up, and what is unknown stays unknown, however
//! many there are. The failures in a row before it are forgotten as well, for they were the first
//! signs of the same. So the end of a blindness is no fall: from there on it takes `fall` fresh
//! failures in a row, as ever. What is good is believed at any time.
//!
//! # Invariants
//!
//! - Pure: a judgement is a function of the one before, the outcome, the rules and the time.
//! - `fall` and `rise` count in a row: an outcome of the other kind starts the count anew.
//! - Without `flap` nothing is ever held, and nothing is remembered but the standing.
//!
//! *Not here:* when a target is probed (`schedule`), when the prober is blind (`blind`), and what a
//! verdict does to answers (`steer`).

use std::{collections::VecDeque, time::Duration};

use super::{ProbeSpec, Verdict};

/// What is remembered of a target between two executions of its probe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Judgement {
    standing: Standing,
    /// When the verdict changed, as far as `flap` asks: within its window, and less often than its
    /// `changes`.
    changes: VecDeque<Duration>,
}

/// Where a target stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Not probed yet, or only by a blind prober that `failed`.
    Unknown { failed: bool },
    /// Good, with nothing in sight.
    Up,
    /// Up, but the latest outcome but for `good` ones was a failure. Invariant: one of the two is 0.
    Shaky {
        /// Failures in a row that count, below `fall`.
        failed: u32,
        /// Good outcomes in a row since, below `rise`.
        good: u32,
    },
    /// Failed.
    Down {
        /// Good outcomes in a row, below `rise`.
        good: u32,
    },
    /// Down for changing too often.
    Held {
        /// Good outcomes in a row.
        good: u32,
        /// When the first of them was, if there is one.
        since: Duration,
    },
}

impl Default for Standing {
    fn default() -> Self {
        Self::Unknown { failed: false }
    }
}

/// What outcomes have to be like to change a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Consecutive failures until `down`, at least 1.
    pub fall: u32,
    /// Consecutive successes until `up`, at least 1.
    pub rise: u32,
    /// When to hold a target down that changes too often.
    pub flap: Option<Flap>,
}

/// When to hold a target down that changes too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flap {
    /// Changes of the verdict, at least 2.
    pub changes: u32,
    /// Within how long.
    pub window: Duration,
    /// How long it has to be good then.
    pub hold: Duration,
}

/// What a judgement means to whoever answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it counts as up and a change is in sight.
    pub shaky: bool,
}

impl Rules {
    /// The rules of a probe.
    #[must_use]
    pub fn of(spec: &ProbeSpec) -> Self {
        Self { fall: spec.fall, rise: spec.rise, flap: spec.flap }
    }
}

impl Judgement {
    /// Takes one more outcome in, that of a probe that ended `now`; of a `blind` prober, a failure
    /// does not count.
    pub fn take(&mut self, good: bool, blind: bool, rules: Rules, now: Duration) {
        assert!(0 < rules.fall);
        assert!(0 < rules.rise);
        let before = self.status().verdict;
        let next = match (good, blind) {
            (true, _) => self.standing.after_good(rules, now),
            (false, false) => self.standing.after_failure(rules.fall),
            (false, true) => self.standing.after_doubtful_failure(),
        };
        let was_held = matches!(self.standing, Standing::Held { .. });
        self.standing = next;
        let verdict = self.status().verdict;
        match rules.flap {
            None => self.changes.clear(),
            Some(_) if was_held && verdict == Verdict::Up => self.changes.clear(),
            Some(flap) if before != verdict && before != Verdict::Unknown => {
                self.change(flap, verdict, now);
            }
            Some(_) => {}
        }
    }

    /// Remembers that the verdict changes, and holds the target if that is once too often.
    fn change(&mut self, flap: Flap, to: Verdict, now: Duration) {
        let recent = |at: &Duration| now.saturating_sub(*at) <= flap.window;
        self.changes.retain(recent);
        self.changes.push_back(now);
        if self.changes.len() < flap.changes as usize {
            return;
        }
        // If it was about to come up, this outcome is the first good one of the hold.
        let good = u32::from(to == Verdict::Up);
        self.standing = Standing::Held { good, since: now };
        self.changes.clear();
    }

    /// Forgets the failures in a row that have not led to a verdict: the prober went blind, and
    /// they were the first signs of it.
    pub fn doubt(&mut self) {
        if let Standing::Shaky { failed, .. } = &mut self.standing {
            *failed = 0;
        }
    }

    /// The judgement of which only this was kept over a restart. It is no more than what is known: a
    /// single failure, if one was in sight, and no good outcome.
    #[must_use]
    pub fn restored(status: Status, fall: u32) -> Self {
        let standing = match status {
            Status { verdict: Verdict::Unknown, .. } => Standing::default(),
            Status { verdict: Verdict::Up, shaky: true } if 1 < fall => {
                Standing::Shaky { failed: 1, good: 0 }
            }
            Status { verdict: Verdict::Up, .. } => Standing::Up,
            Status { verdict: Verdict::Down, .. } => Standing::Down { good: 0 },
        };
        Self { standing, ..Self::default() }
    }

    /// As two texts: the standing, and the changes of the verdict.
    pub(super) fn to_text(&self) -> (String, String) {
        let standing = match self.standing {
            Standing::Unknown { failed } => format!("unknown {} 0", u8::from(failed)),
            Standing::Up => "up 0 0".to_owned(),
            Standing::Shaky { failed, good } => format!("shaky {failed} {good}"),
            Standing::Down { good } => format!("down {good} 0"),
            Standing::Held { good, since } => format!("held {good} {}", since.as_nanos()),
        };
        let changes = self.changes.iter().map(|at| at.as_nanos().to_string());
        (standing, changes.collect::<Vec<_>>().join(" "))
    }

    /// Reads these texts; none: they are of another form.
    pub(super) fn of_text(standing: &str, changes: &str) -> Option<Self> {
        let mut parts = standing.split(' ');
        let (word, one, other) = (parts.next()?, parts.next()?, parts.next()?);
        let count = one.parse().ok()?;
        let nanos = |text: &str| text.parse().ok().map(Duration::from_nanos);
        let standing = match word {
            "unknown" => Standing::Unknown { failed: 0 < count },
            "up" => Standing::Up,
            "shaky" => Standing::Shaky { failed: count, good: other.parse().ok()? },
            "down" => Standing::Down { good: count },
            "held" => Standing::Held { good: count, since: nanos(other)? },
            _ => return None,
        };
        let changes = changes.split_whitespace().map(nanos).collect::<Option<_>>()?;
        Some(Self { standing, changes })
    }

    /// What it means to whoever answers.
    #[must_use]
    pub fn status(&self) -> Status {
        let (verdict, shaky) = match self.standing {
            Standing::Unknown { failed } => (Verdict::Unknown, failed),
            Standing::Up => (Verdict::Up, false),
            Standing::Shaky { .. } => (Verdict::Up, true),
            Standing::Down { .. } | Standing::Held { .. } => (Verdict::Down, false),
        };
        Status { verdict, shaky }
    }

    /// Whether it is down for changing too often.
    #[must_use]
    pub fn is_held(&self) -> bool {
        matches!(self.standing, Standing::Held { .. })
    }
}

impl Standing {
    fn after_good(self, rules: Rules, now: Duration) -> Self {
        let hold = rules.flap.map_or(Duration::ZERO, |it| it.hold);
        match self {
            Self::Unknown { failed: true } if 1 < rules.rise => Self::Shaky { failed: 0, good: 1 },
            Self::Shaky { good, .. } if good + 1 < rules.rise => {
                Self::Shaky { failed: 0, good: good + 1 }
            }
            Self::Down { good } if good + 1 < rules.rise => Self::Down { good: good + 1 },
            Self::Held { good: 0, .. } if 1 < rules.rise || !hold.is_zero() => {
                Self::Held { good: 1, since: now }
            }
            Self::Held { good, since }
                if good + 1 < rules.rise || now.saturating_sub(since) < hold =>
            {
                Self::Held { good: good.saturating_add(1), since }
            }
            _ => Self::Up,
        }
    }

    fn after_failure(self, fall: u32) -> Self {
        let failed = match self {
            Self::Unknown { .. } | Self::Down { .. } => return Self::Down { good: 0 },
            Self::Held { since, .. } => return Self::Held { good: 0, since },
            Self::Up => 1,
            Self::Shaky { failed, .. } => failed + 1,
        };
        if failed < fall { Self::Shaky { failed, good: 0 } } else { Self::Down { good: 0 } }
    }

    fn after_doubtful_failure(self) -> Self {
        match self {
            Self::Unknown { .. } => Self::Unknown { failed: true },
            Self::Up | Self::Shaky { .. } => Self::Shaky { failed: 0, good: 0 },
            Self::Down { .. } => Self::Down { good: 0 },
            Self::Held { since, .. } => Self::Held { good: 0, since },
        }
    }
}

#[cfg(test)]
mod tests;
