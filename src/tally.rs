//! The tally: where what happens in a zone is counted, and what it comes to.
//!
//! ```text
//!   www.example.com   failed open | last good | fallback | refused | us-east-1 | eu-west-1
//!   cells             40          | 41        | 42       | 43      | 44        | 45
//! ```
//!
//! A name's cells follow one another. They are the same in each snapshot for as long as its pools are.
//!
//! Not here: who gives them out (`state::book`), and when something is counted (`answer`).

use std::collections::HashMap;

use crate::{
    counters::{Before, Cell, Registry},
    ids::SteeredId,
    steer::Footing,
    wire::Name,
};

/// What was counted of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneTally<'s> {
    /// The zone.
    pub apex: &'s Name,
    /// Questions whose name is in the zone.
    pub questions: u64,
    /// Its steered names, indexed by [`SteeredId`].
    pub names: Vec<NameTally<'s>>,
}

/// What was counted of a steered name. An answer by way of an alias counts for both names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTally<'s> {
    /// The name.
    pub owner: &'s Name,
    /// Answers by pool, in the order of the policy, whatever they rest on.
    pub pools: Vec<u64>,
    /// Answers that rest on nothing that is up, and consider everything.
    pub failed_open: u64,
    /// Answers that repeat what was good last.
    pub last_good: u64,
    /// Answers from the pool that `all_down` names.
    pub fallback: u64,
    /// Questions that were answered with SERVFAIL.
    pub refused: u64,
}

impl NameTally<'_> {
    /// Answers with addresses or targets.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.pools.iter().sum()
    }

    /// Answers that rest on what is up.
    #[must_use]
    pub fn healthy(&self) -> u64 {
        let others = self.failed_open + self.last_good + self.fallback;
        // Both are of a moment ago, and perhaps not of the same.
        self.answers().saturating_sub(others)
    }
}

/// Cells of a name before those of its pools: answers that do not rest on what is up, and those that
/// are none.
pub const NAME_HEAD_LEN: u16 = 4;

/// Where what happens in a zone is counted.
#[derive(Debug, Default)]
pub struct ZoneCells {
    /// Questions for the zone; none: they are not counted.
    zone: Option<Cell>,
    /// By [`SteeredId`]: the first cell of the name.
    names: Box<[Cell]>,
    owners: Box<[Name]>,
    /// What is added to a cell that stood at something else when it was given out.
    begun_with: HashMap<Cell, u64>,
}

impl ZoneCells {
    /// Those of a zone and its steered names. `begun_with` is what is added to what a cell stands at.
    #[must_use]
    pub fn new(zone: Cell, names: Vec<(Name, Cell)>, begun_with: HashMap<Cell, u64>) -> Self {
        let (owners, names): (Vec<Name>, Vec<Cell>) = names.into_iter().unzip();
        Self { zone: Some(zone), names: names.into(), owners: owners.into(), begun_with }
    }

    /// That of questions for the zone.
    #[must_use]
    #[inline(always)]
    pub fn zone(&self) -> Cell {
        self.zone.unwrap_or(Cell::NONE)
    }

    /// The first one of a name.
    #[must_use]
    #[inline(always)]
    pub fn name(&self, id: SteeredId) -> NameCells {
        NameCells(self.names.get(id.idx()).copied().unwrap_or(Cell::NONE))
    }

    /// The names that have cells, and the first of each.
    pub fn names(&self) -> impl Iterator<Item = (&Name, NameCells)> {
        self.owners.iter().zip(self.names.iter().map(|it| NameCells(*it)))
    }

    /// What is added to what a cell stands at, if anything is.
    #[must_use]
    pub fn begins_with(&self, cell: Cell) -> Option<u64> {
        self.begun_with.get(&cell).copied()
    }

    /// What a cell comes to.
    #[must_use]
    pub fn read(&self, cell: Cell, registry: &Registry) -> u64 {
        registry.sum(cell).wrapping_add(self.begins_with(cell).unwrap_or(0))
    }

