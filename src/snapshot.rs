//! The snapshot: everything an answer depends on, frozen at one instant.
//!
//! This type is the only thing the two planes share. `state::publish` builds a new one and swaps
//! it in whole; the data plane takes one per batch of packets and never writes.
//!
//! # Sharing
//!
//! A change of a verdict replaces the [`Steered`] it touches; a reload replaces the zones it
//! changed. All else is the same memory as in the snapshot before.

use std::{collections::HashMap, sync::Arc};

use crate::{
    ids::{SteeredId, ZoneId},
    steer::{Decision, Family},
    wire::Name,
    zone::Zone,
};

/// A frozen view of the world.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    /// Counts the snapshots of this process.
    pub generation: u64,
    /// Where each apex is in `zones`.
    index: Arc<HashMap<Name, ZoneId>>,
    zones: Vec<Served>,
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
        let index =
            (0..).map(ZoneId).zip(&zones).map(|(id, it)| (it.zone.apex().clone(), id)).collect();
        Self { generation, index: Arc::new(index), zones }
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
