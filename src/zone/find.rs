//! Where a name falls in its zone.
