//! Steering: which endpoint a client gets, and why.
//!
//! A [`Policy`] is what the operator wrote, a [`Condition`] what is known of an endpoint now, a
//! [`Class`] what the policy sees of a client. [`choose()`] runs them through the stages of the
//! pipeline; what is left is a [`Decision`], from which a packet draws.
//!
//! ```text
//!   Policy  Geo, Measured                      when the files or the data change:
//!      \      /
//!        View           every address -> Class
//!         |   Condition per endpoint           when a verdict changes:
//!         |   /
//!       choose          match -> available -> tier -> near, once per class
//!         |                                    nothing left? all_down
//!       flood           who goes elsewhere because a region is full, over all names with a demand
//!         |
//!      Outlook          every address -> Decision, and how wide that is true
//!         |  address, Roll                     per packet:
//!       draw            pick a pool -> its endpoints
//! ```
//!
//! # Invariants
//!
//! - Pure and total: the same arguments give the same answer.
//! - [`choose()`] is the only chooser: whoever wants to know what clients get asks it, packets,
//!   `explain` and all.
//! - [`Outlook::look`] and [`Candidates::draw`] allocate nothing.
//!
//! Not here: what a probe is and when an endpoint is up (`health`), what a place is (`geo`), the stages
//! in sentences (`explain`), and how an answer becomes bytes (`answer`).

mod budget;
mod choose;
mod class;
mod draw;
mod outlook;
mod pools;
mod seat;
mod spill;
mod streams;
mod view;

pub use budget::over_budget;
pub use choose::{Choice, Overflow, Stages, choose, enough_is_up};
pub use class::{Class, ClassId, Level, LevelKind, Near, Way};
pub use draw::Drawn;
pub use outlook::{Lines, Outlook};
pub use pools::PoolSet;
pub use seat::Seat;
pub use streams::{Basin, Branch, Changed, Flood, Stream, flood};
pub use view::{Measured, RegionRtts, Shape, View};

use std::{fmt, net::IpAddr, time::Duration};

use crate::{
    geo::{Continent, Coordinates, Country, Prefix, Subdivision},
    limits::ANSWERS_DEFAULT,
    wire::{Family, Name},
};

/// How one steered name is answered, as its operator wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Seconds an answer may be kept.
    pub ttl: u32,
    /// Seconds an answer may be kept while a change is in sight; at most `ttl`.
    pub ttl_min: u32,
    /// Most addresses in one answer, `1..=ANSWERS_MAX`.
    pub answers: u8,
    /// What makes one pool better for a client than another.
    pub by: By,
    /// How much worse than the best a pool may be and still count as near.
    pub slack: Slack,
    /// Whether a client's network keeps its pool for as long as it can.
    pub sticky: bool,
    /// What is answered when no pool is left.
    pub all_down: AllDown,
    /// Percent of the name's weight that health alone may keep out at one time; none: all of it.
    pub eject_max_percent: Option<u8>,
    /// Percent of a pool's endpoint weight that must be up for the pool to be up, over all its
    /// endpoints of both address families; none: any endpoint will do.
    pub min_up_percent: Option<u8>,
    /// The normal load of the name, in the unit of the regions' capacities; none: it is not known.
    pub demand: Option<Load>,
    /// `1..=POOLS_MAX`, in the order of the file. All hold a target name, or none does.
    pub pools: Box<[Pool]>,
}

/// A load in the operator's unit: above 0 and finite.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Load(f64);

impl Load {
    /// A load; none: it is none.
    #[must_use]
    pub fn new(amount: f64) -> Option<Self> {
        (amount.is_finite() && 0.0 < amount).then_some(Self(amount))
    }

    /// It as a number.
    #[must_use]
    pub fn amount(self) -> f64 {
        self.0
    }
}

// Not a number is none of them.
impl Eq for Load {}

impl std::hash::Hash for Load {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// What makes one pool better for a client than another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// Nothing: clients are spread by weight.
    Weight,
    /// A shorter round trip, in milliseconds, measured or estimated.
    Latency,
    /// A shorter way, in kilometres of a great circle.
    Distance,
}

