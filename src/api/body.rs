//! Bodies: the mirrors of what is told, field by field as the interface has them.
//!
//! Not here: what the values mean (`state`, `explain`).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    forms::{AnswerForm, FootingForm, VerdictForm},
    operator::Told,
    time::rfc3339,
};
use crate::{
    explain::{self, Answer, Explanation, Nested},
    state::{
        EndpointReport, Recent, RegionState,
        journal::{Entry, Transition},
    },
};

/// JSON as people can read it, too.
#[must_use]
pub fn text(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("text and numbers are JSON");
    text.push('\n');
    text
}

/// JSON in one line.
#[must_use]
pub fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text and numbers are JSON")
}

/// `GET events`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Event>,
}

/// Something that changed: in `GET events`, in the stream, and what webhooks are sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    /// Its number.
    #[schema(example = 42)]
    pub id: u64,
    /// When.
    #[schema(format = DateTime, example = "2026-11-20T14:35:58.123Z")]
    pub at: String,
    /// `verdict`, `override`, and so on.
    #[schema(example = "verdict")]
    pub kind: String,
    /// What changed.
    #[schema(example = "www.example.com./us-east-1/192.0.2.10")]
    pub subject: String,
    /// What it was.
    #[schema(example = "up")]
    pub from: String,
    /// What it is.
    #[schema(example = "down")]
    pub to: String,
    /// Why.
    #[schema(example = "http://192.0.2.10:80/: connection refused")]
    pub why: String,
}

/// In the stream, instead of events that were not sent.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Missed {
    /// How many.
    pub missed: u64,
}

impl From<&Entry> for Event {
    fn from(entry: &Entry) -> Self {
        let Transition { kind, subject, from, to, why } = entry.what.clone();
        Self { id: entry.id, at: rfc3339(entry.at), kind: kind.to_string(), subject, from, to, why }
    }
}

/// `GET status`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the server.
    pub version: String,
    /// Whether steered names are served.
    pub ready: bool,
    /// Whether the prober takes itself to be cut off.
    pub blind: bool,
    /// The number of the latest snapshot.
    pub generation: u64,
    /// The regions.
    pub regions: Vec<Region>,
}

/// A region of `GET status`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// Its name.
    #[schema(example = "us-east-1")]
    pub name: String,
    /// Where it is: degrees north and east.
    #[serde(default)]
    pub at: Option<[f32; 2]>,
    /// What its endpoints are together.
    pub state: RegionWord,
    /// Percent of its normal traffic that it may get.
    #[schema(maximum = 100)]
    pub dial: u8,
    /// In the operator's unit.
    pub capacity: Option<f64>,
    /// In the operator's unit.
    pub load: Option<f64>,
    /// What it reports, 1 for all that it can take.
    #[serde(default)]
    pub utilization: Option<f64>,
    /// Pools that come back in steps.
    pub returning: usize,
    /// Endpoints that are down and stay in.
    pub over_budget: usize,
}

/// What the endpoints of a region are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum RegionWord {
    /// All are up.
    Up,
    /// None is.
    Down,
    /// Some are.
    Mixed,
    /// An operator has withdrawn all of them.
    Drain,
}

impl From<RegionState> for RegionWord {
    fn from(state: RegionState) -> Self {
        match state {
            RegionState::Up => Self::Up,
            RegionState::Down => Self::Down,
            RegionState::Mixed => Self::Mixed,
            RegionState::Drain => Self::Drain,
        }
    }
}

impl fmt::Display for RegionWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Mixed => "mixed",
            Self::Drain => "drain",
        })
    }
}

impl From<&super::Status> for Status {
    fn from(status: &super::Status) -> Self {
        let region = |it: &crate::state::RegionReport| Region {
            name: it.name.to_string(),
            at: it.at.map(|it| [it.lat(), it.lon()]),
            state: RegionWord::from(it.state),
            dial: it.dial,
            capacity: it.capacity,
            load: it.load,
            utilization: it.utilization,
            returning: it.returning,
            over_budget: it.over_budget,
        };
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready: status.ready,
            blind: status.blind,
            generation: status.generation,
            regions: status.regions.iter().map(region).collect(),
        }
    }
}

/// `GET endpoints`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Endpoints {
    /// In the order of the files.
    endpoints: Vec<Endpoint>,
}

