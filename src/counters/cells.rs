//! Cells: counts of what there are many of.
//!
//! ```text
//!   packet thread   cell 5000 -> page 1, place 904 of its own
//!   reader          the sum of a cell over the pages of all threads
//! ```
//!
//! # Invariants
//!
//! - A cell is a number. Which page it is on follows from it, so that pages never move and a reader
//!   needs no lock.
//! - Pages are made when a thread takes a snapshot that knows of more cells, not when it counts.
//! - A cell never goes back to 0: it has one writer. Who is given one that was another's is told what it
//!   stood at (`tally`).
//!
//! Not here: who is given which cell (`state`), and when something is counted (`answer`).

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use super::Count;
use crate::limits::{CELL_PAGE_LEN, CELL_PAGES_MAX};

/// The number of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell(pub u32);

impl Cell {
    /// The cell of what is not counted.
    pub const NONE: Self = Self(u32::MAX);

    /// The cell so many places on.
    #[must_use]
    pub fn after(self, n_cells: u16) -> Self {
        Self(self.0.saturating_add(u32::from(n_cells)))
    }
}

/// One thread's cells.
pub(super) struct Pages {
    pages: Box<[OnceLock<Box<Page>>; CELL_PAGES_MAX]>,
    /// Cells for which there are pages.
    len: AtomicU32,
}

/// Of a length that is known, so that nothing is looked up to find a cell but the page.
type Page = [Count; CELL_PAGE_LEN];

/// So many values, made where they will be: they are too much for the stack.
fn boxed<T: Default, const LEN: usize>() -> Box<[T; LEN]> {
    let values: Box<[T]> = (0..LEN).map(|_| T::default()).collect();
    values.try_into().unwrap_or_else(|_| unreachable!("as many were collected"))
}

impl Default for Pages {
    fn default() -> Self {
        Self { pages: boxed(), len: AtomicU32::new(0) }
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Pages {
    /// Sees to it that there are so many cells.
    #[inline(always)]
    pub(super) fn reach(&self, n_cells: u32) {
        if self.len.load(Relaxed) < n_cells {
            self.grow(n_cells);
        }
    }

    #[cold]
    fn grow(&self, n_cells: u32) {
        let n_pages = (n_cells as usize).div_ceil(CELL_PAGE_LEN);
        for page in self.pages.iter().take(n_pages) {
            page.get_or_init(boxed);
        }
        self.len.store(n_cells, Relaxed);
    }

    /// Adds one. What has no cell is not counted.
    #[inline(always)]
    pub(super) fn add(&self, cell: Cell) {
        let place = cell.0 as usize;
        if let Some(page) = self.pages.get(place / CELL_PAGE_LEN).and_then(OnceLock::get) {
            page[place % CELL_PAGE_LEN].add(1);
        }
    }

    /// What a cell stands at.
    pub(super) fn read(&self, cell: Cell) -> u64 {
        let place = cell.0 as usize;
        let page = self.pages.get(place / CELL_PAGE_LEN).and_then(OnceLock::get);
        page.map_or(0, |page| page[place % CELL_PAGE_LEN].read())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_counted_one_by_one() {
        let pages = Pages::default();
        let last = Cell(u32::try_from(3 * CELL_PAGE_LEN - 1).unwrap());
        // There is no page yet, and no place for it to be.
        pages.add(last);
        pages.add(Cell::NONE);
        pages.reach(last.0 + 1);
        for _ in 0..3 {
            pages.add(last);
        }
        pages.add(Cell(0));
        assert_eq!([Cell(0), Cell(1), last, last.after(1)].map(|it| pages.read(it)), [1, 0, 3, 0]);
    }
}
