//! The only place where time is read.
//!
//! Everything else is given the time as an argument, so that it can be tested without waiting.
#![allow(clippy::disallowed_methods)]

use std::time::{Instant, SystemTime};

/// The monotonic time: what durations are measured with.
#[must_use]
pub fn now() -> Instant {
    Instant::now()
}

/// The time of the wall: what people and other machines understand.
#[must_use]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
