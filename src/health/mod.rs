//! Health: what is asked of a target, when, and what the outcomes say.
//!
//! ```text
//!   ProbeSpec --> schedule --due--> probe --outcome--> judge --status--> the prober's report
//!                 (pure)            (the I/O)    |     (pure)
//!                                                |       ^ does the failure count?
//!                                                '--> blind (pure)
//!
//!   desk: these together, pure; prober: the loop around it
//!
//!   statuses --> tree --> the status of what rests on several probes
//!                (pure)
//! ```
//!
//! # Invariants
//!
//! - No zones, names or weights here: a probe knows its target and nothing of who refers to it.
//! - Equal specs are one probe, whoever refers to them; its history lives as long as someone does.
//!
//! Not here: what a status means for an answer (`state`, `steer`), and the text of a check
//! (`config`, `compile`).

mod kind;
mod blind;
mod judge;
mod memory;
mod tree;
mod schedule;
mod desk;
mod prober;
mod probe;
mod trust;

pub use blind::{Blinded, Evidence, Sanity, Sight};
pub use desk::{Desk, Due, Found, Moment, Report};
pub use judge::{Flap, Judgement, Rules, Status};
pub use kind::{Claim, Dns, Exec, Grpc, Http, Identity, Kind, Pattern, Push, Relation, Tcp, Tls};
pub use memory::{Memory, Past, Remembered};
pub use probe::{
    Certificate, Executed, Outcome, Told, Utilization, Why, execute, execute_and_hear,
};
pub use prober::{News, Pause, Prober};
pub use tree::Tree;
pub use trust::{TrustError, is_identity, is_roots, system_trust};

use std::{fmt, net::IpAddr, time::Duration};

/// What is probed, how and how often: the identity of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProbeSpec {
    /// Whom the probe connects to.
    pub target: Target,
    /// The port there; 0 where the kind knows none.
    pub port: u16,
    /// What is asked.
    pub kind: Kind,
    /// Whether good is bad, and what fails is good.
    pub invert: bool,
    /// From the start of one execution to that of the next.
    pub every: Duration,
    /// When an execution without an outcome counts as failed; less than `every`.
    pub timeout: Duration,
    /// Consecutive failures until `down`, at least 1.
    pub fall: u32,
    /// Consecutive successes until `up`, at least 1.
    pub rise: u32,
    /// When it is held down for changing too often; none: never.
    pub flap: Option<Flap>,
}

/// Whom a probe connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// This address.
    Address(IpAddr),
    /// Whatever the system's resolver says this host name is, at each execution.
    Host(Box<str>),
}

/// What the probes say of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Verdict {
    /// Not probed yet; counts as up.
    #[default]
    Unknown,
    /// Good.
    Up,
    /// Failed.
    Down,
}

impl Verdict {
    /// What it is of what is good when this is bad.
    pub(self) fn contrary(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
            Self::Unknown => Self::Unknown,
        }
    }
}

/// What a probe asks of whom, and whether good is bad.
pub type Question<'t> = (&'t Target, u16, &'t Kind, bool);

impl ProbeSpec {
    /// What is asked of whom, without how often and how it is judged. Two that agree in it find the
    /// same.
    #[must_use]
    pub fn question(&self) -> Question<'_> {
        (&self.target, self.port, &self.kind, self.invert)
    }

    /// Whether its outcomes show that the prober's own network is there or not. Heartbeats come from
    /// others, and where good is bad a lost network looks good.
    pub(self) fn shows_network(&self) -> bool {
        !self.invert && !matches!(self.kind, Kind::Push(_))
    }
}

impl fmt::Display for ProbeSpec {
    /// What is asked of whom, as a log line says it: `https://192.0.2.10:443/health`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match &self.kind {
            Kind::Tcp(_) => ("tcp", ""),
            Kind::Tls(_) => ("tls", ""),
            Kind::Http(http) if http.tls.is_some() => ("https", &*http.path),
            Kind::Http(http) => ("http", &*http.path),
            Kind::Dns(_) => ("dns", ""),
            Kind::Icmp => return write!(f, "icmp://{}", self.target),
            Kind::Grpc(_) => ("grpc", ""),
            Kind::Exec(exec) => {
                let program = exec.argv.first().map_or("", |it| &**it);
                return write!(f, "exec:{program} {}", self.target);
            }
            Kind::Push(push) => return write!(f, "push:{}", push.check),
        };
        write!(f, "{scheme}://{}:{}{path}", self.target, self.port)
    }
}

impl fmt::Display for Target {
    /// As in a URL: an IPv6 address stands in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
            Self::Host(host) => f.write_str(host),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}
