//! The API: HTTP and JSON, and nowhere else.
//!
//! ```text
//!   connection -> let in? -> route -> reads the snapshot, counters  (explain, traffic, metrics)
//!                                 '-> Request -> the control loop   (status, endpoints, reload, latency)
//! ```
//!
//! # Invariants
//!
//! - It changes nothing by itself: what is to be done is asked of the control loop, by one of a closed
//!   set of requests. What is to be explained is read from the snapshot that packets are answered
//!   from, and holds up nobody.
//! - Whatever goes wrong is a problem document (RFC 9457) with a hint.
//! - Connections, heads, bodies, the calls of a client, and the time that one may take are bounded.
//! - No answer has a CORS field: pages of other sites read nothing and change nothing.
//!
//! Not here: what is told (`state`, `explain`), and the words of the command line (`cli`).

mod access;
pub mod body;
mod calls;
mod document;
mod events;
mod forms;
mod metrics;
mod operator;
mod page;
mod preview;
mod problem;
mod rate;
mod server;
mod time;
mod traffic;
mod zones;

pub use calls::Asked;
pub use metrics::{Gauges, OTHERS, PROBE_SECONDS, ProbeMeter};
pub use problem::Problem;
pub use server::{serve, tls};

use std::{sync::Arc, time::SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    compile::keys::Keys,
    config::Complaint,
    counters::Registry,
    snapshot::Snapshot,
    state::{
        Concerned, Dial, EndpointReport, Foreseen, Note, Overrides, Pattern, RegionReport, Word,
        journal::{Entry, Following},
        latency::Sample,
    },
    wire::Name,
};

/// What the API stands on.
#[derive(Debug, Clone)]
pub struct Api {
    /// The current snapshot.
    pub snapshots: Arc<ArcSwap<Snapshot>>,
    /// What the threads that answer count.
    pub registry: Registry,
    /// When they began to.
    pub since: SystemTime,
    /// To the control loop.
    pub requests: mpsc::Sender<Request>,
    /// Whether steered names are served.
    pub ready: watch::Receiver<bool>,
    /// What callers have to know; none: nothing.
    pub keys: watch::Receiver<Option<Arc<Keys>>>,
    /// What connections are encrypted with; none: they are not.
    pub tls: watch::Receiver<Option<Arc<ServerConfig>>>,
}

/// What the control loop is asked for, and where it answers. Who asked may be gone.
#[derive(Debug)]
pub enum Request {
    /// How the server is.
    Status(oneshot::Sender<Status>),
    /// What is measured, as far as nobody else knows it.
    Gauges(oneshot::Sender<Gauges>),
    /// These endpoints.
    Endpoints(Concerned, oneshot::Sender<Vec<EndpointReport>>),
    /// Read the files again: the generation that follows, or what is wrong with them.
    Reload(oneshot::Sender<Result<u64, Vec<Complaint>>>),
    /// At most so many events: those after an id, or the latest.
    Events {
        /// The id.
        after: Option<u64>,
        /// How many.
        limit: usize,
        /// Where they go.
        reply: oneshot::Sender<Vec<Arc<Entry>>>,
    },
    /// Every event after the one with this id; none: from now on.
    Follow(Option<u64>, oneshot::Sender<Following>),
    /// Take a heartbeat of this check in: whether there is such a check.
    Heartbeat(Box<str>, oneshot::Sender<bool>),
    /// What the operators say now.
    Overrides(oneshot::Sender<Overrides>),
    /// Say something else, by `force` even if that leaves a name with nothing: the ids concerned.
    Say(Saying, bool, oneshot::Sender<Result<Vec<u64>, Unsaid>>),
    /// What would follow if an operator said this, by `force` even if names were left with nothing.
    Foresee(Saying, bool, oneshot::Sender<Result<Foreseen, Unsaid>>),
    /// Take measured round trips in, each with the number of its line.
    Measure(Vec<(usize, Sample)>, oneshot::Sender<Measured>),
}

/// What an operator says.
#[derive(Debug, Clone)]
pub enum Saying {
    /// An override.
    Set(Pattern, Word, Note),
    /// Take the override with this id back, or all with this target; and who does.
    Clear(Box<str>, String),
    /// The dial of a region.
    Dial(Box<str>, Dial),
}

/// Why it is as if an operator had said nothing.
#[derive(Debug, Clone)]
pub enum Unsaid {
    /// There is nothing that is meant.
    Unknown(String),
    /// These names would be left with nothing.
    Nothing(Vec<Name>),
    /// It could not be kept.
    NotKept(String),
}

/// How the server is.
#[derive(Debug, Clone)]
pub struct Status {
    /// Whether steered names are served.
    pub ready: bool,
    /// Whether the prober takes itself to be cut off.
    pub blind: bool,
    /// The number of the latest snapshot.
    pub generation: u64,
    /// The regions, in the order of their names.
    pub regions: Vec<RegionReport>,
}

/// What became of samples.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Measured {
    /// How many were taken.
    pub accepted: usize,
    /// The lines of the others, and why they were not.
    pub refused: Vec<(usize, String)>,
}
