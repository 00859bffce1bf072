//! What a packet thread counts, and how the sums are read.

/// One thread's counters: it alone writes them, anyone may read them at any time.
#[derive(Debug, Default)]
pub struct Counters;
