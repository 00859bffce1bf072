//! The snapshot: everything an answer depends on, frozen at one instant.
//!
//! This type is the only thing the two planes share. `state::publish` builds a new one and swaps
//! it in whole; the data plane takes one per batch of packets and never writes.
//!
//! # Sharing
//!
//! A change of a verdict replaces the [`Steered`] it touches; a reload replaces the zones it
//! changed. All else is the same memory as in the snapshot before.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::{
    ids::{SteeredId, ZoneId},
    steer::Decision,
    wire::{Family, Folded, Rtype, name},
    zone::Zone,
};

/// A frozen view of the world.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    /// Counts the snapshots of this process.
    pub generation: u64,
    apexes: Arc<Apexes>,
    zones: Vec<Served>,
}

/// Where the zone with an apex is.
#[derive(Debug, Default)]
struct Apexes {
    table: HashTable<ZoneId>,
    /// A bit per number of labels that some apex has, so that only those suffixes of a name are
    /// looked up.
    depths: u128,
}

/// A zone with what its steered names give now.
#[derive(Debug, Clone)]
pub struct Served {
    /// The records.
    pub zone: Arc<Zone>,
    /// Indexed by [`SteeredId`].
    pub steered: Vec<Arc<Steered>>,
}

/// What one steered name gives now.
#[derive(Debug, Clone, PartialEq)]
pub enum Steered {
    /// A pool holds addresses.
    Addresses {
        /// For `A`.
        v4: Decision,
        /// For `AAAA`.
        v6: Decision,
    },
    /// A pool holds a target name.
    Cname(Decision),
}

impl Snapshot {
    /// Builds a snapshot; each apex occurs once.
    #[must_use]
    pub fn new(generation: u64, zones: Vec<Served>) -> Self {
        let mut apexes = Apexes::default();
        let hash_of = |id: &ZoneId| name::hash(zones[id.idx()].zone.apex().as_wire());
        for (idx, served) in zones.iter().enumerate() {
            apexes.depths |= 1 << served.zone.apex_label_count();
            let id = ZoneId::at(idx);
            apexes.table.insert_unique(hash_of(&id), id, hash_of);
        }
        Self { generation, apexes: Arc::new(apexes), zones }
    }

    /// The zone that a name is in: the one with the longest apex. The DS of an apex is looked for
    /// in the zone above it, if we have that (RFC 4035 section 3.1.4.1).
    #[must_use]
    pub fn zone(&self, name: &Folded, qtype: Rtype) -> Option<&Served> {
        let own = self.zone_below(name, 0)?;
        if qtype == Rtype::DS && own.zone.apex_label_count() == name.label_count() {
            return self.zone_below(name, 1).or(Some(own));
        }
        Some(own)
    }

    /// The zone with the longest apex that is left when at least `skip` labels are taken off.
    fn zone_below(&self, name: &Folded, skip: usize) -> Option<&Served> {
        (skip..=name.label_count())
            .filter(|skip| self.apexes.depths >> (name.label_count() - skip) & 1 != 0)
            .find_map(|skip| {
                let (wire, hash) = name.suffix(skip);
                let is_apex = |id: &ZoneId| self.served(*id).zone.apex().as_wire() == wire;
                self.apexes.table.find(hash, is_apex).map(|id| self.served(*id))
            })
    }

    fn served(&self, id: ZoneId) -> &Served {
        &self.zones[id.idx()]
    }

    /// The snapshot that follows this one when the given steered names change and nothing else.
    #[must_use]
    pub fn with(&self, changes: impl IntoIterator<Item = (ZoneId, SteeredId, Steered)>) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        for (zone, id, steered) in changes {
            next.zones[zone.idx()].steered[id.idx()] = Arc::new(steered);
        }
        next
    }

    /// The zones, indexed by [`ZoneId`].
    #[must_use]
    pub fn zones(&self) -> &[Served] {
        &self.zones
    }
}

impl Steered {
    /// The decision for a family, if the name has that kind of endpoint.
    #[must_use]
    pub fn decision(&self, family: Family) -> Option<&Decision> {
        match (self, family) {
            (Self::Addresses { v4, .. }, Family::V4) => Some(v4),
            (Self::Addresses { v6, .. }, Family::V6) => Some(v6),
            (Self::Cname(decision), Family::Name) => Some(decision),
            _ => None,
        }
    }
}
