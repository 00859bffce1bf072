//! State: what is known now, how a change alters it, and the only writer of the snapshot.
//!
//! ```text
//!   files ---> Reloaded \                      / events   -> the log
//!   prober --> Probed    > State::apply ------<  probes   -> the prober
//!   clock ---> WarmedUp /        |             \ (names whose conditions may have changed)
//!   samples -> latency -> Measured
//!                                v
//!                         State::snapshot -> publish -> the packet threads
//! ```
//!
//! Whatever bears on answers is a [`Change`] and something that a name's conditions are computed from.
//!
//! # Invariants
//!
//! - [`State`] is pure: no I/O, no clock. Equal states and changes give equal states and effects.
//! - Only [`store`] touches the disk, on a thread of its own, and [`State`] knows nothing of it.
//! - Only [`Publisher`] replaces the snapshot that the packet threads read.
//! - A name is decided anew when a status that it rests on changes, and only then.
//!
//! Not here: what an outcome says of a target (`health`), and what conditions mean for clients
//! (`steer`).

mod apply;
pub mod journal;
mod overrides;
mod ramp;
mod returns;
mod alias;
mod book;
mod carry;
mod decide;
mod gone;
mod names;
mod operator;
mod place;
pub mod latency;
mod publish;
mod spill;
mod reported;
mod foresee;
mod gauge;
pub mod store;
mod report;

pub use apply::{Change, Effects, Event, Learned, Recent, State};
pub use foresee::{Foreseen, NameForeseen, RegionForeseen, Turn};
pub use overrides::{Dial, Endpoint, Note, Override, Overrides, Pattern, Word};
pub use publish::{Publisher, give_way};
pub use ramp::{Seen, Standing};
pub use report::{CheckReport, Concerned, EndpointReport, RampReport, RegionReport, RegionState};
pub use returns::{Stand, Turns};
pub use spill::Overload;

use place::{ByPlace, Place, Places};
