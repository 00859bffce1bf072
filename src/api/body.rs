//! Bodies: the mirrors of what is told, field by field as the interface has them.
//!
//! Not here: what the values mean (`state`, `explain`).

use serde::{Deserialize, Serialize};

use super::{operator::Told, time::rfc3339};
use crate::{
    explain::{self, Answer, Explanation, Nested},
    state::{
        EndpointReport, RegionState,
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Events {
    /// The oldest first.
    pub events: Vec<Event>,
}

/// Something that changed: in `GET events`, in the stream, and what webhooks are sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its number.
    pub id: u64,
    /// When.
    pub at: String,
    /// `verdict`, `override`, and so on.
    pub kind: String,
    /// What changed.
    pub subject: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Why.
    pub why: String,
}

/// In the stream, instead of events that were not sent.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `mixed` or `drain`.
    pub state: String,
    /// Percent of its normal traffic that it may get.
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

impl From<&super::Status> for Status {
    fn from(status: &super::Status) -> Self {
        let region = |it: &crate::state::RegionReport| Region {
            name: it.name.to_string(),
            state: match it.state {
                RegionState::Up => "up",
                RegionState::Down => "down",
                RegionState::Mixed => "mixed",
                RegionState::Drain => "drain",
            }
            .to_owned(),
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
#[derive(Debug, Serialize)]
pub struct Endpoints {
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    name: String,
    pool: String,
    region: Option<String>,
    address: String,
    verdict: String,
    shaky: bool,
    #[serde(rename = "override")]
    override_: Option<Told>,
    weight: u32,
    effective_weight: f64,
    utilization: Option<f64>,
    over_budget: bool,
    ramp: Option<Ramp>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Ramp {
    step: usize,
    steps: usize,
    percent: u8,
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: String,
    target: String,
    verdict: String,
    outcome: Option<String>,
    at: Option<String>,
}

impl From<&[EndpointReport]> for Endpoints {
    fn from(reports: &[EndpointReport]) -> Self {
        let check = |it: &crate::state::CheckReport| Check {
            name: it.check.to_string(),
            target: it.target.clone(),
            verdict: it.verdict.to_string(),
            outcome: it.latest.as_ref().map(|(outcome, _)| outcome.to_string()),
            at: it.latest.as_ref().map(|(_, at)| rfc3339(*at)),
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Reloaded {
    /// The number of the snapshot that follows from the files.
    pub generation: u64,
}

/// `POST latency`.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
    pub answer: String,
    /// What the answer rests on.
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
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
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
    pub alias: Option<Box<Explained>>,
}

/// An endpoint that an answer may hold.
#[derive(Debug, Serialize, Deserialize)]
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