/// An endpoint of a steered name.
#[derive(Debug, Serialize, ToSchema)]
struct Endpoint {
    /// The steered name.
    #[schema(example = "www.example.com.")]
    name: String,
    /// Its pool.
    #[schema(example = "us-east-1")]
    pool: String,
    /// The pool's region.
    #[schema(example = "us-east-1")]
    region: Option<String>,
    /// Its address, or its name.
    #[schema(example = "192.0.2.10")]
    address: String,
    /// What its checks say together.
    #[schema(value_type = VerdictForm, example = "up")]
    verdict: String,
    /// Whether it is up and its latest probe failed.
    shaky: bool,
    /// The operator's word over the verdict.
    #[serde(rename = "override")]
    override_: Option<Told>,
    /// Its share of the pool, as its operator wrote it.
    weight: u32,
    /// Its share of the pool now: 0 for what is down or withdrawn.
    effective_weight: f64,
    /// How much of what it can take it reports to be given: 1 is all; null: it reports nothing.
    utilization: Option<f64>,
    /// Whether it is down and stays in, because enough of the name is out.
    over_budget: bool,
    /// How far its pool has come back; null: it is not on its way back.
    ramp: Option<Ramp>,
    /// What is asked of it.
    checks: Vec<Check>,
}

/// How far a pool has come back.
#[derive(Debug, Serialize, ToSchema)]
struct Ramp {
    /// The number of the step, from 1.
    step: usize,
    /// How many there are.
    steps: usize,
    /// Percent of its weight that the pool gets.
    #[schema(maximum = 100)]
    percent: u8,
    /// When the next is due; null: something holds this one.
    #[schema(format = DateTime)]
    next: Option<String>,
}

/// A check of an endpoint.
#[derive(Debug, Serialize, ToSchema)]
struct Check {
    /// Its name.
    #[serde(rename = "check")]
    #[schema(example = "web")]
    name: String,
    /// What it asks of whom.
    #[schema(example = "http://192.0.2.10:80/health")]
    target: String,
    /// What it says.
    #[schema(value_type = VerdictForm, example = "up")]
    verdict: String,
    /// What its latest execution came to.
    #[schema(example = "connection refused")]
    outcome: Option<String>,
    /// When that was.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// What the latest executions came to, the oldest first; only if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    history: Option<Vec<Execution>>,
}

/// An execution of a check.
#[derive(Debug, Serialize, ToSchema)]
struct Execution {
    /// When it ended.
    #[schema(format = DateTime)]
    at: String,
    /// How long it took, in milliseconds.
    ms: u32,
    /// Whether it was good.
    good: bool,
}

impl Execution {
    fn of(it: &Recent) -> Self {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(it.at_ms);
        Self { at: rfc3339(at), ms: it.took_ms, good: it.good }
    }
}

impl Endpoints {
    pub(super) fn of(reports: &[EndpointReport], has_history: bool) -> Self {
        let check = |it: &crate::state::CheckReport| Check {
            name: it.check.to_string(),
            target: it.target.clone(),
            verdict: it.verdict.to_string(),
            outcome: it.latest.as_ref().map(|(outcome, _)| outcome.to_string()),
            at: it.latest.as_ref().map(|(_, at)| rfc3339(*at)),
            history: has_history.then(|| it.recent.iter().map(Execution::of).collect()),
        };
        let endpoint = |it: &EndpointReport| Endpoint {
            name: it.name.to_string(),
            pool: it.pool.to_string(),
            region: it.region.as_ref().map(ToString::to_string),
            address: it.target.to_string(),
            verdict: it.verdict.to_string(),
            shaky: it.shaky,
            override_: it.said.as_ref().map(Told::from),
            weight: it.weight,
            effective_weight: it.effective_weight,
            utilization: it.utilization,
            over_budget: it.over_budget,
            ramp: it.ramp.as_ref().map(|it| Ramp {
                step: it.step,
                steps: it.steps,
                percent: it.percent,
                next: it.next.map(rfc3339),
            }),
            checks: it.checks.iter().map(check).collect(),
        };
        Self { endpoints: reports.iter().map(endpoint).collect() }
    }
}

/// `POST reload`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Reloaded {
    /// The number of the snapshot that follows from the files.
    pub generation: u64,
}

/// `POST latency`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Measured {
    /// Lines that were taken.
    pub accepted: usize,
    /// Lines that were not.
    pub refused: usize,
    /// Why the first of those were not.
    pub reasons: Vec<String>,
}

impl Measured {
    pub(super) fn new(accepted: usize, refused: &[(usize, String)]) -> Self {
        let reason = |(line, why): &(usize, String)| format!("line {line}: {why}");
        let reasons = refused.iter().take(crate::limits::API_REASONS_MAX).map(reason).collect();
        Self { accepted, refused: refused.len(), reasons }
    }
}

