//! Places: from an address to what is known of its network, and how wide that is true.
//!
//! ```text
//!   address --unwrapped--> u32 or u128 --Ranges::get--> PlaceId, Run --widest_prefix--> prefix length
//!                                                          |
//!                                                       places[id]: country, subdivision, continent,
//!                                                                   ASN, coordinates
//! ```
//!
//! An address family is a line, cut into runs of equal values ([`Ranges`]). Sources of knowledge are
//! laid over each other as lines ([`Geo::over`]): what the operator says of a network over the first
//! file, that over the second. The pipeline lays its own questions over the result the same way, and
//! maps places to outcomes, where neighbours with the same outcome become one run: so the scope of an
//! answer comes out as the widest prefix of which it is true.
//!
//! # Invariants
//!
//! - Every address has exactly one run, and neighbouring runs differ in value.
//! - The prefix that is returned holds the address and lies within the run.
//! - A lookup decodes and allocates nothing.
//! - Special-use addresses have no place unless the operator gave them one.
//!
//! Not here: the formats of files, and what is true of countries (`compile::geoip`,
//! `compile::facts`); what a place leads to (`steer`).

mod map;
mod networks;
mod place;
mod prefix;
mod ranges;
mod special;

pub use map::{Geo, Interner, Located, PlaceId};
pub use networks::{NetworkError, Networks};
pub use place::{Continent, Coordinates, Country, Place, Subdivision, rtt_estimate_ms};
pub use prefix::{Bounds, Malformed, Prefix, Unwrapped, unwrapped, wrappers};
pub use ranges::{Address, Builder, Ranges, Run, widest_prefix};
pub use special::{is_documentation, is_special_use};
