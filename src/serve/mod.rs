//! Serving: sockets, batches of packets in and out, connections, and who is answered at all.
//!
//! ```text
//!   sockets: bind, later serve
//!      |
//!      +- udp (a thread per socket, batch by batch)     \
//!      |                                                 engine: gate -> wire::query -> answer
//!      +- tcp (one thread, a task per connection)       /          -> wire::reply
//! ```
//!
//! `udp` and `tcp` are drivers of the engine, each with [`Frames`] of its own; a driver beside them
//! (`AF_XDP`) needs no change to it.
//!
//! # Invariants
//!
//! - A driver (`udp`, `tcp`) moves bytes and knows no DNS but the length before a TCP message;
//!   the engine knows DNS and no sockets.
//! - Between receiving and sending a batch: no allocation, lock, `async`, `dyn` or system call.
//!
//! Not here: what is answered (`answer`).

pub mod batch;
mod engine;
mod passed;
mod sockets;
mod tcp;
mod udp;

pub use engine::{Client, Engine, Frame, Frames};
pub use passed::Passed;
pub use sockets::{Bound, Serving, Sockets, UdpOptions};
pub use tcp::TcpLimits;
