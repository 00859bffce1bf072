//! The gauge of a region: what it can take, by the load that its targets report.
//!
//! A region that says that it is at 120 % is full at what it is given: it can take its load now,
//! divided by 1.2. That is a limit of its own, beside the capacity that the operator wrote.
//!
//! ```text
//!                             above 1
//!             limit = load / utilization  <----.
//!                             |                | each only after clients had the time to move
//!      at the limit, below LOW: limit up ------'
//! ```
//!
//! # Why it does not swing
//!
//! A report is of what clients did before the latest change; they follow it when their answers have
//! run out. So after the computed load of a region has changed, for whatever reason, nothing is
//! concluded until they had that time, and a probe after it. What is concluded then does not add up:
//! a limit is a load divided by a utilisation, and the same twice. Between [`LOW`] and 1 nothing is
//! concluded at all, and a limit rises by steps of at most [`RISE_MAX`], and only half of the way to
//! what was too much not long ago: whatever law a region's reports follow, the steps get smaller.
//!
//! # Invariants
//!
//! - Pure: a gauge is a function of the one before, the load, the report and the time.
//! - Without reports there is no limit.
//!
//! Not here: who reports what (`reported`), and what a limit does (`spill`).

use std::time::Duration;

/// Below this utilisation a region at its limit could take more.
const LOW: f64 = 0.9;

/// A limit rises at most by this factor at once.
const RISE_MAX: f64 = 1.25;

/// What was too much is remembered for so many times as long as clients take to follow a change.
const REMEMBERED: u32 = 20;

/// Loads that differ by less than this part are the same load, and limits the same limit.
const SAME: f64 = 0.01;

/// What is concluded from what a region reports.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Gauge {
    /// What it can take, in the operator's unit; none: it has not said that anything is too much.
    pub(super) limit: Option<f64>,
    /// What it is given, and since when, or since something was concluded of it; none: it has not been
    /// looked at.
    given: Option<(f64, Duration)>,
    /// What it was given when it last was too much, and when.
    too_much: Option<(f64, Duration)>,
}

impl Gauge {
    /// What is concluded `now`, when a region is given a `load` and reports a `utilization`, if it
    /// reports any. Clients take as long as `settle` to follow a change.
    #[must_use]
    pub(super) fn after(
        self,
        load: f64,
        utilization: Option<f64>,
        now: Duration,
        settle: Duration,
    ) -> Self {
        let given = match self.given {
            Some((before, since)) if is_same(before, load) => (before, since),
            _ => (load, now),
        };
        let is_fresh = |(_, at): &(f64, Duration)| now.saturating_sub(*at) < settle * REMEMBERED;
        let too_much = self.too_much.filter(is_fresh);
        let mut next = Self { limit: self.limit, given: Some(given), too_much };
        let Some(utilization) = utilization else { return Self { limit: None, ..next } };
        if now.saturating_sub(given.1) < settle || load <= 0.0 {
            return next;
        }
        let fits = load / utilization.max(f64::MIN_POSITIVE);
        if 1.0 < utilization {
            let is_lower = |limit: f64| fits < limit && !is_same(fits, limit);
            if self.limit.is_none_or(is_lower) {
                next.limit = Some(fits);
                next.too_much = Some((load, now));
                next.given = Some((load, now));
            }
        } else if let Some(limit) = self.limit
            && utilization < LOW
            && limit * (1.0 - SAME) <= load
        {
            let halfway =
                too_much.map_or(f64::INFINITY, |(it, _)| f64::midpoint(limit, it.max(limit)));
            let risen = fits.min(limit * RISE_MAX).min(halfway);
            if !is_same(risen, limit) {
                next.limit = Some(risen);
                next.given = Some((load, now));
            }
        }
        next
    }
}

