//! Publishing: the one place where a new snapshot takes the place of the old.
//!
//! # Invariants
//!
//! - A packet thread never frees a snapshot: a replaced one is kept here until nobody else holds it.
//!   Nobody can come to hold it again, because readers take what is current and nothing else.

use std::{collections::VecDeque, sync::Arc};

use arc_swap::ArcSwap;

use crate::{limits::SNAPSHOTS_RETIRED_MAX, snapshot::Snapshot};

/// The only writer of the current snapshot.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    /// The oldest first.
    retired: VecDeque<Arc<Snapshot>>,
}

impl Publisher {
    /// Begins with `first`.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self { current: Arc::new(ArcSwap::from_pointee(first)), retired: VecDeque::new() }
    }

    /// Where readers find the current snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<ArcSwap<Snapshot>> {
        self.current.clone()
    }

    /// Replaces the current snapshot.
    pub fn publish(&mut self, snapshot: Snapshot) {
        let old = self.current.swap(Arc::new(snapshot));
        self.retired.push_back(old);
        self.sweep();
        if SNAPSHOTS_RETIRED_MAX < self.retired.len() {
            self.retired.pop_front();
        }
    }

    /// Frees the replaced snapshots that nobody holds any more.
    pub fn sweep(&mut self) {
        // The swap above turned what readers had borrowed into counted references, so that the
        // count is right.
        self.retired.retain(|snapshot| 1 < Arc::strong_count(snapshot));
    }

    /// How many replaced snapshots are still held.
    #[must_use]
    pub fn retired(&self) -> usize {
        self.retired.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(generation: u64) -> Snapshot {
        Snapshot::new(generation, Vec::new())
    }

    #[test]
    fn a_replaced_snapshot_is_kept_while_it_is_held() {
        let mut publisher = Publisher::new(numbered(1));
        let readers = publisher.current();
        let held = readers.load();
        publisher.publish(numbered(2));
        publisher.publish(numbered(3));
        assert_eq!((held.generation, readers.load().generation), (1, 3));
        assert_eq!(publisher.retired(), 1);
        drop(held);
        publisher.sweep();
        assert_eq!(publisher.retired(), 0);
    }

    #[test]
    fn what_is_held_too_long_is_let_go() {
        let mut publisher = Publisher::new(numbered(0));
        let readers = publisher.current();
        let mut held = Vec::new();
        for generation in 1..=SNAPSHOTS_RETIRED_MAX as u64 + 10 {
            held.push(readers.load_full());
            publisher.publish(numbered(generation));
        }
        assert_eq!(publisher.retired(), SNAPSHOTS_RETIRED_MAX);
        assert_eq!(Arc::strong_count(&held[0]), 1);
    }
}
