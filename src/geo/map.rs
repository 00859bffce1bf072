//! The places of all addresses.

use std::{collections::HashMap, fmt, net::IpAddr};

use super::{
    place::Place,
    prefix::{Prefix, Unwrapped, unwrapped, without_wrappers},
    ranges::{Ranges, widest_prefix},
    special::{self, Kind},
};

/// A place's index in [`Geo::places`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlaceId(pub u32);

impl PlaceId {
    /// The id of [`Place::NOWHERE`] in every [`Geo`].
    pub const NOWHERE: Self = Self(0);

    /// The id of the place at `idx`.
    #[must_use]
    pub fn at(idx: usize) -> Self {
        Self(u32::try_from(idx).expect("fewer than 2^32 places fit a machine's memory"))
    }

    /// The place as an index into a slice.
    #[must_use]
    pub fn idx(self) -> usize {
        self.0 as usize
    }
}

/// What is known of an address, and how wide that is true.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Located<'g> {
    /// What is known.
    pub place: &'g Place,
    /// Its id: two addresses have the same place when they have the same id.
    pub id: PlaceId,
    /// Bits of the address as it was given: of the widest prefix in which all have this place.
    pub prefix_len: u8,
}

/// The places of all addresses of both families.
#[derive(Clone, PartialEq, Eq)]
pub struct Geo {
    /// IPv4, which wrapped IPv4 addresses are looked up in too.
    pub v4: Ranges<u32, PlaceId>,
    /// IPv6.
    pub v6: Ranges<u128, PlaceId>,
    /// Each once; the first is nowhere.
    pub places: Box<[Place]>,
}

impl Geo {
    /// Nothing is known of any address.
    #[must_use]
    pub fn nowhere() -> Self {
        Self {
            v4: Ranges::uniform(PlaceId::NOWHERE),
            v6: Ranges::uniform(PlaceId::NOWHERE),
            places: Box::new([Place::NOWHERE]),
        }
    }

    /// What is known of an address.
    #[must_use]
    #[inline(never)]
    pub fn locate(&self, address: IpAddr) -> Located<'_> {
        let (id, prefix_len) = match unwrapped(address) {
            Unwrapped::V4 { address, before } => {
                let (id, run) = self.v4.get(address);
                (id, before + widest_prefix(address, run))
            }
            Unwrapped::V6(address) => {
                let (id, run) = self.v6.get(address);
                let is_everywhere = self.v4.n_runs() == 1 && self.v4.get(0).0 == id;
                let run = if is_everywhere { run } else { without_wrappers(address, run) };
                (id, widest_prefix(address, run))
            }
        };
        Located { place: &self.places[id.idx()], id, prefix_len }
    }

    /// Whether a client may be told by this prefix: it is somebody's, or it has been given a place
    /// all the same.
    #[must_use]
    #[inline(always)]
    pub fn is_usable(&self, prefix: &Prefix) -> bool {
        // Looked at by value: what is in memory for the sake of rare ones costs all of them.
        let address = prefix.address();
        !special::is_special_use(prefix) || self.locate(address).id != PlaceId::NOWHERE
    }

    /// This, and what `under` knows besides ([`Place::or`]).
    #[must_use]
    pub fn over(&self, under: &Self) -> Self {
        let mut interner = Interner::default();
        let mut pairs: HashMap<(PlaceId, PlaceId), PlaceId> = HashMap::new();
        let mut combine = |here: PlaceId, there: PlaceId| {
            *pairs.entry((here, there)).or_insert_with(|| {
                interner.intern(self.places[here.idx()].or(&under.places[there.idx()]))
            })
        };
        let v4 = self.v4.overlay(&under.v4, &mut combine);
        let v6 = self.v6.overlay(&under.v6, &mut combine);
        Self { v4, v6, places: interner.places() }
    }

    /// The same with every place but nowhere replaced by what `f` makes of it.
    #[must_use]
    pub fn map_places(self, mut f: impl FnMut(&Place) -> Place) -> Self {
        let mut interner = Interner::default();
        let known = self.places.iter().skip(1).map(|place| interner.intern(f(place)));
        let ids: Vec<PlaceId> = [PlaceId::NOWHERE].into_iter().chain(known).collect();
        let places = interner.places();
        if ids.iter().enumerate().all(|(idx, id)| id.idx() == idx) {
            return Self { places, ..self };
        }
        Self { v4: self.v4.map(|id| ids[id.idx()]), v6: self.v6.map(|id| ids[id.idx()]), places }
    }

    /// The same without what it says of special-use addresses, which files cannot know. What is set
    /// aside for examples stays as it is: no client has it, and who puts it in a file means it.
    #[must_use]
    pub fn without_special_use(self) -> Self {
        let keep =
            |id: PlaceId, kind: Kind| if kind == Kind::Special { PlaceId::NOWHERE } else { id };
        Self {
            v4: self.v4.overlay(&special::v4_kinds(), keep),
            v6: self.v6.overlay(&special::v6_kinds(), keep),
            places: self.places,
        }
    }

    /// Octets that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.v4.size() + self.v6.size() + size_of_val(&*self.places)
    }
}

// A map of the world is too much for an error message.
impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Geo")
            .field("v4", &self.v4.n_runs())
            .field("v6", &self.v6.n_runs())
            .field("places", &self.places.len())
            .finish()
    }
}

/// Gives each distinct place an id.
#[derive(Debug)]
pub struct Interner {
    places: Vec<Place>,
    ids: HashMap<Place, PlaceId>,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            places: vec![Place::NOWHERE],
            ids: HashMap::from([(Place::NOWHERE, PlaceId::NOWHERE)]),
        }
    }
}

impl Interner {
    /// The id of a place, a new one if it is new.
    pub fn intern(&mut self, place: Place) -> PlaceId {
        *self.ids.entry(place).or_insert_with(|| {
            let id = PlaceId(u32::try_from(self.places.len()).expect("fewer than 2^32 places"));
            self.places.push(place);
            id
        })
    }

    /// The places, indexed by id.
    #[must_use]
    pub fn places(self) -> Box<[Place]> {
        self.places.into()
    }
}
