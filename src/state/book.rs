//! The book of cells: who counts where.
//!
//! ```text
//!   a reload     zone before, zone now -> the same cells for what stays
//!                                         others for what is new, from those that are free
//!                                         those of what went are free from the next reload on
//! ```
//!
//! # Invariants
//!
//! - A cell is one zone's or one name's. It is given to another one reload later: by then packet threads
//!   have let go of the snapshot in which it was the one's.
//! - A name whose pools are others gets other cells, and goes on from what it was at.
//!
//! Not here: counting (`counters`), and what it comes to (`tally`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{
    compile::{PlannedName, PlannedZone},
    counters::{Cell, Registry},
    tally::{NAME_HEAD_LEN, NameCells, ZoneCells},
    wire::Name,
};

/// Who counts where.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By `ZoneId`.
    zones: Vec<Arc<ZoneCells>>,
    /// Cells that were ever given out.
    n_cells: u32,
    /// By how many follow one another: the first of them.
    free: HashMap<u16, Vec<Cell>>,
    /// The same of what went with the latest plan.
    leaving: Vec<(u16, Cell)>,
    /// What cells stand at; none: nothing was counted yet.
    registry: Option<Registry>,
}

/// A zone of the plan before, with its cells.
type Former<'p> = (&'p PlannedZone, Arc<ZoneCells>);

impl Book {
    /// From now on cells stand at what is counted there.
    pub(super) fn read_from(&mut self, registry: Registry) {
        self.registry = Some(registry);
    }

    /// The cells of the zones, by `ZoneId`.
    pub(super) fn zones(&self) -> &[Arc<ZoneCells>] {
        &self.zones
    }

    /// How many cells were given out.
    pub(super) fn n_cells(&self) -> u32 {
        self.n_cells
    }

    /// Gives the zones of a plan their cells.
    pub(super) fn take_in(&mut self, before: &[Arc<PlannedZone>], now: &[Arc<PlannedZone>]) {
        for (len, first) in std::mem::take(&mut self.leaving) {
            self.free.entry(len).or_default().push(first);
        }
        let former = std::mem::take(&mut self.zones);
        // Mostly all zones are where they were, and the same.
        let is_there = |idx: usize| before.get(idx).is_some_and(|it| Arc::ptr_eq(it, &now[idx]));
        let mut others: HashMap<&Name, Former<'_>> = before
            .iter()
            .zip(&former)
            .enumerate()
            .filter(|(idx, _)| !(*idx < now.len() && is_there(*idx)))
            .map(|(_, (zone, cells))| (zone.zone.apex(), (&**zone, Arc::clone(cells))))
            .collect();
        for (idx, zone) in now.iter().enumerate() {
            let cells = if is_there(idx) {
                Arc::clone(&former[idx])
            } else {
                let former = others.remove(zone.zone.apex());
                self.give(zone, former.as_ref())
            };
            self.zones.push(cells);
        }
        for (zone, cells) in others.into_values() {
            self.leaving.push((1, cells.zone()));
            let names = zone.steered.iter().zip(cells.names());
            self.leaving.extend(names.map(|(name, (_, it))| (len(name), it.0)));
        }
    }

    /// Gives a zone its cells: those of the zone that it replaces, as far as it says the same.
    fn give(&mut self, zone: &PlannedZone, former: Option<&Former<'_>>) -> Arc<ZoneCells> {
        let Some((before, cells)) = former else {
            let mut begun_with = HashMap::new();
            let of_zone = self.take(1, &mut begun_with);
            let names = zone.steered.iter();
            let names =
                names.map(|it| (it.owner.clone(), self.take(len(it), &mut begun_with))).collect();
            return Arc::new(ZoneCells::new(of_zone, names, begun_with));
        };
        if before.steered.len() == zone.steered.len()
            && before.steered.iter().zip(&zone.steered).all(|(one, other)| is_alike(one, other))
        {
            return Arc::clone(cells);
        }
        self.give_anew(zone, before, cells)
    }

