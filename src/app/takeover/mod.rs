//! The takeover: a process takes the place of a running one, and nobody who asks notices.
//!
//! ```text
//!   running  serves ------------------------------------------------.- drains -> exit 0
//!                   \  sockets             \ all that is known      ^
//!   new              '-> binds the rest ... '-> opens the state -> serves -> control ...
//! ```
//!
//! Both have the very same sockets: what is queued in the kernel when the one stops reading is read by
//! the other. Connections follow one by one, between two questions.
//!
//! # Invariants
//!
//! - Until the new process answers, the running one can go on as if nothing had been: it still has
//!   every socket, and changes nothing after it has told what it knows. The running one decides.
//! - While both could speak for the server, neither takes an operator's word or a probe's: what was
//!   acknowledged is on the disk before the new one reads it, or in the letter.
//! - The state folder is open in one of them at a time.
//! - The number of sockets of an address stays, so that none with a queue is closed.
//!
//! *Not here:* what sockets are (`serve`), and what is known of probes (`health::memory`).

mod bells;
mod giving;
mod letter;
mod line;
mod taking;

pub(super) use bells::{Bells, Visitor};
pub(super) use giving::{Guest, guest};
pub(super) use taking::{Given, Host, Inherited, call};