/// `GET explain`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Explained {
    /// The name.
    pub name: String,
    /// The type of the records.
    #[serde(rename = "type")]
    pub rtype: String,
    /// From where the client looks.
    pub place: Place,
    /// In their order.
    pub stages: Vec<Stage>,
    /// What an answer is drawn from.
    pub candidates: Vec<Candidate>,
    /// `records`, `nodata`, `unreachable` or `not_ready`.
    #[schema(value_type = AnswerForm, example = "records")]
    pub answer: String,
    /// What the answer rests on.
    #[schema(value_type = FootingForm, example = "healthy")]
    pub footing: String,
    /// Seconds, the least that can be drawn.
    pub ttl: u32,
    /// Seconds, the most that can be drawn.
    pub ttl_max: u32,
    /// Why.
    pub ttl_reason: String,
    /// Bits of the client's address.
    pub scope: u8,
    /// Why.
    pub scope_reason: String,
}

/// What is known of a client.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Place {
    /// The address that counts.
    pub address: String,
    /// The network for which the rest is known.
    pub prefix: String,
    /// As in ISO 3166-1.
    pub country: Option<String>,
    /// As in ISO 3166-2.
    pub subdivision: Option<String>,
    /// Two letters.
    pub continent: Option<String>,
    /// The autonomous system.
    pub asn: Option<u32>,
    /// Degrees north and east.
    pub at: Option<[f32; 2]>,
}

/// A stage.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Stage {
    /// Its name.
    pub stage: String,
    /// What went in.
    #[serde(rename = "in")]
    pub given: Vec<String>,
    /// What remained.
    #[serde(rename = "out")]
    pub left: Vec<String>,
    /// Why.
    pub why: String,
}

/// A pool that an answer may be drawn from.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// Its name.
    pub pool: String,
    /// Its effective weight.
    pub weight: u64,
    /// How often this client gets it, from 0 to 1.
    pub probability: f64,
    /// What it hands out.
    pub endpoints: Vec<Offer>,
    /// What the name that it is gives to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(no_recursion)]
    pub alias: Option<Box<Explained>>,
}

/// An endpoint that an answer may hold.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// Its address, or its name.
    pub address: String,
    /// Its share of the pool.
    pub weight: u64,
    /// Seconds.
    pub ttl: u32,
}

impl From<&Explanation> for Explained {
    fn from(told: &Explanation) -> Self {
        let place = &told.place;
        let prefix = crate::geo::Prefix::around(told.seat.address, told.place_len);
        let stage = |it: &explain::Stage| Stage {
            stage: it.stage.to_owned(),
            given: it.given.clone(),
            left: it.left.clone(),
            why: it.why.clone(),
        };
        Self {
            name: told.name.to_string(),
            rtype: told.rtype.to_string(),
            place: Place {
                address: told.seat.address.to_string(),
                prefix: prefix.to_string(),
                country: place.country.map(|it| it.as_str().to_owned()),
                subdivision: place.subdivision.map(|it| it.as_str().to_owned()),
                continent: place.continent.map(|it| it.as_str().to_owned()),
                asn: place.asn,
                at: place.at.map(|it| [it.lat(), it.lon()]),
            },
            stages: told.stages.iter().map(stage).collect(),
            candidates: told.candidates.iter().map(Candidate::from).collect(),
            answer: match told.result {
                Answer::Records => "records",
                Answer::NoData => "nodata",
                Answer::Unreachable => "unreachable",
                Answer::NotReady => "not_ready",
            }
            .to_owned(),
            footing: told.footing.as_str().to_owned(),
            ttl: told.ttl,
            ttl_max: told.ttl_max,
            ttl_reason: told.ttl_reason.clone(),
            scope: told.scope,
            scope_reason: told.scope_reason.clone(),
        }
    }
}

impl From<&explain::Candidate> for Candidate {
    fn from(candidate: &explain::Candidate) -> Self {
        let offer = |it: &explain::Endpoint| Offer {
            address: it.target.clone(),
            weight: it.weight,
            ttl: it.ttl,
        };
        Self {
            pool: candidate.pool.to_string(),
            weight: candidate.weight,
            probability: candidate.probability,
            endpoints: candidate.endpoints.iter().map(offer).collect(),
            alias: match &candidate.nested {
                Some(Nested::Steered(told)) => Some(Box::new(Explained::from(&**told))),
                _ => None,
            },
        }
    }
}
