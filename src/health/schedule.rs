//! The schedule: when each target is probed.
//!
//! ```text
//!   added  first                 phase                             + every - jitter
//!     |------|---------------------|--------------------------------------|-------
//!     |<-at most a second->|
//!     |<------- phase of every --->|
//! ```
//!
//! A target is probed soon after it was added, so that the first round is over within a second and
//! a timeout; then at its own *phase*, a fixed part of `every` that follows from what it is, so that
//! the targets lie evenly over the period and lie so again after a restart. From then on each period
//! is `every` less a little chance. The chance only ever shortens, so that the bound on how long a
//! death goes unnoticed holds; it moves targets whose phases are close apart, and two servers that
//! were started at once out of step. Shifting evenly spread points at random leaves them evenly
//! spread.
//!
//! # Invariants
//!
//! - Pure: time is a [`Duration`] since the prober began, chance a [`Roll`].
//! - From the start of one execution to that of the next it is at most `every`, given that an
//!   outcome is there in less than `every` and that the caller is punctual.
//! - An execution does not begin before the one before has ended.
//!
//! Not here: how many may run at one time (`prober`).

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::ProbeSpec;
use crate::{
    dice::Roll,
    limits::{PROBE_FIRST_GAP, PROBE_FIRST_SPREAD_MAX, PROBE_JITTER_DIVISOR},
};

/// A target's own part of every period, in 2^-32 of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase(u32);

impl Phase {
    /// The phase of a probe: always the same for the same spec.
    pub(super) fn of(spec: &ProbeSpec) -> Self {
        // This hasher has fixed keys, other than the one of a `HashMap`.
        let mut hasher = DefaultHasher::new();
        spec.hash(&mut hasher);
        Self((hasher.finish() >> 32) as u32)
    }

    /// That part of `period`.
    fn of_period(self, period: Duration) -> Duration {
        let nanos = (period.as_nanos() * u128::from(self.0)) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// When one target was and is to be probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timetable {
    phase: Phase,
    every: Duration,
    /// When it was added; none as soon as its phase is reached.
    added: Option<Duration>,
}

impl Timetable {
    /// The timetable of a target that is added now, together with `count - 1` others, and when it
    /// is first due.
    pub(super) fn begin(spec: &ProbeSpec, count: usize, now: Duration) -> (Self, Duration) {
        let phase = Phase::of(spec);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let gaps = PROBE_FIRST_GAP.saturating_mul(count);
        let spread = gaps.min(PROBE_FIRST_SPREAD_MAX).min(spec.every);
        let timetable = Self { phase, every: spec.every, added: Some(now) };
        (timetable, now + phase.of_period(spread))
    }

    /// When the next execution is due, after one that began at `started` and ended at `ended`.
    pub(super) fn next(&mut self, started: Duration, ended: Duration, roll: &mut Roll) -> Duration {
        assert!(started <= ended);
        let latest = started + self.every;
        let due = match self.added.take() {
            Some(added) if ended <= added + self.phase.of_period(self.every) => {
                added + self.phase.of_period(self.every)
            }
            // Its phase went by while it was waited for. Any place in the rest of the period is as
            // good, but not the same for all: those that wait long together would stay together.
            Some(_) => ended + part(latest.saturating_sub(ended), roll),
            None => latest.saturating_sub(part(self.every / PROBE_JITTER_DIVISOR, roll)),
        };
        due.min(latest).max(ended)
    }
}

/// Something between nothing and `whole`.
fn part(whole: Duration, roll: &mut Roll) -> Duration {
    Phase((roll.bits() >> 32) as u32).of_period(whole)
}

/// Who is due next.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BinaryHeap<Reverse<(Duration, u64)>>,
}

