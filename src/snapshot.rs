//! The snapshot: everything an answer depends on, frozen at one instant.
//!
//! This type is the only thing the two planes share. `state::publish` builds a new one and swaps
//! it in whole; the data plane takes one per batch of packets and never writes.
//!
//! # Sharing
//!
//! A change of a verdict replaces the [`Steered`] it touches; a reload replaces the zones it
//! changed. All else is the same memory as in the snapshot before. [`Zones`] are held in chunks,
//! so that to share a hundred thousand of them takes some hundred references.

use std::{ops::Index, sync::Arc};

use hashbrown::HashTable;

use crate::{
    counters::{Before, Registry},
    geo::{Geo, Prefix},
    ids::{SteeredId, ZoneId},
    steer::{Basin, Branch, Condition, Measured, Outcome, Outlook, Policy, Stream, View},
    tally::{NameCells, ZoneCells, ZoneTally},
    wire::{Family, Folded, Rtype, name, reply::RecordSet},
    zone::{Found, Zone},
};

/// A frozen view of the world.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Counts the snapshots of this process.
    pub generation: u64,
    /// What is known of addresses.
    pub geo: Arc<Geo>,
    /// The round trips that the views were made with.
    pub measured: Arc<Measured>,
    /// Whose questions for `explain.<name> TXT` are answered.
    pub explain_from: Arc<[Prefix]>,
    /// How many cells `zones` count in.
    pub n_cells: u32,
    /// What regions can take and are given, in the order of their names; empty: no name has a demand.
    pub basins: Arc<[Basin]>,
    apexes: Arc<Apexes>,
    zones: Zones,
}

/// Where the zone with an apex is.
#[derive(Debug, Default)]
struct Apexes {
    table: HashTable<ZoneId>,
    /// The numbers of labels that apexes have, the greatest first: only those suffixes of a name are
    /// looked up.
    depths: Vec<usize>,
}

/// Zones by their [`ZoneId`].
#[derive(Debug, Clone, Default)]
pub struct Zones {
    /// All but the last are full.
    chunks: Vec<Arc<[Served]>>,
    len: usize,
}

/// Zones of a chunk: what a change of one of them copies, and a clone of all of them does not.
const CHUNK_LEN: usize = 256;

/// A zone with what its steered names give now.
#[derive(Debug, Clone)]
pub struct Served {
    /// The records.
    pub zone: Arc<Zone>,
    /// Indexed by [`SteeredId`].
    pub steered: Arc<[Arc<Steered>]>,
    /// Where what happens in it is counted.
    pub cells: Arc<ZoneCells>,
}

/// One steered name: what it gives now, and what that was decided from.
#[derive(Debug, Clone)]
pub struct Steered {
    /// How the operator wants it answered.
    pub policy: Arc<Policy>,
    /// What the policy sees of clients.
    pub view: Arc<View>,
    /// By class of the view, its part of the name's demand; none: it has no demand.
    pub parts: Option<Arc<[f64]>>,
    /// What is given for each family that its pools hold.
    pub families: Vec<FamilyNow>,
}

/// What a steered name gives for one family.
#[derive(Debug, Clone, PartialEq)]
pub struct FamilyNow {
    /// The family.
    pub family: Family,
    /// By pool and endpoint.
    pub conditions: Arc<Vec<Vec<Condition>>>,
    /// What each client gets.
    pub outlook: Outlook,
}

