//! The letter: what the two processes say to each other, as JSON.
//!
//! ```text
//!   new                                                   running
//!    |-- Hello: which protocol ---------------------------->|
//!    |<------------- Sockets, as often as it takes ---------|
//!    |<------------- Offered: that was all -----------------|
//!    |  binds what is missing, gives up root, lays out      |  goes on as ever
//!    |-- Ask ---------------------------------------------->|
//!    |<------------- Letter: all that is known -------------|  pauses its prober, has closed its state
//!    |  opens the state, answers                            |
//!    |-- Serving: at these addresses ---------------------->|
//!    |<------------- Yours ---------------------------------|  the end of doubt
//!    |<------------- Connection, one by one ----------------|  drains
//!    |<------------- Counted: the last counts --------------|  exits
//! ```
//!
//! Instead of any of them the running one may say `No`, and the new one may be gone: then the running
//! one goes on. It alone decides: until it has said `Yours`, the new one is nobody.
//!
//! *Not here:* how it is carried (`line`).

use std::{io, net::SocketAddr, time::SystemTime};

use serde::{Deserialize, Serialize};

/// Which form the messages have. It changes when an earlier server would misread one; a field that may
/// be missing is no reason to.
pub(super) const PROTOCOL: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Hello { protocol: u32, version: String },
    Sockets { sockets: Vec<Socket> },
    Offered(Offer),
    Ask,
    Letter(Box<Letter>),
    Serving { taken: Vec<SocketAddr> },
    Yours,
    No { why: String, hint: String },
    Connection,
    Counted { totals: String },
}

/// What a socket that comes along is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Socket {
    pub(super) kind: SocketKind,
    /// As the operator wrote it.
    pub(super) listen: SocketAddr,
    /// With the port that the kernel chose.
    pub(super) address: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum SocketKind {
    Udp,
    Tcp,
    Api,
    /// The name on which the next process takes over.
    Takeover,
}

/// What the new process has to know before it asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Offer {
    pub(super) version: String,
    /// The folder, whole.
    pub(super) state: Option<String>,
}

/// All that is known.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) generation: u64,
    /// Whether steered names are served.
    pub(super) ready: bool,
    pub(super) totals: String,
    /// When that began to be counted.
    #[serde(default)]
    pub(super) since: Option<SystemTime>,
    /// What the schedule's clock shows, in nanoseconds.
    pub(super) clock: u64,
    pub(super) sight: String,
    pub(super) targets: Vec<Target>,
    pub(super) event_id_last: u64,
    /// The events that webhooks have not taken, by their URLs.
    #[serde(default)]
    pub(super) untold: Vec<(String, Vec<u64>)>,
    /// What would be kept on the disk.
    pub(super) kept: String,
}

/// A target of the prober.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Target {
    /// What tells its probe from others, as long as the version is the same.
    pub(super) key: String,
    /// What tells it from most others in any version: its check, and what is asked of whom.
    pub(super) title: String,
    pub(super) is_control: bool,
    pub(super) memory: String,
    /// Since when its verdict is what it is.
    pub(super) since: SystemTime,
    pub(super) latest: Option<Latest>,
}

/// What the latest execution of a probe came to.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Latest {
    pub(super) good: bool,
    pub(super) said: String,
    pub(super) at: SystemTime,
}

impl Message {
    pub(super) fn to_octets(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and times from 1970 on are JSON")
    }

    pub(super) fn of_octets(octets: &[u8]) -> io::Result<Self> {
        serde_json::from_slice(octets).map_err(io::Error::other)
    }
}
