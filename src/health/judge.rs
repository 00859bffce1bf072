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
//! ```
//!
//! The first outcome decides alone. A target that was never seen good has no standing that `fall`
//! failures would have to wear down, and steered names are not served before the first round is
//! over: answering from it has to be answering from facts.
//!
//! *Shaky* is up with a change in sight: an answer that holds such an endpoint is to be kept only
//! shortly, so that the caches are empty when the verdict comes.
//!
//! # Invariants
//!
//! - Pure: a judgement is a function of the one before, the outcome, `fall` and `rise`.
//! - `fall` and `rise` count in a row: an outcome of the other kind starts the count anew.
//!
//! Not here: when a target is probed (`schedule`), and what a verdict does to answers (`steer`).

use super::Verdict;

/// What is remembered of a target between two executions of its probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Judgement {
    /// Not probed yet.
    #[default]
    Unknown,
    /// Good, with nothing in sight.
    Up,
    /// Up, but the latest outcome but for `good` ones was a failure. Invariant: one of the two is 0.
    Shaky {
        /// Failures in a row, below `fall`.
        failed: u32,
        /// Good outcomes in a row since, below `rise`.
        good: u32,
    },
    /// Failed.
    Down {
        /// Good outcomes in a row, below `rise`.
        good: u32,
    },
}

/// What a judgement means to whoever answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// The verdict.
    pub verdict: Verdict,
    /// Whether it is up and a change is in sight.
    pub shaky: bool,
}

impl Judgement {
    /// The judgement after one more outcome. `fall` and `rise` are at least 1.
    #[must_use]
    pub fn after(self, good: bool, fall: u32, rise: u32) -> Self {
        assert!(0 < fall);
        assert!(0 < rise);
        match (self, good) {
            (Self::Unknown | Self::Down { .. }, false) => Self::Down { good: 0 },
            (Self::Up, false) => Self::failing(1, fall),
            (Self::Shaky { failed, .. }, false) => Self::failing(failed + 1, fall),
            (Self::Shaky { good, .. }, true) if good + 1 < rise => {
                Self::Shaky { failed: 0, good: good + 1 }
            }
            (Self::Down { good }, true) if good + 1 < rise => Self::Down { good: good + 1 },
            (_, true) => Self::Up,
        }
    }

    /// The judgement of what was up, after `failed` failures in a row.
    fn failing(failed: u32, fall: u32) -> Self {
        if failed < fall { Self::Shaky { failed, good: 0 } } else { Self::Down { good: 0 } }
    }

    /// The judgement of which only this was kept over a restart. It is no more than what is known: a
    /// single failure, if one was in sight, and no good outcome.
    #[must_use]
    pub fn restored(status: Status, fall: u32) -> Self {
        match status {
            Status { verdict: Verdict::Unknown, .. } => Self::Unknown,
            Status { verdict: Verdict::Up, shaky: true } if 1 < fall => {
                Self::Shaky { failed: 1, good: 0 }
            }
            Status { verdict: Verdict::Up, .. } => Self::Up,
            Status { verdict: Verdict::Down, .. } => Self::Down { good: 0 },
        }
    }

    /// What it means to whoever answers.
    #[must_use]
    pub fn status(self) -> Status {
        let (verdict, shaky) = match self {
            Self::Unknown => (Verdict::Unknown, false),
            Self::Up => (Verdict::Up, false),
            Self::Shaky { .. } => (Verdict::Up, true),
            Self::Down { .. } => (Verdict::Down, false),
        };
        Status { verdict, shaky }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a row of outcomes leads to, one letter each: `?` unknown, `U` up, `s` shaky, `D` down.
    fn row(outcomes: &str, fall: u32, rise: u32) -> String {
        let mut judgement = Judgement::default();
        let mut letters = String::new();
        for outcome in outcomes.chars() {
            judgement = judgement.after(outcome == '+', fall, rise);
            letters.push(match judgement.status() {
                Status { verdict: Verdict::Unknown, .. } => '?',
                Status { verdict: Verdict::Up, shaky: false } => 'U',
                Status { verdict: Verdict::Up, shaky: true } => 's',
                Status { verdict: Verdict::Down, .. } => 'D',
            });
        }
        letters
    }

    #[test]
    fn rows_of_outcomes() {
        let check = |outcomes: &str, fall, rise, expect: &str| {
            assert_eq!(row(outcomes, fall, rise), expect, "{outcomes} fall {fall} rise {rise}");
        };
        assert_eq!(Judgement::default().status(), Status::default());
        // The first outcome decides.
        check("+", 3, 2, "U");
        check("-", 3, 2, "D");
        // Fall and rise, and what interrupts them.
        check("+---++", 3, 2, "UssDDU");
        check("+--+--+---", 3, 2, "UssssssssD");
        check("-+-++", 3, 2, "DDDDU");
        // Shaky until `rise` good ones in a row.
        check("+-++", 3, 2, "UssU");
        check("+-+-++", 4, 2, "UssssU");
        check("+-+++-", 3, 3, "UsssUs");
        // Thresholds of one.
        check("+-+-", 1, 1, "UDUD");
        check("+-+", 2, 1, "UsU");
    }

    #[test]
    fn what_was_kept_goes_on() {
        let check = |status: Status, fall, expect| {
            let judgement = Judgement::restored(status, fall);
            assert_eq!((judgement, judgement.status().verdict), (expect, status.verdict));
        };
        let status = |verdict, shaky| Status { verdict, shaky };
        check(status(Verdict::Unknown, false), 3, Judgement::Unknown);
        check(status(Verdict::Up, false), 3, Judgement::Up);
        check(status(Verdict::Up, true), 3, Judgement::Shaky { failed: 1, good: 0 });
        check(status(Verdict::Up, true), 1, Judgement::Up);
        check(status(Verdict::Down, false), 3, Judgement::Down { good: 0 });
    }

    proptest! {
        /// The state machine against what it has to say of the whole row at once.
        #[test]
        fn as_the_row_itself_says(
            outcomes in prop::collection::vec(any::<bool>(), 1..60),
            fall in 1_u32..6,
            rise in 1_u32..6,
        ) {
            let mut judgement = Judgement::default();
            let mut verdict = Verdict::Unknown;
            for end in 1..=outcomes.len() {
                let so_far = &outcomes[..end];
                let latest = so_far[end - 1];
                judgement = judgement.after(latest, fall, rise);
                let run = so_far.iter().rev().take_while(|it| **it == latest).count();
                verdict = match (verdict, latest) {
                    (Verdict::Unknown, true) => Verdict::Up,
                    (Verdict::Unknown, false) => Verdict::Down,
                    (Verdict::Up, false) if fall as usize <= run => Verdict::Down,
                    (Verdict::Down, true) if rise as usize <= run => Verdict::Up,
                    (same, _) => same,
                };
                prop_assert_eq!(judgement.status().verdict, verdict);
                // Up and shaky: there was a failure, and no `rise` good ones in a row since.
                let seen_failure = so_far.iter().any(|it| !it);
                let steady = latest && (rise as usize <= run || !seen_failure);
                prop_assert_eq!(judgement.status().shaky, verdict == Verdict::Up && !steady);
            }
        }
    }
}
