//! Compilation: from files to a plan. `check` stops here, `serve` goes on.
//!
//! # Invariants
//!
//! - One validator: whatever can be wrong with the files is found here, all of it in one run.
//! - A [`Plan`] is right by construction; nobody validates it again.
//!
//! Not here: how YAML becomes values (`config`), and what the plan is used for (`state`).

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use crate::{health::ProbeSpec, ids::ProbeId, steer::Policy, wire::Name, zone::Zone};

/// Everything that the files say.
#[derive(Debug)]
pub struct Plan {
    /// What concerns the process and not the zones.
    pub settings: Settings,
    /// The zones, each apex once.
    pub zones: Vec<PlannedZone>,
    /// The distinct probes that the zones' endpoints refer to.
    pub probes: Vec<Arc<ProbeSpec>>,
    /// The files that were read, and the folders that were listed: what to watch.
    pub sources: Vec<PathBuf>,
}

/// What concerns the process and not the zones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where questions come in, each over UDP and TCP.
    pub listen: Vec<SocketAddr>,
    /// Whom to become after binding.
    pub user: Option<String>,
    /// How long steered names wait for their first probes.
    pub startup_wait: Duration,
}

/// A zone and the steered names in it.
#[derive(Debug)]
pub struct PlannedZone {
    /// The records.
    pub zone: Arc<Zone>,
    /// Indexed by `SteeredId`.
    pub steered: Vec<PlannedName>,
}

/// A steered name, and the probes of its endpoints.
#[derive(Debug)]
pub struct PlannedName {
    /// The name.
    pub owner: Name,
    /// How it is answered.
    pub policy: Arc<Policy>,
    /// Per pool and endpoint of the policy, the probes that all must pass; none: always up.
    pub probes: Vec<Vec<Box<[ProbeId]>>>,
}
