//! Health: what is asked of a target, when, and what the outcomes say.
//!
//! ```text
//!   ProbeSpec --> schedule --due--> probe --outcome--> judge --status--> the prober's report
//!                 (pure)            (the I/O)          (pure)
//! ```
//!
//! # Invariants
//!
//! - No zones, names or weights here: a probe knows its target and nothing of who refers to it.
//! - Equal specs are one probe, whoever refers to them; its history lives as long as someone does.
//!
//! Not here: what a status means for an answer (`state`, `steer`), and the text of a check
//! (`config`, `compile`).

mod judge;
mod probe;
mod prober;
mod schedule;
mod trust;

pub use judge::{Judgement, Status};
pub use probe::{Outcome, Why, execute};
pub use prober::{Prober, Report};
pub use trust::system_trust;

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

/// What is probed, how and how often: the identity of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ProbeSpec {
    /// Whom the probe connects to.
    pub target: Target,
    /// The port there.
    pub port: u16,
    /// What is asked.
    pub kind: Kind,
    /// From the start of one execution to that of the next.
    pub every: Duration,
    /// When an execution without an outcome counts as failed; less than `every`.
    pub timeout: Duration,
    /// Consecutive failures until `down`, at least 1.
    pub fall: u32,
    /// Consecutive successes until `up`, at least 1.
    pub rise: u32,
}

/// Whom a probe connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// This address.
    Address(IpAddr),
    /// Whatever the system's resolver says this host name is, at each execution.
    Host(Box<str>),
}

/// What is asked of a target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A connection is accepted.
    Tcp,
    /// A request is answered as it should be.
    Http(Http),
}

/// An HTTP request, and what its response has to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Http {
    /// TLS under it; none: plain.
    pub tls: Option<Tls>,
    /// The request method, such as `GET`.
    pub method: Box<str>,
    /// The request target, such as `/health`.
    pub path: Box<str>,
    /// The `Host` header.
    pub host: Box<str>,
    /// Further headers.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Ranges of good status codes, ends included.
    pub status: Vec<(u16, u16)>,
    /// Text that must occur in the body's first MiB.
    pub body: Option<Box<str>>,
}

/// The TLS of a check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tls {
    /// The name that is asked for and that the certificate must hold.
    pub sni: Box<str>,
    /// Trusted roots in PEM; none: the system's.
    pub ca: Option<Arc<[u8]>>,
    /// Whether the certificate has to be trusted and hold the name.
    pub verify: bool,
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

impl fmt::Display for ProbeSpec {
    /// What is asked of whom, as a log line says it: `https://192.0.2.10:443/health`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, path) = match &self.kind {
            Kind::Tcp => ("tcp", ""),
            Kind::Http(http) if http.tls.is_some() => ("https", &*http.path),
            Kind::Http(http) => ("http", &*http.path),
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