    /// What was counted of the zone, here and in the process before; `pools` gives the pools of a name.
    pub fn tally<'s, 'p>(
        &'s self,
        apex: &'s Name,
        pools: impl Fn(SteeredId) -> Vec<&'p str>,
        registry: &Registry,
        before: &Before,
    ) -> ZoneTally<'s> {
        let read = |name: &str, what: &str, cell: Cell| {
            self.read(cell, registry).wrapping_add(before.of(name, what))
        };
        let name = |(idx, (owner, cells)): (usize, (&'s Name, NameCells))| {
            let text = if before.cells.is_empty() { String::new() } else { owner.to_string() };
            let [failed_open, last_good, fallback, refused] = cells.heads();
            let pools = (0..).zip(pools(SteeredId::at(idx)));
            NameTally {
                owner,
                pools: pools.map(|(pool, it)| read(&text, it, cells.pool(pool))).collect(),
                failed_open: read(&text, FAILED_OPEN, failed_open),
                last_good: read(&text, LAST_GOOD, last_good),
                fallback: read(&text, FALLBACK, fallback),
                refused: read(&text, REFUSED, refused),
            }
        };
        ZoneTally {
            apex,
            questions: read(&apex.to_string(), QUESTIONS, self.zone()),
            names: self.names().enumerate().map(name).collect(),
        }
    }
}

// What is counted of a zone or a name besides its pools, in words that no pool has.
const QUESTIONS: &str = "*questions";
const FAILED_OPEN: &str = "*failed_open";
const LAST_GOOD: &str = "*last_good";
const FALLBACK: &str = "*fallback";
const REFUSED: &str = "*refused";

impl ZoneTally<'_> {
    /// The same by names, for another process; `pools` gives the pools of a name.
    pub fn put_into<'p>(&self, before: &mut Before, pools: impl Fn(SteeredId) -> Vec<&'p str>) {
        let mut put = |name: &str, what: &str, count: u64| {
            if count != 0 {
                before.cells.insert((name.into(), what.into()), count);
            }
        };
        put(&self.apex.to_string(), QUESTIONS, self.questions);
        for (idx, name) in self.names.iter().enumerate() {
            let owner = name.owner.to_string();
            put(&owner, FAILED_OPEN, name.failed_open);
            put(&owner, LAST_GOOD, name.last_good);
            put(&owner, FALLBACK, name.fallback);
            put(&owner, REFUSED, name.refused);
            for (pool, count) in pools(SteeredId::at(idx)).iter().zip(&name.pools) {
                put(&owner, pool, *count);
            }
        }
    }
}

/// Where what happens with a steered name is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameCells(pub Cell);

impl NameCells {
    /// That of answers drawn from the pool at a place in the policy, whatever they rest on.
    #[must_use]
    #[inline(always)]
    pub fn pool(self, pool: u16) -> Cell {
        Cell(self.0.0.saturating_add(u32::from(NAME_HEAD_LEN) + u32::from(pool)))
    }

    /// That of answers with a footing; none for what is up: these are the others.
    #[must_use]
    pub fn footing(self, footing: Footing) -> Option<Cell> {
        let place = match footing {
            Footing::Healthy => return None,
            Footing::FailedOpen => 0,
            Footing::LastGood => 1,
            Footing::Fallback => 2,
        };
        Some(self.after(place))
    }

    /// That of questions for which nothing could be drawn: SERVFAIL.
    #[must_use]
    pub fn refused(self) -> Cell {
        self.after(3)
    }

    /// Those before the pools, in the order of the fields of [`NameTally`].
    #[must_use]
    pub fn heads(self) -> [Cell; NAME_HEAD_LEN as usize] {
        [0, 1, 2, 3].map(|it| self.after(it))
    }

    fn after(self, n_cells: u16) -> Cell {
        self.0.after(n_cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_a_cell_for_all_that_is_counted() {
        let name = NameCells(Cell(7));
        let footings = [Footing::FailedOpen, Footing::LastGood, Footing::Fallback];
        let mut cells: Vec<Cell> = footings.iter().filter_map(|it| name.footing(*it)).collect();
        cells.extend([name.refused(), name.pool(0), name.pool(1)]);
        assert_eq!(cells, [7, 8, 9, 10, 11, 12].map(Cell));
        assert_eq!(name.footing(Footing::Healthy), None);
        assert_eq!(NameCells(Cell::NONE).pool(3), Cell::NONE);
    }
}
