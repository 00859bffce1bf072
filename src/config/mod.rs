//! Configuration: the files as they are written, and complaints about them.
//!
//! ```text
//!   text --tree--> Node --de--> mirrors (server, check, zone) --> compile
//!             \          \
//!              `----------`--> Report --> Complaints
//! ```
//!
//! # Invariants
//!
//! - A scalar is its text: nothing is a number, a truth value or nothing because it looks so
//!   (`TXT: 1.10`, `country: NO`).
//! - What is wrong with one value does not hide what is wrong with the next: every [`Field`] takes
//!   its own complaint and leaves a gap.
//! - A mirror has the shape of the file and nothing else; unknown keys are refused.
//!
//! Not here: what the values mean together (`compile`).

pub mod check;
mod complaint;
mod de;
mod field;
mod later;
mod quick;
pub mod samples;
mod scalar;
pub mod schema;
pub mod server;
mod tree;
pub mod zone;

pub use complaint::{Complaint, Complaints, Place, Report, list, suggest};
pub use de::{entries, entry, read};
pub use field::{Entries, Field, Key};
pub use quick::{Pairs, Piece, Pieces};
pub use scalar::{Amount, Lasting, Margin, Percent, Status, Trickle, Ttl, duration};
pub use tree::{Data, Node, parse};