/// What the alias of a pool leads to.
#[derive(Debug, Clone, Copy)]
pub enum Lead<'s> {
    /// Another steered name, and where what it gives is counted.
    Steered(&'s Arc<Steered>, NameCells),
    /// The records of a fixed one.
    Fixed(RecordSet<'s>),
    /// Nothing of the family.
    Nothing,
}

impl Default for Snapshot {
    /// No zones.
    fn default() -> Self {
        Self::new(0, Vec::new())
    }
}

impl Snapshot {
    /// Builds a snapshot in which nothing is known of addresses; each apex occurs once.
    #[must_use]
    pub fn new(generation: u64, zones: Vec<Served>) -> Self {
        let zones = Zones::from(zones);
        Self {
            generation,
            geo: Arc::new(Geo::nowhere()),
            measured: Arc::default(),
            explain_from: Arc::default(),
            n_cells: 0,
            basins: Arc::default(),
            apexes: Arc::new(Apexes::of(&zones)),
            zones,
        }
    }

    /// The zone that a name is in: the one with the longest apex. The DS of an apex is looked for
    /// in the zone above it, if we have that (RFC 4035 section 3.1.4.1).
    #[must_use]
    #[inline(always)]
    pub fn zone(&self, name: &Folded, qtype: Rtype) -> Option<&Served> {
        let own = self.zone_below(name, 0)?;
        if qtype == Rtype::DS && own.zone.apex_label_count() == name.label_count() {
            return self.zone_below(name, 1).or(Some(own));
        }
        Some(own)
    }

    /// The zone with the longest apex that is left when at least `skip` labels are taken off.
    #[inline(always)]
    fn zone_below(&self, name: &Folded, skip: usize) -> Option<&Served> {
        let labels = name.label_count();
        let depth_max = labels.checked_sub(skip)?;
        for depth in self.apexes.depths.iter().filter(|depth| **depth <= depth_max) {
            let (wire, hash) = name.suffix(labels - depth);
            // Kept when it is found: from its id it is some steps away.
            let mut found = None;
            let is_apex = |id: &ZoneId| {
                let served = self.served(*id);
                found = Some(served);
                name::is_same(served.zone.apex().as_wire(), wire)
            };
            if self.apexes.table.find(hash, is_apex).is_some() {
                return found;
            }
        }
        None
    }

    /// What the alias `name` of a pool leads to for a family.
    #[must_use]
    pub fn lead(&self, name: &[u8], family: Family) -> Lead<'_> {
        let mut folded = Folded::default();
        folded.fold(name).expect("an alias is a valid name");
        let Some(served) = self.zone(&folded, family.rtype()) else { return Lead::Nothing };
        match served.zone.find(&folded, family.rtype()) {
            Found::Data(set, _) => Lead::Fixed(set),
            Found::Steered(id, found) if found == family => {
                Lead::Steered(&served.steered[id.idx()], served.cells.name(id))
            }
            _ => Lead::Nothing,
        }
    }

    fn served(&self, id: ZoneId) -> &Served {
        &self.zones[id.idx()]
    }

    /// The snapshot that follows this one when the given steered names change and nothing else.
    #[must_use]
    pub fn with(
        &self,
        changes: impl IntoIterator<Item = (ZoneId, SteeredId, Arc<Steered>)>,
    ) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        for (zone, id, steered) in changes {
            Arc::make_mut(&mut next.zones.get_mut(zone).steered)[id.idx()] = steered;
        }
        next
    }

    /// The snapshot that follows this one when the zones change; each apex occurs once.
    #[must_use]
    pub fn with_zones(&self, zones: Vec<Served>) -> Self {
        let zones = Zones::from(zones);
        Self {
            generation: self.generation + 1,
            apexes: Arc::new(Apexes::of(&zones)),
            zones,
            ..self.clone()
        }
    }

    /// The snapshot that follows this one when other zones take the places of some; each apex occurs
    /// once.
    #[must_use]
    pub fn with_replaced(&self, zones: impl IntoIterator<Item = (ZoneId, Served)>) -> Self {
        let mut next = Self { generation: self.generation + 1, ..self.clone() };
        let mut is_same = true;
        for (id, served) in zones {
            let place = next.zones.get_mut(id);
            is_same &= place.zone.apex() == served.zone.apex();
            *place = served;
        }
        // A table of a hundred thousand apexes takes longer than all else.
        if !is_same {
            next.apexes = Arc::new(Apexes::of(&next.zones));
        }
        next
    }

    /// What was counted of the zones, here and in the process before, one after the other.
    pub fn tallies<'s>(&'s self, registry: &'s Registry) -> impl Iterator<Item = ZoneTally<'s>> {
        let before = registry.before();
        self.zones.iter().map(move |it| it.tally(registry, &before))
    }

    /// All that was counted, by names, for another process.
    #[must_use]
    pub fn counted(&self, registry: &Registry) -> Before {
        let mut counted = registry.before();
        let before = counted.clone();
        counted.totals = registry.totals();
        for served in self.zones.iter() {
            served.tally(registry, &before).put_into(&mut counted, |id| served.pools(id));
        }
        counted
    }

    /// The zones, indexed by [`ZoneId`].
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }
}