/// How much worse than the best still counts as near.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slack {
    /// So many thousandths of a millisecond, or of a kilometre.
    Absolute(u32),
    /// So many percent of the best.
    Percent(u16),
}

/// What is answered when no pool is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AllDown {
    /// Everything, as if all were up.
    ServeAll,
    /// What was last answered while something was up; everything, if nothing ever was.
    LastGood,
    /// SERVFAIL with EDE 22.
    Refuse,
    /// The pool at this index, whatever its verdict.
    Pool(u16),
}

/// The endpoints of a steered name in one region.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Its name, which is its region's unless the file says otherwise.
    pub name: Box<str>,
    /// Its region, if it is in one.
    pub region: Option<Box<str>>,
    /// Where its region is.
    pub at: Option<Coordinates>,
    /// Its share, `0..=WEIGHT_MAX`; 0 is a last resort within its tier.
    pub weight: u32,
    /// From 1; a pool of a later tier gets clients when no earlier one has a pool left.
    pub tier: u16,
    /// Ten-thousandths of the clients that it gets even so; 0 in the first tier. The sum over a
    /// policy is below `TRICKLE_WHOLE`.
    pub trickle: u16,
    /// Whom it serves; at least one, `*` where the file says nothing.
    pub serves: Box<[Serves]>,
    /// Whether the clients whom it serves best may go nowhere else. Equal for all pools that serve
    /// the same.
    pub fence: bool,
    /// How it comes back after it was down; none: at once.
    pub ramp: Option<Ramp>,
    /// `1..=POOL_ENDPOINTS_MAX`; one, if that is a name.
    pub endpoints: Box<[Endpoint]>,
}

/// How a pool comes back after it was down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ramp {
    /// Percent of its weight, `1..=100`, ascending; the last is 100, and not the only one.
    pub steps: Box<[u8]>,
    /// How long each step but the last lasts, at least `RAMP_EVERY_MIN`.
    pub every: Duration,
}

/// A set of clients that a pool serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serves {
    /// The addresses of a block; not one of wrapped addresses ([`Prefix::unwrapped`]).
    Prefix(Prefix),
    /// Those that an autonomous system announces.
    Asn(u32),
    /// Those in a part of a country.
    Subdivision(Subdivision),
    /// Those in a country.
    Country(Country),
    /// Those on a continent.
    Continent(Continent),
    /// All.
    Any,
}

/// One address, or one name, of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What is handed out.
    pub target: Target,
    /// Its share of the pool, `1..=WEIGHT_MAX`.
    pub weight: u32,
    /// The operator's word for it (`az-a`), if any.
    pub label: Option<Box<str>>,
}

/// What an endpoint hands out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// An A or AAAA record.
    Address(IpAddr),
    /// A CNAME record.
    Name(Name),
    /// The addresses of another name of this server, as that name gives them to the client.
    Alias(Name),
}

impl Ramp {
    /// The number of the step, from 1, that a share of so many percent belongs to; 0: it is below all.
    #[must_use]
    pub fn step(&self, percent: u8) -> usize {
        self.steps.partition_point(|it| *it <= percent)
    }
}

impl Policy {
    /// A policy as a zone file gives it that says nothing but the TTLs and the pools.
    #[must_use]
    pub fn of(ttl: u32, ttl_min: u32, pools: Box<[Pool]>) -> Self {
        Self {
            ttl,
            ttl_min,
            answers: u8::try_from(ANSWERS_DEFAULT).expect("at most ANSWERS_MAX"),
            by: By::Weight,
            slack: Slack::Absolute(0),
            sticky: false,
            all_down: AllDown::ServeAll,
            eject_max_percent: None,
            min_up_percent: None,
            demand: None,
            pools,
        }
    }

    /// Whether a pool of it comes back in steps.
    #[must_use]
    pub fn has_ramp(&self) -> bool {
        self.pools.iter().any(|it| it.ramp.is_some())
    }

    /// The families that its pools hold.
    #[must_use]
    pub fn families(&self) -> &'static [Family] {
        match self.pools[0].endpoints[0].target {
            Target::Name(_) => &[Family::Name],
            Target::Address(_) | Target::Alias(_) => &[Family::V4, Family::V6],
        }
    }
}

