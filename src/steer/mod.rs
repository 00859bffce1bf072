//! Steering: which endpoint a client gets, and why.
//!
//! A [`Policy`] is what the operator wrote, a [`Condition`] what is known of an endpoint now.
//! [`decide()`] runs them through the stages of the pipeline, when either changes; what is left is a
//! [`Decision`], from which a packet draws.
//!
//! ```text
//!   Policy  Condition per endpoint
//!      \     /
//!       decide        available -> nothing left? all_down        (when something changes)
//!          |
//!       Decision      candidates with effective weights
//!          |  Roll
//!       draw          pick a pool -> its endpoints, by weight     (per packet)
//! ```
//!
//! # Invariants
//!
//! - Pure and total: the same policy, conditions and roll give the same answer.
//! - [`decide()`] is the only chooser: whoever wants to know what clients get asks it.
//! - [`Candidates::draw`] allocates nothing.
//!
//! Not here: what a probe is and when an endpoint is up (`health`), and how an answer becomes
//! bytes (`answer`).

mod decide;
mod draw;

pub use decide::decide;
pub use draw::Drawn;

use std::net::IpAddr;

use crate::wire::Name;

/// How one steered name is answered, as its operator wrote it.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Seconds an answer may be kept.
    pub ttl: u32,
    /// Seconds an answer may be kept while a change is in sight; at most `ttl`.
    pub ttl_min: u32,
    /// Most addresses in one answer, `1..=ANSWERS_MAX`.
    pub answers: u8,
    /// What is answered when no pool is left.
    pub all_down: AllDown,
    /// Percent of a pool's endpoint weight that must be up for the pool to be up, over all its
    /// endpoints of both address families; none: any endpoint will do.
    pub min_up_percent: Option<u8>,
    /// `1..=POOLS_MAX`, in the order of the file. All hold addresses, or all hold a target name.
    pub pools: Box<[Pool]>,
}

/// What is answered when no pool is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllDown {
    /// Everything, as if all were up.
    ServeAll,
    /// SERVFAIL with EDE 22.
    Refuse,
    /// The pool at this index, whatever its verdict.
    Pool(u16),
}

/// The endpoints of a steered name in one region.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name, which is its region's unless the file says otherwise.
    pub name: Box<str>,
    /// Its region, if it is in one.
    pub region: Option<Box<str>>,
    /// Its share, `0..=WEIGHT_MAX`; 0 is a last resort.
    pub weight: u32,
    /// `1..=POOL_ENDPOINTS_MAX`.
    pub endpoints: Box<[Endpoint]>,
}

/// One address, or one target name, of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// What is handed out.
    pub target: Target,
    /// Its share of the pool, `1..=WEIGHT_MAX`.
    pub weight: u32,
    /// The operator's word for it (`az-a`), if any.
    pub label: Option<Box<str>>,
}

/// What an endpoint hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An A or AAAA record.
    Address(IpAddr),
    /// A CNAME record.
    Name(Name),
}

impl Target {
    /// The data of the record that hands it out.
    #[must_use]
    pub fn rdata(&self) -> Box<[u8]> {
        match self {
            Self::Address(IpAddr::V4(v4)) => v4.octets().into(),
            Self::Address(IpAddr::V6(v6)) => v6.octets().into(),
            Self::Name(name) => name.as_wire().into(),
        }
    }
}

/// What is known of an endpoint now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Condition {
    /// Whether it may be answered: its verdict is `up`, or `unknown`, which counts as up.
    pub up: bool,
    /// Whether a change is in sight: its latest probe failed, and not enough good ones came since.
    pub shaky: bool,
}

/// What an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// Endpoints that are up.
    Healthy,
    /// Nothing was up, and everything was considered.
    FailedOpen,
    /// Nothing was up, and the pool named by `all_down` was considered.
    Fallback,
}

/// What the clients of a steered name get for one family, until something changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What it rests on.
    pub footing: Footing,
    /// What is left after the stages.
    pub outcome: Outcome,
}

/// What is left after the stages.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// At least one candidate.
    Draw(Candidates),
    /// No pool of the name has this family: NODATA.
    NoData,
    /// Other pools of the name have this family, and the one that `all_down` names has not: NODATA
    /// for so many seconds, because the truth is due any moment.
    NoDataFor(u32),
    /// Nothing may be answered: SERVFAIL with EDE 22 (RFC 8914 section 4.23).
    NoReachableAuthority,
    /// Not yet probed: SERVFAIL with EDE 14 (RFC 8914 section 4.15).
    NotReady,
}

/// Pools that remain, and how many addresses of one of them to hand out.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidates {
    /// Invariant: at least one, each with a weight of at least one.
    pub pools: Box<[Candidate]>,
    /// Invariant: the sum of the pools' weights, below 2^32.
    pub weight_sum: u64,
    /// Most addresses in one answer.
    pub answers: u8,
}

/// A pool that remains.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its place in the policy.
    pub pool: u16,
    /// Its effective weight.
    pub weight: u64,
    /// Invariant: at least one, each with a weight of at least one.
    pub members: Box<[Member]>,
    /// Invariant: the sum of the members' weights.
    pub weight_sum: u64,
}

/// An endpoint that remains.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Its place in the pool.
    pub endpoint: u16,
    /// Its share of the pool.
    pub weight: u64,
    /// Seconds an answer with it may be kept.
    pub ttl: u32,
    /// What is handed out: record data of the decision's family.
    pub rdata: Box<[u8]>,
}