impl Apexes {
    fn of(zones: &Zones) -> Self {
        let mut apexes = Self::default();
        let hash_of = |id: &ZoneId| name::hash(zones[id.idx()].zone.apex().as_wire());
        apexes.table.reserve(zones.len(), hash_of);
        for (idx, served) in zones.iter().enumerate() {
            let depth = served.zone.apex_label_count();
            if !apexes.depths.contains(&depth) {
                apexes.depths.push(depth);
            }
            let id = ZoneId::at(idx);
            apexes.table.insert_unique(hash_of(&id), id, hash_of);
        }
        apexes.depths.sort_unstable_by(|one, other| other.cmp(one));
        apexes
    }
}

impl Zones {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them, in their order.
    #[must_use]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Served> + Clone {
        self.chunks.iter().flat_map(|it| it.iter())
    }

    /// One of them, to be changed; whoever else holds it sees nothing of that.
    fn get_mut(&mut self, id: ZoneId) -> &mut Served {
        &mut Arc::make_mut(&mut self.chunks[id.idx() / CHUNK_LEN])[id.idx() % CHUNK_LEN]
    }
}

impl Index<usize> for Zones {
    type Output = Served;

    #[inline(always)]
    fn index(&self, idx: usize) -> &Served {
        &self.chunks[idx / CHUNK_LEN][idx % CHUNK_LEN]
    }
}

impl From<Vec<Served>> for Zones {
    fn from(zones: Vec<Served>) -> Self {
        let len = zones.len();
        let mut zones = zones.into_iter();
        let chunk = |_| zones.by_ref().take(CHUNK_LEN).collect();
        Self { chunks: (0..len.div_ceil(CHUNK_LEN)).map(chunk).collect(), len }
    }
}

impl Served {
    /// What was counted of it, here and in the process before.
    #[must_use]
    pub fn tally(&self, registry: &Registry, before: &Before) -> ZoneTally<'_> {
        self.cells.tally(self.zone.apex(), |id| self.pools(id), registry, before)
    }

    /// The names of the pools of a steered name, in the order of its policy.
    #[must_use]
    pub fn pools(&self, id: SteeredId) -> Vec<&str> {
        self.steered[id.idx()].policy.pools.iter().map(|it| &*it.name).collect()
    }
}

impl Steered {
    /// Whether another gives the same for the same reasons.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy)
            && Arc::ptr_eq(&self.view, &other.view)
            && self.families == other.families
    }

    /// As a stream of so many such names, if they have a demand. What is given has to be what is
    /// given before anything spills.
    #[must_use]
    pub fn stream(&self, n_names: usize) -> Option<Stream<'_>> {
        let branches = self.families.iter().map(|it| Branch {
            family: it.family,
            conditions: &it.conditions,
            outlook: &it.outlook,
        });
        let (policy, view, parts) = (&*self.policy, &*self.view, &**self.parts.as_ref()?);
        Some(Stream { policy, view, parts, n_names, branches: branches.collect() })
    }

    /// Whether clients get nothing yet, because not everything was probed.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        let mut decisions = self.families.iter().flat_map(|it| it.outlook.decisions());
        decisions.any(|it| it.outcome == Outcome::NotReady)
    }

    /// What is given for a family, if the name's pools hold it.
    #[must_use]
    pub fn family(&self, family: Family) -> Option<&FamilyNow> {
        self.families.iter().find(|it| it.family == family)
    }
}
