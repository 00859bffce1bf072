//! Chance, in the words of a random world.

use std::time::Duration;

use evenkeel::dice::Roll;

pub(super) fn below(roll: &mut Roll, len: usize) -> usize {
    usize::try_from(roll.below(len as u64)).unwrap()
}

pub(super) fn one_of<T: Copy>(roll: &mut Roll, of: &[T]) -> T {
    of[below(roll, of.len())]
}

pub(super) fn percent(roll: &mut Roll, chance: u64) -> bool {
    roll.below(100) < chance
}

/// Something between the two, to the millisecond.
pub(super) fn between(roll: &mut Roll, least: Duration, most: Duration) -> Duration {
    let millis = u64::try_from(most.saturating_sub(least).as_millis()).unwrap();
    least + Duration::from_millis(roll.below(millis + 1))
}
