//! Typed indexes: how a thing in one module names a thing in another.

/// A zone's place in the snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ZoneId(pub u32);

/// A node's place in its zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// A steered name's place among those of its zone.
///
/// It counts within the zone and not within the server, so that a zone that a reload did not
/// change is shared with the snapshot before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SteeredId(pub u32);

/// A probe's place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProbeId(pub u32);

macro_rules! as_index {
    ($($id:ident)*) => {$(
        impl $id {
            /// The place as an index into a slice.
            #[must_use]
            pub fn idx(self) -> usize {
                self.0 as usize
            }

            /// The id of the thing at `idx`.
            #[must_use]
            pub fn at(idx: usize) -> Self {
                Self(u32::try_from(idx).expect("fewer than 2^32 of a kind fit a machine's memory"))
            }
        }
    )*};
}
as_index!(ZoneId NodeId SteeredId ProbeId);
