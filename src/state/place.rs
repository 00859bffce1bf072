//! Places: where a steered name is in the plan, and tables by that.
//!
//! A verdict that a hundred thousand names rest on puts each of them into several tables. The server
//! gives places out itself, one after the other, so that nobody can choose them to collide: what is
//! quick to hash will do.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasherDefault, Hasher},
};

use crate::ids::{SteeredId, ZoneId};

/// A steered name's place in the plan.
pub(super) type Place = (ZoneId, SteeredId);

/// Some of them.
pub(super) type Places = HashSet<Place, BuildHasherDefault<Numbers>>;

/// Something of each of some.
pub(super) type ByPlace<V> = HashMap<Place, V, BuildHasherDefault<Numbers>>;

/// Hashes a few small numbers.
#[derive(Debug, Default)]
pub(super) struct Numbers(u64);

/// The golden ratio as a part of 2^64, made odd: its multiples are spread evenly.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Hasher for Numbers {
    fn write(&mut self, octets: &[u8]) {
        for octet in octets {
            self.write_u32(u32::from(*octet));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(32) ^ u64::from(number)).wrapping_mul(GOLDEN);
    }

    fn finish(&self) -> u64 {
        // A table looks at both ends, and the lower one of a product knows little.
        self.0 ^ (self.0 >> 32)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher as _;

    use super::*;

    #[test]
    fn places_are_spread() {
        let hasher = BuildHasherDefault::<Numbers>::default();
        let check = |places: &dyn Fn(u32) -> Place| {
            let hash = |it: u32| hasher.hash_one(places(it));
            let low: HashSet<u64> = (0..4096).map(|it| hash(it) % 4096).collect();
            let high: HashSet<u64> = (0..4096).map(|it| hash(it) >> 57).collect();
            assert!(2000 < low.len() && high.len() == 128, "{} {}", low.len(), high.len());
        };
        check(&|it| (ZoneId(it), SteeredId(0)));
        check(&|it| (ZoneId(7), SteeredId(it)));
        check(&|it| (ZoneId(it / 64), SteeredId(it % 64)));
    }
}