    /// The same where names, or their pools, are others.
    fn give_anew(
        &mut self,
        zone: &PlannedZone,
        before: &PlannedZone,
        cells: &ZoneCells,
    ) -> Arc<ZoneCells> {
        let mut begun_with = HashMap::new();
        let names = before.steered.iter().zip(cells.names());
        let known: HashMap<&Name, (&PlannedName, NameCells)> =
            names.map(|(name, (owner, first))| (owner, (name, first))).collect();
        let mut kept: HashSet<Cell> = HashSet::new();
        let keep = |cell: Cell, begun_with: &mut HashMap<Cell, u64>| {
            begun_with.extend(cells.begins_with(cell).map(|it| (cell, it)));
        };
        keep(cells.zone(), &mut begun_with);
        let mut names = Vec::with_capacity(zone.steered.len());
        for name in &zone.steered {
            let first = match known.get(&name.owner) {
                Some((was, first)) if is_alike(was, name) => {
                    kept.insert(first.0);
                    for cell in (0..len(name)).map(|it| first.0.after(it)) {
                        keep(cell, &mut begun_with);
                    }
                    first.0
                }
                Some((was, at)) => {
                    let first = self.take(len(name), &mut begun_with);
                    self.carry((was, *at, cells), (name, NameCells(first)), &mut begun_with);
                    first
                }
                None => self.take(len(name), &mut begun_with),
            };
            names.push((name.owner.clone(), first));
        }
        for (name, (_, first)) in before.steered.iter().zip(cells.names()) {
            if !kept.contains(&first.0) {
                self.leaving.push((len(name), first.0));
            }
        }
        Arc::new(ZoneCells::new(cells.zone(), names, begun_with))
    }

    /// Has the cells of a name begin with what its former ones are at.
    fn carry(
        &self,
        (was, from, cells): (&PlannedName, NameCells, &ZoneCells),
        (name, to): (&PlannedName, NameCells),
        begun_with: &mut HashMap<Cell, u64>,
    ) {
        let Some(registry) = &self.registry else { return };
        let mut carry = |from: Cell, to: Cell| {
            let begun = begun_with.entry(to).or_default();
            *begun = begun.wrapping_add(cells.read(from, registry));
        };
        for (from, to) in from.heads().into_iter().zip(to.heads()) {
            carry(from, to);
        }
        for (now, pool) in (0..).zip(&name.policy.pools) {
            let before = (0..).zip(&was.policy.pools).find(|(_, it)| it.name == pool.name);
            if let Some((before, _)) = before {
                carry(from.pool(before), to.pool(now));
            }
        }
    }

    /// So many cells that are nobody's, which begin with nothing.
    fn take(&mut self, len: u16, begun_with: &mut HashMap<Cell, u64>) -> Cell {
        let free = self.free.get_mut(&len).and_then(Vec::pop);
        let Some(first) = free else {
            let first = Cell(self.n_cells);
            self.n_cells = self.n_cells.saturating_add(u32::from(len));
            return first;
        };
        for cell in (0..len).map(|it| first.after(it)) {
            let sum = self.registry.as_ref().map_or(0, |it| it.sum(cell));
            if sum != 0 {
                begun_with.insert(cell, sum.wrapping_neg());
            }
        }
        first
    }
}

/// How many cells a name has.
fn len(name: &PlannedName) -> u16 {
    NAME_HEAD_LEN + u16::try_from(name.policy.pools.len()).expect("at most POOLS_MAX")
}

/// Whether a name is counted where another was: it is the same, with the same pools.
fn is_alike(one: &PlannedName, other: &PlannedName) -> bool {
    let pools = |it: &PlannedName| it.policy.pools.len();
    let names = || one.policy.pools.iter().zip(&other.policy.pools);
    one.owner == other.owner
        && (Arc::ptr_eq(&one.policy, &other.policy)
            || pools(one) == pools(other) && names().all(|(one, other)| one.name == other.name))
}
