//! Evenkeel: authoritative DNS that steers each client to the right healthy region.
//!
//! Two planes and one frozen value between them:
//!
//! ```text
//!  a query    socket -> gate -> wire::query -> answer( snapshot, zone, steer ) -> wire::reply -> socket
//!  a change   files, probes, operator -> config -> compile -> health -> state -> publish: a new Snapshot
//! ```
//!
//! Read the modules in the order in which they are declared: first what both planes stand on, then
//! the data plane as a packet meets it, then the control plane as a change meets it.
//!
//! A line about each stands here as a comment; its documentation is in the module itself, where
//! the names that it links to are known.

// ---- What both planes stand on ----

// Every bound in the server, by name.
pub mod limits;
// Typed indexes: how a thing in one module names a thing in another.
pub mod ids;
// The only place where time is read.
pub mod clock;
// The only place where chance is drawn.
pub mod dice;

// ---- The data plane, from the bytes inwards ----

// DNS messages: bytes to values and back, total on any input.
pub mod wire;
// The immutable tree of one zone, and where a name falls in it.
pub mod zone;
// From an address to what is known of its network, and how wide that is true.
pub mod geo;
// Which endpoint a client gets, and why.
pub mod steer;
// What a packet thread counts, and how the sums are read.
pub mod counters;
// Where what happens in a zone is counted, and what it comes to.
pub mod tally;
// Everything an answer depends on, frozen.
pub mod snapshot;
// The stages in sentences: why a client gets what it gets.
pub mod explain;
// From a question and a snapshot to a reply: all the branching.
pub mod answer;
// Sockets: batches of packets in and out, connections, and who is answered at all.
pub mod serve;

// ---- The control plane, from the files outwards ----

// The files as they are written, and complaints about them.
pub mod config;
// Probes: what is asked of a target, when, and what the outcomes say.
pub mod health;
// From files to a plan; `check` stops here.
pub mod compile;
// What is known now, how a change alters it, and the only writer of the snapshot.
pub mod state;
// HTTP and JSON, and nowhere else: how the server is, why a client gets what it gets.
pub mod api;
// The running server: the parts put together, and their life.
pub mod app;
// What can be typed, and which part does it.
pub mod cli;