impl Pool {
    /// A pool as a zone file gives it that says nothing but the endpoints.
    #[must_use]
    pub fn of(name: &str, endpoints: Box<[Endpoint]>) -> Self {
        Self {
            name: name.into(),
            region: None,
            at: None,
            weight: 1,
            tier: 1,
            trickle: 0,
            serves: Box::new([Serves::Any]),
            fence: false,
            ramp: None,
            endpoints,
        }
    }
}

impl Target {
    /// The data of the record that hands it out; of an alias, the name.
    #[must_use]
    pub fn rdata(&self) -> Box<[u8]> {
        match self {
            Self::Address(IpAddr::V4(v4)) => v4.octets().into(),
            Self::Address(IpAddr::V6(v6)) => v6.octets().into(),
            Self::Name(name) | Self::Alias(name) => name.as_wire().into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Name(name) | Self::Alias(name) => name.fmt(f),
        }
    }
}

/// What is known of an endpoint now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools)] // Each is known for itself.
pub struct Condition {
    /// Whether it has anything of the family in question. What an address or a name is says its
    /// target; what an alias has, its state.
    pub present: bool,
    /// Whether it may be answered: its verdict is `up`, or `unknown`, which counts as up.
    pub up: bool,
    /// Whether a change is in sight: its latest probe failed, and not enough good ones came since.
    pub shaky: bool,
    /// Percent of its pool's weight that the operator lets it have; 0: it is withdrawn, and not
    /// answered whatever else fails. Equal for the endpoints of a pool that are not withdrawn.
    pub dial: u8,
    /// Percent of its weight that its pool has come back to after it was down, from 1 on; 100: all.
    /// Equal for the endpoints of a pool.
    pub ramp: u8,
    /// Whether it is down and stays in, because enough of the name is out; then it is `up` and `shaky`.
    pub over_budget: bool,
}

/// The share of a pool that gets all of its weight.
pub const SHARE_WHOLE: u64 = 10_000;

impl Condition {
    /// That of an endpoint that has something of the family, and whose pool gets all of its weight.
    #[must_use]
    pub fn seen(up: bool, shaky: bool) -> Self {
        Self { present: true, up, shaky, dial: 100, ramp: 100, over_budget: false }
    }

    /// The share of its pool's weight that it may have, of [`SHARE_WHOLE`].
    #[must_use]
    pub fn share(&self) -> u64 {
        u64::from(self.dial) * u64::from(self.ramp)
    }

    /// Whether health alone says that it has to leave.
    #[must_use]
    pub fn is_ejected(&self) -> bool {
        self.present && !self.up && !self.is_withdrawn()
    }

    /// Whether the operator has withdrawn it.
    #[must_use]
    pub fn is_withdrawn(&self) -> bool {
        self.dial == 0
    }
}

/// What an answer rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Footing {
    /// Endpoints that are up.
    Healthy,
    /// Nothing was up, and everything was considered.
    FailedOpen,
    /// Nothing was up, and what was answered last while something was is answered again.
    LastGood,
    /// Nothing was up, and the pool named by `all_down` was considered.
    Fallback,
}

impl Footing {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::FailedOpen => "failed_open",
            Self::LastGood => "last_good",
            Self::Fallback => "fallback",
        }
    }
}

/// What the clients of a steered name get for one family, until something changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// What it rests on.
    pub footing: Footing,
    /// What is left after the stages.
    pub outcome: Outcome,
}

impl Decision {
    /// Whether it gives what is up.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.footing == Footing::Healthy && matches!(self.outcome, Outcome::Draw(_))
    }
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
    /// Invariant: the sum of the pools' weights.
    pub weight_sum: u64,
    /// Most addresses in one answer.
    pub answers: u8,
    /// Whether the client's network and not the roll picks.
    pub sticky: bool,
}

/// A pool that remains.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its place in the policy.
    pub pool: u16,
    /// Its effective weight.
    pub weight: u64,
    /// What tells it from the others when clients are sticky.
    pub key: u64,
    /// Whether its one member is the name of an alias.
    pub is_alias: bool,
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
