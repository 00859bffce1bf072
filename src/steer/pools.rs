//! Sets of a name's pools: what goes into a stage, and what comes out.

use crate::limits::POOLS_MAX;

const WORDS: usize = POOLS_MAX / 64;

/// Some of the pools of a policy, by their place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PoolSet([u64; WORDS]);

impl PoolSet {
    /// Those of `0..len` that satisfy `keep`.
    #[must_use]
    pub fn where_(len: usize, keep: impl Fn(usize) -> bool) -> Self {
        (0..len).filter(|pool| keep(*pool)).collect()
    }

    /// Adds a pool.
    pub fn insert(&mut self, pool: usize) {
        self.0[pool / 64] |= 1 << (pool % 64);
    }

    /// Whether a pool is one of them.
    #[must_use]
    pub fn contains(&self, pool: usize) -> bool {
        self.0[pool / 64] >> (pool % 64) & 1 != 0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those in both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & other.0[word]))
    }

    /// Those in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Those that satisfy `keep`.
    #[must_use]
    pub fn filter(&self, keep: impl Fn(usize) -> bool) -> Self {
        self.iter().filter(|pool| keep(*pool)).collect()
    }

    /// Their places, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(word, mut bits)| {
            std::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < 64).then_some(64 * word + bit)
            })
        })
    }
}

impl FromIterator<usize> for PoolSet {
    fn from_iter<I: IntoIterator<Item = usize>>(pools: I) -> Self {
        let mut set = Self::default();
        pools.into_iter().for_each(|pool| set.insert(pool));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_a_set() {
        let pools = [0, 1, 63, 64, 200, 255];
        let set: PoolSet = pools.into_iter().collect();
        assert!(set.iter().eq(pools));
        assert_eq!(set.len(), pools.len());
        assert!(set.contains(200));
        assert!(!set.contains(2));
        assert!(set.filter(|pool| 63 < pool).iter().eq([64, 200, 255]));
        assert!(set.and(&[1, 2].into_iter().collect()).iter().eq([1]));
        assert_eq!(set.or(&[2].into_iter().collect()).len(), 7);
        assert!(PoolSet::default().is_empty() && PoolSet::default().iter().next().is_none());
    }
}
