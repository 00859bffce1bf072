//! Zones: which there are, and what their steered names give now.
//!
//! What is given is read from the snapshot that packets are answered from, and what checks say of
//! endpoints is asked of the control loop.
//!
//! Not here: how an answer is chosen (`steer`), and why one client gets what it gets (`explain`).

use std::{collections::HashMap, sync::Arc};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    Api, Concerned, Problem, Request,
    calls::{Segment, ask, json, no_parameters, segment},
    forms::FootingForm,
    problem::Refused,
};
use crate::{
    snapshot::{FamilyNow, Served, Snapshot, Steered},
    state::EndpointReport,
    steer::{By, ClassId, Load, Outcome, Pool, View},
    wire::{Family, Name},
};

/// Every call.
pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(zone))
}

/// The zones of a server.
#[derive(Debug, Serialize, ToSchema)]
struct Zones {
    /// In the order of the files.
    zones: Vec<ZoneLine>,
}

/// A zone among others.
#[derive(Debug, Serialize, ToSchema)]
struct ZoneLine {
    /// Its name.
    #[schema(example = "example.com.")]
    zone: String,
    /// How many names it has, those included that only have names below them.
    names: usize,
    /// How many of them are steered.
    steered: usize,
}

/// A zone and its steered names.
#[derive(Debug, Serialize, ToSchema)]
struct Zone {
    #[serde(flatten)]
    line: ZoneLine,
    /// The steered ones, in the order of the file.
    steered_names: Vec<SteeredName>,
}

/// A steered name, and what it gives now.
#[derive(Debug, Serialize, ToSchema)]
struct SteeredName {
    /// It.
    #[schema(example = "www.example.com.")]
    name: String,
    /// `weight`, `latency` or `distance`.
    #[schema(example = "weight")]
    by: String,
    /// Whether a client's network keeps its pool for as long as it can.
    sticky: bool,
    /// Seconds an answer may be kept.
    ttl: u32,
    /// Seconds an answer may be kept while a change is in sight.
    ttl_min: u32,
    /// Its normal load, in the operator's unit.
    demand: Option<f64>,
    /// By address family: what its clients get now.
    families: Vec<FamilyLine>,
    /// In the order of the file.
    pools: Vec<PoolLine>,
}

/// What the clients of a name get for an address family.
#[derive(Debug, Serialize, ToSchema)]
struct FamilyLine {
    /// The type of the records: `A`, `AAAA` or `CNAME`.
    #[schema(example = "A")]
    family: String,
    /// What answers rest on, if clients differ in that more than one.
    #[schema(value_type = Vec<FootingForm>)]
    footings: Vec<&'static str>,
    /// The share of clients, from 0 to 1, that are given nothing although the name has something.
    unserved: f64,
    /// The lowest TTL of an answer, in seconds; null: there is none.
    ttl: Option<u32>,
}

/// A pool of a name.
#[derive(Debug, Serialize, ToSchema)]
struct PoolLine {
    /// Its name.
    #[schema(example = "us-east-1")]
    pool: String,
    /// Its region.
    #[schema(example = "us-east-1")]
    region: Option<String>,
    /// From 1.
    tier: u16,
    /// Its weight as its operator wrote it.
    weight: u32,
    /// Its weight now, by verdicts, overrides, dial and ramp; 0: it is out.
    effective_weight: f64,
    /// By family: the share of all clients that get it, from 0 to 1, each known network counted by its
    /// addresses. With all that the stages do, spill included.
    shares: Vec<ShareLine>,
    /// Its endpoints, by what checks say of them.
    verdicts: Verdicts,
    /// How many endpoints an operator says something of.
    overridden: usize,
}

/// What a pool gets of the clients of a family.
#[derive(Debug, Serialize, ToSchema)]
struct ShareLine {
    /// The type of the records.
    #[schema(example = "A")]
    family: String,
    /// From 0 to 1.
    share: f64,
}

/// How many endpoints checks say what of.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Verdicts {
    up: usize,
    down: usize,
    /// Not probed yet, which counts as up.
    unknown: usize,
}

/// The zones
#[utoipa::path(
    get,
    path = "/zones",
    operation_id = "zones",
    tag = "state",
    responses((status = 200, description = "Zones", body = Zones)),
)]
async fn list(State(api): State<Api>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let snapshot = api.snapshots.load_full();
    let told = tokio::task::spawn_blocking(move || {
        json(&Zones { zones: snapshot.zones().iter().map(ZoneLine::of).collect() })
    });
    told.await.map_err(|_| Problem::stopping())
}

/// A zone, and what its steered names give now
#[utoipa::path(
    get,
    path = "/zones/{zone}",
    operation_id = "zone",
    tag = "state",
    params(("zone" = String, Path, description = "Its name", example = "example.com")),
    responses((status = 200, description = "It", body = Zone), Refused<404>),
)]
async fn zone(
    State(api): State<Api>,
    zone: Segment,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    no_parameters(query.as_deref())?;
    let text = segment(zone)?;
    let unknown = || {
        let hint = "`GET /api/v1/zones` lists those that there are";
        Problem::unknown(format!("there is no zone `{text}`"), hint)
    };
    let apex = Name::parse(&text, Some(&Name::root())).map_err(|_| unknown())?;
    let snapshot = api.snapshots.load_full();
    if find(&snapshot, &apex).is_none() {
        return Err(unknown());
    }
    let only = Concerned::Zone(apex.clone());
    let endpoints = ask(&api, |reply| Request::Endpoints(only, reply)).await?;
    // Whose networks get what is added up, which takes some milliseconds where there are many.
    let told = tokio::task::spawn_blocking(move || {
        let served = find(&snapshot, &apex).expect("it was there before");
        json(&Zone::of(&snapshot, served, &endpoints))
    });
    told.await.map_err(|_| Problem::stopping())
}

