//! The only place where chance is drawn.
//!
//! A [`Dice`] belongs to one thread and gives a [`Roll`] per question; a roll gives as many numbers
//! as the answer needs. Whoever is given a roll is a pure function of it.
//!
//! The generator is splitmix64: two multiplications, 2^64 long, good enough to be fair. It is not a
//! secret: what must not be guessed is drawn from the operating system, by [`secret`]. A roll that is
//! not drawn from costs an addition: where the next one begins is a step of another length away, so
//! that no two go the same way.

use std::hash::{BuildHasher, RandomState};

use ring::rand::{SecureRandom as _, SystemRandom};

/// A thread's source of rolls.
#[derive(Debug)]
pub struct Dice(Roll);

impl Dice {
    /// Dice that no one can foresee at start.
    #[must_use]
    pub fn from_os() -> Self {
        // `RandomState` takes its keys from the operating system.
        Self(Roll(RandomState::new().hash_one(0_u64)))
    }

    /// The randomness of one decision.
    pub fn roll(&mut self) -> Roll {
        // Odd, so that each number comes before one comes again.
        self.0.0 = self.0.0.wrapping_add(0xD1B5_4A32_D192_ED03);
        self.0.clone()
    }
}

/// The randomness of one decision, drawn by the caller.
#[derive(Debug, Clone)]
pub struct Roll(pub u64);

impl Roll {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Whether this roll, of which nothing was drawn yet, is one of so many. That says nothing of what
    /// will be drawn, and costs a comparison.
    #[must_use]
    pub fn is_one_in(&self, many: u64) -> bool {
        self.0 < u64::MAX / many
    }

    /// The next number in `0..len`, each with the same probability but for `len` / 2^64 (Lemire's
    /// multiply and shift), which no sum of weights makes measurable.
    pub fn below(&mut self, len: u64) -> u64 {
        assert!(0 < len);
        let product = u128::from(self.bits()) * u128::from(len);
        u64::try_from(product >> 64).expect("a product of two u64 shifted by 64 fits a u64")
    }
}

/// Octets that nobody can guess; none: the system has no chance to give.
#[must_use]
pub fn secret() -> Option<[u8; 32]> {
    let mut octets = [0; 32];
    SystemRandom::new().fill(&mut octets).ok().map(|()| octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_even() {
        let mut roll = Roll(7);
        let mut hits = [0_u32; 10];
        for _ in 0..100_000 {
            hits[usize::try_from(roll.below(10)).unwrap()] += 1;
        }
        // Five standard deviations around the mean of 10,000.
        assert!(hits.iter().all(|hits| (9_526..=10_474).contains(hits)), "{hits:?}");
    }

    #[test]
    fn two_secrets_differ() {
        assert_ne!(secret().unwrap(), secret().unwrap());
    }

    #[test]
    fn two_dice_differ() {
        assert_ne!(Dice::from_os().roll().bits(), Dice::from_os().roll().bits());
    }
}