impl Queue {
    /// Puts the target numbered `serial` in.
    pub(super) fn push(&mut self, due: Duration, serial: u64) {
        self.waiting.push(Reverse((due, serial)));
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    /// Takes out the one that has been due the longest, if one is.
    pub(super) fn pop_due(&mut self, now: Duration) -> Option<u64> {
        self.next_due().filter(|due| *due <= now)?;
        self.waiting.pop().map(|Reverse((_, serial))| serial)
    }

    /// Takes out those that are not wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(u64) -> bool) {
        self.waiting.retain(|Reverse((_, serial))| wanted(*serial));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::health::{Kind, Target, Tcp};

    const MS: Duration = Duration::from_millis(1);

    fn spec(number: u32, every: Duration) -> ProbeSpec {
        ProbeSpec {
            target: Target::Address(IpAddr::V4(Ipv4Addr::from_bits(0x0A00_0000 + number))),
            port: 80,
            kind: Kind::Tcp(Tcp::default()),
            invert: false,
            every,
            timeout: every / 4,
            fall: 3,
            rise: 2,
            flap: None,
        }
    }

    /// When each of `count` targets is probed in the first `until`, if an execution takes what
    /// `lasts` says of the target's number.
    fn starts(
        count: u32,
        every: Duration,
        until: Duration,
        lasts: impl Fn(u32) -> Duration,
    ) -> Vec<Vec<Duration>> {
        let mut roll = Roll(1);
        let run = |number| {
            let (mut timetable, mut due) =
                Timetable::begin(&spec(number, every), count as usize, Duration::ZERO);
            let mut starts = Vec::new();
            while due < until {
                starts.push(due);
                due = timetable.next(due, due + lasts(number), &mut roll);
            }
            starts
        };
        (0..count).map(run).collect()
    }

    /// The most starts in any second that begins at or after `from`, in steps of 50 ms.
    fn busiest_second(starts: &[Vec<Duration>], from: Duration, until: Duration) -> usize {
        let mut all: Vec<_> = starts.iter().flatten().copied().collect();
        all.sort_unstable();
        let count = |begin: Duration| {
            let end = begin + Duration::from_secs(1);
            all.partition_point(|it| *it < end) - all.partition_point(|it| *it < begin)
        };
        let begins = (0..).map(|step| from + MS * 50 * step);
        let begins = begins.take_while(|begin| *begin + Duration::from_secs(1) < until);
        begins.map(count).max().unwrap()
    }

    #[test]
    fn ten_thousand_targets_are_spread_evenly() {
        let every = Duration::from_secs(10);
        let until = Duration::from_mins(5);
        // Three in ten are black holes: their first execution takes the whole timeout.
        let starts =
            starts(
                10_000,
                every,
                until,
                |number| {
                    if number % 10 < 3 { Duration::from_secs(3) } else { MS }
                },
            );
        // The first round is over within a second.
        assert!(starts.iter().all(|starts| starts[0] <= PROBE_FIRST_SPREAD_MAX));
        // The mean is 1,000, or 1,032 with the chance that shortens.
        let busiest = busiest_second(&starts, PROBE_FIRST_SPREAD_MAX, until);
        assert!(busiest <= 2_000, "{busiest}");
        let settled = busiest_second(&starts, every, until);
        assert!(settled <= 1_500, "{settled}");
    }

    #[test]
    fn a_few_targets_are_probed_at_once() {
        let every = Duration::from_secs(10);
        let starts = starts(3, every, every * 3, |_| MS);
        assert!(starts.iter().all(|starts| starts[0] < MS * 3), "{starts:?}");
    }

    #[test]
    fn the_phase_is_the_same_after_a_restart_and_its_own() {
        let every = Duration::from_secs(10);
        assert_eq!(Phase::of(&spec(1, every)), Phase::of(&spec(1, every)));
        assert_ne!(Phase::of(&spec(1, every)), Phase::of(&spec(2, every)));
    }

    #[test]
    fn the_queue_gives_who_has_been_due_the_longest() {
        let mut queue = Queue::default();
        queue.push(MS * 5, 1);
        queue.push(MS * 2, 2);
        queue.push(MS * 9, 3);
        queue.push(MS * 3, 4);
        queue.retain(|serial| serial != 4);
        assert_eq!(queue.next_due(), Some(MS * 2));
        assert_eq!(queue.pop_due(MS), None);
        assert_eq!(queue.pop_due(MS * 5), Some(2));
        assert_eq!(queue.pop_due(MS * 5), Some(1));
        assert_eq!(queue.pop_due(MS * 5), None);
    }

    proptest! {
        #[test]
        fn never_later_than_every_and_never_before_the_end(
            number in 0_u32..1000,
            every_ms in 20_u32..100_000,
            lasts_percent in prop::collection::vec(0_u32..100, 1..50),
            count in 1_usize..20_000,
            seed: u64,
        ) {
            let every = MS * every_ms;
            let mut roll = Roll(seed);
            let (mut timetable, mut due) =
                Timetable::begin(&spec(number, every), count, Duration::from_secs(7));
            prop_assert!(due <= Duration::from_secs(7) + every.min(PROBE_FIRST_SPREAD_MAX));
            for percent in lasts_percent {
                let ended = due + every * percent / 100;
                let next = timetable.next(due, ended, &mut roll);
                prop_assert!(ended <= next);
                prop_assert!(next <= due + every);
                due = next;
            }
        }
    }
}
