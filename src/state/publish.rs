//! Publishing: the one place where a new snapshot takes the place of the old.
//!
//! ```text
//!   publish --swap--> retired, while anybody holds it --sweep--> the thread that frees
//! ```
//!
//! # Invariants
//!
//! - A packet thread never frees a snapshot: a replaced one is kept here until nobody else holds it.
//!   Nobody can come to hold it again, because readers take what is current and nothing else.
//! - The control loop does not wait for it either: a hundred thousand zones take some time to free.
//! - The thread that frees gives way to those that answer.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    thread,
};

use arc_swap::ArcSwap;
use rustix::process::setpriority_process;

use crate::{
    limits::{GIVE_WAY_NICE, SNAPSHOTS_RETIRED_MAX},
    snapshot::Snapshot,
};

/// The only writer of the current snapshot.
#[derive(Debug)]
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    /// The oldest first.
    retired: VecDeque<Arc<Snapshot>>,
    /// To the thread that frees; none: the system gave no thread, and the control loop does it.
    freed: Option<SyncSender<Box<dyn Send>>>,
}

/// Has the calling thread give way to those that answer, and with it those that it starts from now on.
pub fn give_way() {
    // Who may not, for whatever reason, is as important as the others.
    let _ = setpriority_process(None, GIVE_WAY_NICE);
}

impl Publisher {
    /// Begins with `first`.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        let (freed, to_free) = sync_channel::<Box<dyn Send>>(SNAPSHOTS_RETIRED_MAX);
        // It ends with the publisher.
        let free = move || {
            give_way();
            to_free.into_iter().for_each(drop);
        };
        let thread = thread::Builder::new().name("free".to_owned()).spawn(free);
        let current = Arc::new(ArcSwap::from_pointee(first));
        Self { current, retired: VecDeque::new(), freed: thread.is_ok().then_some(freed) }
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

    /// Has those replaced snapshots freed that nobody holds any more.
    pub fn sweep(&mut self) {
        // The swap above turned what readers had borrowed into counted references, so that the
        // count is right.
        for snapshot in std::mem::take(&mut self.retired) {
            if 1 < Arc::strong_count(&snapshot) {
                self.retired.push_back(snapshot);
            } else {
                self.free(snapshot);
            }
        }
    }

    /// Has something freed where nobody waits for that.
    pub fn free(&self, it: impl Send + 'static) {
        if let Some(freed) = &self.freed {
            // What finds no room is freed here.
            match freed.try_send(Box::new(it)) {
                Ok(()) => {}
                Err(TrySendError::Full(it) | TrySendError::Disconnected(it)) => drop(it),
            }
        }
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
    fn who_holds_a_replaced_snapshot_last_does_not_free_it() {
        let mut publisher = Publisher::new(numbered(1));
        // As a packet thread has it: taken again at its next batch.
        let mut reader = arc_swap::Cache::new(publisher.current());
        let before = Arc::downgrade(reader.load());
        publisher.publish(numbered(2));
        assert_eq!(publisher.retired(), 1);
        let reader = thread::spawn(move || {
            assert_eq!(reader.load().generation, 2);
            reader
        });
        let reader = reader.join().unwrap();
        assert!(before.upgrade().is_some(), "the reader let go of it, and it is there");
        publisher.sweep();
        assert_eq!(publisher.retired(), 0);
        // The thread that frees ends when it has freed all.
        drop((publisher, reader));
        while before.upgrade().is_some() {
            thread::yield_now();
        }
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