fn find<'s>(snapshot: &'s Snapshot, apex: &Name) -> Option<&'s Served> {
    snapshot.zones().iter().find(|it| it.zone.apex() == apex)
}

impl ZoneLine {
    fn of(served: &Served) -> Self {
        Self {
            zone: served.zone.apex().to_string(),
            names: served.zone.node_count(),
            steered: served.steered.len(),
        }
    }
}

impl Zone {
    fn of(snapshot: &Snapshot, served: &Served, endpoints: &[EndpointReport]) -> Self {
        let mut parts = Parts { snapshot, known: HashMap::new() };
        let mut by_name: HashMap<&Name, Vec<&EndpointReport>> = HashMap::new();
        for it in endpoints {
            by_name.entry(&it.name).or_default().push(it);
        }
        let names = served.zone.steered_names();
        let lines = names.filter_map(|(owner, id)| {
            let steered = served.steered.get(id.idx())?;
            let endpoints = by_name.get(&owner).map_or(&[][..], Vec::as_slice);
            Some(SteeredName::of(&owner, steered, &parts.of(&steered.view), endpoints))
        });
        let steered_names = lines.collect();
        Self { line: ZoneLine::of(served), steered_names }
    }
}

/// The parts of all clients that the classes of views are; many names have the same view.
struct Parts<'s> {
    snapshot: &'s Snapshot,
    known: HashMap<usize, Arc<[f64]>>,
}

impl Parts<'_> {
    fn of(&mut self, view: &Arc<View>) -> Arc<[f64]> {
        let known = self.known.entry(Arc::as_ptr(view).addr());
        Arc::clone(known.or_insert_with(|| view.parts(&self.snapshot.geo).into()))
    }
}

impl SteeredName {
    fn of(owner: &Name, steered: &Steered, parts: &[f64], endpoints: &[&EndpointReport]) -> Self {
        let policy = &steered.policy;
        let shares: Vec<(Family, Vec<f64>)> = steered
            .families
            .iter()
            .map(|it| (it.family, it.outlook.shares(parts, policy.pools.len())))
            .collect();
        let pool = |(idx, pool): (usize, &Pool)| {
            let shares = shares.iter().map(|(family, shares)| ShareLine {
                family: family.rtype().to_string(),
                share: shares[idx],
            });
            let endpoints: Vec<_> =
                endpoints.iter().filter(|it| it.pool == pool.name).copied().collect();
            PoolLine::of(pool, shares.collect(), &endpoints)
        };
        Self {
            name: owner.to_string(),
            by: match policy.by {
                By::Weight => "weight",
                By::Latency => "latency",
                By::Distance => "distance",
            }
            .to_owned(),
            sticky: policy.sticky,
            ttl: policy.ttl,
            ttl_min: policy.ttl_min,
            demand: policy.demand.map(Load::amount),
            families: steered.families.iter().map(|it| FamilyLine::of(it, parts)).collect(),
            pools: policy.pools.iter().enumerate().map(pool).collect(),
        }
    }
}

impl FamilyLine {
    fn of(now: &FamilyNow, parts: &[f64]) -> Self {
        let mut footings: Vec<_> =
            now.outlook.decisions().iter().map(|it| it.footing.as_str()).collect();
        footings.sort_unstable();
        footings.dedup();
        let is_unserved = |class: ClassId| {
            matches!(
                now.outlook.of_class(class).outcome,
                Outcome::NoReachableAuthority | Outcome::NotReady
            )
        };
        let classes = (0..).map(ClassId).zip(parts);
        let unserved = classes.filter(|(class, _)| is_unserved(*class)).map(|(_, part)| *part);
        // The sum of nothing would be -0.
        let unserved = unserved.fold(0.0, |sum, part| sum + part);
        let ttls = now.outlook.decisions().iter().filter_map(|it| match &it.outcome {
            Outcome::Draw(candidates) => {
                candidates.pools.iter().flat_map(|it| &it.members).map(|it| it.ttl).min()
            }
            _ => None,
        });
        Self { family: now.family.rtype().to_string(), footings, unserved, ttl: ttls.min() }
    }
}

impl PoolLine {
    fn of(pool: &Pool, shares: Vec<ShareLine>, endpoints: &[&EndpointReport]) -> Self {
        let scale = |it: &&EndpointReport| it.effective_weight / f64::from(it.weight);
        let scale = endpoints.iter().map(scale).fold(0.0, f64::max);
        let mut verdicts = Verdicts::default();
        for it in endpoints {
            *verdicts.of(&it.verdict.to_string()) += 1;
        }
        Self {
            pool: pool.name.to_string(),
            region: pool.region.as_ref().map(ToString::to_string),
            tier: pool.tier,
            weight: pool.weight,
            effective_weight: f64::from(pool.weight) * scale,
            shares,
            verdicts,
            overridden: endpoints.iter().filter(|it| it.said.is_some()).count(),
        }
    }
}

impl Verdicts {
    fn of(&mut self, word: &str) -> &mut usize {
        match word {
            "up" => &mut self.up,
            "down" => &mut self.down,
            _ => &mut self.unknown,
        }
    }
}
