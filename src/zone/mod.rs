//! Zones: the immutable tree of one zone, and where a name falls in it.
//!
//! Not here: which zone a name is in (`snapshot`), and what the client is told (`answer`).

mod build;
mod find;

pub use build::Builder;

use crate::wire::Name;

/// One zone.
#[derive(Debug)]
pub struct Zone {
    apex: Name,
}

impl Zone {
    /// The name at the top.
    #[must_use]
    pub fn apex(&self) -> &Name {
        &self.apex
    }
}
