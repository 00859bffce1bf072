//! Traffic: what was asked and answered, in counts that only grow.
//!
//! Read from the counters of the packet threads; the control loop is not asked.
//!
//! Not here: what is counted when (`counters`, `tally`), and the same for Prometheus (`metrics`).

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Problem,
    calls::{json, no_parameters},
    time::rfc3339,
};
use crate::{
    counters::PLACE_SAMPLE,
    geo::Country,
    snapshot::{Served, Snapshot},
    steer::Pool,
    tally::NameTally,
};

/// Every call.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(traffic))
}

/// What was asked and answered since a time. Of two of them, the difference is what happened between.
#[derive(Debug, Serialize, ToSchema)]
struct Traffic {
    /// When the counting began: of the server, or of the one whose place it took.
    #[schema(format = DateTime, example = "2026-11-20T14:35:58.123Z")]
    since: String,
    /// Messages that came in.
    questions: u64,
    /// Steered names, in the order of the files.
    names: Vec<NameLine>,
    /// Clients of steered names.
    countries: Vec<CountryLine>,
    /// Questions that name the network of a client (RFC 7871).
    ecs: SubnetLine,
}

/// What a steered name was answered with. Each answer that rests on something else than what is up is in
/// one of `failed_open`, `last_good` and `fallback`.
#[derive(Debug, Serialize, ToSchema)]
struct NameLine {
    /// It.
    #[schema(example = "www.example.com.")]
    name: String,
    /// In the order of the file.
    pools: Vec<AnswersLine>,
    /// Answers that rest on what is up.
    healthy: u64,
    /// Answers that rest on nothing that is up, and consider everything.
    failed_open: u64,
    /// Answers that repeat what was good last.
    last_good: u64,
    /// Answers from the pool that `all_down` names.
    fallback: u64,
    /// Questions that got SERVFAIL.
    refused: u64,
}

/// What was given from a pool.
#[derive(Debug, Serialize, ToSchema)]
struct AnswersLine {
    /// Its name.
    #[schema(example = "us-east-1")]
    pool: String,
    /// Its region.
    #[schema(example = "us-east-1")]
    region: Option<String>,
    /// Answers, whatever they rest on.
    answers: u64,
}

/// The clients of a country.
#[derive(Debug, Serialize, ToSchema)]
struct CountryLine {
    /// The country; null: not known.
    #[schema(example = "DE")]
    country: Option<String>,
    /// Questions for steered names that were looked at, and came from there.
    questions: u64,
    /// One in so many is looked at.
    #[schema(example = 64)]
    sampled: u64,
}

/// How the networks of clients were named and used.
#[derive(Debug, Serialize, ToSchema)]
struct SubnetLine {
    /// Questions that named one.
    sent: u64,
    /// Answers of steered names that were decided by it.
    used: u64,
}

/// What was asked and answered
///
/// Counts that only grow, by steered name and pool, by country, and by the use of client subnets.
#[utoipa::path(
    get,
    path = "/traffic",
    operation_id = "traffic",
    tag = "state",
    responses((status = 200, description = "The counts", body = Traffic)),
)]
async fn traffic(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    Ok(json(&Traffic::of(&api)))
}

impl Traffic {
    fn of(api: &Api) -> Self {
        let totals = api.registry.totals();
        Self {
            since: rfc3339(api.since),
            questions: totals.questions(),
            names: names(api, &api.snapshots.load()),
            countries: totals.countries.iter().map(CountryLine::of).collect(),
            ecs: SubnetLine { sent: totals.subnets_sent, used: totals.subnets_used },
        }
    }
}

fn names(api: &Api, snapshot: &Snapshot) -> Vec<NameLine> {
    let tallies = snapshot.tallies(&api.registry).zip(snapshot.zones().iter());
    let lines = tallies.flat_map(|(tally, served)| {
        let names = tally.names.iter().zip(policies(served));
        names.map(|(name, pools)| NameLine::of(name, pools)).collect::<Vec<_>>()
    });
    lines.collect()
}

/// The pools of each steered name, in the order of its tallies.
fn policies(served: &Served) -> impl Iterator<Item = &[Pool]> {
    served.steered.iter().map(|it| &*it.policy.pools)
}

impl NameLine {
    fn of(tally: &NameTally<'_>, pools: &[Pool]) -> Self {
        let line = |(pool, answers): (&Pool, &u64)| AnswersLine {
            pool: pool.name.to_string(),
            region: pool.region.as_ref().map(ToString::to_string),
            answers: *answers,
        };
        Self {
            name: tally.owner.to_string(),
            pools: pools.iter().zip(&tally.pools).map(line).collect(),
            healthy: tally.healthy(),
            failed_open: tally.failed_open,
            last_good: tally.last_good,
            fallback: tally.fallback,
            refused: tally.refused,
        }
    }
}

impl CountryLine {
    fn of((country, questions): (&Option<Country>, &u64)) -> Self {
        let country = country.as_ref().map(|it| it.as_str().to_owned());
        Self { country, questions: *questions, sampled: PLACE_SAMPLE }
    }
}