fn is_same(one: f64, other: f64) -> bool {
    (one - other).abs() <= SAME * one.max(other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TTL: u64 = 20;
    const EVERY: u64 = 10;
    const SETTLE: Duration = Duration::from_secs(TTL + EVERY);

    /// A region that can take `capacity`, to which `wanted` would be given, second by second. Its
    /// clients follow within the TTL, evenly; it reports every ten seconds what it has then, with some
    /// noise, by a law of its own.
    struct Simulated {
        gauge: Gauge,
        /// What it was told to take, the latest last.
        computed: Vec<f64>,
        reported: Option<f64>,
        changes: Vec<u64>,
    }

    fn simulate(
        capacity: f64,
        wanted: impl Fn(u64) -> f64,
        law: impl Fn(f64) -> f64,
        noise: &[f64],
        seconds: u64,
    ) -> Simulated {
        let mut world = Simulated {
            gauge: Gauge::default(),
            computed: vec![wanted(0)],
            reported: None,
            changes: Vec::new(),
        };
        for now in 1..seconds {
            let latest = world.computed.iter().rev().take(usize::try_from(TTL).unwrap());
            #[allow(clippy::cast_precision_loss)]
            let load = latest.clone().sum::<f64>() / latest.count() as f64;
            if now % EVERY == 0 {
                let noise = noise[usize::try_from(now / EVERY).unwrap() % noise.len()];
                world.reported = Some(law(load / capacity) * noise);
            }
            let given = *world.computed.last().unwrap();
            let before = world.gauge.limit;
            let at = Duration::from_secs(now);
            world.gauge = world.gauge.after(given, world.reported, at, SETTLE);
            if before != world.gauge.limit {
                world.changes.push(now);
            }
            world.computed.push(world.gauge.limit.unwrap_or(f64::INFINITY).min(wanted(now)));
        }
        world
    }

    #[test]
    fn a_region_at_120_percent_is_full_at_what_it_can_take() {
        let world = simulate(100.0, |_| 120.0, |part| part, &[1.0], 600);
        assert_eq!(world.changes.len(), 1, "{:?}", world.changes);
        assert!((world.gauge.limit.unwrap() - 100.0).abs() < 1e-6, "{:?}", world.gauge);
        assert!(world.changes[0] < TTL + 2 * EVERY + 2, "{:?}", world.changes);
    }

    #[test]
    fn one_that_is_below_is_left_alone() {
        let world = simulate(100.0, |_| 95.0, |part| part, &[1.0, 1.04, 0.97], 600);
        assert_eq!((world.gauge.limit, world.changes), (None, vec![]));
    }

    #[test]
    fn a_limit_close_to_the_load_has_time_as_well() {
        let noise = [0.97, 0.998_815_453_816_29, 0.97, 0.978_976_009_274_553_3];
        let world = simulate(10.0, |_| 10.5, f64::sqrt, &noise, 3600);
        let mut pauses = world.changes.windows(2).map(|it| it[1] - it[0]);
        assert!(
            1 < world.changes.len() && pauses.all(|it| TTL + EVERY <= it),
            "{:?}",
            world.changes
        );
    }

    #[test]
    fn one_that_can_take_more_again_is_given_more() {
        // A bad release makes it three times as slow for five minutes.
        let mut gauge = Gauge::default();
        let mut now = Duration::ZERO;
        let mut load = 90.0;
        let mut settle = |capacity: f64, rounds: u32, load: &mut f64| {
            for _ in 0..rounds {
                now += SETTLE;
                gauge = gauge.after(*load, Some(*load / capacity), now, SETTLE);
                *load = gauge.limit.unwrap_or(f64::INFINITY).min(90.0);
                gauge = gauge.after(*load, Some(*load / capacity), now, SETTLE);
            }
        };
        settle(30.0, 10, &mut load);
        assert!((load - 30.0).abs() < 1.0, "{load}");
        settle(100.0, 40, &mut load);
        assert!((load - 90.0).abs() < 1e-6, "{load}");
    }

    #[test]
    fn without_reports_there_is_no_limit() {
        let given = Some((50.0, Duration::ZERO));
        let gauge = Gauge { limit: Some(50.0), given, too_much: None };
        assert_eq!(gauge.after(50.0, None, SETTLE, SETTLE).limit, None);
        // What is given nothing says nothing.
        let gauge = Gauge::default().after(0.0, Some(5.0), SETTLE, SETTLE);
        assert_eq!(gauge.after(0.0, Some(5.0), SETTLE * 2, SETTLE).limit, None);
    }

    proptest! {
        /// Whatever law the reports follow, and with noise: in the end the region is given about what
        /// it can take, and little changes any more.
        #[test]
        fn it_converges_and_does_not_swing(
            capacity in 10.0..1000.0_f64,
            excess in 1.05..4.0_f64,
            power in 0.5..2.0_f64,
            noise in prop::collection::vec(0.97..1.03_f64, 1..20),
        ) {
            let wanted = capacity * excess;
            let law = |part: f64| part.powf(power);
            let world = simulate(capacity, |_| wanted, law, &noise, 3600);
            let late = &world.computed[1800..];
            let (least, most) = late
                .iter()
                .fold((f64::INFINITY, 0.0_f64), |(least, most), it| (least.min(*it), most.max(*it)));
            // What is hardly above 1 is no reason to change anything; the flatter the law, the more that is.
            let unnoticed = ((1.0 + 2.0 * SAME) / 0.97).powf(1.0 / power);
            prop_assert!(most <= unnoticed.max(1.07) * capacity, "{most} of {capacity}");
            prop_assert!(0.75 * capacity.min(wanted) <= least, "{least} of {capacity}");
            let changes = world.changes.iter().filter(|it| 1800 < **it).count();
            prop_assert!(changes <= 6, "{:?}", world.changes);
            // Never more often than clients can follow.
            prop_assert!(world.changes.windows(2).all(|it| TTL + EVERY <= it[1] - it[0]));
        }
    }
}
