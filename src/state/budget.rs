//! The ejection budget: how much of a name health alone may keep out at one time.
//!
//! For those who fear a bad check more than a bad region. Endpoints that are down are counted in the
//! order in which they went down, each with its part of the name's weight; what would exceed the
//! budget stays in.
//!
//! Not here: what staying in does to an answer (`steer`): it is answered as a shaky endpoint is.

use std::time::SystemTime;

/// An endpoint that is down.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Down {
    /// Its part of the name's weight, 0 to 1.
    pub part: f64,
    /// Since when; of those that went down at once the first of the list counts first.
    pub since: SystemTime,
}

/// Which of those that are down stay in, when at most `percent` of the weight may be kept out.
#[must_use]
pub fn over_budget(down: &[Down], percent: u8) -> Vec<bool> {
    let mut order: Vec<usize> = (0..down.len()).collect();
    order.sort_by_key(|idx| down[*idx].since);
    let mut left = f64::from(percent) / 100.0;
    let mut stays = vec![false; down.len()];
    for idx in order {
        // A hair of rounding must not keep a region in that fits the budget exactly.
        if down[idx].part <= left + 1e-9 {
            left -= down[idx].part;
        } else {
            // Whoever comes later stays in as well, so that the order is that of the failures.
            left = 0.0;
            stays[idx] = true;
        }
    }
    stays
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[track_caller]
    fn check(down: &[(f64, u64)], percent: u8, expect: &[bool]) {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let down: Vec<_> =
            down.iter().map(|(part, since)| Down { part: *part, since: at(*since) }).collect();
        assert_eq!(over_budget(&down, percent), expect);
    }

    #[test]
    fn the_last_come_stay_in() {
        check(&[], 60, &[]);
        check(&[(0.3, 1), (0.3, 2)], 60, &[false, false]);
        check(&[(0.3, 2), (0.3, 1), (0.3, 3)], 60, &[false, false, true]);
        check(&[(0.3, 3), (0.3, 1), (0.3, 2)], 60, &[true, false, false]);
        check(&[(0.5, 1), (0.5, 2), (0.01, 3)], 60, &[false, true, true]);
        check(&[(1.0, 1)], 60, &[true]);
        check(&[(0.5, 1), (0.5, 1)], 50, &[false, true]);
    }
}
